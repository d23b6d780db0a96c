//! Whom the node knows, as a pure structure: the caller says what time it is.
//!
//! Every entry leaves: at once when its node says so, else when it was silent for too long by the
//! time this node received something, never by the sender's clock.
//!
//! Questions by tag, role, mesh, state and numeric bound go through the [index](crate::index) and
//! return keys, not copies of entries.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use iroh::PublicKey;
use meshlab_wire::State;

use crate::{
    defects,
    digest::Digest,
    index::{Index, Query},
};

/// Entries at most; further peers are refused. Far above what a gossip topic carries.
pub const PEERS_MAX: usize = 10_000;

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name, `<mesh>.<role>.<6 hex>`.
    pub name: String,
    /// What it last said of itself.
    pub state: State,
    /// Where it can be dialled.
    pub addresses: Vec<SocketAddr>,
    /// What it is good for.
    pub tags: Vec<String>,
    /// Share of one core that it uses, in thousandths.
    pub cpu_permille: u32,
    /// Its resident memory, in MiB.
    pub rss_mib: u32,
    /// How many peers it knows.
    pub peers: u32,
    /// When it was last heard, by the local clock.
    pub heard: Instant,
    at: Position,
}

/// Orders the digests of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    incarnation: u64,
    seq: u64,
}

/// What a digest did to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The peer was not known, and is now.
    Entered,
    /// The peer is still there and says the same.
    Refreshed,
    /// The peer is still there and in another state.
    Changed,
    /// The peer is there as a new process; its former one was last heard then.
    Restarted {
        /// When the former process was last heard.
        former: Instant,
    },
    /// The peer was known, and has left.
    Left,
    /// The peer says that it leaves and was not known.
    LeftUnknown,
    /// Not newer than what was heard before.
    Old,
    /// The directory is full.
    Full,
}

/// The peers that were heard and have not gone.
#[derive(Debug)]
pub struct Directory {
    dead_after: Duration,
    peers: BTreeMap<PublicKey, Peer>,
    index: Index,
    /// Last position of those who went, so that a late copy does not bring them back. An entry
    /// lives for `dead_after`.
    gone: BTreeMap<PublicKey, (Position, Instant)>,
}

impl Directory {
    /// An empty directory that holds a peer for dead after `dead_after` of silence.
    pub fn new(dead_after: Duration) -> Self {
        Self { dead_after, peers: BTreeMap::new(), index: Index::default(), gone: BTreeMap::new() }
    }

    /// Takes in a verified digest.
    pub fn hear(&mut self, key: PublicKey, digest: &Digest, now: Instant) -> Heard {
        let at = Position { incarnation: digest.incarnation, seq: digest.seq };
        let newest = self.peers.get(&key).map(|peer| peer.at);
        let newest = newest.or_else(|| self.gone.get(&key).map(|(at, _)| *at));
        if newest.is_some_and(|newest| at <= newest) {
            return Heard::Old;
        }
        if digest.state == State::Leaving {
            self.bury(key, at, now);
            return if self.remove(&key).is_some() { Heard::Left } else { Heard::LeftUnknown };
        }
        let Some(known) = self.peers.get(&key) else {
            if self.peers.len() >= PEERS_MAX {
                return Heard::Full;
            }
            self.gone.remove(&key);
            self.put(key, Peer::new(digest, at, now));
            return Heard::Entered;
        };
        let (former, state, was) = (known.heard, known.state, known.at.incarnation);
        self.put(key, Peer::new(digest, at, now));
        match digest.incarnation > was {
            true => Heard::Restarted { former },
            false if state != digest.state => Heard::Changed,
            false => Heard::Refreshed,
        }
    }

    /// Takes out, and returns, those who were silent for too long.
    pub fn expire(&mut self, now: Instant) -> Vec<(PublicKey, Peer)> {
        let dead_after = self.dead_after;
        if defects::forgets_the_gone() {
            self.gone.retain(|_, (_, since)| now.duration_since(*since) < dead_after);
        }
        let is_silent = |peer: &Peer| now.duration_since(peer.heard) >= dead_after;
        let silent: Vec<PublicKey> =
            self.peers.iter().filter(|(_, peer)| is_silent(peer)).map(|(key, _)| *key).collect();
        let mut expired = Vec::with_capacity(silent.len());
        for key in silent {
            if let Some(peer) = self.remove(&key) {
                self.bury(key, peer.at, now);
                expired.push((key, peer));
            }
        }
        expired
    }

    /// After which silence a peer is held for dead.
    pub fn dead_after(&self) -> Duration {
        self.dead_after
    }

