//! What a schedule of another run came to be, carried out again: the same faults on the same nodes
//! at the times at which they were applied there, and what was skipped is skipped.
//!
//! A replay never has more at once than the scenario allows, hurts nobody else in a target's place,
//! and does not end early: it is there to see all of it again.

use meshlab_faults::by_name;
use meshlab_model::{ChaosFault, ChaosId, ChaosPlace, Realised};

use super::{Storm, is_ready};
use crate::{ChaosKind, Engine, FaultCall, faults::collides};

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
    /// Whether a fault that this schedule began still hurts somebody whom this one is to hurt. It
    /// ends, and what waits for it is late by as much, which the report tells.
    pub(super) fn still_hurt(&self, planned: &ChaosFault) -> bool {
        let Some(realised) = &planned.realised else { return false };
        let state = self.engine.shared.state();
        let hurt = self.hurt(&state);
        !self.acting.is_empty() && realised.targets.iter().any(|node| hurt.contains(node))
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
        if !realised.targets.iter().all(fit) {
            return None;
        }
        // From whom it is parted may be fewer than before, not nobody.
        let against = realised.against.iter().filter(|node| state.runs(node));
        let against: Vec<_> = against.cloned().collect();
        if against.is_empty() && !realised.against.is_empty() {
            return None;
        }
        let call = FaultCall {
            name: kind.fault.clone(),
            targets: realised.targets.clone(),
            against,
            group: None,
            settings: kind.settings,
            hold: None,
            detect_within: Some(self.options.detect_within),
            chaos: Some(place),
        };
        let fault = by_name(&kind.fault)?;
        let free = !state.faults.values().any(|open| collides(open, fault, &call));
        free.then_some(call)
    }
}
