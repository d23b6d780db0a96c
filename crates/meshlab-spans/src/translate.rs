//! Spans of programs that have names of their own, in the standard ones.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::decode::{Arriving, Said};

/// What a span says, as its program wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, Value>,
}

/// Says it in the standard names. It is called while the store is locked: it must not ask the store
/// anything.
pub type Translate = Arc<dyn Fn(&mut Spoken) + Send + Sync>;

/// What `span` says in other words, taken out of it.
pub(crate) fn spoken(span: &mut Arriving<'_>, translate: &Translate) -> Spoken {
    let said = span.attributes.drain(..);
    let attributes = said.map(|(name, said)| (name.to_owned(), said.into_value())).collect();
    let mut spoken = Spoken { name: span.name.to_owned(), attributes };
    translate(&mut spoken);
    spoken
}

/// The same span, saying that.
pub(crate) fn saying<'a>(span: &Arriving<'_>, spoken: &'a Spoken) -> Arriving<'a> {
    let attributes = spoken.attributes.iter();
    Arriving {
        name: &spoken.name,
        trace: span.trace.clone(),
        span: span.span.clone(),
        parent: span.parent.clone(),
        start_unix_nanos: span.start_unix_nanos,
        end_unix_nanos: span.end_unix_nanos,
        attributes: attributes.map(|(name, value)| (name.as_str(), Said::of(value))).collect(),
        cut: span.cut,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{IncomingSpan, RunClock, Selector, SpanStore};

    fn says(name: &str, peer: &str) -> IncomingSpan {
        IncomingSpan {
            name: name.into(),
            trace_id: "0".repeat(31) + "1",
            span_id: "0".repeat(15) + "2",
            parent_id: String::new(),
            start_unix_nanos: 3,
            end_unix_nanos: 4,
            attributes: BTreeMap::from([("remote".to_owned(), peer.into())]),
        }
    }

    #[test]
    fn one_node_is_translated_and_others_are_kept_as_they_are() {
        let clock = RunClock { started: Instant::now(), started_unix_nanos: 0 };
        let store = SpanStore::new(clock, 100);
        let translate: Translate = Arc::new(|spoken| {
            spoken.name = "peer.connected".to_owned();
            if let Some(peer) = spoken.attributes.get("remote").cloned() {
                spoken.attributes.insert("peer.id".to_owned(), peer);
            }
        });
        store.translate(&"node-1".into(), translate);
        for node in ["node-1", "node-2"] {
            store.add(&node.into(), vec![says("conn.up", "k")]);
        }
        let wanted = Selector::named("peer.connected").with("peer.id", "k");
        let found = store.find(&wanted, 10);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].node.as_str(), found[0].end_unix_nanos), ("node-1", 4));
        assert_eq!(found[0].trace_id, says("", "").trace_id);
        assert_eq!(store.count(&Selector::named("conn.up")), 1);
    }
}
