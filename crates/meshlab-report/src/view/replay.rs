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
                if planned.realised.as_ref().and_then(|was| was.onset_micros).is_none() {
                    continue;
                }
                deviation.realised += 1;
                if let Some((again, before)) = self.onsets(chaos, place) {
                    deviation.again += 1;
                    let between = Duration::from_micros(again.abs_diff(before));
                    deviation.micros.record(between);
                }
            }
        }
        deviation
    }

    /// When a fault acted in this run and when in the one that is replayed, each in microseconds
    /// from the beginning of its schedule; `None` where it did not in both.
    pub(crate) fn onsets(&self, chaos: &ChaosView, place: u32) -> Option<(u64, u64)> {
        let planned = chaos.plan.get(usize::try_from(place).ok()?)?;
        let Realised { onset_micros, .. } = planned.realised.as_ref()?;
        self.onset(chaos, place).zip(*onset_micros)
    }

    /// When a fault of a schedule acted, in microseconds from its beginning.
    fn onset(&self, chaos: &ChaosView, place: u32) -> Option<u64> {
        let fault = chaos.fired.get(&place)?.what.as_ref().ok()?;
        let acted = self.faults.get(fault)?.acted.as_ref()?.0;
        Some(acted.micros.saturating_sub(chaos.began.micros))
    }
}

#[cfg(test)]
mod tests {
    use meshlab_model::{
        ChaosFault, ChaosId, ChaosPlace, FaultId, FaultStage, RunEvent, RunEventKind as K, RunTime,
        TestId,
    };

    use super::*;

    fn fold(events: Vec<(u64, K)>) -> RunView {
        let mut view = RunView::new(&[]);
        for (seq, (micros, kind)) in (1..).zip(events) {
            view.apply(&RunEvent {
                seq,
                at: RunTime { micros },
                source: None,
                manual: false,
                kind,
            });
        }
        view
    }

    #[test]
    fn earlier_and_later_count_alike_and_what_did_not_act_again_is_missing() {
        let chaos = ChaosId(1);
        let before = |onset_micros| ChaosFault {
            at_micros: 0,
            name: "kill_node".to_owned(),
            target: "node-1".into(),
            realised: Some(Realised { onset_micros, ..Realised::default() }),
        };
        // The fourth never acted before either, so there is nothing to hold it against.
        let plan = [Some(1000), Some(2000), Some(3000), None].map(before).to_vec();
        let planned = |n: u32| K::FaultPlanned {
            fault: FaultId(n),
            test: TestId(0),
            name: "kill_node".to_owned(),
            targets: vec!["node-1".into()],
            against: 0,
            told: String::new(),
            chaos: Some(ChaosPlace { chaos, place: n }),
        };
        let acted = |n: u32| {
            let stage = FaultStage::Acted { witness: String::new(), unnoticed: None };
            K::FaultReached { fault: FaultId(n), stage }
        };
        let (test, seed, on) = (TestId(0), 1, Vec::new());
        let view = fold(vec![
            (10_000, K::ChaosPlanned { chaos, test, seed, on, plan, length_micros: None }),
            (10_700, planned(0)),
            (10_900, acted(0)),
            (12_100, planned(1)),
            (12_300, acted(1)),
            (13_000, planned(2)),
            (14_000, planned(3)),
            (14_100, acted(3)),
        ]);
        let Deviation { realised, again, micros } = view.deviation();
        assert_eq!((realised, again, micros.count()), (3, 2, 2));
        let (least, most) = (micros.at(50.0).as_micros(), micros.max().as_micros());
        assert_eq!((least, most), (100, 300));
        assert_eq!(fold(Vec::new()).deviation().realised, 0);
    }
}
