//! Rates: when a packet has been sent at the pace that was asked for.

use super::Rate;
use crate::clock::Nanos;

const SECOND: u128 = 1_000_000_000;

/// When a line at some pace is free again. One for each place where a rate can be set.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateClock {
    free_at: Nanos,
}

impl RateClock {
    /// Whether a packet fits into the queue.
    pub(crate) fn fits(&self, rate: Rate, now: Nanos, bytes: u64) -> bool {
        // What waits is the time until the line is free, at today's pace.
        let waiting = u128::from(self.free_at.saturating_sub(now));
        let waiting = waiting * u128::from(rate.bytes_per_second) / SECOND;
        waiting == 0 || waiting + u128::from(bytes) <= u128::from(rate.queue_bytes)
    }

    /// Goes on at another pace with what still waits.
    pub(crate) fn change(&mut self, old: Rate, new: Option<Rate>, now: Nanos) {
        let Some(new) = new else {
            self.free_at = 0;
            return;
        };
        let waiting = u128::from(self.free_at.saturating_sub(now));
        let waiting = waiting.saturating_mul(u128::from(old.bytes_per_second));
        let takes = waiting / u128::from(new.bytes_per_second.max(1));
        self.free_at = now.saturating_add(Nanos::try_from(takes).unwrap_or(Nanos::MAX));
    }

    /// When the line is free.
    pub(crate) fn free_at(&self) -> Nanos {
        self.free_at
    }

    /// Takes a packet: when its last byte is sent.
    pub(crate) fn send(&mut self, rate: Rate, now: Nanos, bytes: u64) -> Nanos {
        let takes = u128::from(bytes) * SECOND / u128::from(rate.bytes_per_second.max(1));
        let takes = Nanos::try_from(takes).unwrap_or(Nanos::MAX);
        self.free_at = self.free_at.max(now).saturating_add(takes);
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { bytes_per_second: 1_000_000, queue_bytes: 10_000 };

    #[test]
    fn packets_follow_each_other_at_the_pace() {
        let mut clock = RateClock::default();
        let start = 5_000_000_000;
        assert_eq!(clock.send(RATE, start, 1000), start + 1_000_000, "a millisecond each");
        assert_eq!(clock.send(RATE, start, 1000), start + 2_000_000);
        // Silence earns nothing.
        let later = start + 1_000_000_000;
        assert_eq!(clock.send(RATE, later, 500), later + 500_000);
    }

    #[test]
    fn the_queue_is_bounded_and_an_idle_line_takes_any_packet() {
        let mut clock = RateClock::default();
        assert!(clock.fits(RATE, 1, 60_000), "larger than the queue, and alone");
        let taken = (0..100).take_while(|_| {
            let fits = clock.fits(RATE, 1, 1000);
            clock.send(RATE, 1, 1000);
            fits
        });
        assert_eq!(taken.count(), 10);
        assert!(clock.fits(RATE, 500_000_000, 1000), "the queue has run dry");
    }

    #[test]
    fn nothing_overflows() {
        let mut clock = RateClock::default();
        let slow = Rate { bytes_per_second: 1, queue_bytes: u64::MAX };
        for _ in 0..10 {
            clock.send(slow, Nanos::MAX - 1, u64::MAX);
        }
        assert!(!clock.fits(Rate { bytes_per_second: u64::MAX, ..slow }, 0, 1));
        assert_eq!(clock.send(slow, 0, 1), Nanos::MAX);
        clock.change(slow, Some(Rate { bytes_per_second: u64::MAX, ..slow }), 0);
        clock.change(Rate { bytes_per_second: u64::MAX, ..slow }, Some(slow), 0);
    }

    #[test]
    fn what_waits_when_the_pace_changes_goes_on_at_the_new_one() {
        let mut clock = RateClock::default();
        clock.send(RATE, 0, 8000);
        clock.change(RATE, Some(Rate { bytes_per_second: 4_000_000, ..RATE }), 4_000_000);
        assert_eq!(clock.free_at, 5_000_000, "4000 bytes are left, a millisecond's worth");
        clock.change(RATE, None, 4_000_000);
        assert_eq!(clock.free_at, 0);
    }
}
