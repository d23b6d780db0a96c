//! What a schedule of another run came to be, carried out again: the same faults on the same nodes
//! at the times at which they were applied there, and what was skipped is skipped.
//!
//! A replay hurts nobody else in a target's place, and does not end early: it is there to see all
//! of it again. `at_once` holds in it too: a fault that took longer to be noticed than before would
//! otherwise overlap with the next one, which it never did in the run that is replayed.

use std::time::Duration;

use meshlab_faults::by_name;
use meshlab_model::{ChaosFault, ChaosId, ChaosPlace, Realised};
use meshlab_mutants::{Mutant, on};
use tokio::{sync::watch, time::Instant};

use super::{Storm, Woken, is_ready};
use crate::{ChaosKind, Engine, FaultCall, HostError, faults::collides, state::State};

/// Longer than anything acts.
const FAR: Duration = Duration::from_secs(365 * 86_400);

impl Engine {
    /// What the schedule came to be in the run that this one replays, if it does.
    pub(super) fn replayed(&self, chaos: ChaosId) -> Option<Vec<ChaosFault>> {
        let replay = self.shared.config.replay.as_ref()?;
        let plan = replay.schedules.get(&chaos).cloned();
        if plan.is_none() {
            self.shared.warn(format!(
                "{} never came to schedule {chaos}: it is drawn from the seed",
                replay.run
            ));
        }
        plan
    }
}

impl Storm {
    /// Applies each fault when it was applied in the run that is replayed, or as soon after that as
    /// nothing of this schedule keeps it from it any more; what waits holds up nothing else.
    pub(super) async fn rage_again(
        &mut self,
        plan: &[ChaosFault],
        length: Duration,
        mut over: watch::Receiver<bool>,
    ) -> Result<(), HostError> {
        let started = Instant::now();
        let plan = if on(Mutant::ReplayNothing) { &[] } else { plan };
        let mut to_come = plan.iter().enumerate().peekable();
        let mut waiting: Vec<(usize, &ChaosFault)> = Vec::new();
        loop {
            for (place, planned) in std::mem::take(&mut waiting) {
                match self.is_kept_from(planned, place) {
                    true => waiting.push((place, planned)),
                    false => self.begin(place, planned),
                }
            }
            let due = to_come.peek().map(|(_, next)| Duration::from_micros(next.at_micros));
            let last = due.is_none() && waiting.is_empty();
            // What waits has something that acts to wait for, and that ends.
            let due = started + due.unwrap_or(if last { length } else { FAR });
            match self.wait(due, &mut over).await? {
                Woken::Due if last => return Ok(()),
                Woken::Due => waiting.extend(to_come.next()),
                Woken::Over => return Ok(()),
                Woken::Ended => {}
            }
        }
    }

    /// Whether as many act as may at once, or a fault that this schedule began still hurts somebody
    /// whom this one is to hurt, or would be undone by this one's undo.
    fn is_kept_from(&self, planned: &ChaosFault, place: usize) -> bool {
        let Some(realised) = planned.realised.as_ref().filter(|_| !self.acting.is_empty()) else {
            return false;
        };
        if self.acting.len() >= self.options.at_once {
            return true;
        }
        let state = self.engine.shared.state();
        let hurt = self.hurt(&state);
        if realised.targets.iter().any(|node| hurt.contains(node)) {
            return true;
        }
        let place = self.place(place);
        let kind = self.options.kinds.iter().find(|kind| kind.fault == planned.name);
        let call = kind.map(|kind| self.again(kind, realised, place, &state));
        call.is_some_and(|call| !is_free(&state, &call))
    }

    /// The fault on those whom it hurt; `None` if they are not fit for it.
    pub(super) fn call_again(
        &self,
        kind: &ChaosKind,
        realised: &Realised,
        place: ChaosPlace,
    ) -> Option<FaultCall> {
        let state = self.engine.shared.state();
        let hurt = self.hurt(&state);
        let fit = |node| is_ready(&state, node) && !hurt.contains(node);
        let call = self.again(kind, realised, place, &state);
        let alone = call.against.is_empty() && !realised.against.is_empty();
        let fit = realised.targets.iter().all(fit) && !alone && is_free(&state, &call);
        fit.then_some(call)
    }

    fn again(
        &self,
        kind: &ChaosKind,
        realised: &Realised,
        place: ChaosPlace,
        state: &State,
    ) -> FaultCall {
        // From whom it is parted may be fewer than before.
        let against = realised.against.iter().filter(|node| state.runs(node));
        FaultCall {
            name: kind.fault.clone(),
            targets: realised.targets.clone(),
            against: against.cloned().collect(),
            group: None,
            settings: kind.settings,
            hold: None,
            detect_within: Some(self.options.detect_within),
            chaos: Some(place),
        }
    }
}

/// Whether no fault that acts would be undone by its undo.
fn is_free(state: &State, call: &FaultCall) -> bool {
    let kind = by_name(&call.name);
    kind.is_some_and(|kind| !state.faults.values().any(|open| collides(open, kind, call)))
}
