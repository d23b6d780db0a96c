//! A span as it is kept in memory: a sixth of what its record takes, for most of a span is said
//! again and again. A million records would be more than a gigabyte.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use meshlab_model::{NodeId, RunTime, SpanRecord};
use serde_json::Value;

use crate::{
    decode::{Arriving, Said},
    id::Id,
};

/// Attributes that are remembered to be shared: of those with the same place, the last one.
const PAIRS_MAX: usize = 4096;

/// Names of attributes that are remembered so.
const NAMES_MAX: usize = 512;

/// Longest attribute that is shared, name and value together.
const PAIR_BYTES_MAX: usize = 256;

/// What the allocator and the counters of a shared value take, roughly.
const OVERHEAD: usize = 32;

/// An attribute.
struct Attribute {
    name: Arc<str>,
    value: Value,
}

type Pair = Arc<Attribute>;

pub(super) struct Kept {
    pub(super) seq: u64,
    pub(super) arrived: RunTime,
    pub(super) happened: RunTime,
    pub(super) node: Arc<NodeId>,
    pub(super) name: Arc<str>,
    start_unix_nanos: u64,
    end_unix_nanos: u64,
    pub(super) trace: Id,
    pub(super) span: Id,
    pub(super) parent: Id,
    attributes: Box<[Pair]>,
    /// What it takes, without what other spans brought.
    pub(super) bytes: usize,
}

/// A span's place in the run.
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) arrived: RunTime,
    pub(super) happened: RunTime,
    pub(super) node: Arc<NodeId>,
    /// The span's, shared with those before.
    pub(super) name: Arc<str>,
}

impl Kept {
    /// Takes the attributes out of `span`.
    pub(super) fn new(span: &mut Arriving<'_>, place: Place, pairs: &mut Pairs) -> Self {
        let mut brought = 0;
        let attributes = span.attributes.drain(..);
        let attributes = attributes.map(|(name, said)| pairs.share(name, said, &mut brought));
        let attributes: Box<[Pair]> = attributes.collect();
        let shared = attributes.len() * size_of::<Pair>() + OVERHEAD;
        Self {
            seq: place.seq,
            arrived: place.arrived,
            happened: place.happened,
            node: place.node,
            name: place.name,
            start_unix_nanos: span.start_unix_nanos,
            end_unix_nanos: span.end_unix_nanos,
            trace: std::mem::replace(&mut span.trace, Id::None),
            span: std::mem::replace(&mut span.span, Id::None),
            parent: std::mem::replace(&mut span.parent, Id::None),
            attributes,
            // Its place in the index is a number.
            bytes: size_of::<Self>() + size_of::<u64>() + shared + brought,
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|pair| &*pair.name == name).map(|pair| &pair.value)
    }

    pub(super) fn record(&self) -> SpanRecord {
        SpanRecord {
            seq: self.seq,
            arrived: self.arrived,
            node: (*self.node).clone(),
            name: self.name.to_string(),
            trace_id: self.trace.text(),
            span_id: self.span.text(),
            parent_id: self.parent.text(),
            start_unix_nanos: self.start_unix_nanos,
            end_unix_nanos: self.end_unix_nanos,
            attributes: self
                .attributes
                .iter()
                .map(|pair| (pair.name.to_string(), pair.value.clone()))
                .collect(),
        }
    }
}

/// Attributes that came lately, and their names, each at a place that its hash says.
pub(super) struct Pairs {
    hasher: RandomState,
    known: Box<[Option<Pair>]>,
    names: Box<[Option<Arc<str>>]>,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            known: vec![None; PAIRS_MAX].into(),
            names: vec![None; NAMES_MAX].into(),
        }
    }
}

impl Pairs {
    /// The same attribute, shared with the spans before where they had it too. What it takes is
    /// added to `brought` where they had not.
    fn share(&mut self, name: &str, said: Said<'_>, brought: &mut usize) -> Pair {
        let bytes = name.len() + said_bytes(&said);
        let new = bytes + size_of::<Attribute>() + 2 * OVERHEAD;
        if bytes > PAIR_BYTES_MAX {
            *brought += new;
            return Arc::new(Attribute { name: self.name(name), value: said.into_value() });
        }
        let hash = match &said {
            Said::Text(text) => self.hasher.hash_one((name, text)),
            Said::Value(value) => self.hasher.hash_one((name, value)),
        };
        let place = hash as usize % PAIRS_MAX;
        if let Some(known) = &self.known[place]
            && *known.name == *name
            && is(&said, &known.value)
        {
            return Arc::clone(known);
        }
        *brought += new;
        let pair = Arc::new(Attribute { name: self.name(name), value: said.into_value() });
        self.known[place] = Some(Arc::clone(&pair));
        pair
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        let known = &mut self.names[self.hasher.hash_one(name) as usize % NAMES_MAX];
        match known {
            Some(known) if **known == *name => Arc::clone(known),
            _ => Arc::clone(known.insert(Arc::from(name))),
        }
    }
}

