//! What is going on, for whoever looks while the run lasts: claims and faults so far, the last
//! round of samples. `prometheus.rs` tells it.

use std::{collections::BTreeMap, sync::Mutex};

use meshlab_model::{RunEventKind, RunTime, Sample};

use crate::{
    engine::{Shared, lock},
    forward::FaultSpans,
};

#[derive(Default)]
pub(crate) struct Live {
    tally: Mutex<Tally>,
    round: Mutex<Vec<Sample>>,
    faults: Mutex<FaultSpans>,
}

/// What was judged so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Claims by how they came out.
    pub(crate) claims: BTreeMap<&'static str, u64>,
    pub(crate) claims_open: u64,
    /// Faults by how they came out.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) faults_open: u64,
    pub(crate) warnings: u64,
}

impl Live {
    /// Takes in an event that was recorded.
    pub(crate) fn event(&self, shared: &Shared, at: RunTime, kind: &RunEventKind) {
        let mut tally = lock(&self.tally);
        match kind {
            RunEventKind::ClaimStarted { .. } => tally.claims_open += 1,
            RunEventKind::ClaimFinished { verdict, .. } => {
                tally.claims_open = tally.claims_open.saturating_sub(1);
                *tally.claims.entry(verdict.word()).or_default() += 1;
            }
            RunEventKind::ClaimWithdrawn { .. } => {
                tally.claims_open = tally.claims_open.saturating_sub(1);
            }
            RunEventKind::FaultPlanned { .. } => tally.faults_open += 1,
            RunEventKind::FaultFinished { verdict, .. } => {
                tally.faults_open = tally.faults_open.saturating_sub(1);
                *tally.faults.entry(verdict.word()).or_default() += 1;
            }
            RunEventKind::Warning { .. } => tally.warnings += 1,
            _ => {}
        }
        drop(tally);
        if let Some(forward) = shared.forward.get()
            && let Some(span) = lock(&self.faults).apply(at, kind, shared.clock.started_unix_nanos)
        {
            forward.offer(&span);
        }
    }

    /// Takes in a round of samples.
    pub(crate) fn round(&self, samples: &[Sample]) {
        samples.clone_into(&mut lock(&self.round));
    }

    pub(crate) fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        lock(&self.round).clone()
    }
}
