//! The http/protobuf door: `POST /v1/traces`.

use std::{convert::Infallible, io::Read, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use meshlab_model::NodeId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{SpanStore, decode};

/// A batch of 512 spans at 299 bytes each is 150 KB.
pub(crate) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a compressed body may become.
const UNPACKED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A node has one exporter, perhaps a few; more is a leak or an attack.
const CONNECTIONS_MAX: usize = 16;
const HEADER_WITHIN: Duration = Duration::from_secs(30);
const BODY_WITHIN: Duration = Duration::from_secs(10);
const RETRY_ACCEPT_AFTER: Duration = Duration::from_millis(50);

/// Takes in what comes to `listener` until it is dropped.
pub(crate) async fn serve(listener: TcpListener, node: NodeId, store: SpanStore) {
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
                        connection(stream, node, store).await;
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

async fn connection(stream: TcpStream, node: NodeId, store: SpanStore) {
    let service = service_fn(|request| {
        let (node, store) = (node.clone(), store.clone());
        async move { Ok::<_, Infallible>(answer(request, &node, &store).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served
        && error.is_parse()
    {
        malformed(&store, &node, format!("no HTTP: {error}"));
    }
}

fn malformed(store: &SpanStore, node: &NodeId, why: String) {
    store.note(node, |counters| {
        counters.malformed += 1;
        counters.first_problem.get_or_insert(why);
    });
}

async fn answer(
    request: Request<Incoming>,
    node: &NodeId,
    store: &SpanStore,
) -> Response<Full<Bytes>> {
    let say = |status: StatusCode, text: &str| {
        let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
        *response.status_mut() = status;
        response
    };
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/traces") => {}
        (&Method::POST, "/v1/metrics" | "/v1/logs") => {
            store.note(node, |counters| counters.ignored += 1);
            return say(StatusCode::OK, "");
        }
        (_, "/v1/traces") => return say(StatusCode::METHOD_NOT_ALLOWED, "use POST\n"),
        _ => {
            store.note(node, |counters| counters.ignored += 1);
            return say(StatusCode::NOT_FOUND, "POST /v1/traces is here\n");
        }
    }
    match take_in(request, node, store).await {
        Ok(()) => say(StatusCode::OK, ""),
        Err(Refusal::TooLarge) => {
            store.note(node, |counters| counters.too_large += 1);
            say(StatusCode::PAYLOAD_TOO_LARGE, "at most 4 MiB, 16 MiB unpacked\n")
        }
        Err(Refusal::Unsupported) => {
            say(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/x-protobuf, plain or gzip\n")
        }
        Err(Refusal::Malformed(why)) => {
            let text = format!("{why}\n");
            malformed(store, node, why);
            say(StatusCode::BAD_REQUEST, &text)
        }
    }
}

enum Refusal {
    TooLarge,
    Unsupported,
    Malformed(String),
}

async fn take_in(
    request: Request<Incoming>,
    node: &NodeId,
    store: &SpanStore,
) -> Result<(), Refusal> {
    let headers = request.headers().clone();
    let content = text(&headers, header::CONTENT_TYPE);
    if !content.is_empty() && !content.starts_with("application/x-protobuf") {
        return Err(Refusal::Unsupported);
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let body = tokio::time::timeout(BODY_WITHIN, body)
        .await
        .map_err(|_| Refusal::Malformed("the body did not come in time".to_owned()))?
        .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Refusal::TooLarge,
            None => Refusal::Malformed(format!("the body broke off: {error}")),
        })?
        .to_bytes();
    let body = match text(&headers, header::CONTENT_ENCODING) {
        "" | "identity" => body,
        "gzip" => unpack(&body)?,
        _ => return Err(Refusal::Unsupported),
    };
    let request = ExportTraceServiceRequest::decode(body)
        .map_err(|error| Refusal::Malformed(format!("no OTLP trace request: {error}")))?;
    let (spans, truncated) = decode::spans(request);
    if truncated > 0 {
        store.note(node, |counters| counters.truncated += truncated);
    }
    store.add(node, spans);
    Ok(())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Unpacks at most [`UNPACKED_BYTES_MAX`]: a few kilobytes can claim to be gigabytes.
fn unpack(packed: &[u8]) -> Result<Bytes, Refusal> {
    let mut unpacked = Vec::new();
    let limit = UNPACKED_BYTES_MAX as u64 + 1;
    GzDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut unpacked)
        .map_err(|error| Refusal::Malformed(format!("broken gzip: {error}")))?;
    if unpacked.len() > UNPACKED_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    Ok(unpacked.into())
}
