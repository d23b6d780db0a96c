//! What may be done to whom, and who has to notice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use meshlab_faults::{DEATH, Evidence, Fault, Hurts, Undo, cut_links};
use meshlab_model::{FaultId, NodeId, NoiseLimits, RunEventKind, RunTime, SourceLine};
use meshlab_mutants::{Mutant, on};

use tokio::sync::watch;

use super::{
    converge::{Converging, REPAIRED_WITHIN},
    judge::{Starved, Watch},
    parted::{both_ways, parts},
    quiet::Quiet,
    silenced::Silenced,
};
use crate::{
    Engine, FaultCall, HostError,
    claims::names,
    engine::lock,
    kinds::{can_show, nobody_shows},
    state::{Judging, Kind, OpenFault, State},
};

/// What a death takes beyond the stated time to be inferred and told.
const QUIET_SLACK: Duration = Duration::from_secs(1);

/// Who has to notice a fault, and who may not take it for what it is not.
pub(super) struct Noticing {
    /// Who has to; `None` if nobody has to or nobody is there.
    pub(super) watch: Option<Watch>,
    /// Who may not.
    pub(super) quiet: Option<Quiet>,
    /// Who must hold each other to be there while it acts.
    pub(super) converging: Option<Converging>,
    /// Why nobody has to; `None` if somebody should.
    pub(super) why: Option<String>,
    /// Why nobody can, whose programs have no word for it: then silence proves nothing.
    pub(super) unavailable: Option<String>,
}

/// Who tells of whom.
type Telling = Vec<(NodeId, NodeId)>;

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
        // From now on, so that two that are applied at the same time see each other.
        let applying = OpenFault::of(kind, call, self.shared.clock.now());
        state.faults.insert(fault, OpenFault { applying: true, ..applying });
        drop(state);
        let targets = call.targets.iter().chain(&call.against).cloned().collect();
        let (name, chaos) = (call.name.clone(), call.chaos);
        let against = u32::try_from(call.against.len()).unwrap_or(u32::MAX);
        let told = call.settings.to_string();
        let planned =
            RunEventKind::FaultPlanned { fault, test, name, targets, against, told, chaos };
        if !on(Mutant::FaultUnjournalled) {
            self.shared.event_at(planned, at);
        }
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
        let state = self.shared.state();
        let mut evidence = kind.evidence();
        for node in &call.targets {
            if state.node(node)?.kind == Kind::Relay {
                evidence = of_relay(evidence);
            }
        }
        let (any_of, slack, none_of) = match evidence {
            Evidence::Spans { any_of, slack, none_of } => (any_of, slack, none_of),
            Evidence::Unnoticed { none_of, .. } => (&[][..], Duration::ZERO, none_of),
            Evidence::Parted { slack, .. } => (DEATH, slack, DEATH),
        };
        let (must, may_not, joined) = match evidence {
            Evidence::Spans { .. } => {
                (about(&state, &call.targets, false)?, about(&state, &call.targets, true)?, vec![])
            }
            Evidence::Unnoticed { .. } => (vec![], about(&state, &call.targets, true)?, vec![]),
            Evidence::Parted { unbroken: true, .. } => {
                let (apart, joined) = parted(&state, call)?;
                (apart, joined, vec![])
            }
            Evidence::Parted { unbroken: false, .. } => {
                let (apart, joined) = parted(&state, call)?;
                (apart, vec![], joined)
            }
        };
        let why = match evidence {
            Evidence::Unnoticed { why, .. } => Some(why),
            Evidence::Parted { .. } if must.is_empty() => {
                Some("the links that are left still join them")
            }
            Evidence::Parted { .. } | Evidence::Spans { .. } => None,
        };
        let why = why.map(str::to_owned);
        let at_most = kind.at_most(&call.settings);
        // What must not be said is unsaid only by who could say it.
        let bad: Vec<&str> =
            none_of.iter().map(|sign| sign.span).chain(at_most.map(|m| m.span)).collect();
        let good: Vec<&str> = any_of.iter().map(|sign| sign.span).collect();
        let looked = if must.is_empty() { (&may_not, &bad) } else { (&must, &good) };
        let unavailable = nobody_shows(&state, looked.0.iter().map(|(from, _)| from), looked.1);
        let fit = |pairs: Telling, any_of: &[&str]| -> Telling {
            pairs.into_iter().filter(|(from, _)| can_show(&state, from, any_of)).collect()
        };
        let (must, may_not) = (fit(must, &good), fit(may_not, &bad));
        let joined = fit(joined, &good);
        let pid = |node: &NodeId| {
            Some((node.clone(), state.nodes.get(node)?.life.as_ref()?.process.pid()))
        };
        let any_noise = self.shared.config.noise == NoiseLimits::NONE;
        let expected = self.tellable(&state, fault, must);
        let watch = (!expected.is_empty()).then(|| {
            let own = slowest(&state, expected.keys()) + slack;
            let within = call.detect_within.unwrap_or(own);
            let life = |node: &NodeId| Some((node.clone(), state.incarnation(node)?));
            let lives = expected.keys().filter_map(life).collect();
            let starved = || Starved::since(expected.keys().filter_map(pid));
            let strict = call.detect_within.is_some() || any_noise;
            let starved = (!strict).then(starved);
            Watch { fault, any_of, applied, within, expected, lives, starved }
        });
        let pairs = self.tellable(&state, fault, may_not);
        let quiet = (!pairs.is_empty() && (!none_of.is_empty() || at_most.is_some())).then(|| {
            let at_least = slowest(&state, pairs.keys()) + QUIET_SLACK;
            let why = why.clone().unwrap_or_else(|| "it is none of that".to_owned());
            let subjects = pairs.values().flat_map(BTreeMap::keys);
            let pids = || subjects.filter_map(pid).collect();
            let silenced = (!any_noise).then(|| Silenced::of(pids(), at_least));
            let excused = Mutex::default();
            Quiet { fault, none_of, at_most, why, applied, at_least, pairs, silenced, excused }
        });
        let together = self.tellable(&state, fault, joined);
        let converging = (!together.is_empty()).then(|| {
            let settles_after = slowest(&state, together.keys()) + QUIET_SLACK;
            Converging { together, settles_after, repaired_within: REPAIRED_WITHIN }
        });
        Ok(Noticing { watch, quiet, converging, why, unavailable })
    }

    /// Of these pairs, those in which the first can tell of the second: it runs, is not kept from
    /// it, does not hold it to be gone already, and is not so new that it has yet to hear of it. By
    /// observer, with keys.
    fn tellable(
        &self,
        state: &State,
        fault: FaultId,
        pairs: Telling,
    ) -> BTreeMap<NodeId, BTreeMap<NodeId, String>> {
        let views = lock(&self.shared.views);
        let mut telling: BTreeMap<NodeId, BTreeMap<NodeId, String>> = BTreeMap::new();
        for (observer, subject) in pairs {
            // A node that was never ready cannot be known to anybody.
            let Some(key) = state.key(&subject) else { continue };
            // Who holds it to be gone already has nothing left to notice, and neither has who was
            // replaced by another fault and has not met it yet.
            let unknown = match views.opinion(&observer, &key) {
                Some(opinion) => !opinion.present,
                None => is_replaced(state, fault, &observer),
            };
            if !unknown && can_notice(state, fault, &observer, &subject) {
                telling.entry(observer).or_default().insert(subject, key);
            }
        }
        telling
    }
}

