//! When the node says how it is: pure, the caller says what time it is.

use std::time::{Duration, Instant};

/// Shortest time between two digests that new neighbours cause.
const NEIGHBOR_UP_EVERY: Duration = Duration::from_millis(250);

/// Shortest time between two digests that each say a new state. They take different ways through
/// the overlay: closer together, the newer one overtakes the older, which is then not believed, and
/// the state between is heard by some and not by others.
const CHANGES_APART: Duration = Duration::from_millis(100);

/// A gated node that has nothing new says so each so many cadences.
const REFRESH: u32 = 4;

/// The digest's schedule.
#[derive(Debug)]
pub(crate) struct Cadence {
    every: Duration,
    gated: bool,
    sent: Instant,
    wanted: Option<Instant>,
    /// Whether the next digest says a state that none said before.
    is_news: bool,
    /// When the last one that did was sent.
    news_sent: Option<Instant>,
}

impl Cadence {
    /// The first digest is due at once.
    pub(crate) fn new(every: Duration, gated: bool, now: Instant) -> Self {
        Self { every, gated, sent: now, wanted: Some(now), is_news: true, news_sent: None }
    }

    /// Silence after which others hold a node of this cadence to be dead: it has missed several.
    pub(crate) fn dead_after(every: Duration, gated: bool) -> Duration {
        if gated { every * REFRESH * 3 } else { every * 4 }
    }

    /// When the next digest is due.
    pub(crate) fn due(&self) -> Instant {
        let regular = self.sent + if self.gated { self.every * REFRESH } else { self.every };
        self.wanted.map_or(regular, |wanted| wanted.min(regular))
    }

    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent = now;
        self.wanted = None;
        if std::mem::take(&mut self.is_news) {
            self.news_sent = Some(now);
        }
    }

    /// Nobody can have heard what was said so far: the next digest says it for the first time.
    pub(crate) fn unheard(&mut self) {
        self.is_news = true;
    }

    /// A neighbour came up: what was broadcast before never reached it.
    pub(crate) fn neighbor_up(&mut self, now: Instant) {
        self.want(now.max(self.sent + NEIGHBOR_UP_EVERY));
    }

    /// A peer is new: it has not heard of this node, and at a gated cadence would not for long.
    pub(crate) fn peer_entered(&mut self) {
        if self.gated {
            self.want(self.sent + self.every);
        }
    }

    /// The node's own state changed.
    pub(crate) fn changed(&mut self, now: Instant) {
        self.is_news = true;
        self.want(self.news_sent.map_or(now, |sent| now.max(sent + CHANGES_APART)));
    }

    fn want(&mut self, at: Instant) {
        self.wanted = Some(self.wanted.map_or(at, |wanted| wanted.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(2);

    fn sent_at(gated: bool, now: Instant) -> Cadence {
        let mut cadence = Cadence::new(EVERY, gated, now);
        assert_eq!(cadence.due(), now);
        cadence.sent(now);
        cadence
    }

    #[test]
    fn ungated_is_each_interval_and_gated_each_fourth() {
        let now = Instant::now();
        assert_eq!(sent_at(false, now).due(), now + EVERY);
        assert_eq!(sent_at(true, now).due(), now + EVERY * 4);
    }

    #[test]
    fn a_neighbor_hears_at_once_but_a_burst_of_them_only_each_quarter_second() {
        let now = Instant::now();
        let mut cadence = sent_at(false, now);
        let later = now + Duration::from_secs(1);
        cadence.neighbor_up(later);
        assert_eq!(cadence.due(), later);
        cadence.sent(later);
        cadence.neighbor_up(later);
        cadence.neighbor_up(later);
        assert_eq!(cadence.due(), later + NEIGHBOR_UP_EVERY);
    }

    #[test]
    fn gated_answers_a_new_peer_at_its_cadence_and_a_change_at_once() {
        let now = Instant::now();
        let mut cadence = sent_at(true, now);
        cadence.peer_entered();
        assert_eq!(cadence.due(), now + EVERY);
        let later = now + CHANGES_APART;
        cadence.changed(later);
        assert_eq!(cadence.due(), later);
    }

    #[test]
    fn a_new_state_does_not_follow_on_the_heels_of_another() {
        let now = Instant::now();
        let mut cadence = sent_at(false, now);
        cadence.changed(now);
        assert_eq!(cadence.due(), now + CHANGES_APART, "the first digest said a state too");
        let later = now + Duration::from_secs(1);
        cadence.sent(later);
        let regular = later + Duration::from_millis(500);
        cadence.sent(regular);
        cadence.changed(regular);
        assert_eq!(cadence.due(), regular, "a digest that said nothing new holds nothing up");
        cadence.unheard();
        cadence.sent(regular);
        cadence.changed(regular);
        assert_eq!(cadence.due(), regular + CHANGES_APART);
    }

    #[test]
    fn death_takes_several_missed_digests() {
        assert_eq!(Cadence::dead_after(EVERY, false), Duration::from_secs(8));
        assert_eq!(Cadence::dead_after(EVERY, true), Duration::from_secs(24));
    }
}
