//! The node's live connections, and the end of those that nobody needs.
//!
//! iroh-gossip 0.101 has two ways to keep a connection for ever. When its overlay drops a peer, its
//! send half ends without closing the connection, and the task waits for the receive half, which
//! has no reason to end (n0-computer/iroh-gossip, pull requests 146 to 162). And it notices a
//! dead peer only when QUIC gives up, after half a minute, so that a peer that comes back
//! meanwhile hears the mesh and is heard by nobody.
//!
//! So this node keeps book itself. A gossip connection whose peer is no neighbour is closed after
//! [`UNNEEDED`]; all connections to a peer that is held to be dead are closed at once; and those to
//! the former process of a peer that came back are closed when it says that it is new.
//!
//! After a partition two nodes may disagree: one holds the other for its neighbour and dials it for
//! each message, the other does not, and closes what it does not need. The gossip of the first
//! never notices, because the next connection is there before the last one ends. So a neighbour
//! with [`STORM`] connections loses all of them at once: gossip then finds it gone. Where it dials
//! again as soon as a message is through, dozens of times a second, so does anybody with
//! [`FLOOD`] of them, on both sides and without a wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use iroh::{
    EndpointAddr, PublicKey,
    endpoint::{
        AfterHandshakeOutcome, BeforeConnectOutcome, Connection, EndpointHooks,
        WeakConnectionHandle,
    },
};
use tokio::sync::Notify;

use crate::{
    counters::{Counter, Counters},
    defects,
};

/// How long a gossip connection may be without a neighbour at its end. Gossip's own exchanges
/// with others than neighbours (a shuffle, a request to become one) take a round trip, and it
/// gives them half a second.
pub(crate) const UNNEEDED: Duration = Duration::from_secs(3);

/// Connections to one neighbour that are left alone: both sides may have dialled at once.
const PER_NEIGHBOR: usize = 2;

/// So many connections to one neighbour for so long are no accident of two sides that dial at once.
const STORM: usize = 4;
const STORM_AFTER: Duration = Duration::from_millis(1500);

/// So many gossip connections to one peer at a time are a flood, whoever it is.
const FLOOD: usize = 8;

/// Live connections in both directions. Cheap to clone; it keeps none of them alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    peers: Mutex<BTreeMap<PublicKey, Vec<Entry>>>,
    changed: Notify,
    counters: Counters,
}

#[derive(Debug)]
struct Entry {
    handle: WeakConnectionHandle,
    gossip: bool,
    /// Since when the guard counts: its opening, or the end of its peer's time as a neighbour.
    since: Instant,
    opened: Instant,
}

