//! What may be done to whom, and who has to notice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use meshlab_faults::{Evidence, Fault, Hurts, Undo};
use meshlab_model::{FaultId, NodeId, RunEventKind, RunTime, SourceLine};

use super::judge::Watch;
use crate::{
    Engine, FaultCall, HostError,
    claims::names,
    engine::lock,
    state::{OpenFault, State},
};

/// Who has to notice a fault.
pub(super) enum Noticing {
    /// Somebody, by evidence.
    By(Watch),
    /// Somebody should, and nobody is there.
    ByNobody,
    /// Nobody, for this reason.
    NotNeeded(String),
}

impl Engine {
    /// Checks that the fault can be done, and journals it before it is.
    pub(super) fn plan_fault(
        &self,
        kind: &dyn Fault,
        call: &FaultCall,
        at: SourceLine,
    ) -> Result<FaultId, HostError> {
        let mut state = self.shared.state();
        let test = state.test.ok_or_else(|| {
            HostError::Misuse("a fault can only be applied inside a `test`".to_owned())
        })?;
        check_sides(kind, call)?;
        for node in call.targets.iter().chain(&call.against) {
            if !state.node(node)?.runs() {
                return Err(HostError::Misuse(format!(
                    "`fault.{}` needs a node that runs, and {node} does not; `mesh:live()` has \
                     those that do",
                    call.name
                )));
            }
        }
        if let Some(open) = state.faults.values().find(|open| collides(open, kind, call)) {
            return Err(HostError::Misuse(format!(
                "`fault.{}` hurts {} already: undoing one of the two would undo both; wait until \
                 the first is over, or hurt another node",
                call.name,
                names(&open.targets)
            )));
        }
        state.last_fault += 1;
        let fault = FaultId(state.last_fault);
        drop(state);
        let targets = call.targets.iter().chain(&call.against).cloned().collect();
        let (name, chaos) = (call.name.clone(), call.chaos);
        self.shared.event_at(RunEventKind::FaultPlanned { fault, test, name, targets, chaos }, at);
        Ok(fault)
    }

    /// Who has to notice, worked out before the fault acts: what they know may change by it.
    pub(super) fn noticing(
        &self,
        fault: FaultId,
        kind: &dyn Fault,
        call: &FaultCall,
        applied: RunTime,
    ) -> Result<Noticing, HostError> {
        let (any_of, slack) = match kind.evidence() {
            Evidence::Spans { any_of, slack } => (any_of, slack),
            Evidence::NotNeeded(why) => return Ok(Noticing::NotNeeded(why.to_owned())),
        };
        let state = self.shared.state();
        let between = kind.hurts() == Hurts::LinksBetween;
        if between {
            let others = bystanders(&state, call)?;
            if !others.is_empty() {
                return Ok(Noticing::NotNeeded(format!(
                    "{} still connect both sides, so nobody has to notice",
                    names(&others)
                )));
            }
        }
        let mut pairs = Vec::new();
        for subject in &call.targets {
            let mesh = &state.node(subject)?.mesh;
            let observers = state.live(mesh).into_iter().filter(|node| match between {
                true => call.against.contains(node),
                false => node != subject,
            });
            for observer in observers {
                if between {
                    pairs.push((subject.clone(), observer.clone()));
                }
                pairs.push((observer, subject.clone()));
            }
        }
        let views = lock(&self.shared.views);
        let mut expected: BTreeMap<NodeId, BTreeMap<NodeId, String>> = BTreeMap::new();
        for (observer, subject) in pairs {
            // A node that was never ready cannot be known to anybody.
            let Some(key) = state.key(&subject) else { continue };
            // Who holds it to be gone already has nothing left to notice.
            let gone = views.opinion(&observer, &key).is_some_and(|opinion| !opinion.present);
            if !gone && can_notice(&state, fault, &observer, &subject) {
                expected.entry(observer).or_default().insert(subject, key);
            }
        }
        let slowest = expected
            .keys()
            .filter_map(|node| Some(state.nodes.get(node)?.ready()?.dead_after_ms))
            .max();
        let Some(slowest) = slowest else { return Ok(Noticing::ByNobody) };
        let within = call.detect_within.unwrap_or(Duration::from_millis(slowest) + slack);
        Ok(Noticing::By(Watch { fault, any_of, applied, within, expected }))
    }
}

