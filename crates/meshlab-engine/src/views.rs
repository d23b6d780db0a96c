//! What each node holds the others to be, folded from the spans that it sent.
//!
//! This is the observers' word, never the harness's: a process that the harness killed stays
//! "Alive" here until somebody's span says otherwise.

use std::collections::BTreeMap;

use meshlab_model::{NodeId, RunTime, SpanRecord};
use meshlab_wire::{State, attr, span};

use crate::Via;

/// One observer's opinion of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opinion {
    /// Whether the peer is in the observer's directory.
    pub(crate) present: bool,
    /// What the observer holds it to be.
    pub(crate) state: State,
    /// How it came to that.
    pub(crate) via: Via,
    /// Since when.
    pub(crate) at: RunTime,
}

/// Opinions by observer, then by the peer's public key.
#[derive(Debug, Default)]
pub(crate) struct Views {
    opinions: BTreeMap<NodeId, BTreeMap<String, Opinion>>,
}

impl Views {
    /// Takes in a span, if it is one that tells of an opinion.
    pub(crate) fn apply(&mut self, record: &SpanRecord) {
        let text = |name| record.attributes.get(name).and_then(serde_json::Value::as_str);
        let Some(peer) = text(attr::PEER_ID) else { return };
        let state = text(attr::STATE).and_then(State::from_name);
        let peers = self.opinions.entry(record.node.clone()).or_default();
        let before = peers.get(peer).copied();
        let told = |present, state, via| Opinion { present, state, via, at: record.arrived };
        let opinion = match (record.name.as_str(), state) {
            (span::PEER_CONNECTED, state) => {
                told(true, state.unwrap_or(State::Alive), Via::Message)
            }
            (span::STATE_HEARD, Some(state)) => {
                told(state != State::Leaving && state != State::Dead, state, Via::Message)
            }
            (span::STATE_INFERRED, Some(state)) => {
                told(state != State::Dead, state, Via::Inference)
            }
            // Why it went is told by the state before it; the entry itself is gone.
            (span::PEER_DISCONNECTED, _) => match before {
                Some(before) => Opinion { present: false, ..before },
                None => return,
            },
            _ => return,
        };
        peers.insert(peer.to_owned(), opinion);
    }

    /// What `observer` holds the peer with that key to be.
    pub(crate) fn opinion(&self, observer: &NodeId, key: &str) -> Option<Opinion> {
        self.opinions.get(observer)?.get(key).copied()
    }

    /// Forgets what a former life of a node believed.
    pub(crate) fn forget(&mut self, observer: &NodeId) {
        self.opinions.remove(observer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(seq: u64, name: &str, attributes: &[(&str, &str)]) -> SpanRecord {
        SpanRecord {
            seq,
            arrived: RunTime { micros: seq * 1000 },
            node: "node-1".into(),
            name: name.into(),
            trace_id: String::new(),
            span_id: String::new(),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes: attributes.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        }
    }

    #[test]
    fn death_is_inferred_and_a_return_is_heard() {
        let mut views = Views::default();
        let observer = NodeId::from("node-1");
        views.apply(&says(1, span::PEER_CONNECTED, &[("peer.id", "k")]));
        assert!(views.opinion(&observer, "k").unwrap().present);
        views.apply(&says(2, span::STATE_INFERRED, &[("peer.id", "k"), ("state", "Dead")]));
        views.apply(&says(3, span::PEER_DISCONNECTED, &[("peer.id", "k")]));
        let dead = views.opinion(&observer, "k").unwrap();
        assert_eq!((dead.present, dead.state, dead.via), (false, State::Dead, Via::Inference));
        assert_eq!(dead.at, RunTime { micros: 2000 });
        views.apply(&says(4, span::PEER_CONNECTED, &[("peer.id", "k")]));
        assert_eq!(views.opinion(&observer, "k").unwrap().state, State::Alive);
        views.forget(&observer);
        assert_eq!(views.opinion(&observer, "k"), None);
    }

    #[test]
    fn spans_that_tell_nothing_change_nothing() {
        let mut views = Views::default();
        views.apply(&says(1, span::STATE_INFERRED, &[("peer.id", "k"), ("state", "Sleepy")]));
        views.apply(&says(2, span::PEER_CONNECTED, &[]));
        views.apply(&says(3, span::DIGEST_RECEIVED, &[("peer.id", "k")]));
        assert_eq!(views.opinion(&"node-1".into(), "k"), None);
    }
}
