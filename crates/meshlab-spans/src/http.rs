//! The http/protobuf door: `POST /v1/traces`, `POST /v1/metrics` and `POST /v1/logs`.

use std::{convert::Infallible, io::Read, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use meshlab_model::NodeId;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
};
use prost::Message;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{SpanStore, logs, metrics, scan};

/// A batch of 512 spans at 299 bytes each is 150 KB.
pub(crate) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a compressed body may become.
const UNPACKED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A node has one exporter, perhaps a few; more is a leak or an attack.
const CONNECTIONS_MAX: usize = 16;
/// Longest time that a sender may take over a request's head, and over its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) head: Duration,
    pub(crate) body: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(30), body: Duration::from_secs(10) }
    }
}

const RETRY_ACCEPT_AFTER: Duration = Duration::from_millis(50);

/// Takes in what comes to `listener` until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    node: NodeId,
    store: SpanStore,
    patience: Patience,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                        store.note(&node, |counters| counters.refused += 1);
                        continue;
                    };
                    let (node, store) = (node.clone(), store.clone());
                    connections.spawn(async move {
                        connection(stream, node, store, patience).await;
                        drop(slot);
                    });
                }
                // Out of descriptors, most likely: others give some back.
                Err(_) => tokio::time::sleep(RETRY_ACCEPT_AFTER).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, node: NodeId, store: SpanStore, patience: Patience) {
    let service = service_fn(|request| {
        let (node, store) = (node.clone(), store.clone());
        async move { Ok::<_, Infallible>(answer(request, &node, &store, patience).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served
        && error.is_parse()
    {
        malformed(&store, &node, format!("no HTTP: {error}"));
    }
}

pub(crate) fn malformed(store: &SpanStore, node: &NodeId, why: String) {
    store.note(node, |counters| {
        counters.malformed += 1;
        counters.first_problem.get_or_insert(why);
    });
}

async fn answer(
    request: Request<Incoming>,
    node: &NodeId,
    store: &SpanStore,
    patience: Patience,
) -> Response<Full<Bytes>> {
    let say = |status: StatusCode, text: &str| {
        let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
        *response.status_mut() = status;
        response
    };
    let ignored = || store.note(node, |counters| counters.ignored += 1);
    let signal = match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/traces") => Signal::Traces,
        (&Method::POST, "/v1/metrics") => Signal::Metrics,
        (&Method::POST, "/v1/logs") => Signal::Logs,
        (_, "/v1/traces" | "/v1/metrics" | "/v1/logs") => {
            return say(StatusCode::METHOD_NOT_ALLOWED, "use POST\n");
        }
        _ => {
            ignored();
            let here = "POST /v1/traces, /v1/metrics and /v1/logs are here\n";
            return say(StatusCode::NOT_FOUND, here);
        }
    };
    match take_in(signal, request, node, store, patience).await {
        Ok(()) => say(StatusCode::OK, ""),
        Err(Refusal::TooLarge) => {
            store.note(node, |counters| counters.too_large += 1);
            let (packed, unpacked) = signal.limits();
            let text = format!("at most {packed} bytes, {unpacked} unpacked\n");
            say(StatusCode::PAYLOAD_TOO_LARGE, &text)
        }
        Err(Refusal::Flood) => {
            say(StatusCode::TOO_MANY_REQUESTS, "more spans than a node may send; send fewer\n")
        }
        Err(Refusal::Unsupported) => {
            ignored();
            say(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/x-protobuf, plain or gzip\n")
        }
        Err(Refusal::Malformed(why)) => {
            let text = format!("{why}\n");
            malformed(store, node, why);
            say(StatusCode::BAD_REQUEST, &text)
        }
    }
}

/// What a request carries.
#[derive(Debug, Clone, Copy)]
enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    /// Longest body as it comes, and once it is unpacked.
    fn limits(self) -> (usize, usize) {
        match self {
            Self::Traces => (BODY_BYTES_MAX, UNPACKED_BYTES_MAX),
            Self::Metrics => (metrics::REQUEST_BYTES_MAX, metrics::REQUEST_BYTES_MAX),
            Self::Logs => (logs::REQUEST_BYTES_MAX, logs::REQUEST_BYTES_MAX),
        }
    }
}

pub(crate) enum Refusal {
    TooLarge,
    Unsupported,
    /// Counted already.
    Flood,
    Malformed(String),
}

async fn take_in(
    signal: Signal,
    request: Request<Incoming>,
    node: &NodeId,
    store: &SpanStore,
    patience: Patience,
) -> Result<(), Refusal> {
    let headers = request.headers().clone();
    let content = text(&headers, header::CONTENT_TYPE);
    if !content.is_empty() && !content.starts_with("application/x-protobuf") {
        return Err(Refusal::Unsupported);
    }
    let (packed_max, unpacked_max) = signal.limits();
    let body = Limited::new(request.into_body(), packed_max).collect();
    let body = tokio::time::timeout(patience.body, body)
        .await
        .map_err(|_| Refusal::Malformed("the body did not come in time".to_owned()))?
        .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Refusal::TooLarge,
            None => Refusal::Malformed(format!("the body broke off: {error}")),
        })?
        .to_bytes();
    let body = match text(&headers, header::CONTENT_ENCODING) {
        "" | "identity" => body,
        "gzip" => unpack(&body, unpacked_max)?,
        _ => return Err(Refusal::Unsupported),
    };
    let malformed = |what, error| Refusal::Malformed(format!("no OTLP {what} request: {error}"));
    match signal {
        Signal::Traces => take_spans(&body, node, store)?,
        Signal::Metrics => {
            let request = ExportMetricsServiceRequest::decode(body);
            let request = request.map_err(|error| malformed("metrics", error))?;
            store.add_metrics(node, metrics::metrics(request));
        }
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(body);
            let request = request.map_err(|error| malformed("logs", error))?;
            store.add_logs(node, logs::lines(request));
        }
    }
    Ok(())
}

/// Keeps the spans of a request, if it is sound, small enough and no flood. The request is counted
/// by the caller where it is refused, the spans of a flood here.
pub(crate) fn take_spans(body: &[u8], node: &NodeId, store: &SpanStore) -> Result<(), Refusal> {
    let broken = || Refusal::Malformed("no OTLP trace request: its fields are broken".to_owned());
    let parts = scan::parts(body).ok_or_else(broken)?;
    if parts.all > scan::PARTS_MAX {
        return Err(Refusal::TooLarge);
    }
    if !store.allows(node, parts.spans) {
        return Err(Refusal::Flood);
    }
    store.add_request(node, body);
    Ok(())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Unpacks at most `max` bytes: a few kilobytes can claim to be gigabytes.
fn unpack(packed: &[u8], max: usize) -> Result<Bytes, Refusal> {
    let mut unpacked = Vec::new();
    let limit = max as u64 + 1;
    GzDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut unpacked)
        .map_err(|error| Refusal::Malformed(format!("broken gzip: {error}")))?;
    if unpacked.len() > max {
        return Err(Refusal::TooLarge);
    }
    Ok(unpacked.into())
}
