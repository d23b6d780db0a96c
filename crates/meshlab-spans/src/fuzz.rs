//! The way of a request's body into numbers and spans, for fuzzing: from outside nobody decodes.

use opentelemetry_proto::tonic::collector::{
    metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use prost::Message;

use crate::{decode, metrics};

/// How many spans a body has, if it is one.
pub fn fuzz_traces(body: &[u8]) -> Option<usize> {
    let request = ExportTraceServiceRequest::decode(body).ok()?;
    Some(decode::spans(request).0.len())
}

/// How many values a body has, if it is one.
pub fn fuzz_metrics(body: &[u8]) -> Option<usize> {
    let request = ExportMetricsServiceRequest::decode(body).ok()?;
    Some(metrics::metrics(request).points.len())
}
