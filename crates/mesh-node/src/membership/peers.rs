//! What the loop does about others: who comes, who goes, who is heard.

use std::time::Instant;

use iroh::{EndpointAddr, PublicKey};
use meshlab_wire::State;
use tracing::info_span;

use super::Membership;
use crate::{
    counters::Counter,
    defects,
    digest::{Digest, Refusal},
    directory::Heard,
    identity::hex,
};

impl Membership {
    pub(super) fn neighbor_up(&mut self, peer: PublicKey) {
        info_span!(parent: None, "neighbor.up", peer.id = hex(&peer)).in_scope(|| ());
        self.view.lock().neighbors.insert(peer);
        self.resubscribed = 0;
        self.defects.neighbor_up(peer);
        let now = Instant::now();
        self.seeds.neighbor_up(peer, now);
        self.cadence.neighbor_up(now);
        if let Some(state) = self.lifecycle.joined() {
            self.announce(state);
        }
    }

    pub(super) fn neighbor_down(&mut self, peer: PublicKey) {
        info_span!(parent: None, "neighbor.down", peer.id = hex(&peer)).in_scope(|| ());
        let now = Instant::now();
        self.connections.neighbor_down(&peer, now);
        self.defects.neighbor_down(peer);
        let mut known = self.view.lock();
        known.neighbors.remove(&peer);
        if known.neighbors.is_empty() {
            self.seeds.alone(now);
        }
    }

    pub(super) fn on_digest(&mut self, bytes: &[u8]) {
        let (key, digest) = match self.codec.decode(bytes) {
            Ok(decoded) => decoded,
            Err(refusal) => return self.refused(refusal),
        };
        let now = Instant::now();
        let heard = {
            let mut known = self.view.lock();
            if defects::is_stale(&digest, known.directory.dead_after()) {
                return;
            }
            known.directory.hear(key, &digest, now)
        };
        if matches!(heard, Heard::Old | Heard::Full) {
            return;
        }
        self.counters.one(Counter::DigestsReceived);
        let (id, name, seq) = (hex(&key), digest.name.as_str(), digest.seq);
        info_span!(
            parent: None, "gossip.digest_received", peer.id = id, peer.name = name, seq
        )
        .in_scope(|| ());
        self.on_heard(heard, key, &id, &digest, now);
        if heard != Heard::Refreshed {
            self.view.changed();
        }
    }

    fn on_heard(&mut self, heard: Heard, key: PublicKey, id: &str, digest: &Digest, now: Instant) {
        let (name, state) = (digest.name.as_str(), digest.state.as_str());
        match heard {
            Heard::Entered => {
                self.dialer.book.arrived(key, &digest.addresses);
                self.seeds.heard(&key);
                self.defects.entered(key, digest);
                connected(id, name, state);
                state_heard(id, name, state);
                self.cadence.peer_entered();
            }
            Heard::Restarted { former } => {
                self.dialer.book.arrived(key, &digest.addresses);
                let closed = self.connections.close_before(&key, former) as u64;
                info_span!(
                    parent: None, "peer.restarted", peer.id = id, peer.name = name, state, closed
                )
                .in_scope(|| ());
                state_heard(id, name, state);
                // Its directory is empty, and at a gated cadence would stay so for long.
                self.cadence.peer_entered();
                self.defects.entered(key, digest);
            }
            Heard::Changed | Heard::LeftUnknown => state_heard(id, name, state),
            Heard::Left => {
                state_heard(id, name, state);
                disconnected(id, name, "left");
            }
            Heard::Refreshed | Heard::Old | Heard::Full => {}
        }
        if digest.state == State::Leaving {
            self.seeds.left(&key, now);
            self.dialer.book.departed(key);
        }
    }

    /// The neighbours, as they can be dialled.
    pub(super) fn neighbor_addresses(&self) -> Vec<EndpointAddr> {
        let known = self.view.lock();
        let addresses = known.neighbors.iter().filter_map(|key| {
            let peer = known.directory.get(key)?;
            Some(self.dialer.book.address(*key, &peer.addresses))
        });
        addresses.collect()
    }

    fn refused(&self, refusal: Refusal) {
        self.counters.one(Counter::DigestsRefused);
        info_span!(parent: None, "gossip.digest_refused", reason = refusal.as_str())
            .in_scope(|| ());
    }

    /// Those who were silent for too long are dead, as far as this node can tell.
    pub(super) fn expire(&mut self, now: Instant) {
        let silent = self.view.lock().directory.expire(now);
        if silent.is_empty() {
            return;
        }
        for (key, peer) in silent {
            let id = hex(&key);
            info_span!(
                parent: None, "node.state_inferred", peer.id = id, peer.name = peer.name,
                state = State::Dead.as_str()
            )
            .in_scope(|| ());
            disconnected(&id, &peer.name, "silence");
            self.seeds.lost(key, now);
            self.dialer.book.departed(key);
            self.defects.silent(key);
            let closed = self.connections.close(&key);
            if closed > 0 {
                tracing::info!(name = peer.name, closed, "closed connections to a dead peer");
            }
        }
        self.view.changed();
    }

    /// Closes the gossip connections that nobody needs, and says so.
    pub(super) fn tidy(&mut self, now: Instant) {
        let needed = self.view.lock().needed();
        for peer in self.connections.tidy(&needed, now) {
            info_span!(
                parent: None, "connection.closed", peer.id = hex(&peer), reason = "not-needed"
            )
            .in_scope(|| ());
        }
    }
}

fn connected(id: &str, name: &str, state: &'static str) {
    info_span!(
        parent: None, "peer.connected", peer.id = id, peer.name = name, state, reason = "heard"
    )
    .in_scope(|| ());
    tracing::info!(name, "peer entered");
}

fn disconnected(id: &str, name: &str, reason: &'static str) {
    info_span!(parent: None, "peer.disconnected", peer.id = id, peer.name = name, reason)
        .in_scope(|| ());
    tracing::info!(name, reason, "peer gone");
}

fn state_heard(id: &str, name: &str, state: &'static str) {
    info_span!(parent: None, "node.state_heard", peer.id = id, peer.name = name, state)
        .in_scope(|| ());
}
