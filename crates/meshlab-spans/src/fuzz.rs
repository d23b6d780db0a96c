//! The way of a request's body into numbers and spans, for fuzzing: from outside nobody decodes.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;

use crate::{decode, logs, metrics};

/// How many spans a body has, if it is one.
pub fn fuzz_traces(body: &[u8]) -> Option<usize> {
    let request = ExportTraceServiceRequest::decode(body).ok()?;
    Some(decode::spans(request).0.len())
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
