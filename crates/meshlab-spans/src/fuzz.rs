//! The way of a request's body into numbers and spans, for fuzzing: from outside nobody decodes.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;

use crate::{decode, logs, metrics, scan};

/// How many spans a body has, if it is one.
pub fn fuzz_traces(body: &[u8]) -> Option<usize> {
    // As the door does: counted first, and only what is within the bound is decoded.
    let parts = scan::parts(body).filter(|parts| parts.all <= scan::PARTS_MAX)?;
    let mut spans = 0;
    decode::spans(body, |_| spans += 1);
    assert_eq!(parts.spans, spans as u64, "what is counted is what is decoded");
    let request = ExportTraceServiceRequest::decode(body);
    assert!(request.is_ok(), "what is found sound is sound by the generated types, too");
    Some(spans)
}

/// How many lines a body has, if it is one.
pub fn fuzz_logs(body: &[u8]) -> Option<usize> {
    let request = ExportLogsServiceRequest::decode(body).ok()?;
    Some(logs::lines(request).0.len())
}

/// How many values a body has, if it is one.
pub fn fuzz_metrics(body: &[u8]) -> Option<usize> {
    let request = ExportMetricsServiceRequest::decode(body).ok()?;
    Some(metrics::metrics(request).points.len())
}
