//! The gRPC door: `TraceService/Export`, `MetricsService/Export` and `LogsService/Export`.

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
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, codec::CompressionEncoding, transport::Server};

use crate::{
    SpanStore,
    http::{BODY_BYTES_MAX, take_spans},
    logs, metrics,
};

/// Requests of one connection that are worked on at a time.
const REQUESTS_AT_ONCE_MAX: usize = 16;

#[derive(Clone)]
struct Door {
    node: NodeId,
    store: SpanStore,
}

#[tonic::async_trait]
impl TraceService for Door {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        let spans = scopes.map(|scope| scope.spans.len() as u64).sum();
        if !self.store.allows(&self.node, spans) {
            return Err(Status::resource_exhausted("more spans than a node may send; send fewer"));
        }
        take_spans(request, &self.node, &self.store);
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
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
    let spans = TraceServiceServer::new(door)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(BODY_BYTES_MAX);
    let served = Server::builder()
        .concurrency_limit_per_connection(REQUESTS_AT_ONCE_MAX)
        .add_service(spans)
        .add_service(numbers)
        .add_service(lines)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await;
    if let Err(error) = served {
        store.note(&node, |counters| {
            counters.malformed += 1;
            counters.first_problem.get_or_insert(format!("the gRPC door closed: {error}"));
        });
    }
}
