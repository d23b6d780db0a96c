//! From OTLP to spans, within limits.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value as Any},
    trace::v1::Span,
};
use serde_json::Value;

const NAME_BYTES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 64 * 1024;
const ATTRIBUTES_MAX: usize = 128;
const DEPTH_MAX: u32 = 8;

/// A span as it came, before it has a place in the run.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingSpan {
    /// Its name.
    pub name: String,
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits, empty for a root.
    pub parent_id: String,
    /// Start by the node's clock, nanoseconds since 1970.
    pub start_unix_nanos: u64,
    /// End by the node's clock, nanoseconds since 1970.
    pub end_unix_nanos: u64,
    /// Attributes.
    pub attributes: BTreeMap<String, Value>,
}

/// The spans of a request, and how many of them were cut to a limit.
pub(crate) fn spans(request: ExportTraceServiceRequest) -> (Vec<IncomingSpan>, u64) {
    let mut truncated = 0;
    let spans = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .map(|span| {
            let (span, cut) = one(span);
            truncated += u64::from(cut);
            span
        })
        .collect();
    (spans, truncated)
}

fn one(span: Span) -> (IncomingSpan, bool) {
    let mut cut = span.attributes.len() > ATTRIBUTES_MAX;
    let mut name = span.name;
    cut |= clip(&mut name, NAME_BYTES_MAX);
    let mut attributes = BTreeMap::new();
    for KeyValue { key, value, .. } in span.attributes.into_iter().take(ATTRIBUTES_MAX) {
        let mut key = key;
        cut |= clip(&mut key, NAME_BYTES_MAX);
        attributes.insert(key, json(value, &mut cut, 0));
    }
    let span = IncomingSpan {
        name,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        start_unix_nanos: span.start_time_unix_nano,
        end_unix_nanos: span.end_time_unix_nano,
        attributes,
    };
    (span, cut)
}

pub(crate) fn json(value: Option<AnyValue>, cut: &mut bool, depth: u32) -> Value {
    if depth > DEPTH_MAX {
        *cut = true;
        return Value::Null;
    }
    match value.and_then(|value| value.value) {
        Some(Any::StringValue(mut text)) => {
            *cut |= clip(&mut text, TEXT_BYTES_MAX);
            text.into()
        }
        Some(Any::BoolValue(truth)) => truth.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::BytesValue(bytes)) => {
            *cut |= bytes.len() > TEXT_BYTES_MAX / 2;
            hex(&bytes[..bytes.len().min(TEXT_BYTES_MAX / 2)]).into()
        }
        Some(Any::ArrayValue(array)) => {
            *cut |= array.values.len() > ATTRIBUTES_MAX;
            let values = array.values.into_iter().take(ATTRIBUTES_MAX);
            values.map(|value| json(Some(value), cut, depth + 1)).collect()
        }
        Some(Any::KvlistValue(list)) => {
            *cut |= list.values.len() > ATTRIBUTES_MAX;
            let pairs = list.values.into_iter().take(ATTRIBUTES_MAX);
            Value::Object(pairs.map(|p| (p.key, json(p.value, cut, depth + 1))).collect())
        }
        _ => Value::Null,
    }
}

/// Cuts `text` to `limit` bytes, at a character; says whether it did.
pub(crate) fn clip(text: &mut String, limit: usize) -> bool {
    let cut = text.len() > limit;
    if cut {
        text.truncate(text.floor_char_boundary(limit));
    }
    cut
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::ArrayValue;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn request(span: Span) -> ExportTraceServiceRequest {
        let scope = ScopeSpans { spans: vec![span], ..Default::default() };
        let resource = ResourceSpans { scope_spans: vec![scope], ..Default::default() };
        ExportTraceServiceRequest { resource_spans: vec![resource] }
    }

    fn text(text: &str) -> Option<AnyValue> {
        Some(AnyValue { value: Some(Any::StringValue(text.to_owned())) })
    }

    #[test]
    fn values_keep_their_kind_and_giants_are_cut() {
        let pair = |key: &str, value| KeyValue { key: key.into(), value, ..Default::default() };
        let number = Some(AnyValue { value: Some(Any::IntValue(7)) });
        let span = Span {
            name: "é".repeat(300),
            trace_id: vec![0xab; 16],
            attributes: vec![pair("n", number), pair("big", text(&"x".repeat(TEXT_BYTES_MAX + 9)))],
            ..Default::default()
        };
        let (spans, truncated) = spans(request(span));
        assert_eq!((spans.len(), truncated), (1, 1));
        assert_eq!(spans[0].name.len(), NAME_BYTES_MAX);
        assert_eq!(spans[0].trace_id, "ab".repeat(16));
        assert_eq!(spans[0].attributes["n"], Value::from(7));
        assert_eq!(spans[0].attributes["big"].as_str().map(str::len), Some(TEXT_BYTES_MAX));
    }

    #[test]
    fn a_nest_of_arrays_has_an_end() {
        let mut value = text("deep");
        for _ in 0..60 {
            let array = ArrayValue { values: value.into_iter().collect() };
            value = Some(AnyValue { value: Some(Any::ArrayValue(array)) });
        }
        let mut cut = false;
        json(value, &mut cut, 0);
        assert!(cut);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(),
            0..300)) {
            if let Ok(request) = ExportTraceServiceRequest::decode(bytes.as_slice()) {
                let _ = spans(request);
            }
        }
    }
}
