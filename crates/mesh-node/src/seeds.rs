//! Whom to ask for entry, and when to ask again. Pure: the caller says what time it is.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use iroh::PublicKey;

/// Waits between tries; the last one repeats.
const BACK_OFF_S: [u64; 6] = [1, 2, 4, 8, 16, 30];

/// How long the overlay may mend itself after the last neighbour went.
const GRACE: Duration = Duration::from_secs(2);

/// Former neighbours that are asked besides the seeds.
const REMEMBERED_MAX: usize = 16;

/// The way into the mesh, and back into it.
#[derive(Debug)]
pub(crate) struct Seeds {
    seeds: BTreeSet<PublicKey>,
    /// Former neighbours, newest first.
    remembered: VecDeque<PublicKey>,
    tries: usize,
    due: Option<Instant>,
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
        let due = (!seeds.is_empty()).then_some(now);
        Self { seeds, remembered: VecDeque::new(), tries: 0, due }
    }

    /// When to try next; `None` while the node has neighbours or knows nobody.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the try that is due and schedules the next one.
    pub(crate) fn take_try(&mut self, now: Instant) -> Try {
        let wait = Duration::from_secs(BACK_OFF_S[self.tries.min(BACK_OFF_S.len() - 1)]);
        let retry_after = (self.tries > 0).then_some(wait);
        self.tries += 1;
        self.due = Some(now + wait);
        let former = self.remembered.iter().filter(|peer| !self.seeds.contains(*peer));
        Try { peers: self.seeds.iter().chain(former).copied().collect(), retry_after }
    }

    /// A neighbour came up: the node is in.
    pub(crate) fn neighbor_up(&mut self, peer: PublicKey) {
        self.forget(&peer);
        self.remembered.push_front(peer);
        self.remembered.truncate(REMEMBERED_MAX);
        self.tries = 0;
        self.due = None;
    }

    /// The last neighbour went. Not called for any other: the overlay replaces those by itself,
    /// and joining on each of them keeps it from settling.
    pub(crate) fn alone(&mut self, now: Instant) {
        if self.due.is_none() && !(self.seeds.is_empty() && self.remembered.is_empty()) {
            self.tries = 0;
            self.due = Some(now + GRACE);
        }
    }

    /// A peer left of its own will: there is no point in asking it.
    pub(crate) fn forget(&mut self, peer: &PublicKey) {
        self.remembered.retain(|other| other != peer);
    }
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::*;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_bytes(&[seed; 32]).public()
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
        seeds.neighbor_up(key(2));
        assert_eq!(seeds.due(), None);
        seeds.alone(now);
        assert_eq!(seeds.due(), Some(now + GRACE));
        let attempt = seeds.take_try(now + GRACE);
        assert_eq!(attempt, Try { peers: vec![key(1), key(2)], retry_after: None });
    }

    #[test]
    fn the_first_node_has_nobody_to_ask_until_it_had_a_neighbor() {
        let now = Instant::now();
        let mut seeds = Seeds::new([], now);
        seeds.alone(now);
        assert_eq!(seeds.due(), None);
        seeds.neighbor_up(key(2));
        seeds.alone(now);
        assert_eq!(seeds.take_try(now + GRACE).peers, [key(2)]);
        seeds.neighbor_up(key(2));
        seeds.forget(&key(2));
        seeds.alone(now);
        assert_eq!(seeds.due(), None, "it left, nobody is known");
    }

    #[test]
    fn former_neighbors_are_bounded() {
        let mut seeds = Seeds::new([], Instant::now());
        for seed in 0..100 {
            seeds.neighbor_up(key(seed));
        }
        assert_eq!(seeds.remembered.len(), REMEMBERED_MAX);
    }
}
