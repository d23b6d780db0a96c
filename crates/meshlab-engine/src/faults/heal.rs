//! Waits until the mesh is as it was before a fault that was taken back, by its nodes' own word.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use meshlab_model::{FaultId, FaultStage, NodeId, RunEventKind, Verdict, format_duration};
use meshlab_mutants::{Mutant, on};
use meshlab_wire::State as Lifecycle;
use tokio::time::Instant;

use crate::{
    cancel::describe,
    claims::names,
    engine::{Shared, lock},
    state::State,
    views::Opinion,
};

/// How often a program that says nothing of others is asked from outside.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Who must hold whom to be there again, and as well as then: the pairs that did when the fault
/// was applied.
#[derive(Debug, Clone)]
pub(crate) struct Healing {
    pub(super) fault: FaultId,
    /// By observer: the nodes that it held to be there, with their keys.
    pub(super) before: BTreeMap<NodeId, BTreeMap<NodeId, String>>,
    /// Observer and node, where the former held the latter to be degraded already.
    degraded: BTreeSet<(NodeId, NodeId)>,
    /// Who asks whom whether it is there, where a kind says how.
    answering: Vec<(NodeId, NodeId)>,
    /// How long it may take from the moment that the fault was taken back.
    pub(super) within: Duration,
}

impl Healing {
    /// What the nodes of these meshes hold now.
    pub(super) fn new(
        shared: &Shared,
        fault: FaultId,
        hurt: &BTreeSet<&NodeId>,
        within: Duration,
    ) -> Self {
        let state = shared.state();
        let meshes: BTreeSet<_> =
            hurt.iter().filter_map(|id| Some(state.nodes.get(*id)?.mesh.clone())).collect();
        let views = lock(&shared.views);
        let mut before: BTreeMap<NodeId, BTreeMap<NodeId, String>> = BTreeMap::new();
        let mut degraded = BTreeSet::new();
        let answers = |id: &NodeId| {
            let stranger = state.nodes.get(id).and_then(|node| node.stranger.as_ref());
            stranger.is_some_and(|stranger| stranger.kind.answers.is_some())
        };
        let asked = hurt.iter().copied().filter(|id| answers(id));
        let answering = asked.filter_map(|id| {
            let live = state.live(&state.nodes.get(id)?.mesh);
            let other = live.into_iter().find(|other| other != id);
            Some((other.unwrap_or_else(|| id.clone()), id.clone()))
        });
        let answering = answering.collect();
        for mesh in &meshes {
            let live = state.live(mesh);
            for observer in &live {
                for subject in live.iter().filter(|subject| *subject != observer) {
                    let Some(key) = state.key(subject) else { continue };
                    let opinion = views.opinion(observer, &key);
                    if let Some(opinion) = opinion.filter(|opinion| opinion.present) {
                        if opinion.state == Lifecycle::Degraded {
                            degraded.insert((observer.clone(), subject.clone()));
                        }
                        before.entry(observer.clone()).or_default().insert(subject.clone(), key);
                    }
                }
            }
        }
        Self { fault, before, degraded, answering, within }
    }

    /// Waits until everybody holds everybody to be there again, and records when each does.
    pub(super) async fn wait(self, shared: &Shared) -> Verdict {
        let deadline = Instant::now() + self.within;
        match self.wait_for_books(shared).await {
            Verdict::Passed => self.wait_for_answers(shared, deadline).await,
            other => other,
        }
    }

    /// Asks programs that say nothing of each other from outside, until each answers.
    async fn wait_for_answers(&self, shared: &Shared, deadline: Instant) -> Verdict {
        for (from, to) in &self.answering {
            loop {
                let (runs, hurt) = {
                    let state = shared.state();
                    let both = state.runs(from) && state.runs(to);
                    (both, [from, to].iter().any(|id| hurt_by_other(&state, self.fault, id)))
                };
                // Who is hurt by another fault heals, or not, with that one.
                if !runs || hurt {
                    break;
                }
                let Err(why) = crate::kinds::ask(shared, from, to).await else {
                    let stage = FaultStage::Healed { by: from.clone() };
                    shared.event(RunEventKind::FaultReached { fault: self.fault, stage });
                    break;
                };
                if Instant::now() > deadline {
                    let within = format_duration(self.within);
                    return Verdict::Failed(format!(
                        "not healed within {within}: {to} does not answer {from}: {why}"
                    ));
                }
                if let Some(reason) = shared.cancel.reason() {
                    let why = describe(&reason);
                    return Verdict::Inconclusive(format!("not healed when {why}"));
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        }
        Verdict::Passed
    }

    async fn wait_for_books(&self, shared: &Shared) -> Verdict {
        let mut told = BTreeSet::new();
        let healed = shared.store.wait_for(Instant::now() + self.within, |_| {
            let missing = self.missing(shared);
            let live = self.before.keys().filter(|node| shared.state().runs(node)).cloned();
            for by in live.collect::<Vec<_>>() {
                if !missing.contains_key(&by) && told.insert(by.clone()) {
                    let stage = FaultStage::Healed { by };
                    shared.event(RunEventKind::FaultReached { fault: self.fault, stage });
                }
            }
            missing.is_empty().then_some(())
        });
        let ended = tokio::select! {
            healed = healed => Ok(healed),
            reason = shared.cancel.stopped() => Err(describe(&reason)),
        };
        match ended {
            Ok(Some(())) => Verdict::Passed,
            Err(why) => Verdict::Inconclusive(format!("not healed when {why}")),
            Ok(None) => self.unhealed(shared),
        }
    }

    fn unhealed(&self, shared: &Shared) -> Verdict {
        let missing = self.missing(shared);
        let Some((observer, subjects)) = missing.first_key_value() else { return Verdict::Passed };
        let more = match missing.len() {
            1 => String::new(),
            count => format!(", and {} more are not whole", count - 1),
        };
        Verdict::Failed(format!(
            "not healed within {}: {observer} does not hold {} to be there and well{more}",
            format_duration(self.within),
            names(&subjects.iter().cloned().collect::<Vec<_>>()),
        ))
    }

    /// Who does not hold whom to be there, of those that run and that no other fault hurts.
    fn missing(&self, shared: &Shared) -> BTreeMap<NodeId, BTreeSet<NodeId>> {
        let state = shared.state();
        let views = lock(&shared.views);
        let fit = |node: &NodeId| state.runs(node) && !hurt_by_other(&state, self.fault, node);
        let mut missing: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
        if on(Mutant::HealedUnasked) {
            return missing;
        }
        for (observer, subjects) in self.before.iter().filter(|(observer, _)| fit(observer)) {
            for (subject, key) in subjects.iter().filter(|(subject, _)| fit(subject)) {
                let well = |opinion: Opinion| {
                    opinion.state != Lifecycle::Degraded
                        || self.degraded.contains(&(observer.clone(), subject.clone()))
                };
                if !views.opinion(observer, key).is_some_and(|held| held.present && well(held)) {
                    missing.entry(observer.clone()).or_default().insert(subject.clone());
                }
            }
        }
        missing
    }
}

/// Whether another fault that still acts hurts the node.
fn hurt_by_other(state: &State, fault: FaultId, node: &NodeId) -> bool {
    let mut others = state.faults.iter().filter(|(id, open)| **id != fault && open.undo.is_some());
    others.any(|(_, open)| open.targets.contains(node) || open.against.contains(node))
}
