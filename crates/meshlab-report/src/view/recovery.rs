//! How fast faults act, are noticed and heal: a distribution for each kind of fault.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::FaultStage;
use meshlab_stats::Latency;

use super::FaultView;

/// The distributions of a run, in microseconds to three digits.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// By kind of fault, its name in the catalogue.
    pub kinds: BTreeMap<String, RecoveryTimes>,
    /// Noticed or healed without having acted before: there is nothing to count them from.
    pub without_beginning: u64,
}

/// How long each stage took; one entry for each observer that told of it.
#[derive(Debug, Clone, Default)]
pub struct RecoveryTimes {
    /// From the plan, which is written before the act, to the witness that it acted.
    pub onset: Latency,
    /// From there until an observer noticed.
    pub noticed: Latency,
    /// From when it was taken back, or acted if there was nothing to take back, until an observer
    /// held everybody to be there again.
    pub healed: Latency,
}

impl RecoveryTimes {
    /// Each stage with its name, in the order in which they come.
    pub fn stages(&self) -> [(&'static str, &Latency); 3] {
        [("onset", &self.onset), ("noticed", &self.noticed), ("healed", &self.healed)]
    }

    fn add(&mut self, other: &Self) {
        self.onset.add(&other.onset);
        self.noticed.add(&other.noticed);
        self.healed.add(&other.healed);
    }
}

impl Recovery {
    /// All kinds together.
    pub fn all(&self) -> RecoveryTimes {
        let mut all = RecoveryTimes::default();
        self.kinds.values().for_each(|kind| all.add(kind));
        all
    }

    /// Counts a stage that a fault reached. `fault` is as it was before that.
    pub(super) fn reached(
        &mut self,
        fault: &FaultView,
        stage: &FaultStage,
        at: meshlab_model::RunTime,
    ) {
        let acted = fault.acted.as_ref().map(|acted| acted.0);
        let (from, of): (_, fn(&mut RecoveryTimes) -> &mut Latency) = match stage {
            FaultStage::Acted { .. } => (Some(fault.planned), |times| &mut times.onset),
            FaultStage::Noticed { .. } => (acted, |times| &mut times.noticed),
            FaultStage::Healed { .. } => {
                let undone = fault.undone.as_ref().map(|undone| undone.0);
                (undone.or(acted), |times| &mut times.healed)
            }
            FaultStage::Undone { .. } => return,
        };
        let Some(from) = from else {
            self.without_beginning += 1;
            return;
        };
        let times = self.kinds.entry(fault.name.clone()).or_default();
        of(times).record(at.since(from));
    }
}

/// Percentiles that are shown: p50, p90, p99.
pub(crate) const PERCENTILES: [f64; 3] = [50.0, 90.0, 99.0];

/// The percentiles of [`PERCENTILES`] and the longest; `None` where nothing was counted.
pub(crate) fn percentiles(times: &Latency) -> Option<[Duration; 4]> {
    let [p50, p90, p99] = PERCENTILES.map(|percentile| times.at(percentile));
    (times.count() > 0).then(|| [p50, p90, p99, times.max()])
}

#[cfg(test)]
mod tests {
    use meshlab_model::{FaultId, NodeId, RunEvent, RunEventKind as K, RunTime, TestId};
    use proptest::prelude::*;

    use super::*;
    use crate::RunView;

    fn planned(fault: u32, name: &str) -> K {
        let (fault, test, targets) = (FaultId(fault), TestId(0), vec![NodeId::from("node-1")]);
        K::FaultPlanned {
            fault,
            test,
            name: name.to_owned(),
            targets,
            against: 0,
            told: String::new(),
            chaos: None,
        }
    }

    fn reached(fault: u32, stage: u8, by: u8) -> K {
        let (fault, by) = (FaultId(fault), NodeId(format!("node-{by}")));
        let stage = match stage {
            0 => FaultStage::Acted { witness: String::new(), unnoticed: None },
            1 => FaultStage::Noticed { by, evidence: String::new() },
            2 => FaultStage::Undone { how: String::new() },
            _ => FaultStage::Healed { by },
        };
        K::FaultReached { fault, stage }
    }

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
    fn each_stage_counts_from_the_one_before() {
        let view = fold(vec![
            (1_000_000, planned(1, "kill_node")),
            (1_010_000, reached(1, 0, 0)),
            (1_510_000, reached(1, 1, 2)),
            (3_010_000, reached(1, 1, 3)),
            (4_000_000, reached(1, 2, 0)),
            (4_250_000, reached(1, 3, 2)),
            (5_000_000, planned(2, "restart_node")),
            (5_020_000, reached(2, 0, 0)),
            (5_420_000, reached(2, 3, 2)),
        ]);
        let near = |found: Duration, millis: u64| {
            let expected = Duration::from_millis(millis).as_secs_f64();
            assert!((found.as_secs_f64() / expected - 1.0).abs() < 0.002, "{found:?} {millis}");
        };
        let kill = &view.recovery.kinds["kill_node"];
        near(kill.onset.max(), 10);
        near(kill.noticed.at(50.0), 500);
        near(kill.noticed.max(), 2000);
        near(kill.healed.max(), 250);
        near(view.recovery.kinds["restart_node"].healed.max(), 400);
        assert_eq!(view.recovery.all().stages().map(|(_, times)| times.count()), [2, 2, 2]);
    }

    proptest! {
        #[test]
        fn every_event_is_in_a_histogram_or_counted_as_without_beginning(
            events in proptest::collection::vec(
                (0..5_u32, 0..5_u8, 0..4_u8, 0..1_u64 << 40),
                0..200,
            )
        ) {
            let (mut kinds, mut counted) = (Vec::new(), 0);
            let mut known = std::collections::BTreeSet::new();
            for (fault, stage, by, micros) in events {
                if stage == 4 {
                    known.insert(fault);
                    kinds.push((micros, planned(fault, &format!("fault-{}", fault % 2))));
                } else {
                    // What was never planned is damage, which the view tells as a problem.
                    counted += u64::from(stage != 2 && known.contains(&fault));
                    kinds.push((micros, reached(fault, stage, by)));
                }
            }
            let recovery = fold(kinds).recovery;
            let all = recovery.all();
            let found: u64 = all.stages().iter().map(|(_, times)| times.count()).sum();
            prop_assert_eq!(found + recovery.without_beginning, counted);
            let kinds = recovery.kinds.values().flat_map(RecoveryTimes::stages);
            prop_assert_eq!(kinds.map(|(_, times)| times.count()).sum::<u64>(), found);
        }
    }
}
