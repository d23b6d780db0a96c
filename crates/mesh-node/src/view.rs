//! What the node knows, shared between its loop and whoever asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use iroh::PublicKey;
use meshlab_agent::{CounterSource, View, ViewSource, span_counts};
use meshlab_wire::{Contact, State, ViewEntry};
use tokio::sync::watch;

use crate::{
    connections::Connections,
    counters::{Counter, Counters},
    defects,
    dial::AddressBook,
    directory::{Directory, Peer},
    identity::hex,
};

/// What the loop knows and others may ask for.
#[derive(Debug)]
pub(crate) struct SharedView {
    known: Mutex<Known>,
    connections: Connections,
    book: AddressBook,
    changes: watch::Sender<u64>,
    counters: Counters,
}

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) directory: Directory,
    pub(crate) neighbors: BTreeSet<PublicKey>,
    /// Neighbours on the backbone's topic: their connections are needed too.
    pub(crate) backbone_neighbors: BTreeSet<PublicKey>,
    /// The node's own state.
    pub(crate) state: State,
    pub(crate) takes_work: bool,
}

impl Known {
    /// Everybody whose gossip connection is needed.
    pub(crate) fn needed(&self) -> BTreeSet<PublicKey> {
        self.neighbors.union(&self.backbone_neighbors).copied().collect()
    }
}

impl SharedView {
    pub(crate) fn new(
        dead_after: Duration,
        state: State,
        connections: Connections,
        book: AddressBook,
        counters: Counters,
    ) -> Arc<Self> {
        let known = Known {
            directory: Directory::new(dead_after),
            neighbors: BTreeSet::new(),
            backbone_neighbors: BTreeSet::new(),
            state,
            takes_work: true,
        };
        let changes = watch::Sender::new(0);
        Arc::new(Self { known: Mutex::new(known), connections, book, changes, counters })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is told when somebody enters, goes or changes state, and at no other time.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tells the watchers.
    pub(crate) fn changed(&self) {
        self.counters.one(Counter::Changes);
        self.changes.send_modify(|change| *change += 1);
    }

    /// Which start of a peer the directory knows.
    pub(crate) fn incarnation(&self, peer: &PublicKey) -> Option<u64> {
        self.lock().directory.get(peer).map(Peer::incarnation)
    }

    /// How to reach the peer of that name.
    pub(crate) fn contact(&self, name: &str) -> Option<Contact> {
        let known = self.lock();
        let (key, peer) = known.directory.by_name(name)?;
        Some(contact(key, peer))
    }
}

pub(crate) fn contact(key: &PublicKey, peer: &Peer) -> Contact {
    Contact {
        name: peer.name.clone(),
        public_key: hex(key),
        addresses: peer.addresses.iter().map(ToString::to_string).collect(),
    }
}

impl ViewSource for SharedView {
    fn view(&self) -> View {
        let connections = self.connections.gossip();
        let (known, now) = (self.lock(), Instant::now());
        let peers = known.directory.peers().map(|(key, peer)| ViewEntry {
            public_key: hex(key),
            name: peer.name.clone(),
            state: peer.state,
            heard_ms_ago: now.duration_since(peer.heard).as_millis() as u64,
        });
        View {
            peers: peers.collect(),
            neighbors: known.neighbors.iter().map(hex).collect(),
            connections: connections.iter().map(|(peer, count)| (hex(peer), *count)).collect(),
        }
    }
}

impl CounterSource for SharedView {
    fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = self.counters.snapshot();
        counters.insert("telemetry.spans_ended".to_owned(), span_counts().ended);
        counters
    }

    fn gauges(&self) -> BTreeMap<String, u64> {
        let connections = self.connections.gossip().values().copied().map(u64::from).sum();
        let (known, spans) = (self.lock(), span_counts());
        let gauge = |name: &str, value: u64| (name.to_owned(), value);
        let mut gauges = BTreeMap::from([
            gauge("directory.entries", known.directory.len() as u64),
            gauge("directory.gone", known.directory.gone() as u64),
            gauge("addresses.departed", self.book.kept() as u64),
            gauge("gossip.neighbors", known.neighbors.len() as u64),
            gauge("gossip.connections", connections),
            gauge("telemetry.spans_open", spans.open),
            gauge("telemetry.events_held", spans.events_held),
        ]);
        gauges.extend(defects::gauges());
        gauges
    }
}
