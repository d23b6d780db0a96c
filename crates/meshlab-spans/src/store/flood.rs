//! What a node may send: so that one that sends a million spans a second takes neither the memory
//! nor the record from the others.

use std::sync::PoisonError;

use meshlab_model::{NodeId, RunTime};

use super::SpanStore;

/// Spans a second of one node in the long run; five times as many may come at once. Nodes of a
/// soak send some thirty. Where one sends more, the store holds the last ten seconds of all.
pub const SPANS_A_SECOND_MAX: u64 = 10_000;

/// Seconds' worth of spans that may come at once.
const BURST_SECONDS: u64 = 5;

/// A bucket that fills with time and that spans are taken from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Spans in millionths, so that a microsecond counts; below zero it is in debt.
    left: i128,
    at: RunTime,
}

impl Allowance {
    fn full(rate: u64, at: RunTime) -> Self {
        Self { left: Self::most(rate), at }
    }

    fn most(rate: u64) -> i128 {
        i128::from(rate) * i128::from(BURST_SECONDS) * 1_000_000
    }

    /// Whether a request of so many spans is let in. One that comes before the bucket is empty is,
    /// whole, and what it takes too much is owed.
    fn take(&mut self, spans: u64, rate: u64, now: RunTime) -> bool {
        let elapsed = now.micros.saturating_sub(self.at.micros);
        self.at = self.at.max(now);
        let filled = self.left + i128::from(elapsed) * i128::from(rate);
        self.left = filled.min(Self::most(rate));
        let allowed = self.left > 0;
        if allowed {
            self.left -= i128::from(spans) * 1_000_000;
        }
        allowed
    }
}

impl SpanStore {
    /// Whether a request of so many spans is let in from a node; one that is not is counted.
    pub(crate) fn allows(&self, node: &NodeId, spans: u64) -> bool {
        let (now, rate) = (self.shared.clock.now(), self.shared.rate);
        let mut all = self.shared.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        let allowance = all.entry(node.clone()).or_insert_with(|| Allowance::full(rate, now));
        let allowed = allowance.take(spans, rate, now);
        drop(all);
        if !allowed {
            self.note(node, |counters| counters.flooded += spans);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_in_and_a_flood_at_the_rate() {
        let at = |millis: u64| RunTime { micros: millis * 1000 };
        let mut allowance = Allowance::full(1000, at(0));
        let burst = (0..20).filter(|_| allowance.take(500, 1000, at(0))).count();
        assert_eq!(burst, 10, "five seconds' worth");
        let flood = (1..=10_000).filter(|millis| allowance.take(100, 1000, at(*millis))).count();
        assert_eq!(flood, 100, "a thousand a second for ten seconds");
        assert!(allowance.take(1, 1000, at(3_600_000)));
        assert!(allowance.left < Allowance::most(1000), "an hour fills it no further");
    }
}