fn check_sides(kind: &dyn Fault, call: &FaultCall) -> Result<(), HostError> {
    let misuse = |text: String| Err(HostError::Misuse(text));
    if kind.hurts() == Hurts::LinksBetween {
        for (side, nodes) in [("left", &call.targets), ("right", &call.against)] {
            if nodes.is_empty() {
                return misuse(format!("`fault.{}`: the {side} side has no node", call.name));
            }
        }
        if let Some(both) = call.targets.iter().find(|node| call.against.contains(node)) {
            return misuse(format!("`fault.{}`: {both} is on both sides", call.name));
        }
        return Ok(());
    }
    match (call.targets.as_slice(), call.against.as_slice()) {
        ([_], []) => Ok(()),
        _ => misuse(format!("`fault.{}` takes one node", call.name)),
    }
}

/// Whether a fault that still acts sets the same thing: then each undo would undo the other too.
fn collides(open: &OpenFault, kind: &dyn Fault, call: &FaultCall) -> bool {
    if open.name != kind.name() || !open.undo.as_ref().is_some_and(Undo::is_needed) {
        return false;
    }
    let meet = |a: &[NodeId], b: &[NodeId]| a.iter().any(|node| b.contains(node));
    if open.hurts == Hurts::LinksBetween {
        let straight = meet(&open.targets, &call.targets) && meet(&open.against, &call.against);
        let crossed = meet(&open.targets, &call.against) && meet(&open.against, &call.targets);
        return straight || crossed;
    }
    meet(&open.targets, &call.targets)
}

/// Live nodes of the sides' meshes that are on no side.
fn bystanders(state: &State, call: &FaultCall) -> Result<Vec<NodeId>, HostError> {
    let sides: BTreeSet<&NodeId> = call.targets.iter().chain(&call.against).collect();
    let mut others = BTreeSet::new();
    for node in &sides {
        let live = state.live(&state.node(node)?.mesh);
        others.extend(live.into_iter().filter(|other| !sides.contains(other)));
    }
    Ok(others.into_iter().collect())
}

/// Whether `observer` could notice something new about `subject`: it runs, and no fault but this
/// one keeps it from that.
pub(super) fn can_notice(
    state: &State,
    fault: FaultId,
    observer: &NodeId,
    subject: &NodeId,
) -> bool {
    let mut acting = state.faults.iter().filter(|(id, open)| **id != fault && open.undo.is_some());
    state.runs(observer) && !acting.any(|(_, open)| open.blinds(observer, subject))
}

/// When the last fault but this one that kept `observer` from noticing `subject` was taken back.
pub(super) fn released(
    state: &State,
    fault: FaultId,
    observer: &NodeId,
    subject: &NodeId,
) -> Option<RunTime> {
    let others = state.faults.iter().filter(|(id, _)| **id != fault).map(|(_, open)| open);
    others.filter(|open| open.blinds(observer, subject)).filter_map(|open| open.taken_back).max()
}

impl OpenFault {
    /// Whether `observer` notices nothing new about `subject` while this fault acts.
    fn blinds(&self, observer: &NodeId, subject: &NodeId) -> bool {
        match self.hurts {
            Hurts::Process => self.targets.contains(observer),
            Hurts::LinksBetween => {
                let apart =
                    |a: &NodeId, b: &NodeId| self.targets.contains(a) && self.against.contains(b);
                apart(observer, subject) || apart(subject, observer)
            }
            Hurts::Life | Hurts::LinksOfNode => false,
        }
    }
}
