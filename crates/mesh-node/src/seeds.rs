//! Whom to ask for entry, and when to ask again. Pure: the caller says what time it is.
//!
//! Two reasons to ask. A node without a neighbour asks everybody it knows of, at growing waits. A
//! node that has neighbours asks only those that it misses: seeds that it has not heard, and peers
//! that it held for dead, a few at a time. That is what joins two halves of a mesh again after a
//! partition, and it costs nothing while nobody is missing. (To join on every lost neighbour, as
//! one might think of first, keeps the overlay from settling.)

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use iroh::PublicKey;

use crate::defects;

/// Waits between tries of a node that is alone; the last one repeats.
const BACK_OFF_S: [u64; 6] = [1, 2, 4, 8, 16, 30];

/// Waits between two rounds of asking the missing; the last one repeats. It is also the longest
/// time that two halves stay apart once they can reach each other.
const MISSING_S: [u64; 4] = [2, 4, 8, 10];

/// Missing peers that are asked in one round.
const MISSING_ASKED: usize = 2;

/// Lost peers that are remembered, and how long. Seeds are remembered for ever.
const LOST_MAX: usize = 64;
const LOST_KEPT: Duration = Duration::from_secs(3600);

/// How long the overlay may mend itself after the last neighbour went.
const GRACE: Duration = Duration::from_secs(2);

/// Former neighbours that are asked besides the seeds.
const REMEMBERED_MAX: usize = 16;

/// The way into the mesh, and back into it.
#[derive(Debug)]
pub(crate) struct Seeds {
    seeds: BTreeSet<PublicKey>,
    /// Seeds that are in the directory now.
    present: BTreeSet<PublicKey>,
    /// Former neighbours, newest first.
    remembered: VecDeque<PublicKey>,
    /// Peers that fell silent, in the order in which they are asked next.
    lost: VecDeque<(PublicKey, Instant)>,
    alone: Option<Alone>,
    missing_due: Option<Instant>,
    missing_rounds: usize,
}

/// The tries of a node that has no neighbour.
#[derive(Debug, Clone, Copy)]
struct Alone {
    tries: usize,
    due: Instant,
}

/// One try to get in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Try {
    /// Whom to ask.
    pub(crate) peers: Vec<PublicKey>,
    /// Set when an earlier try went unanswered: how long from this one to the next.
    pub(crate) retry_after: Option<Duration>,
}

impl Seeds {
    /// The first try is due at once, if there is anybody to ask.
    pub(crate) fn new(seeds: impl IntoIterator<Item = PublicKey>, now: Instant) -> Self {
        let seeds: BTreeSet<_> = seeds.into_iter().collect();
        let alone = (!seeds.is_empty()).then_some(Alone { tries: 0, due: now });
        Self {
            seeds,
            present: BTreeSet::new(),
            remembered: VecDeque::new(),
            lost: VecDeque::new(),
            alone,
            missing_due: None,
            missing_rounds: 0,
        }
    }

    /// When to try next; `None` while nobody is missing, or nobody is known.
    pub(crate) fn due(&self) -> Option<Instant> {
        if !defects::asks_seeds_again() {
            return self.alone.filter(|alone| alone.tries == 0).map(|alone| alone.due);
        }
        self.alone.map(|alone| alone.due).or(self.missing_due)
    }

    /// Takes the try that is due and schedules the next one.
    pub(crate) fn take_try(&mut self, now: Instant) -> Try {
        match self.alone {
            Some(alone) => self.take_alone(alone, now),
            None => self.take_missing(now),
        }
    }

    fn take_alone(&mut self, alone: Alone, now: Instant) -> Try {
        let wait = Duration::from_secs(BACK_OFF_S[alone.tries.min(BACK_OFF_S.len() - 1)]);
        let retry_after = (alone.tries > 0).then_some(wait);
        self.alone = Some(Alone { tries: alone.tries + 1, due: now + wait });
        let lost = self.lost.iter().map(|(peer, _)| peer);
        let others = self.remembered.iter().chain(lost).filter(|peer| !self.seeds.contains(*peer));
        if !defects::joins_again() {
            return Try {
                peers: self.seeds.difference(&self.present).copied().collect(),
                retry_after,
            };
        }
        let mut peers: Vec<PublicKey> = self.seeds.iter().copied().collect();
        for other in others {
            if !peers.contains(other) {
                peers.push(*other);
            }
        }
        Try { peers, retry_after }
    }

    fn take_missing(&mut self, now: Instant) -> Try {
        self.lost.retain(|(_, since)| now.duration_since(*since) < LOST_KEPT);
        let mut peers: Vec<PublicKey> =
            self.seeds.difference(&self.present).take(1).copied().collect();
        for _ in 0..self.lost.len() {
            if peers.len() >= MISSING_ASKED {
                break;
            }
            let Some(lost) = self.lost.pop_front() else { break };
            self.lost.push_back(lost);
            if !peers.contains(&lost.0) {
                peers.push(lost.0);
            }
        }
        self.missing_rounds += 1;
        self.missing_due = (!peers.is_empty()).then(|| now + self.missing_wait());
        Try { peers, retry_after: None }
    }

    fn missing_wait(&self) -> Duration {
        Duration::from_secs(MISSING_S[self.missing_rounds.min(MISSING_S.len() - 1)])
    }

    /// A neighbour came up: the node is in.
    pub(crate) fn neighbor_up(&mut self, peer: PublicKey, now: Instant) {
        self.remembered.retain(|other| *other != peer);
        self.remembered.push_front(peer);
        self.remembered.truncate(REMEMBERED_MAX);
        self.alone = None;
        self.look_for_missing(now);
    }

