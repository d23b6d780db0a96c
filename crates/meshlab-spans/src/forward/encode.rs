//! From the record's spans back to OTLP.

use std::collections::BTreeMap;

use meshlab_model::{NodeId, SpanRecord};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value as Any},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};
use prost::Message;
use serde_json::Value;

/// A request with these spans: a resource for each node.
pub(super) fn request(run: &str, spans: &[SpanRecord]) -> Vec<u8> {
    let mut by_node: BTreeMap<&NodeId, Vec<Span>> = BTreeMap::new();
    for record in spans {
        by_node.entry(&record.node).or_default().push(span(record));
    }
    let resource_spans = by_node.into_iter().map(|(node, spans)| {
        let scope = InstrumentationScope { name: "meshlab".into(), ..Default::default() };
        let scope = ScopeSpans { scope: Some(scope), spans, ..Default::default() };
        let resource = Resource { attributes: resource(run, node), ..Default::default() };
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..Default::default() }
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec()
}

/// A node is a service, so that a viewer of traces lists the nodes by their names.
fn resource(run: &str, node: &NodeId) -> Vec<KeyValue> {
    let text = |text: &str| Value::String(text.to_owned());
    let instance = format!("{run}/{node}");
    vec![
        pair("service.name", &text(node.as_str())),
        pair("service.namespace", &text("meshlab")),
        pair("service.instance.id", &text(&instance)),
        pair("meshlab.run", &text(run)),
    ]
}

fn span(record: &SpanRecord) -> Span {
    let attributes = record.attributes.iter().map(|(key, value)| pair(key, value)).collect();
    Span {
        trace_id: id(&record.trace_id, 16, record.seq),
        span_id: id(&record.span_id, 8, record.seq),
        parent_span_id: bytes(&record.parent_id).filter(|id| id.len() == 8).unwrap_or_default(),
        name: record.name.clone(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: record.start_unix_nanos,
        end_time_unix_nano: record.end_unix_nanos,
        attributes,
        ..Default::default()
    }
}

/// An id as its bytes. A collector refuses a span without a good one, so a node that sent none gets
/// one made of the span's number.
fn id(text: &str, length: usize, seq: u64) -> Vec<u8> {
    let good = |id: &Vec<u8>| id.len() == length && id.iter().any(|byte| *byte != 0);
    bytes(text).filter(good).unwrap_or_else(|| {
        let mut made = vec![0; length];
        made[length - 8..].copy_from_slice(&seq.max(1).to_be_bytes());
        made
    })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let byte = |place: usize| u8::from_str_radix(text.get(place..place + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn pair(key: &str, value: &Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..Default::default() }
}

fn any(value: &Value) -> AnyValue {
    let value = match value {
        Value::Null => None,
        Value::Bool(truth) => Some(Any::BoolValue(*truth)),
        Value::String(text) => Some(Any::StringValue(text.clone())),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Some(Any::IntValue(whole)),
            (None, Some(float)) => Some(Any::DoubleValue(float)),
            (None, None) => None,
        },
        Value::Array(values) => {
            Some(Any::ArrayValue(ArrayValue { values: values.iter().map(any).collect() }))
        }
        // Few viewers show a map; as text it can at least be read.
        Value::Object(_) => Some(Any::StringValue(value.to_string())),
    };
    AnyValue { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn what_is_sent_again_is_what_came() {
        let one = |seq: u64, node: &str, trace: &str, parent: &str| SpanRecord {
            seq,
            arrived: meshlab_model::RunTime::ZERO,
            node: node.into(),
            name: "x".into(),
            trace_id: trace.into(),
            span_id: format!("{:016x}", seq + 7),
            parent_id: parent.into(),
            start_unix_nanos: 5,
            end_unix_nanos: 9,
            attributes: BTreeMap::from([
                ("text".to_owned(), "y".into()),
                ("n".to_owned(), (-3).into()),
                ("f".to_owned(), 0.5.into()),
                ("yes".to_owned(), true.into()),
                ("list".to_owned(), vec![1, 2].into()),
            ]),
        };
        let trace = "0123456789abcdef0123456789abcdef";
        let records = [
            one(1, "b", trace, "00000000000000aa"),
            one(2, "a", "ü", "zz"),
            one(3, "b", trace, ""),
        ];
        let body = request("swarm/1", &records);
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        let names: Vec<String> = request
            .resource_spans
            .iter()
            .map(|resource| format!("{:?}", resource.resource.as_ref().unwrap().attributes))
            .collect();
        assert_eq!(names.len(), 2, "a resource for each node");
        assert!(names[0].contains("\"a\"") && names[1].contains("\"swarm/1/b\""), "{names:?}");
        let (spans, cut): (Vec<_>, Vec<_>) = decode::tests::found(&body).into_iter().unzip();
        assert_eq!(cut, [false; 3]);
        assert_eq!(spans[1].attributes, records[0].attributes);
        assert_eq!(
            (spans[1].trace_id.as_str(), spans[1].parent_id.as_str()),
            (trace, "00000000000000aa")
        );
        assert_eq!(spans[0].trace_id, format!("{:032x}", 2), "a bad id is replaced");
        assert_eq!(spans[0].parent_id, "");
    }
}
