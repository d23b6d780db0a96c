//! The gRPC door: `TraceService/Export`, `MetricsService/Export` and `LogsService/Export`.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use meshlab_model::NodeId;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codec::CompressionEncoding,
    codegen::{BoxFuture, Service},
    server::NamedService,
    transport::Server,
};

use crate::{SpanStore, http::malformed, logs, metrics};

mod traces;

use traces::{FLOOD, Traces};

/// Requests of one connection that are worked on at a time.
const REQUESTS_AT_ONCE_MAX: usize = 16;

#[derive(Clone)]
struct Door {
    node: NodeId,
    store: SpanStore,
}

/// A service whose refusals are counted: most are made by the library, before anything of ours is
/// asked.
#[derive(Clone)]
struct Counted<S> {
    inner: S,
    door: Door,
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Counted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (door, answer) = (self.door.clone(), self.inner.call(request));
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(status) = Status::from_header_map(answer.headers()) {
                door.count(&status);
            }
            Ok(answer)
        })
    }
}

impl Door {
    /// Counts a refusal as the other door does.
    fn count(&self, status: &Status) {
        let (node, store) = (&self.node, &self.store);
        match status.code() {
            Code::Ok => {}
            // Counted already.
            Code::ResourceExhausted if status.message() == FLOOD => {}
            // As it comes, and once it is unpacked.
            Code::OutOfRange | Code::ResourceExhausted => {
                store.note(node, |counters| counters.too_large += 1);
            }
            // Another method, or a packing that is not read.
            Code::Unimplemented => store.note(node, |counters| counters.ignored += 1),
            _ => malformed(store, node, format!("no OTLP request by gRPC: {}", status.message())),
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Door {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.store.add_metrics(&self.node, metrics::metrics(request.into_inner()));
        Ok(Response::new(ExportMetricsServiceResponse { partial_success: None }))
    }
}

#[tonic::async_trait]
impl LogsService for Door {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.store.add_logs(&self.node, logs::lines(request.into_inner()));
        Ok(Response::new(ExportLogsServiceResponse { partial_success: None }))
    }
}

/// Takes in what comes to `listener` until it is dropped.
pub(crate) async fn serve(listener: TcpListener, node: NodeId, store: SpanStore) {
    let door = Door { node: node.clone(), store: store.clone() };
    let numbers = MetricsServiceServer::new(door.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(metrics::REQUEST_BYTES_MAX);
    let lines = LogsServiceServer::new(door.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(logs::REQUEST_BYTES_MAX);
    let spans = Traces::new(door.clone());
    let served = Server::builder()
        .concurrency_limit_per_connection(REQUESTS_AT_ONCE_MAX)
        .add_service(Counted { inner: spans, door: door.clone() })
        .add_service(Counted { inner: numbers, door: door.clone() })
        .add_service(Counted { inner: lines, door })
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await;
    if let Err(error) = served {
        malformed(&store, &node, format!("the gRPC door closed: {error}"));
    }
}