    /// The last neighbour went. Not called for any other: the overlay replaces those by itself.
    pub(crate) fn alone(&mut self, now: Instant) {
        let knows = !(self.seeds.is_empty() && self.remembered.is_empty() && self.lost.is_empty());
        if self.alone.is_none() && knows && defects::asks_seeds_again() {
            self.alone = Some(Alone { tries: 0, due: now + GRACE });
        }
    }

    /// A peer is in the directory.
    pub(crate) fn heard(&mut self, peer: &PublicKey) {
        self.lost.retain(|(other, _)| other != peer);
        if self.seeds.contains(peer) {
            self.present.insert(*peer);
        }
        if self.lost.is_empty() && self.present.len() == self.seeds.len() {
            self.missing_due = None;
        }
    }

    /// A peer fell silent and may come back.
    pub(crate) fn lost(&mut self, peer: PublicKey, now: Instant) {
        if !defects::joins_again() {
            return;
        }
        self.present.remove(&peer);
        self.lost.retain(|(other, _)| *other != peer);
        self.lost.push_front((peer, now));
        self.lost.truncate(LOST_MAX);
        self.missing_rounds = 0;
        self.missing_due = Some(now + self.missing_wait());
    }

    /// A peer left of its own will: there is no point in asking it, unless it is a seed.
    pub(crate) fn left(&mut self, peer: &PublicKey, now: Instant) {
        self.remembered.retain(|other| other != peer);
        self.lost.retain(|(other, _)| other != peer);
        if self.present.remove(peer) {
            self.look_for_missing(now);
        }
    }

    fn look_for_missing(&mut self, now: Instant) {
        if self.missing_due.is_none() && self.present.len() < self.seeds.len() {
            self.missing_rounds = 0;
            self.missing_due = Some(now + self.missing_wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::*;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_bytes(&[seed; 32]).public()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn tries_back_off_to_thirty_seconds() {
        let mut now = Instant::now();
        let mut seeds = Seeds::new([key(1)], now);
        assert_eq!(seeds.due(), Some(now));
        let mut waits = Vec::new();
        for round in 0..8 {
            let attempt = seeds.take_try(now);
            assert_eq!(attempt.peers, [key(1)]);
            assert_eq!(attempt.retry_after.is_some(), round > 0);
            let due = seeds.due().unwrap();
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn a_neighbor_ends_the_tries_and_its_loss_starts_them_after_a_grace() {
        let now = Instant::now();
        let mut seeds = Seeds::new([key(1)], now);
        seeds.take_try(now);
        seeds.heard(&key(1));
        seeds.neighbor_up(key(2), now);
        assert_eq!(seeds.due(), None);
        seeds.alone(now);
        assert_eq!(seeds.due(), Some(now + GRACE));
        let attempt = seeds.take_try(now + GRACE);
        assert_eq!(attempt, Try { peers: vec![key(1), key(2)], retry_after: None });
    }

    #[test]
    fn a_seed_that_is_not_heard_is_asked_again_while_there_are_neighbors() {
        let mut now = Instant::now();
        let mut seeds = Seeds::new([key(1), key(2)], now);
        seeds.take_try(now);
        seeds.neighbor_up(key(2), now);
        seeds.heard(&key(2));
        let mut waits = Vec::new();
        for _ in 0..5 {
            let due = seeds.due().expect("seed 1 is missing");
            waits.push((due - now).as_secs());
            now = due;
            assert_eq!(seeds.take_try(now).peers, [key(1)]);
        }
        assert_eq!(waits, [2, 4, 8, 10, 10]);
        seeds.heard(&key(1));
        assert_eq!(seeds.due(), None);
    }

    #[test]
    fn the_lost_are_asked_in_turn_until_they_are_heard_or_forgotten() {
        let now = Instant::now();
        let mut seeds = Seeds::new([], now);
        seeds.neighbor_up(key(9), now);
        for lost in 1..=3 {
            seeds.lost(key(lost), now);
        }
        let first = seeds.take_try(now + seconds(2)).peers;
        let second = seeds.take_try(now + seconds(6)).peers;
        assert_eq!((first.len(), second.len()), (2, 2));
        assert_ne!(first, second, "everybody has a turn");
        seeds.heard(&key(1));
        seeds.heard(&key(2));
        assert_eq!(seeds.take_try(now + seconds(14)).peers, [key(3)]);
        seeds.left(&key(3), now);
        assert_eq!(seeds.take_try(now + seconds(24)).peers, []);
        assert_eq!(seeds.due(), None, "nobody is missing");
        seeds.lost(key(4), now);
        assert_eq!(seeds.take_try(now + LOST_KEPT).peers, []);
        assert_eq!(seeds.due(), None, "the lost are not remembered for ever");
    }

    #[test]
    fn the_first_node_has_nobody_to_ask_until_it_had_a_neighbor() {
        let now = Instant::now();
        let mut seeds = Seeds::new([], now);
        seeds.alone(now);
        assert_eq!(seeds.due(), None);
        seeds.neighbor_up(key(2), now);
        seeds.alone(now);
        assert_eq!(seeds.take_try(now + GRACE).peers, [key(2)]);
        seeds.neighbor_up(key(2), now);
        seeds.left(&key(2), now);
        seeds.alone(now);
        assert_eq!(seeds.due(), None, "it left, nobody is known");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut seeds = Seeds::new([], now);
        for seed in 0..100 {
            seeds.neighbor_up(key(seed), now);
            seeds.lost(key(seed), now);
        }
        assert_eq!(seeds.remembered.len(), REMEMBERED_MAX);
        assert_eq!(seeds.lost.len(), LOST_MAX);
    }
}
