//! How far a replay is from the run that it carries out again.

use std::time::Duration;

use meshlab_model::Realised;
use meshlab_stats::Latency;

use super::{ChaosView, RunView};

/// How far the faults of a replay are from those that they repeat.
#[derive(Debug, Clone, Default)]
pub struct Deviation {
    /// Faults that acted in the run that is replayed.
    pub realised: u64,
    /// Those of them that acted in this one too.
    pub again: u64,
    /// Between the two onsets, each from the beginning of its schedule, in microseconds, without
    /// sign: earlier counts as much as later.
    pub micros: Latency,
}

impl RunView {
    /// The deviation over all schedules; of a run that is no replay, of nothing.
    pub fn deviation(&self) -> Deviation {
        let mut deviation = Deviation::default();
        for chaos in self.chaos.values() {
            for (place, planned) in (0_u32..).zip(&chaos.plan) {
                let Some(Realised { onset_micros: Some(before), .. }) = &planned.realised else {
                    continue;
                };
                deviation.realised += 1;
                if let Some(again) = self.onset(chaos, place) {
                    deviation.again += 1;
                    let between = Duration::from_micros(again.abs_diff(*before));
                    deviation.micros.record(between);
                }
            }
        }
        deviation
    }

    /// When a fault of a schedule acted, in microseconds from its beginning.
    fn onset(&self, chaos: &ChaosView, place: u32) -> Option<u64> {
        let fault = chaos.fired.get(&place)?.what.as_ref().ok()?;
        let acted = self.faults.get(fault)?.acted.as_ref()?.0;
        Some(acted.micros.saturating_sub(chaos.began.micros))
    }
}