    /// Counts silence `by` less for everybody: the node itself was not there to hear.
    pub fn forgive(&mut self, by: Duration) {
        for peer in self.peers.values_mut() {
            peer.heard += by;
        }
        for (_, since) in self.gone.values_mut() {
            *since += by;
        }
    }

    /// When [`Directory::expire`] has something to do next, if nobody is heard until then.
    pub fn next_expiry(&self) -> Option<Instant> {
        let peers = self.peers.values().map(|peer| peer.heard);
        let gone =
            self.gone.values().filter(|_| defects::forgets_the_gone()).map(|(_, since)| *since);
        peers.chain(gone).min().map(|first| first + self.dead_after)
    }

    /// The peers, by key.
    pub fn peers(&self) -> impl Iterator<Item = (&PublicKey, &Peer)> {
        self.peers.iter()
    }

    /// How many peers there are.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// How many went not long ago, whose late digests are still to be refused.
    pub fn gone(&self) -> usize {
        self.gone.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The peer with that key.
    pub fn get(&self, key: &PublicKey) -> Option<&Peer> {
        self.peers.get(key)
    }

    /// The peer with that name. Two keys may share the six digits of a name; then it is the first.
    pub fn by_name(&self, name: &str) -> Option<(&PublicKey, &Peer)> {
        let key = self.index.by_name(name)?;
        self.peers.get_key_value(&key)
    }

    /// Keys of the peers that meet every condition, in no order.
    pub fn find(&self, query: &Query) -> Vec<PublicKey> {
        self.index.find(query)
    }

    fn put(&mut self, key: PublicKey, peer: Peer) {
        if let Some(former) = self.peers.get(&key) {
            if former.is_indexed_as(&peer) {
                self.peers.insert(key, peer);
                return;
            }
            self.index.remove(&key, former);
        }
        self.index.insert(&key, &peer);
        self.peers.insert(key, peer);
    }

    fn remove(&mut self, key: &PublicKey) -> Option<Peer> {
        let peer = self.peers.remove(key)?;
        self.index.remove(key, &peer);
        Some(peer)
    }

    fn bury(&mut self, key: PublicKey, at: Position, now: Instant) {
        if self.gone.len() >= PEERS_MAX {
            let oldest = self.gone.iter().min_by_key(|(_, (_, since))| *since).map(|(key, _)| *key);
            oldest.map(|oldest| self.gone.remove(&oldest));
        }
        self.gone.insert(key, (at, now));
    }
}

impl Peer {
    fn new(digest: &Digest, at: Position, heard: Instant) -> Self {
        Self {
            name: digest.name.clone(),
            state: digest.state,
            addresses: digest.addresses.clone(),
            tags: digest.tags.clone(),
            cpu_permille: digest.cpu_permille,
            rss_mib: digest.rss_mib,
            peers: digest.peers,
            heard,
            at,
        }
    }

    /// Which start of the peer this is.
    pub fn incarnation(&self) -> u64 {
        self.at.incarnation
    }

    /// The mesh that its name says.
    pub fn mesh(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// The role that its name says.
    pub fn role(&self) -> &str {
        self.name.split('.').nth(1).unwrap_or_default()
    }

    fn is_indexed_as(&self, other: &Self) -> bool {
        (&self.name, self.state, &self.tags, self.cpu_permille, self.rss_mib, self.peers)
            == (
                &other.name,
                other.state,
                &other.tags,
                other.cpu_permille,
                other.rss_mib,
                other.peers,
            )
    }
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::*;

    const DEAD_AFTER: Duration = Duration::from_secs(8);

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_bytes(&[seed; 32]).public()
    }

    fn digest(incarnation: u64, seq: u64, state: State) -> Digest {
        Digest {
            name: "m.r.000000".to_owned(),
            state,
            incarnation,
            seq,
            addresses: Vec::new(),
            tags: vec!["gpu".to_owned()],
            peers: 0,
            cpu_permille: 0,
            rss_mib: 0,
        }
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_peer_enters_is_refreshed_and_changes() {
        let (mut directory, now) = (Directory::new(DEAD_AFTER), Instant::now());
        assert_eq!(directory.hear(key(1), &digest(1, 1, State::Alive), now), Heard::Entered);
        assert_eq!(directory.hear(key(1), &digest(1, 2, State::Alive), now), Heard::Refreshed);
        assert_eq!(directory.hear(key(1), &digest(1, 3, State::Draining), now), Heard::Changed);
        assert_eq!(directory.peers().next().unwrap().1.state, State::Draining);
    }

    #[test]
    fn old_and_repeated_digests_do_not_refresh() {
        let (mut directory, start) = (Directory::new(DEAD_AFTER), Instant::now());
        directory.hear(key(1), &digest(5, 2, State::Alive), start);
        for (incarnation, seq) in [(5, 2), (5, 1), (4, 99)] {
            let old = digest(incarnation, seq, State::Alive);
            assert_eq!(directory.hear(key(1), &old, at(start, 7)), Heard::Old);
        }
        assert_eq!(directory.expire(at(start, 8)).len(), 1);
    }

    #[test]
    fn silence_expires_by_local_time_and_not_earlier() {
        let (mut directory, start) = (Directory::new(DEAD_AFTER), Instant::now());
        directory.hear(key(1), &digest(1, 1, State::Alive), start);
        directory.hear(key(2), &digest(1, 1, State::Alive), at(start, 3));
        assert_eq!(directory.next_expiry(), Some(at(start, 8)));
        assert!(directory.expire(at(start, 7)).is_empty());
        let silent = directory.expire(at(start, 8));
        assert_eq!(silent.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key(1)]);
        assert!(directory.get(&key(2)).is_some());
    }

