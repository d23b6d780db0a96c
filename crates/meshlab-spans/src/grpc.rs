//! The gRPC door: `TraceService/Export`.

use meshlab_model::NodeId;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, codec::CompressionEncoding, transport::Server};

use crate::{SpanStore, decode, http::BODY_BYTES_MAX};

/// Requests of one connection that are worked on at a time.
const REQUESTS_AT_ONCE_MAX: usize = 16;

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
        let (spans, truncated) = decode::spans(request.into_inner());
        if truncated > 0 {
            self.store.note(&self.node, |counters| counters.truncated += truncated);
        }
        self.store.add(&self.node, spans);
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

/// Takes in what comes to `listener` until it is dropped.
pub(crate) async fn serve(listener: TcpListener, node: NodeId, store: SpanStore) {
    let door = Door { node: node.clone(), store: store.clone() };
    let service = TraceServiceServer::new(door)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(BODY_BYTES_MAX);
    let served = Server::builder()
        .concurrency_limit_per_connection(REQUESTS_AT_ONCE_MAX)
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await;
    if let Err(error) = served {
        store.note(&node, |counters| {
            counters.malformed += 1;
            counters.first_problem.get_or_insert(format!("the gRPC door closed: {error}"));
        });
    }
}
