//! Schedules of faults: what was drawn, and what came of it.

use std::collections::BTreeMap;

use meshlab_model::{
    ChaosFault, ChaosTally, FaultId, NodeId, RunEvent, RunEventKind, RunTime, TestId,
};

use super::RunView;

/// A schedule of faults.
#[derive(Debug, Clone)]
pub struct ChaosView {
    /// Its test.
    pub test: TestId,
    /// When it was drawn; its times count from here.
    pub began: RunTime,
    /// The seed that it was drawn from.
    pub seed: u64,
    /// Whom it may hurt.
    pub on: Vec<NodeId>,
    /// The faults, in order.
    pub plan: Vec<ChaosFault>,
    /// What became of each fault whose time came, by its place.
    pub fired: BTreeMap<u32, Fired>,
    /// When it was gone on with, after a gap.
    pub gone_on: Vec<RunTime>,
    /// What came of them; `None` until it ended.
    pub tally: Option<ChaosTally>,
    /// Why it ended before its schedule did.
    pub early: Option<String>,
}

/// What became of a fault of a schedule.
#[derive(Debug, Clone)]
pub struct Fired {
    /// When.
    pub at: RunTime,
    /// The fault, or why there was none.
    pub what: Result<FaultId, String>,
}

impl ChaosView {
    /// Whether it is what a schedule of another run came to be.
    pub fn is_replay(&self) -> bool {
        self.plan.iter().any(|fault| fault.realised.is_some())
    }

    /// How much later than planned each fault was applied, in microseconds, smallest first.
    pub fn lateness(&self) -> Vec<u64> {
        let late = |(place, fired): (&u32, &Fired)| {
            // Its times do not count from its beginning any more.
            if self.gone_on.first().is_some_and(|again| fired.at >= *again) {
                return None;
            }
            let planned = self.plan.get(usize::try_from(*place).ok()?)?.at_micros;
            fired.what.as_ref().ok()?;
            Some(fired.at.micros.saturating_sub(self.began.micros + planned))
        };
        let mut late: Vec<u64> = self.fired.iter().filter_map(late).collect();
        late.sort_unstable();
        late
    }
}

impl RunView {
    pub(super) fn apply_chaos(&mut self, event: &RunEvent) {
        use RunEventKind as K;
        match &event.kind {
            K::ChaosPlanned { chaos, plan, .. } if self.chaos.contains_key(chaos) => {
                // It is gone on with: what is over of it stays.
                if let Some(view) = self.chaos.get_mut(chaos) {
                    view.tally = None;
                    view.gone_on.push(event.at);
                    if view.plan != *plan {
                        self.orphan(event, format!("chaos {chaos} has two schedules"));
                    }
                }
            }
            K::ChaosPlanned { chaos, test, seed, on, plan, .. } => {
                let view = ChaosView {
                    test: *test,
                    began: event.at,
                    seed: *seed,
                    on: on.clone(),
                    plan: plan.clone(),
                    fired: BTreeMap::new(),
                    gone_on: Vec::new(),
                    tally: None,
                    early: None,
                };
                self.chaos.insert(*chaos, view);
            }
            K::FaultPlanned { fault, chaos: Some(place), .. } => {
                let fired = Fired { at: event.at, what: Ok(*fault) };
                match self.chaos.get_mut(&place.chaos) {
                    Some(view) => drop(view.fired.insert(place.place, fired)),
                    None => self.orphan(event, format!("fault {fault} is of no schedule")),
                }
            }
            K::ChaosSkipped { place, why } => {
                let fired = Fired { at: event.at, what: Err(why.clone()) };
                match self.chaos.get_mut(&place.chaos) {
                    Some(view) => drop(view.fired.insert(place.place, fired)),
                    None => self.orphan(event, "a fault of no schedule was skipped".to_owned()),
                }
            }
            K::ChaosFinished { chaos, tally, early } => match self.chaos.get_mut(chaos) {
                Some(view) => (view.tally, view.early) = (Some(*tally), early.clone()),
                None => self.orphan(event, format!("chaos {chaos} ended without a schedule")),
            },
            _ => {}
        }
    }
}
