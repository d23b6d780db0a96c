//! Whom the node knows, as a pure structure: the caller says what time it is.
//!
//! Every entry leaves: at once when its node says so, else when it was silent for too long by the
//! time this node received something, never by the sender's clock.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use iroh::PublicKey;
use meshlab_wire::State;

use crate::digest::Digest;

/// Entries at most; further peers are refused. Far above what a gossip topic carries.
const PEERS_MAX: usize = 10_000;

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its name.
    pub(crate) name: String,
    /// What it last said of itself.
    pub(crate) state: State,
    /// When it was last heard, by the local clock.
    pub(crate) heard: Instant,
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
pub(crate) enum Heard {
    /// The peer was not known, and is now.
    Entered,
    /// The peer is still there and says the same.
    Refreshed,
    /// The peer is still there and in another state.
    Changed,
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
pub(crate) struct Directory {
    dead_after: Duration,
    peers: BTreeMap<PublicKey, Peer>,
    /// Last position of those who went, so that a late copy does not bring them back. An entry
    /// lives for `dead_after`.
    gone: BTreeMap<PublicKey, (Position, Instant)>,
}

impl Directory {
    pub(crate) fn new(dead_after: Duration) -> Self {
        Self { dead_after, peers: BTreeMap::new(), gone: BTreeMap::new() }
    }

    /// Takes in a verified digest.
    pub(crate) fn hear(&mut self, key: PublicKey, digest: &Digest, now: Instant) -> Heard {
        let at = Position { incarnation: digest.incarnation, seq: digest.seq };
        let newest = self.peers.get(&key).map(|peer| peer.at);
        let newest = newest.or_else(|| self.gone.get(&key).map(|(at, _)| *at));
        if newest.is_some_and(|newest| at <= newest) {
            return Heard::Old;
        }
        if digest.state == State::Leaving {
            self.bury(key, at, now);
            return if self.peers.remove(&key).is_some() {
                Heard::Left
            } else {
                Heard::LeftUnknown
            };
        }
        let full = self.peers.len() >= PEERS_MAX;
        match self.peers.get_mut(&key) {
            Some(peer) => {
                let changed = peer.state != digest.state;
                *peer = Peer::new(digest, at, now);
                if changed { Heard::Changed } else { Heard::Refreshed }
            }
            None if full => Heard::Full,
            None => {
                self.gone.remove(&key);
                self.peers.insert(key, Peer::new(digest, at, now));
                Heard::Entered
            }
        }
    }

    /// Takes out, and returns, those who were silent for too long.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(PublicKey, Peer)> {
        let dead_after = self.dead_after;
        self.gone.retain(|_, (_, since)| now.duration_since(*since) < dead_after);
        let silent: Vec<_> = self
            .peers
            .extract_if(.., |_, peer| now.duration_since(peer.heard) >= dead_after)
            .collect();
        for (key, peer) in &silent {
            self.bury(*key, peer.at, now);
        }
        silent
    }

    /// When [`Directory::expire`] has something to do next, if nobody is heard until then.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let peers = self.peers.values().map(|peer| peer.heard);
        let gone = self.gone.values().map(|(_, since)| *since);
        peers.chain(gone).min().map(|first| first + self.dead_after)
    }

    /// The peers, by key.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (&PublicKey, &Peer)> {
        self.peers.iter()
    }

    /// Whether a peer is known.
    #[cfg(test)]
    fn contains(&self, key: &PublicKey) -> bool {
        self.peers.contains_key(key)
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
        Self { name: digest.name.clone(), state: digest.state, heard, at }
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
        Digest { name: "m.r.000000".to_owned(), state, incarnation, seq }
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
        assert!(directory.contains(&key(2)));
    }

    #[test]
    fn leaving_evicts_at_once_and_late_copies_do_not_revive() {
        let (mut directory, now) = (Directory::new(DEAD_AFTER), Instant::now());
        directory.hear(key(1), &digest(1, 1, State::Alive), now);
        assert_eq!(directory.hear(key(1), &digest(1, 3, State::Leaving), now), Heard::Left);
        assert_eq!(directory.hear(key(1), &digest(1, 2, State::Alive), now), Heard::Old);
        assert!(!directory.contains(&key(1)));
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
}
