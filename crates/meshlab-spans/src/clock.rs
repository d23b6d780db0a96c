//! The run's clock, and where a node's wall clock falls on it.

use std::time::Instant;

use meshlab_model::RunTime;
use meshlab_mutants::{Mutant, on};

/// A span is flushed within a tenth of a second and travels for less. One that claims to have
/// ended longer ago comes from a clock that is off.
const FLUSHED_WITHIN_MICROS: u64 = 2_000_000;

/// When the run started, by both clocks of the host.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    /// By the monotonic clock.
    pub started: Instant,
    /// By the wall clock, in nanoseconds since 1970.
    pub started_unix_nanos: u64,
}

impl RunClock {
    /// Time since the run started.
    pub fn now(&self) -> RunTime {
        if on(Mutant::ClockStill) {
            return RunTime::ZERO;
        }
        RunTime::from_duration(self.started.elapsed())
    }

    /// When a span that arrived at `arrived` counts as having happened.
    ///
    /// Its end by the node's clock, if that lies within the two seconds before its arrival: then
    /// an old span that was flushed late cannot satisfy a claim that began after it. Else its
    /// arrival: a node whose clock is off must not lose its voice.
    pub(crate) fn effective(&self, arrived: RunTime, end_unix_nanos: u64) -> RunTime {
        let ended = end_unix_nanos.checked_sub(self.started_unix_nanos).map(|nanos| nanos / 1000);
        let believable = ended.filter(|ended| {
            *ended <= arrived.micros && arrived.micros - ended <= FLUSHED_WITHIN_MICROS
        });
        RunTime { micros: believable.unwrap_or(arrived.micros) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_not_believed() {
        let clock = RunClock { started: Instant::now(), started_unix_nanos: 1_000_000_000 };
        let arrived = RunTime { micros: 10_000_000 };
        let effective = |end: u64| clock.effective(arrived, 1_000_000_000 + end).micros;
        assert_eq!(effective(9_900_000_000), 9_900_000, "flushed 100 ms late");
        assert_eq!(effective(1_000_000_000), 10_000_000, "nine seconds behind");
        assert_eq!(effective(40_000_000_000), 10_000_000, "thirty seconds ahead");
        assert_eq!(clock.effective(arrived, 0).micros, 10_000_000, "in 1970");
    }
}