/// What a fault shows of itself where it is done to a relay. That is no member, so nobody has to
/// infer that it is dead, and nobody may take a node for dead.
fn of_relay(evidence: Evidence) -> Evidence {
    match evidence {
        Evidence::Spans { .. } => Evidence::Unnoticed {
            none_of: DEATH,
            why: "nodes that reach each other directly do not need it",
        },
        other => other,
    }
}

/// Every other live node of its mesh about each of `nodes`; with `back`, and they about it.
fn about(state: &State, nodes: &[NodeId], back: bool) -> Result<Telling, HostError> {
    let mut pairs = Telling::new();
    for subject in nodes {
        let node = state.node(subject)?;
        let live = state.live(&node.mesh);
        if node.kind == Kind::Relay {
            // It is no member: what it is to them shows in what they are to each other.
            let others = |a: &NodeId| live.iter().filter(|b| *b != a).cloned().collect::<Vec<_>>();
            pairs.extend(live.iter().flat_map(|a| others(a).into_iter().map(|b| (a.clone(), b))));
            continue;
        }
        for observer in live.into_iter().filter(|node| node != subject) {
            if back {
                pairs.push((subject.clone(), observer.clone()));
            }
            pairs.push((observer, subject.clone()));
        }
    }
    Ok(pairs)
}

/// Of the pairs of one mesh that a cut concerns: those that it parts, and those that it does not.
fn parted(state: &State, call: &FaultCall) -> Result<(Telling, Telling), HostError> {
    let links = cut_links(&call.targets, &call.against);
    let cut = both_ways(links);
    let mut meshes = BTreeSet::new();
    for node in call.targets.iter().chain(&call.against) {
        meshes.insert(state.node(node)?.mesh.clone());
    }
    let (mut apart, mut joined) = (Telling::new(), Telling::new());
    for mesh in meshes {
        let live = state.live(&mesh);
        let part = parts(&live, &cut);
        for (a, b) in live.iter().flat_map(|a| live.iter().map(move |b| (a, b))) {
            let hurt = |node| call.targets.contains(node) || call.against.contains(node);
            if a == b || !(hurt(a) || hurt(b)) {
                continue;
            }
            let side = if part.get(a) == part.get(b) { &mut joined } else { &mut apart };
            side.push((a.clone(), b.clone()));
        }
    }
    Ok((apart, joined))
}

/// The longest time that one of these nodes says it takes to infer a death.
fn slowest<'a>(state: &State, nodes: impl Iterator<Item = &'a NodeId>) -> Duration {
    let stated = nodes.filter_map(|node| Some(state.nodes.get(node)?.ready()?.dead_after_ms));
    Duration::from_millis(stated.max().unwrap_or(0))
}

