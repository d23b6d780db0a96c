//! A span as it is kept in memory: a sixth of what its record takes, for most of a span is said
//! again and again. A million records would be more than a gigabyte.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use meshlab_model::{NodeId, RunTime, SpanRecord};
use serde_json::Value;

/// Attributes that are remembered to be shared; then they are forgotten and learnt anew.
const PAIRS_MAX: usize = 4096;

/// Longest attribute that is shared, name and value together.
const PAIR_BYTES_MAX: usize = 256;

/// What the allocator and the counters of a shared value take, roughly.
const OVERHEAD: usize = 32;

/// An attribute: its name and its value.
type Pair = Arc<(String, Value)>;

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

/// An id: its bytes where it is text in lower hex digits, as it always should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Id {
    None,
    Short([u8; 8]),
    Long([u8; 16]),
    Text(Box<str>),
}

impl Id {
    pub(super) fn of(text: &str) -> Self {
        let other = || Self::Text(text.into());
        match text.len() {
            0 => Self::None,
            16 => bytes(text).map_or_else(other, Self::Short),
            32 => bytes(text).map_or_else(other, Self::Long),
            _ => other(),
        }
    }

    fn text(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::None => String::new(),
            Self::Short(bytes) => hex(bytes),
            Self::Long(bytes) => hex(bytes),
            Self::Text(text) => text.to_string(),
        }
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |c: &u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

impl Kept {
    pub(super) fn new(
        record: SpanRecord,
        happened: RunTime,
        node: Arc<NodeId>,
        name: Arc<str>,
        pairs: &mut Pairs,
    ) -> Self {
        let mut brought = 0;
        let attributes = record.attributes.into_iter().map(|pair| pairs.share(pair, &mut brought));
        let attributes: Box<[Pair]> = attributes.collect();
        let shared = attributes.len() * size_of::<Pair>() + OVERHEAD;
        Self {
            seq: record.seq,
            arrived: record.arrived,
            happened,
            node,
            name,
            start_unix_nanos: record.start_unix_nanos,
            end_unix_nanos: record.end_unix_nanos,
            trace: Id::of(&record.trace_id),
            span: Id::of(&record.span_id),
            parent: Id::of(&record.parent_id),
            attributes,
            // Its place in the index is a number.
            bytes: size_of::<Self>() + size_of::<u64>() + shared + brought,
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|pair| pair.0 == name).map(|pair| &pair.1)
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
            attributes: self.attributes.iter().map(|pair| (**pair).clone()).collect(),
        }
    }
}

/// Attributes that came lately, by a hash of theirs.
#[derive(Default)]
pub(super) struct Pairs {
    known: HashMap<u64, Pair>,
}

impl Pairs {
    /// The same attribute, shared with the spans before where they had it too. What it takes is
    /// added to `brought` where they had not.
    fn share(&mut self, pair: (String, Value), brought: &mut usize) -> Pair {
        let bytes = pair.0.len() + value_bytes(&pair.1);
        let new = bytes + size_of::<(String, Value)>() + 2 * OVERHEAD;
        if bytes > PAIR_BYTES_MAX {
            *brought += new;
            return Arc::new(pair);
        }
        let mut hasher = DefaultHasher::new();
        pair.0.hash(&mut hasher);
        match &pair.1 {
            Value::String(text) => text.hash(&mut hasher),
            Value::Number(number) => number.hash(&mut hasher),
            other => other.to_string().hash(&mut hasher),
        }
        let hash = hasher.finish();
        if let Some(known) = self.known.get(&hash)
            && **known == pair
        {
            return Arc::clone(known);
        }
        if self.known.len() >= PAIRS_MAX {
            self.known.clear();
        }
        *brought += new;
        let pair = Arc::new(pair);
        self.known.insert(hash, Arc::clone(&pair));
        pair
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
    use std::collections::BTreeMap;

    use super::*;

    fn record(seq: u64, trace: &str, attributes: &[(&str, Value)]) -> SpanRecord {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        SpanRecord {
            seq,
            arrived: RunTime { micros: seq },
            node: "node-1".into(),
            name: "x".into(),
            trace_id: trace.into(),
            span_id: "00ff00ff00ff00ff".into(),
            parent_id: String::new(),
            start_unix_nanos: 1,
            end_unix_nanos: 2,
            attributes: attributes.collect::<BTreeMap<_, _>>(),
        }
    }

    fn kept(record: SpanRecord, pairs: &mut Pairs) -> Kept {
        let (node, name) = (Arc::new(record.node.clone()), Arc::from(record.name.as_str()));
        Kept::new(record, RunTime::ZERO, node, name, pairs)
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
            let came = record(1, trace, &attributes);
            let kept = kept(came.clone(), &mut pairs);
            assert_eq!(kept.record(), came);
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
        let first = kept(record(1, trace, &attributes), &mut pairs);
        let next = kept(record(2, trace, &attributes), &mut pairs);
        assert!(
            next.bytes < 240 && first.bytes > next.bytes + 64,
            "{} {}",
            first.bytes,
            next.bytes
        );
        for n in 0..3 * PAIRS_MAX {
            kept(record(3, trace, &[("n", n.into())]), &mut pairs);
        }
        assert!(pairs.known.len() <= PAIRS_MAX);
    }
}
