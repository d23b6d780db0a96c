//! What nodes say of themselves and of each other, in spans.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::{NodeId, RunTime, Sample, SpanRecord};
use meshlab_wire::{attr, span};

use super::{Key, MARKS_MAX, Mark, Model, sign};

/// Nodes that one does not know are named up to this many.
const MISSING_MAX: usize = 20;

/// What is known of a node beside the events.
#[derive(Debug, Default)]
pub(super) struct NodeLive {
    /// The state that it announced last, and when.
    pub(super) state: Option<(RunTime, String)>,
    /// Public keys of its gossip neighbours: its connections in the overlay.
    pub(super) neighbors: BTreeSet<String>,
    /// Public keys of nodes of other meshes that it is connected to.
    pub(super) across: BTreeSet<String>,
    /// Public keys in its directory.
    pub(super) directory: BTreeSet<String>,
    /// Public keys of those that it takes for dead.
    pub(super) buried: BTreeSet<String>,
    /// How packets travel to a public key, where it said so: `direct` or `relay`.
    pub(super) paths: BTreeMap<String, String>,
    /// Spans of its boot: name, start and length, in nanoseconds of its own clock.
    pub(super) boot: BTreeMap<String, (u64, u64)>,
    pub(super) sample: Option<Sample>,
    /// Its own numbers, last told.
    pub(super) counted: BTreeMap<String, f64>,
}

impl NodeLive {
    /// Its process began or ended: nothing of what it said before holds.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether it speaks of that node.
    pub(super) fn knows_key(&self, key: &str) -> bool {
        self.neighbors.contains(key) || self.across.contains(key) || self.directory.contains(key)
    }
}

impl Model {
    /// Takes in a span, once.
    pub(super) fn span(&mut self, of: &SpanRecord) {
        let Some(sign) = sign(&of.name).filter(|_| of.seq > self.last_span) else { return };
        self.last_span = of.seq;
        let text = |name: &str| {
            let value = of.attributes.get(name).and_then(serde_json::Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let (peer, state, via) = (text(attr::PEER_ID), text(attr::STATE), text(attr::VIA));
        let live = self.nodes.entry(of.node.clone()).or_default();
        match of.name.as_str() {
            span::NEIGHBOR_UP => {
                live.neighbors.insert(peer.clone());
            }
            span::NEIGHBOR_DOWN => {
                live.neighbors.remove(&peer);
                live.paths.remove(&peer);
            }
            span::CROSS_PEER_CONNECTED => {
                live.across.insert(peer.clone());
            }
            span::PEER_CONNECTED | span::PEER_RESTARTED => {
                live.directory.insert(peer.clone());
                live.buried.remove(&peer);
            }
            span::PEER_DISCONNECTED => {
                live.directory.remove(&peer);
            }
            span::STATE_INFERRED if state == "Dead" => {
                live.buried.insert(peer.clone());
            }
            span::STATE_CHANGED => live.state = Some((of.arrived, state.clone())),
            span::PATH_CHANGED => {
                live.paths.insert(peer.clone(), via.clone());
            }
            _ => {}
        }
        if sign == 0 {
            let took = of.took_nanos();
            live.boot.entry(of.name.clone()).or_insert((of.start_unix_nanos, took));
        }
        self.touch(Key::Node(of.node.clone()));
        if matches!(of.name.as_str(), span::STATE_INFERRED | span::PEER_CONNECTED)
            && let Some(peer) = self.keys.get(&peer)
        {
            self.touch(Key::Node(peer.clone()));
        }
        if sign != 0 {
            let state = if via.is_empty() { state } else { via };
            self.mark(Mark { at: of.arrived, node: of.node.clone(), sign, peer, state });
        }
    }

    fn mark(&mut self, mark: Mark) {
        if self.marks.len() >= MARKS_MAX {
            self.marks_left_out += 1;
            return;
        }
        self.marks.push(mark);
        self.touch(Key::Mark(self.marks.len() - 1));
    }

    /// How many of the living take that node for dead.
    pub(super) fn buried_by(&self, key: &str) -> usize {
        self.nodes.values().filter(|live| live.buried.contains(key)).count()
    }

    /// Who of its mesh runs and is not in its directory, of those that are ready.
    pub(super) fn missing(&self, id: &NodeId) -> Vec<&str> {
        let (Some(own), Some(live)) = (self.view.nodes.get(id), self.nodes.get(id)) else {
            return Vec::new();
        };
        // Who has told of nobody yet has no directory to be judged, and a relay has none.
        if live.directory.is_empty() || !own.alive() {
            return Vec::new();
        }
        let lacks = |(other, node): &(&NodeId, &meshlab_report::NodeView)| {
            let known = live.directory.contains(&node.public_key);
            *other != id
                && node.mesh == own.mesh
                && node.alive()
                && !node.public_key.is_empty()
                && !known
        };
        self.view
            .nodes
            .iter()
            .filter(lacks)
            .map(|(other, _)| other.as_str())
            .take(MISSING_MAX)
            .collect()
    }

    /// The node with that public key; the beginning of the key where nobody has it.
    pub(super) fn who(&self, key: &str) -> String {
        match self.keys.get(key) {
            Some(node) => node.as_str().to_owned(),
            None => key.chars().take(10).collect(),
        }
    }

    /// The state that a node is shown in: what it says of itself, as far as its process lives.
    pub(super) fn state(&self, id: &NodeId) -> (&str, RunTime) {
        let Some(life) = self.view.nodes.get(id).and_then(|node| node.lives.last()) else {
            return ("Joining", RunTime::ZERO);
        };
        let said = self.nodes.get(id).and_then(|live| live.state.as_ref());
        match (&life.exited, life.ready_micros, said) {
            (Some((at, exit, asked)), ..) => match exit.code {
                Some(0) if *asked => ("Ended", *at),
                _ => ("Dead", *at),
            },
            (None, None, _) => ("Joining", life.spawned),
            (None, Some(_), Some((at, state))) => (state.as_str(), *at),
            (None, Some(took), None) => {
                ("Alive", RunTime { micros: life.spawned.micros.saturating_add(took) })
            }
        }
    }
}
