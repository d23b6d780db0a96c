//! What somebody does by hand while a test runs, told from what the test does.
//!
//! Both go on at the same time and ask the same engine. Who asks by hand does so inside
//! [`by_hand`]; what began there stays manual wherever the engine goes on with it: a judge, a
//! timer, the end of the test.

use std::{collections::BTreeSet, sync::Mutex};

use meshlab_model::{ChaosId, ClaimId, ComparisonId, FaultId, RunEventKind, StepId};

use crate::engine::lock;

tokio::task_local! {
    static HAND: ();
}

/// Does something in somebody's hands: what is recorded meanwhile is marked as manual.
pub async fn by_hand<T>(work: impl Future<Output = T>) -> T {
    HAND.scope((), work).await
}

/// Whether whoever asks now does so by hand.
pub(crate) fn is_by_hand() -> bool {
    HAND.try_with(|()| ()).is_ok()
}

/// What was begun by hand.
#[derive(Default)]
pub(crate) struct Hands(Mutex<Begun>);

#[derive(Default)]
struct Begun {
    claims: BTreeSet<ClaimId>,
    faults: BTreeSet<FaultId>,
    chaos: BTreeSet<ChaosId>,
    comparisons: BTreeSet<ComparisonId>,
    steps: BTreeSet<StepId>,
}

impl Hands {
    /// Whether this is in somebody's hands; what begins with it is from now on.
    pub(crate) fn hold(&self, kind: &RunEventKind) -> bool {
        use RunEventKind as K;
        let here = is_by_hand();
        let mut begun = lock(&self.0);
        match kind {
            K::ClaimStarted { claim, .. } if here => begun.claims.insert(*claim),
            K::FaultPlanned { fault, chaos, .. } => {
                let drawn = chaos.is_some_and(|place| begun.chaos.contains(&place.chaos));
                (here || drawn) && begun.faults.insert(*fault)
            }
            K::ChaosPlanned { chaos, .. } if here => begun.chaos.insert(*chaos),
            K::ComparisonStarted { comparison, .. } if here => {
                begun.comparisons.insert(*comparison)
            }
            K::StepStarted { step, .. } if here => begun.steps.insert(*step),
            K::ClaimProgress { claim, .. } => begun.claims.contains(claim),
            K::ClaimFinished { claim, .. } | K::ClaimWithdrawn { claim } => {
                begun.claims.remove(claim)
            }
            // Nothing says that a fault is over for good: others may still take note of it.
            K::FaultReached { fault, .. }
            | K::FaultCaptured { fault, .. }
            | K::FaultFinished { fault, .. } => begun.faults.contains(fault),
            K::ChaosSkipped { place, .. } => begun.chaos.contains(&place.chaos),
            K::ChaosFinished { chaos, .. } => begun.chaos.remove(chaos),
            K::RoundStarted { comparison, .. } | K::RoundFinished { comparison, .. } => {
                begun.comparisons.contains(comparison)
            }
            K::ComparisonFinished { comparison } => begun.comparisons.remove(comparison),
            K::StepFinished { step } => begun.steps.remove(step),
            // A damaged record is nobody's act.
            K::Problem { .. } => false,
            _ => here,
        }
    }

    /// Whether that claim was asked by hand.
    pub(crate) fn asked(&self, claim: ClaimId) -> bool {
        lock(&self.0).claims.contains(&claim)
    }

    /// Whether that fault was given by hand.
    pub(crate) fn gave(&self, fault: FaultId) -> bool {
        lock(&self.0).faults.contains(&fault)
    }
}

#[cfg(test)]
mod tests {
    use meshlab_model::{ClaimEvidence, Severity, TestId, Verdict};

    use super::*;

    #[tokio::test]
    async fn what_begins_by_hand_stays_so_wherever_it_is_gone_on_with() {
        use RunEventKind as K;
        let hands = Hands::default();
        let starts = |claim: u32| K::ClaimStarted {
            claim: ClaimId(claim),
            test: TestId(0),
            call: "expect.equal".into(),
            text: String::new(),
            severity: Severity::Check,
            within_micros: 0,
        };
        let ends = |claim: u32| K::ClaimFinished {
            claim: ClaimId(claim),
            verdict: Verdict::Passed,
            took_micros: 0,
            evidence: ClaimEvidence::default(),
        };
        let note = || K::Note { text: String::new() };
        assert!(!hands.hold(&starts(1)) && !hands.hold(&note()));
        by_hand(async {
            assert!(hands.hold(&starts(2)) && hands.hold(&note()));
            // What the test began is not in anybody's hands because somebody acts meanwhile.
            assert!(!hands.hold(&ends(1)));
        })
        .await;
        assert!(hands.asked(ClaimId(2)) && !hands.asked(ClaimId(1)));
        assert!(hands.hold(&ends(2)), "judged by another task");
        assert!(!hands.hold(&starts(3)) && !hands.hold(&note()));
    }
}
