//! From the bytes of an OTLP request to spans, within limits, without a copy of what they say.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use prost::Message;
use serde_json::Value;

use crate::{
    fields::{self, Raw},
    id::{Id, hex},
};

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

/// A span on its way into the store: what it says still lies in the request.
#[derive(Debug)]
pub(crate) struct Arriving<'a> {
    pub(crate) name: &'a str,
    pub(crate) trace: Id,
    pub(crate) span: Id,
    pub(crate) parent: Id,
    pub(crate) start_unix_nanos: u64,
    pub(crate) end_unix_nanos: u64,
    /// By name, each name once.
    pub(crate) attributes: Vec<(&'a str, Said<'a>)>,
    /// Whether some of it was cut to a limit.
    pub(crate) cut: bool,
}

/// The value of an attribute on its way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said<'a> {
    Text(&'a str),
    /// Any other.
    Value(Value),
}

impl<'a> Said<'a> {
    pub(crate) fn of(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            other => Self::Value(other.clone()),
        }
    }

    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Value(value) => value,
        }
    }
}

impl IncomingSpan {
    pub(crate) fn arriving(&self) -> Arriving<'_> {
        let attributes = self.attributes.iter();
        Arriving {
            name: &self.name,
            trace: Id::of(&self.trace_id),
            span: Id::of(&self.span_id),
            parent: Id::of(&self.parent_id),
            start_unix_nanos: self.start_unix_nanos,
            end_unix_nanos: self.end_unix_nanos,
            attributes: attributes.map(|(name, value)| (name.as_str(), Said::of(value))).collect(),
            cut: false,
        }
    }
}

/// Hands the spans of a request to `take`, in order. The request was found sound by
/// [`crate::scan::parts`]; of another one some spans may be missing.
pub(crate) fn spans<'a>(request: &'a [u8], mut take: impl FnMut(&mut Arriving<'a>)) {
    // The list of attributes is the same for all, so that it is allocated once.
    let mut attributes = Vec::new();
    for resource in messages(request, 1) {
        for scope in messages(resource, 2) {
            for span in messages(scope, 2) {
                let mut arriving = one(span, attributes);
                take(&mut arriving);
                attributes = arriving.attributes;
            }
        }
    }
}

/// The messages in a repeated field.
fn messages(message: &[u8], field: u32) -> impl Iterator<Item = &[u8]> {
    fields::all(message).filter_map(move |(number, raw)| match raw {
        Raw::Bytes(bytes) if number == field => Some(bytes),
        _ => None,
    })
}

fn one<'a>(span: &'a [u8], mut attributes: Vec<(&'a str, Said<'a>)>) -> Arriving<'a> {
    attributes.clear();
    let mut cut = false;
    let (mut name, mut ids) = ("", [&[][..]; 3]);
    let (mut start_unix_nanos, mut end_unix_nanos) = (0, 0);
    for (number, raw) in fields::all(span) {
        match (number, raw) {
            (1, Raw::Bytes(id)) => ids[0] = id,
            (2, Raw::Bytes(id)) => ids[1] = id,
            (4, Raw::Bytes(id)) => ids[2] = id,
            (5, Raw::Bytes(said)) => name = text(said),
            (7, Raw::Fixed64(nanos)) => start_unix_nanos = nanos,
            (8, Raw::Fixed64(nanos)) => end_unix_nanos = nanos,
            (9, Raw::Bytes(_)) if attributes.len() >= ATTRIBUTES_MAX => cut = true,
            (9, Raw::Bytes(pair)) => attributes.push(attribute(pair, &mut cut)),
            _ => {}
        }
    }
    // Of attributes with the same name the last one counts.
    attributes.sort_by_key(|(name, _)| *name);
    attributes.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    let name = clipped(name, NAME_BYTES_MAX, &mut cut);
    let [trace, span, parent] = ids.map(Id::of_bytes);
    Arriving { name, trace, span, parent, start_unix_nanos, end_unix_nanos, attributes, cut }
}

fn attribute<'a>(pair: &'a [u8], cut: &mut bool) -> (&'a str, Said<'a>) {
    let (mut name, mut value, mut values) = ("", None, 0);
    for (number, raw) in fields::all(pair) {
        match (number, raw) {
            (1, Raw::Bytes(said)) => name = text(said),
            (2, Raw::Bytes(said)) => (value, values) = (Some(said), values + 1),
            _ => {}
        }
    }
    let said = match value {
        None => Some(Said::Value(Value::Null)),
        Some(value) if values == 1 => scalar(value, cut),
        Some(_) => None,
    };
    // Lists, and values in several parts, which are to be merged: nobody sends many.
    let said = said.unwrap_or_else(|| {
        let pair = KeyValue::decode(pair).unwrap_or_default();
        Said::Value(json(pair.value, cut, 0))
    });
    (clipped(name, NAME_BYTES_MAX, cut), said)
}

/// The value of an attribute that is one and no list.
fn scalar<'a>(any: &'a [u8], cut: &mut bool) -> Option<Said<'a>> {
    let mut known = fields::all(any).filter(|(number, _)| (1..=8).contains(number));
    let first = known.next();
    if known.next().is_some() {
        return None;
    }
    Some(match first {
        Some((1, Raw::Bytes(said))) => Said::Text(clipped(text(said), TEXT_BYTES_MAX, cut)),
        Some((2, Raw::Varint(number))) => Said::Value((number != 0).into()),
        Some((3, Raw::Varint(number))) => Said::Value(number.cast_signed().into()),
        Some((4, Raw::Fixed64(bits))) => Said::Value(f64::from_bits(bits).into()),
        Some((8, _)) | None => Said::Value(Value::Null),
        Some(_) => return None,
    })
}

/// What was found to be text before.
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

fn clipped<'a>(text: &'a str, limit: usize, cut: &mut bool) -> &'a str {
    *cut |= text.len() > limit;
    &text[..text.floor_char_boundary(limit)]
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

#[cfg(test)]
#[path = "decode_tests.rs"]
pub(crate) mod tests;