fn check_sides(kind: &dyn Fault, call: &FaultCall) -> Result<(), HostError> {
    let misuse = |text: String| Err(HostError::Misuse(text));
    let between = kind.hurts() == Hurts::LinksBetween;
    if let Some(both) = call.targets.iter().find(|node| call.against.contains(node)) {
        return misuse(format!("`fault.{}`: {both} is on both sides", call.name));
    }
    if between && kind.many() {
        // Without a right side, it is among those of the left.
        let few = call.against.is_empty() && call.targets.len() == 1;
        for (side, nodes) in [("left", &call.targets), ("right", &call.against)] {
            if nodes.is_empty() && (side == "left" || few) {
                return misuse(format!("`fault.{}`: the {side} side has no node", call.name));
            }
        }
        return Ok(());
    }
    let fit = match kind.hurts() {
        Hurts::LinksBetween => call.targets.len() == 1 && call.against.len() == 1,
        Hurts::LinksOfNode => call.targets.len() == 1,
        Hurts::Life | Hurts::Process if kind.many() => !call.targets.is_empty(),
        Hurts::Life | Hurts::Process => call.targets.len() == 1 && call.against.is_empty(),
    };
    match (fit, between, kind.many()) {
        (true, ..) => Ok(()),
        (false, true, _) => misuse(format!("`fault.{}` takes two nodes", call.name)),
        (false, false, true) => misuse(format!("`fault.{}` needs at least one node", call.name)),
        (false, false, false) => misuse(format!("`fault.{}` takes one node", call.name)),
    }
}

/// Whether a fault that still acts sets the same thing: then each undo would undo the other too.
pub(crate) fn collides(open: &OpenFault, kind: &dyn Fault, call: &FaultCall) -> bool {
    let acts = open.applying || open.undo.as_ref().is_some_and(Undo::is_needed);
    if open.sets != kind.sets() || open.hurts != kind.hurts() || !acts {
        return false;
    }
    if open.hurts == Hurts::LinksBetween {
        let ours = both_ways(cut_links(&call.targets, &call.against));
        return cut_links(&open.targets, &open.against).iter().any(|link| ours.contains(link));
    }
    open.targets.iter().any(|node| call.targets.contains(node))
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

/// Whether a fault that acts has the process of this node: then it may be that which keeps it from
/// a processor.
pub(super) fn hurt_as_process(state: &State, node: &NodeId) -> bool {
    let mut acting = state.faults.values().filter(|open| open.undo.is_some());
    acting.any(|open| open.hurts == Hurts::Process && open.targets.contains(node))
}

/// Whether a fault had the process of this node, in part at least, within the time that ends now:
/// what the kernel counted then may be its doing, though it was taken back.
pub(super) fn was_hurt_as_process(
    state: &State,
    node: &NodeId,
    within: Duration,
    now: RunTime,
) -> bool {
    let mut on_process = state.faults.values().filter(|open| open.hurts == Hurts::Process);
    on_process.any(|open| {
        let acted = match open.taken_back {
            Some(back) => now.since(back) <= within,
            // It acts, or is on its way there or back; any other never did.
            None => open.undo.is_some() || open.applying || *open.undone.borrow(),
        };
        acted && open.targets.contains(node)
    })
}

/// Whether another fault that is not over took this node's former life.
fn is_replaced(state: &State, fault: FaultId, node: &NodeId) -> bool {
    let mut others = state.faults.iter().filter(|(id, open)| **id != fault && !open.settled);
    others.any(|(_, open)| open.hurts == Hurts::Life && open.targets.contains(node))
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
    /// A fault that was asked for at `applied`, and did nothing yet.
    pub(super) fn of(kind: &dyn Fault, call: &FaultCall, applied: RunTime) -> Self {
        Self {
            name: call.name.clone(),
            hurts: kind.hurts(),
            freezes: kind.freezes(),
            sets: kind.sets(),
            targets: call.targets.clone(),
            against: call.against.clone(),
            drawn: call.chaos.is_some(),
            applied,
            applying: false,
            undo: None,
            undone: watch::Sender::new(false),
            ending: watch::Sender::new(false),
            taken_back: None,
            judging: Judging::Done,
            healing: None,
            heals: None,
            judged: None,
            settled: false,
            timer: None,
        }
    }

    /// Whether `observer` notices nothing new about `subject` while this fault acts.
    fn blinds(&self, observer: &NodeId, subject: &NodeId) -> bool {
        match self.hurts {
            Hurts::Process => self.freezes && self.targets.contains(observer),
            Hurts::LinksBetween => both_ways(cut_links(&self.targets, &self.against))
                .contains(&(observer.clone(), subject.clone())),
            Hurts::Life | Hurts::LinksOfNode => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use meshlab_faults::WedgeNode;

    use super::*;

    #[test]
    fn nobody_has_to_bury_a_relay_that_stands_still() {
        assert!(matches!(WedgeNode.evidence(), Evidence::Spans { .. }));
        let of_relay = of_relay(WedgeNode.evidence());
        assert!(matches!(of_relay, Evidence::Unnoticed { none_of: DEATH, .. }), "{of_relay:?}");
    }
}
