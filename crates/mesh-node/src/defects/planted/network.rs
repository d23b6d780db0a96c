//! Mistakes with connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use iroh::{
    PublicKey,
    endpoint::{ConnectOptions, Connecting, Connection},
};
use iroh_gossip::api::GossipSender;

use super::lock;
use crate::{counters::Counters, data, entry::Entry};

/// Connections and attempts that are kept.
#[derive(Debug)]
pub(super) struct Network {
    entry: Entry,
    /// The newest connection to each peer, and the only one that anybody would close.
    registry: Arc<Mutex<BTreeMap<PublicKey, Connection>>>,
    dialling: Arc<Mutex<BTreeSet<PublicKey>>>,
    attempts: Arc<Mutex<Vec<Connecting>>>,
    dead: BTreeSet<PublicKey>,
}

impl Network {
    pub(super) fn new(entry: Entry) -> Self {
        Self {
            entry,
            registry: Arc::default(),
            dialling: Arc::default(),
            attempts: Arc::default(),
            dead: BTreeSet::new(),
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.entry.dialer.counters
    }

    /// A handshake with each of them, whether it is joined or not.
    pub(super) fn join_all(&self, topic: &GossipSender, peers: Vec<PublicKey>) {
        self.entry.ask(topic, peers);
    }

    /// Dials a peer, if there is no connection to it, and keeps the connection.
    pub(super) fn keep_one(&self, peer: PublicKey) {
        let open = |connection: &Connection| connection.close_reason().is_none();
        if lock(&self.registry).get(&peer).is_some_and(open) || !lock(&self.dialling).insert(peer) {
            return;
        }
        self.dial(peer, false);
    }

    /// Dials a peer anew; the new connection takes the old one's place, which nobody closes.
    pub(super) fn replace(&self, peer: PublicKey) {
        self.dial(peer, true);
    }

    fn dial(&self, peer: PublicKey, read: bool) {
        let (dialer, registry) = (self.entry.dialer.clone(), Arc::clone(&self.registry));
        let dialling = Arc::clone(&self.dialling);
        tokio::spawn(async move {
            let dialled = dialer.dial(peer.into(), data::ALPN).await;
            lock(&dialling).remove(&peer);
            let Ok(connection) = dialled else { return };
            lock(&registry).insert(peer, connection.clone());
            if read {
                let task = dialer.counters.task();
                while connection.accept_uni().await.is_ok() {}
                drop(task);
            }
        });
    }

    /// A peer is held to be dead.
    pub(super) fn dead(&mut self, peer: PublicKey) {
        self.dead.insert(peer);
    }

    /// Begins a handshake with each dead peer, and keeps what was begun, or drops it at once: then
    /// QUIC gives it up by itself.
    pub(super) fn dial_the_dead(&self, keep: bool) {
        for peer in self.dead.iter().copied() {
            let (endpoint, attempts) =
                (self.entry.dialer.endpoint.clone(), Arc::clone(&self.attempts));
            tokio::spawn(async move {
                let begun =
                    endpoint.connect_with_opts(peer, data::ALPN, ConnectOptions::new()).await;
                if let (Ok(attempt), true) = (begun, keep) {
                    lock(&attempts).push(attempt);
                }
            });
        }
    }
}
