//! What a trace request holds, counted before it is decoded: two bytes of a request may become a
//! few hundred of memory, so what is let in is bounded by its parts and not by its bytes alone.

/// Messages within a request, of all kinds. One with 512 spans of four attributes has 4,600; at
/// this bound they take some 50 MB while they are decoded.
pub(crate) const PARTS_MAX: u64 = 256 * 1024;

/// How deep messages may lie within each other; the decoder's own bound.
const DEPTH_MAX: u32 = 100;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Spans.
    pub(crate) spans: u64,
    /// Messages of any kind.
    pub(crate) all: u64,
}

/// The messages of OTLP that hold others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    ResourceSpans,
    Resource,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Pair,
    Any,
    List,
    Pairs,
    Leaf,
}

impl Kind {
    /// What a field is, if it is a message.
    fn of_field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Request, 1) => Self::ResourceSpans,
            (Self::ResourceSpans, 1) => Self::Resource,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::Resource, 1) | (Self::Pairs, 1) => Self::Pair,
            (Self::ScopeSpans, 1) => Self::Scope,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::Scope | Self::Event, 3) | (Self::Span, 9) | (Self::Link, 4) => Self::Pair,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            (Self::Pair, 2) | (Self::List, 1) => Self::Any,
            (Self::Any, 5) => Self::List,
            (Self::Any, 6) => Self::Pairs,
            // An entity of a resource, the status of a span: small, and they hold nothing.
            (Self::Resource, 3) | (Self::Span, 15) => Self::Leaf,
            _ => return None,
        })
    }
}

/// Counts what a request holds; `None` if it is broken. Stops soon after [`PARTS_MAX`].
pub(crate) fn parts(body: &[u8]) -> Option<Parts> {
    let mut parts = Parts::default();
    walk(Kind::Request, body, 0, &mut parts)?;
    Some(parts)
}

fn walk(kind: Kind, mut bytes: &[u8], depth: u32, parts: &mut Parts) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    while !bytes.is_empty() && parts.all <= PARTS_MAX {
        let key = varint(&mut bytes)?;
        match key & 7 {
            0 => drop(varint(&mut bytes)?),
            1 => drop(take(&mut bytes, 8)?),
            2 => {
                let length = varint(&mut bytes)?;
                let inner = take(&mut bytes, length)?;
                if let Some(field) = kind.of_field(key >> 3) {
                    parts.all += 1;
                    parts.spans += u64::from(field == Kind::Span);
                    walk(field, inner, depth + 1, parts)?;
                }
            }
            5 => drop(take(&mut bytes, 4)?),
            // Groups are not of this protocol, and no exporter writes them.
            _ => return None,
        }
    }
    Some(())
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << (7 * place);
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A message within others, the outermost field first.
#[cfg(test)]
pub(crate) fn within(fields: &[u8], inner: Vec<u8>) -> Vec<u8> {
    fields.iter().rev().fold(inner, |inner, field| {
        let mut message = vec![field << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut message);
        [message, inner].concat()
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value},
        resource::v1::Resource,
        trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event},
    };
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn request(spans: Vec<Span>, resource: Resource) -> Vec<u8> {
        let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
        let resource =
            ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() };
        ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
    }

    fn pair(value: Value) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: "k".into(), value, ..Default::default() }
    }

    #[test]
    fn spans_and_parts_are_counted_and_text_is_not_looked_into() {
        let list = ArrayValue { values: vec![AnyValue::default(); 3] };
        let span = Span {
            attributes: vec![
                pair(Value::StringValue("\n\0\n\0\n\0".into())),
                pair(Value::ArrayValue(list)),
            ],
            events: vec![Event { attributes: vec![KeyValue::default()], ..Default::default() }],
            ..Default::default()
        };
        // Request: a resource's spans, a resource, a scope's spans. A span: itself, two pairs and
        // their values, a list and three values, an event and its pair.
        let body = request(vec![span; 2], Resource::default());
        assert_eq!(parts(&body), Some(Parts { spans: 2, all: 3 + 2 * 11 }));
        assert_eq!(parts(&body[..body.len() - 1]), None, "cut short");
    }

    #[test]
    fn whatever_can_be_many_is_counted() {
        let many = usize::try_from(PARTS_MAX).unwrap() + 9;
        // Two bytes each: the field, and that it is empty.
        let empty = |field: u8| [field << 3 | 2, 0].repeat(many);
        // Spans; pairs of a resource; values in a list of an attribute.
        for (fields, inner) in
            [(&[1, 2][..], empty(2)), (&[1, 1], empty(1)), (&[1, 2, 2, 9, 2, 5], empty(1))]
        {
            let body = within(fields, inner);
            assert!(body.len() < 1 << 20, "{}", body.len());
            assert!(parts(&body).unwrap().all > PARTS_MAX);
        }
    }

    proptest! {
        #[test]
        fn what_it_passes_has_as_many_spans_as_the_decoder_finds(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let _ = parts(&bytes);
            let attributes = vec![pair(Value::BoolValue(true)); 3];
            let span = Span { attributes, ..Default::default() };
            let mut body = request(vec![span; 5], Resource::default());
            for (place, byte) in changes {
                let place = place.index(body.len());
                body[place] = byte;
            }
            if let (Some(parts), Ok(request)) =
                (parts(&body), ExportTraceServiceRequest::decode(body.as_slice()))
            {
                let found = crate::decode::spans(request).0.len() as u64;
                prop_assert_eq!(parts.spans, found);
            }
        }
    }
}