impl Connections {
    pub(crate) fn new(counters: Counters) -> Self {
        Self(Arc::new(Inner { counters, ..Inner::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PublicKey, Vec<Entry>>> {
        self.0.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, connection: &Connection) {
        let now = Instant::now();
        self.0.counters.one(Counter::ConnectionsOpened);
        defects::connection_opened();
        let mut peers = self.lock();
        // Who is gone is removed here: a new connection is the only way for the map to grow.
        self.prune(&mut peers);
        let gossip = connection.alpn() == iroh_gossip::ALPN;
        let entry = Entry { handle: connection.weak_handle(), gossip, since: now, opened: now };
        let entries = peers.entry(connection.remote_id()).or_default();
        entries.push(entry);
        let guarded = gossip && defects::guards_connections();
        let flood = if guarded { flood(entries) } else { Vec::new() };
        for connection in &flood {
            connection.close(0_u32.into(), b"too many connections");
        }
        self.0.counters.add(Counter::ConnectionsGuarded, flood.len() as u64);
        if gossip {
            self.0.changed.notify_one();
        }
    }

    fn prune(&self, peers: &mut BTreeMap<PublicKey, Vec<Entry>>) {
        let mut closed = 0;
        peers.retain(|_, entries| {
            let before = entries.len();
            entries.retain(|entry| is_open(&entry.handle).is_some());
            closed += before - entries.len();
            !entries.is_empty()
        });
        self.0.counters.add(Counter::ConnectionsClosed, closed as u64);
    }

    /// Waits until a gossip connection was opened: the guard may have something to do earlier than
    /// it thought.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// A peer is no neighbour any more: from now on its connections need another reason.
    pub(crate) fn neighbor_down(&self, peer: &PublicKey, now: Instant) {
        for entry in self.lock().get_mut(peer).into_iter().flatten() {
            entry.since = now;
        }
    }

    /// When [`Connections::tidy`] has something to do next, if nothing changes until then.
    pub(crate) fn next_tidy(&self, neighbors: &BTreeSet<PublicKey>) -> Option<Instant> {
        if !defects::guards_connections() {
            return None;
        }
        let peers = self.lock();
        let unneeded = peers.iter().flat_map(|(peer, entries)| {
            surplus(entries, neighbors.contains(peer)).map(|entry| entry.since + UNNEEDED)
        });
        let storms = peers
            .iter()
            .filter(|(peer, _)| neighbors.contains(*peer))
            .filter_map(|(_, entries)| storm_due(gossip_opened(entries)));
        unneeded.chain(storms).min()
    }

    /// Closes the gossip connections that nobody needs; says whose they were, one for each.
    pub(crate) fn tidy(&self, neighbors: &BTreeSet<PublicKey>, now: Instant) -> Vec<PublicKey> {
        let mut closed = Vec::new();
        let mut peers = self.lock();
        self.prune(&mut peers);
        if !defects::guards_connections() {
            return closed;
        }
        for (peer, entries) in peers.iter() {
            let neighbor = neighbors.contains(peer);
            let storm = neighbor && storm_due(gossip_opened(entries)).is_some_and(|due| due <= now);
            // In a storm none of them is needed, however young.
            for entry in surplus(entries, neighbor && !storm) {
                if (storm || now.duration_since(entry.since) >= UNNEEDED)
                    && let Some(connection) = is_open(&entry.handle)
                {
                    connection.close(0_u32.into(), b"not a neighbour");
                    closed.push(*peer);
                }
            }
        }
        self.prune(&mut peers);
        self.0.counters.add(Counter::ConnectionsGuarded, closed.len() as u64);
        closed
    }

    /// Closes every connection to `peer`; says how many there were.
    pub(crate) fn close(&self, peer: &PublicKey) -> usize {
        self.close_those(peer, |_, _| true)
    }

    /// Closes the connections to `peer` that were opened before a moment: those of its former
    /// process. Says how many there were.
    pub(crate) fn close_before(&self, peer: &PublicKey, moment: Instant) -> usize {
        self.close_those(peer, |entry, _| entry.opened < moment)
    }

    /// Closes the connections to `peer` but the one by which it greets: all of them if it is a
    /// new process of a known peer, those of gossip if it only joins. Says how many there were.
    pub(crate) fn close_former(&self, peer: &PublicKey, greeting: usize, new: bool) -> usize {
        self.close_those(peer, |entry, connection| {
            connection.stable_id() != greeting && (new || entry.gossip)
        })
    }

    fn close_those(&self, peer: &PublicKey, which: impl Fn(&Entry, &Connection) -> bool) -> usize {
        let mut peers = self.lock();
        let entries = peers.get(peer).map(Vec::as_slice).unwrap_or_default();
        let open: Vec<Connection> = entries
            .iter()
            .filter_map(|entry| {
                is_open(&entry.handle).filter(|connection| which(entry, connection))
            })
            .collect();
        for connection in &open {
            connection.close(0_u32.into(), b"held to be dead");
        }
        self.prune(&mut peers);
        open.len()
    }

    /// Live gossip connections by peer.
    pub(crate) fn gossip(&self) -> BTreeMap<PublicKey, u32> {
        let mut peers = self.lock();
        self.prune(&mut peers);
        let count = |entries: &Vec<Entry>| entries.iter().filter(|entry| entry.gossip).count();
        peers
            .iter()
            .map(|(peer, entries)| (*peer, u32::try_from(count(entries)).unwrap_or(u32::MAX)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// Gossip connections beyond what a peer needs, the newest ones left out.
fn surplus(entries: &[Entry], neighbor: bool) -> impl Iterator<Item = &Entry> {
    let needed = if neighbor { PER_NEIGHBOR } else { 0 };
    entries.iter().rev().filter(|entry| entry.gossip).skip(needed)
}

/// The gossip connections to a peer, if they are a flood.
fn flood(entries: &[Entry]) -> Vec<Connection> {
    let open = entries.iter().filter(|entry| entry.gossip);
    let open: Vec<Connection> = open.filter_map(|entry| is_open(&entry.handle)).collect();
    if open.len() < FLOOD { Vec::new() } else { open }
}

fn gossip_opened(entries: &[Entry]) -> impl DoubleEndedIterator<Item = Instant> {
    entries.iter().filter(|entry| entry.gossip).map(|entry| entry.opened)
}

/// From when on these connections to a neighbour, oldest first, are a storm.
fn storm_due(opened: impl DoubleEndedIterator<Item = Instant>) -> Option<Instant> {
    opened.rev().nth(STORM - 1).map(|oldest| oldest + STORM_AFTER)
}

fn is_open(handle: &WeakConnectionHandle) -> Option<Connection> {
    handle.upgrade().filter(|connection| connection.close_reason().is_none())
}

impl EndpointHooks for Connections {
    async fn before_connect<'a>(
        &'a self,
        _: &'a EndpointAddr,
        _: &'a [u8],
    ) -> BeforeConnectOutcome {
        self.0.counters.one(Counter::ConnectionsTried);
        BeforeConnectOutcome::Accept
    }

    async fn after_handshake<'a>(&'a self, connection: &'a Connection) -> AfterHandshakeOutcome {
        self.opened(connection);
        AfterHandshakeOutcome::accept()
    }
}

#[cfg(test)]
mod tests {
    use iroh::{Endpoint, EndpointAddr, RelayMode, TransportAddr, endpoint::presets};

    use super::*;

    #[test]
    fn two_sides_that_dial_at_once_are_no_storm_and_a_dial_for_each_message_is() {
        let start = Instant::now();
        let after = |ms: &[u64]| {
            let opened: Vec<Instant> =
                ms.iter().map(|ms| start + Duration::from_millis(*ms)).collect();
            storm_due(opened.into_iter()).map(|due| due - start)
        };
        assert_eq!(after(&[0, 1, 2]), None);
        assert_eq!(after(&[0, 500, 1000, 1500]), Some(STORM_AFTER));
        assert_eq!(
            after(&[0, 500, 1000, 1500, 2000]),
            Some(STORM_AFTER + Duration::from_millis(500))
        );
    }

    async fn endpoint(hooks: Connections) -> Endpoint {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .alpns(vec![iroh_gossip::ALPN.to_vec()])
            .hooks(hooks)
            .clear_ip_transports()
            .bind_addr("127.0.0.1:0")
            .unwrap()
            .bind()
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn who_opens_connection_after_connection_loses_all_of_them_at_once() {
        let (here, there) = (Connections::default(), endpoint(Connections::default()).await);
        let server = endpoint(here.clone()).await;
        let accepting = server.clone();
        let held = tokio::spawn(async move {
            let mut held = Vec::new();
            while held.len() < FLOOD {
                held.push(accepting.accept().await.unwrap().await.unwrap());
            }
            held
        });
        let sockets = server.bound_sockets().into_iter().map(TransportAddr::Ip);
        let address = EndpointAddr::from_parts(server.id(), sockets);
        let mut open = Vec::new();
        for _ in 1..FLOOD {
            open.push(there.connect(address.clone(), iroh_gossip::ALPN).await.unwrap());
        }
        assert!(open.iter().all(|one| one.close_reason().is_none()), "not yet a flood");
        // The handshake of the last one may still be answered, or not any more.
        let last = there.connect(address, iroh_gossip::ALPN).await;
        for one in open.iter().chain(&last) {
            one.closed().await;
        }
        assert_eq!(here.gossip(), BTreeMap::new());
        held.abort();
    }
}