    #[test]
    fn leaving_evicts_at_once_and_late_copies_do_not_revive() {
        let (mut directory, now) = (Directory::new(DEAD_AFTER), Instant::now());
        directory.hear(key(1), &digest(1, 1, State::Alive), now);
        assert_eq!(directory.hear(key(1), &digest(1, 3, State::Leaving), now), Heard::Left);
        assert_eq!(directory.hear(key(1), &digest(1, 2, State::Alive), now), Heard::Old);
        assert!(directory.get(&key(1)).is_none());
        let stranger = directory.hear(key(2), &digest(1, 1, State::Leaving), now);
        assert_eq!(stranger, Heard::LeftUnknown);
    }

    #[test]
    fn a_peer_that_comes_back_enters_again() {
        let (mut directory, start) = (Directory::new(DEAD_AFTER), Instant::now());
        directory.hear(key(1), &digest(1, 9, State::Alive), start);
        directory.hear(key(1), &digest(1, 10, State::Leaving), start);
        assert_eq!(directory.hear(key(1), &digest(2, 1, State::Joining), start), Heard::Entered);
        directory.expire(at(start, 8));
        assert_eq!(
            directory.hear(key(1), &digest(3, 1, State::Alive), at(start, 9)),
            Heard::Entered
        );
    }

    #[test]
    fn nothing_is_remembered_for_ever() {
        let (mut directory, start) = (Directory::new(DEAD_AFTER), Instant::now());
        for seed in 0..50 {
            directory.hear(key(seed), &digest(1, 1, State::Alive), start);
        }
        assert_eq!(directory.expire(at(start, 8)).len(), 50);
        assert!(directory.expire(at(start, 16)).is_empty());
        assert_eq!(directory.gone.len(), 0);
        assert_eq!(directory.next_expiry(), None);
    }

    #[test]
    fn a_new_process_of_a_known_peer_is_told_apart() {
        let (mut directory, start) = (Directory::new(DEAD_AFTER), Instant::now());
        directory.hear(key(1), &digest(1, 9, State::Alive), start);
        let heard = directory.hear(key(1), &digest(2, 1, State::Joining), at(start, 1));
        assert_eq!(heard, Heard::Restarted { former: start });
        let late = directory.hear(key(1), &digest(1, 10, State::Alive), at(start, 2));
        assert_eq!(late, Heard::Old, "its former process cannot speak for it any more");
        assert_eq!(directory.len(), 1);
    }

    #[test]
    fn a_pause_of_the_node_itself_is_not_held_against_its_peers() {
        let (mut directory, start) = (Directory::new(DEAD_AFTER), Instant::now());
        directory.hear(key(1), &digest(1, 1, State::Alive), start);
        directory.forgive(Duration::from_secs(60));
        assert!(directory.expire(at(start, 61)).is_empty());
        assert_eq!(directory.expire(at(start, 68)).len(), 1);
    }

    #[test]
    fn the_index_forgets_who_went() {
        let (mut directory, start) = (Directory::new(DEAD_AFTER), Instant::now());
        let gpu = Query::new().tag("gpu");
        directory.hear(key(1), &digest(1, 1, State::Alive), start);
        directory.hear(key(2), &digest(1, 1, State::Alive), at(start, 3));
        assert_eq!(directory.find(&gpu).len(), 2);
        let mut plain = digest(1, 2, State::Alive);
        plain.tags.clear();
        directory.hear(key(2), &plain, at(start, 4));
        assert_eq!(directory.find(&gpu), [key(1)]);
        directory.expire(at(start, 8));
        assert_eq!(directory.find(&gpu), []);
        assert!(directory.by_name("m.r.000000").is_some());
        directory.expire(at(start, 20));
        assert!(directory.by_name("m.r.000000").is_none());
        assert!(directory.index.is_empty(), "nothing is left of those who went");
    }
}
