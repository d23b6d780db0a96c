//! What a trace request holds, counted before it is decoded: two bytes of a request may become a
//! few hundred of memory, so what is let in is bounded by its parts and not by its bytes alone.

use crate::fields::{self, Raw};

/// Messages within a request, of all kinds. One with 512 spans of four attributes has 4,600; at
/// this bound they are more than the store holds.
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

/// The messages of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    ResourceSpans,
    Resource,
    Entity,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Status,
    Pair,
    Any,
    List,
    Pairs,
}

/// What a field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Message(Kind),
    Text,
    Bytes,
    Varint,
    Fixed64,
    Fixed32,
    /// Of a later version of the protocol.
    Unknown,
}

impl Kind {
    fn field(self, number: u32) -> Of {
        use Of::{Bytes, Fixed32, Fixed64, Message, Text, Unknown, Varint};
        match (self, number) {
            (Self::Span, 9)
            | (Self::Resource | Self::Pairs, 1)
            | (Self::Scope | Self::Event, 3)
            | (Self::Link, 4) => Message(Self::Pair),
            (Self::Pair, 2) | (Self::List, 1) => Message(Self::Any),
            (Self::Any, 1)
            | (Self::Pair, 1)
            | (Self::Span, 3 | 5)
            | (Self::Scope, 1 | 2)
            | (Self::ResourceSpans | Self::ScopeSpans, 3)
            | (Self::Event | Self::Status, 2)
            | (Self::Link, 3)
            | (Self::Entity, 1..=4) => Text,
            (Self::Any, 2 | 3 | 8)
            | (Self::Pair, 3)
            | (Self::Span, 6 | 10 | 12 | 14)
            | (Self::Resource, 2)
            | (Self::Scope | Self::Event, 4)
            | (Self::Link, 5)
            | (Self::Status, 3) => Varint,
            (Self::Any, 7) | (Self::Span, 1 | 2 | 4) | (Self::Link, 1 | 2) => Bytes,
            (Self::Any, 4) | (Self::Span, 7 | 8) | (Self::Event, 1) => Fixed64,
            (Self::Span, 16) | (Self::Link, 6) => Fixed32,
            (Self::Any, 5) => Message(Self::List),
            (Self::Any, 6) => Message(Self::Pairs),
            (Self::Span, 11) => Message(Self::Event),
            (Self::Span, 13) => Message(Self::Link),
            (Self::Span, 15) => Message(Self::Status),
            (Self::Request, 1) => Message(Self::ResourceSpans),
            (Self::ResourceSpans, 1) => Message(Self::Resource),
            (Self::ResourceSpans, 2) => Message(Self::ScopeSpans),
            (Self::Resource, 3) => Message(Self::Entity),
            (Self::ScopeSpans, 1) => Message(Self::Scope),
            (Self::ScopeSpans, 2) => Message(Self::Span),
            _ => Unknown,
        }
    }
}

/// Counts what a request holds; `None` if any of it is broken, as `prost` would find it. Stops soon
/// after [`PARTS_MAX`].
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
        let (number, raw) = fields::next(&mut bytes)?;
        match (kind.field(number), raw) {
            (Of::Message(inner), Raw::Bytes(bytes)) => {
                parts.all += 1;
                parts.spans += u64::from(inner == Kind::Span);
                walk(inner, bytes, depth + 1, parts)?;
            }
            (Of::Text, Raw::Bytes(text)) => drop(str::from_utf8(text).ok()?),
            (Of::Bytes, Raw::Bytes(_))
            | (Of::Varint, Raw::Varint(_))
            | (Of::Fixed64, Raw::Fixed64(_))
            | (Of::Fixed32, Raw::Fixed32(_)) => {}
            (Of::Unknown, _) if depth < DEPTH_MAX => {}
            _ => return None,
        }
    }
    Some(())
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
                let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
                let found = scopes.map(|scope| scope.spans.len() as u64).sum::<u64>();
                prop_assert_eq!(parts.spans, found);
            }
        }
    }
}