fn is(said: &Said<'_>, value: &Value) -> bool {
    match said {
        Said::Text(text) => value.as_str() == Some(text),
        Said::Value(said) => said == value,
    }
}

fn said_bytes(said: &Said<'_>) -> usize {
    match said {
        Said::Text(text) => text.len(),
        Said::Value(value) => value_bytes(value),
    }
}

/// What a value takes besides itself.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => {
            values.iter().map(|each| size_of::<Value>() + value_bytes(each)).sum()
        }
        Value::Object(members) => {
            members.iter().map(|(name, each)| name.len() + 3 * OVERHEAD + value_bytes(each)).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IncomingSpan;

    fn span(trace: &str, attributes: &[(&str, Value)]) -> IncomingSpan {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        IncomingSpan {
            name: "x".into(),
            trace_id: trace.into(),
            span_id: "00ff00ff00ff00ff".into(),
            parent_id: String::new(),
            start_unix_nanos: 1,
            end_unix_nanos: 2,
            attributes: attributes.collect(),
        }
    }

    fn kept(came: &IncomingSpan, pairs: &mut Pairs) -> Kept {
        let place = Place {
            seq: 7,
            arrived: RunTime { micros: 9 },
            happened: RunTime::ZERO,
            node: Arc::new("node-1".into()),
            name: Arc::from(came.name.as_str()),
        };
        Kept::new(&mut came.arriving(), place, pairs)
    }

    #[test]
    fn what_is_kept_is_what_came() {
        let mut pairs = Pairs::default();
        let long = "y".repeat(10_000);
        for trace in [
            "",
            "t",
            "0123456789abcdef0123456789abcdef",
            "0123456789ABCDEF0123456789abcdef",
            "ü123456789abcde",
            "0123456789abcdeg",
        ] {
            let attributes = [
                ("a", 3.into()),
                ("b", "3".into()),
                ("c", long.clone().into()),
                ("d", vec![1].into()),
            ];
            let came = span(trace, &attributes);
            let kept = kept(&came, &mut pairs);
            let record = SpanRecord {
                seq: 7,
                arrived: RunTime { micros: 9 },
                node: "node-1".into(),
                name: came.name,
                trace_id: came.trace_id,
                span_id: came.span_id,
                parent_id: came.parent_id,
                start_unix_nanos: came.start_unix_nanos,
                end_unix_nanos: came.end_unix_nanos,
                attributes: came.attributes,
            };
            assert_eq!(kept.record(), record);
            assert_eq!(kept.attribute("b"), Some(&"3".into()));
            assert_eq!(kept.attribute("e"), None);
            assert!(kept.bytes > 10_000, "what is long and not shared is counted");
        }
    }

    #[test]
    fn a_span_like_the_one_before_takes_little() {
        let mut pairs = Pairs::default();
        let attributes = [("peer.id", "k".repeat(64).into()), ("peer.name", "m.worker.1".into())];
        let trace = "0123456789abcdef0123456789abcdef";
        let first = kept(&span(trace, &attributes), &mut pairs);
        let next = kept(&span(trace, &attributes), &mut pairs);
        assert!(
            next.bytes < 240 && first.bytes > next.bytes + 64,
            "{} {}",
            first.bytes,
            next.bytes
        );
        for n in 0..3 * PAIRS_MAX {
            let name = n.to_string();
            let other = kept(&span(trace, &[(&name, 7.into()), ("n", n.into())]), &mut pairs);
            // Whatever was at their places.
            assert_eq!(other.attribute(&name), Some(&7.into()));
            assert_eq!(other.attribute("n"), Some(&n.into()));
        }
        let others = kept(&span(trace, &attributes), &mut pairs);
        assert_eq!(others.record().attributes, first.record().attributes);
        assert_eq!((pairs.known.len(), pairs.names.len()), (PAIRS_MAX, NAMES_MAX));
    }

    #[test]
    fn attributes_of_another_kind_are_not_the_same() {
        let mut pairs = Pairs::default();
        let values: [Value; 7] =
            [3.into(), "3".into(), 3.0.into(), true.into(), Value::Null, "".into(), vec![3].into()];
        for value in values.iter().cycle().take(50) {
            let kept = kept(&span("t", &[("n", value.clone())]), &mut pairs);
            assert_eq!(kept.attribute("n"), Some(value));
        }
    }
}
