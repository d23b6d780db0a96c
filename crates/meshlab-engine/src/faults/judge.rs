//! Waits for others to notice a fault, and judges it by their spans and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use meshlab_faults::Sign;
use meshlab_model::{FaultId, FaultStage, NodeId, RunEventKind, RunTime, Verdict, format_duration};
use meshlab_mutants::{Mutant, on};
use meshlab_sampler::RunQueue;
use meshlab_spans::{Selector, SpanStore};
use meshlab_wire::{State, attr};
use tokio::{sync::watch, time::Instant};

use super::plan::{can_notice, hurt_as_process, released};
use crate::{cancel::describe, claims::names, engine::Shared};

/// Who must notice what, and until when.
pub(super) struct Watch {
    pub(super) fault: FaultId,
    pub(super) any_of: &'static [Sign],
    pub(super) applied: RunTime,
    pub(super) within: Duration,
    /// By observer: the nodes about which it must notice, with their keys.
    pub(super) expected: BTreeMap<NodeId, BTreeMap<NodeId, String>>,
    /// By observer: which of its lives it was in. The next one knows nothing of what was before.
    pub(super) lives: BTreeMap<NodeId, u32>,
    /// How long they were kept waiting for a processor; `None` where the scenario says how long
    /// they have, or the host's noise is to be ignored.
    pub(super) starved: Option<Starved>,
}

/// Less than this is what any process waits.
const STARVED_MIN: Duration = Duration::from_millis(100);

/// How long nodes, and the harness that hears them, wait for a processor since a fault acts.
///
/// It is the kernel that says it. What a node says of itself (`node.paused`) would excuse one that
/// stands still by its own fault.
pub(super) enum Starved {
    Since {
        harness: RunQueue,
        nodes: BTreeMap<NodeId, RunQueue>,
    },
    #[cfg(test)]
    By(Duration),
}

impl Starved {
    /// From now on, of nodes with these processes.
    pub(super) fn since(nodes: impl Iterator<Item = (NodeId, u32)>) -> Self {
        let nodes = nodes.map(|(node, pid)| (node, RunQueue::of(pid))).collect();
        Self::Since { harness: RunQueue::of(std::process::id()), nodes }
    }

    fn waited(&self, node: &NodeId) -> Duration {
        match self {
            Self::Since { harness, nodes } => {
                let node = nodes.get(node).map(RunQueue::waited).unwrap_or_default();
                node.max(harness.waited())
            }
            #[cfg(test)]
            Self::By(waited) => *waited,
        }
    }
}

/// What was noticed so far.
#[derive(Default)]
struct Noticed {
    /// By observer and subject.
    signs: BTreeMap<(NodeId, NodeId), &'static Sign>,
    /// Observers that have noticed everything, and whose event is in the record.
    told: BTreeSet<NodeId>,
}

enum Ended {
    Deadline,
    Undone,
    Stopped(String),
}

/// Waits until every observer that still can has noticed.
pub(super) async fn judge(
    shared: &Shared,
    watch: Watch,
    mut undone: watch::Receiver<bool>,
) -> Verdict {
    let acted = shared.clock.now();
    let mut noticed = Noticed::default();
    let ended = loop {
        let due = watch.due(shared, &noticed, acted);
        let left = due.since(shared.clock.now());
        if left.is_zero() {
            // Which of the two came first, nobody can say who looks only now.
            let undone = *undone.borrow();
            break Some(if undone { Ended::Undone } else { Ended::Deadline });
        }
        let all_noticed = shared.store.wait_for(Instant::now() + left, |_| {
            watch.notice(shared, &mut noticed);
            watch.missing(shared, &noticed).is_empty().then_some(())
        });
        tokio::select! {
            biased;
            all = all_noticed => if all.is_some() { break None },
            _ = undone.wait_for(|undone| *undone) => break Some(Ended::Undone),
            reason = shared.cancel.stopped() => break Some(Ended::Stopped(describe(&reason))),
        }
    };
    watch.notice(shared, &mut noticed);
    let mut missing = watch.missing(shared, &noticed);
    if matches!(ended, Some(Ended::Deadline)) {
        let late = watch.late(shared, &missing, acted);
        missing.retain(|pair| late.contains(pair));
    }
    let by: BTreeSet<NodeId> = missing.iter().map(|(observer, _)| observer.clone()).collect();
    let by = names(&by.into_iter().collect::<Vec<_>>());
    match ended {
        _ if noticed.signs.is_empty() && missing.is_empty() => {
            Verdict::Inconclusive("no observer outlived it".to_owned())
        }
        _ if missing.is_empty() => Verdict::Passed,
        Some(Ended::Stopped(why)) => Verdict::Inconclusive(why),
        Some(Ended::Undone) => {
            let lasted = shared.clock.now().since(watch.applied);
            Verdict::Inconclusive(format!(
                "taken back after {}, too soon for {by} to notice: they have {}",
                format_duration(lasted),
                format_duration(watch.within)
            ))
        }
        Some(Ended::Deadline) | None => Verdict::Failed(watch.unnoticed(shared, &by, &missing)),
    }
}

impl Watch {
    /// Who has not noticed what, of those that still can.
    fn missing(&self, shared: &Shared, noticed: &Noticed) -> Vec<(NodeId, NodeId)> {
        let state = shared.state();
        self.pairs()
            .map(|(observer, subject, _)| (observer.clone(), subject.clone()))
            .filter(|pair| !noticed.signs.contains_key(pair))
            .filter(|(observer, _)| {
                state.incarnation(observer) == self.lives.get(observer).copied()
            })
            .filter(|(observer, subject)| can_notice(&state, self.fault, observer, subject))
            .collect()
    }

    /// When the next observer must have noticed.
    fn due(&self, shared: &Shared, noticed: &Noticed, acted: RunTime) -> RunTime {
        let dues = self.dues(shared, &self.missing(shared, noticed), acted);
        let last = RunTime::from_duration(acted.as_duration() + self.within);
        dues.into_iter().min().unwrap_or(last)
    }

    #[cfg(test)]
    pub(super) fn first_due(&self, shared: &Shared, acted: RunTime) -> RunTime {
        self.due(shared, &Noticed::default(), acted)
    }

    /// Those that had their time.
    fn late(
        &self,
        shared: &Shared,
        missing: &[(NodeId, NodeId)],
        acted: RunTime,
    ) -> BTreeSet<(NodeId, NodeId)> {
        let (now, dues) = (shared.clock.now(), self.dues(shared, missing, acted));
        let late = missing.iter().zip(dues).filter(|(_, due)| *due <= now);
        let late: BTreeSet<_> = late.map(|(pair, _)| pair.clone()).collect();
        // One that got more time in between is late all the same: its deadline had come.
        if late.is_empty() { missing.iter().cloned().collect() } else { late }
    }

    /// Until when each of these must have noticed: one that another fault kept from it has its time
    /// from the moment that that fault was taken back, and one that got no processor has as much
    /// time more.
    fn dues(&self, shared: &Shared, missing: &[(NodeId, NodeId)], acted: RunTime) -> Vec<RunTime> {
        let observers: BTreeSet<&NodeId> = missing.iter().map(|(observer, _)| observer).collect();
        let more: BTreeMap<&NodeId, Duration> =
            observers.into_iter().map(|node| (node, self.more(shared, node))).collect();
        let state = shared.state();
        let due = |(observer, subject): &(NodeId, NodeId)| {
            let from = released(&state, self.fault, observer, subject).unwrap_or(acted).max(acted);
            let more = more.get(observer).copied().unwrap_or_default();
            RunTime::from_duration(from.as_duration() + self.within + more)
        };
        missing.iter().map(due).collect()
    }

    /// How much longer this observer has because it, or the harness that hears it, was kept waiting
    /// for a processor: never more than its own time again. Nothing where a fault throttles it.
    fn more(&self, shared: &Shared, observer: &NodeId) -> Duration {
        let Some(starved) = &self.starved else { return Duration::ZERO };
        if hurt_as_process(&shared.state(), observer) {
            return Duration::ZERO;
        }
        let waited = starved.waited(observer);
        if waited < STARVED_MIN { Duration::ZERO } else { waited.min(self.within) }
    }

    fn pairs(&self) -> impl Iterator<Item = (&NodeId, &NodeId, &str)> {
        self.expected.iter().flat_map(|(observer, subjects)| {
            subjects.iter().map(move |(subject, key)| (observer, subject, key.as_str()))
        })
    }

    /// Takes in what has come since the last look, and records who has noticed everything.
    fn notice(&self, shared: &Shared, noticed: &mut Noticed) {
        for (observer, subject, key) in self.pairs() {
            let pair = (observer.clone(), subject.clone());
            if noticed.signs.contains_key(&pair) {
                continue;
            }
            let gone = on(Mutant::DeathFromTable) && !shared.state().runs(subject);
            let seen =
                |sign: &&Sign| gone || seen(&shared.store, sign, observer, key, self.applied);
            if let Some(sign) = self.any_of.iter().find(seen) {
                noticed.signs.insert(pair, sign);
            }
        }
        for (observer, subjects) in &self.expected {
            let sign =
                |subject: &NodeId| noticed.signs.get(&(observer.clone(), subject.clone())).copied();
            let signs: Option<Vec<&Sign>> = subjects.keys().map(sign).collect();
            let Some(first) = signs.as_ref().and_then(|signs| signs.first()) else { continue };
            if noticed.told.insert(observer.clone()) {
                let about = match subjects.len() {
                    1 => String::new(),
                    _ => format!(" about {}", list(subjects.keys())),
                };
                let late = self.told_late(shared, observer);
                let stage = FaultStage::Noticed {
                    by: observer.clone(),
                    evidence: format!("{first}{about}{late}"),
                };
                shared.event(RunEventKind::FaultReached { fault: self.fault, stage });
            }
        }
    }

    /// Why it may be later than its own time, where it is.
    fn told_late(&self, shared: &Shared, observer: &NodeId) -> String {
        let took = shared.clock.now().since(self.applied);
        let more = self.more(shared, observer);
        if took <= self.within || more.is_zero() {
            return String::new();
        }
        format!(
            "; after {}: to its {} came {}, for which it or the harness waited for a processor",
            format_duration(took),
            format_duration(self.within),
            format_duration(more)
        )
    }

    fn unnoticed(&self, shared: &Shared, by: &str, missing: &[(NodeId, NodeId)]) -> String {
        let signs: Vec<String> = self.any_of.iter().map(|sign| format!("`{sign}`")).collect();
        let about: BTreeSet<&NodeId> = missing.iter().map(|(_, subject)| subject).collect();
        let more = missing.iter().map(|(observer, _)| self.more(shared, observer)).max();
        let more = match more.filter(|more| !more.is_zero()) {
            Some(more) => format!(
                " and {} more, for which it or the harness waited for a processor",
                format_duration(more)
            ),
            None => String::new(),
        };
        format!(
            "not noticed by {by} within {}{more} (no span {} about {})",
            format_duration(self.within),
            signs.join(" or "),
            list(about)
        )
    }
}

fn list<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> String {
    names(&nodes.into_iter().cloned().collect::<Vec<_>>())
}

/// Spans of an observer about the node with that key.
pub(super) fn selector(
    name: &str,
    state: Option<State>,
    observer: &NodeId,
    key: &str,
    since: RunTime,
) -> Selector {
    let mut about = Selector::named(name).of(observer).with(attr::PEER_ID, key).since(since);
    if on(Mutant::AnyObserver) {
        about.nodes = None;
    }
    match state {
        Some(state) => about.with(attr::STATE, state.as_str()),
        None => about,
    }
}

/// Whether an observer has sent such a span about the node with that key.
fn seen(store: &SpanStore, sign: &Sign, observer: &NodeId, key: &str, since: RunTime) -> bool {
    let wanted = selector(sign.span, sign.state, observer, key, since);
    let Some((span, state)) = sign.after else { return store.count(&wanted) > 0 };
    let before = store.find(&selector(span, Some(state), observer, key, since), usize::MAX);
    let last = store.last(&wanted);
    before.first().zip(last).is_some_and(|(before, last)| last.seq > before.seq)
}

#[cfg(test)]
mod tests {
    use std::time::Instant as StdInstant;

    use meshlab_spans::{IncomingSpan, RunClock};
    use meshlab_wire::span;

    use super::*;

    fn store() -> SpanStore {
        let clock = RunClock { started: StdInstant::now(), started_unix_nanos: 0 };
        SpanStore::new(clock, 100)
    }

    fn says(store: &SpanStore, name: &str, peer: &str, state: Option<&str>) {
        let mut attributes = BTreeMap::from([(attr::PEER_ID.to_owned(), peer.into())]);
        attributes.extend(state.map(|state| (attr::STATE.to_owned(), state.into())));
        let span = IncomingSpan {
            name: name.into(),
            trace_id: String::new(),
            span_id: String::new(),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes,
        };
        store.add(&"node-1".into(), vec![span]);
    }

    fn sees(store: &SpanStore, sign: &Sign) -> bool {
        seen(store, sign, &"node-1".into(), "k", RunTime::ZERO)
    }

    #[test]
    fn a_sign_may_ask_for_a_state_or_for_none() {
        let dead = Sign { span: span::STATE_INFERRED, state: Some(State::Dead), after: None };
        let back = Sign { span: span::PEER_RESTARTED, state: None, after: None };
        let store = store();
        says(&store, span::STATE_INFERRED, "k", Some("Degraded"));
        says(&store, span::STATE_INFERRED, "other", Some("Dead"));
        says(&store, span::PEER_RESTARTED, "other", None);
        assert!(!sees(&store, &dead) && !sees(&store, &back));
        says(&store, span::STATE_INFERRED, "k", Some("Dead"));
        says(&store, span::PEER_RESTARTED, "k", None);
        assert!(sees(&store, &dead) && sees(&store, &back));
        assert!(!seen(&store, &dead, &"node-2".into(), "k", RunTime::ZERO), "another's word");
    }

    #[test]
    fn what_must_come_after_death_does_not_count_before_it() {
        let again = Sign {
            span: span::STATE_HEARD,
            state: Some(State::Alive),
            after: Some((span::STATE_INFERRED, State::Dead)),
        };
        let store = store();
        says(&store, span::STATE_HEARD, "k", Some("Alive"));
        assert!(!sees(&store, &again));
        says(&store, span::STATE_INFERRED, "k", Some("Dead"));
        assert!(!sees(&store, &again), "it was heard before, and not again");
        says(&store, span::STATE_HEARD, "k", Some("Joining"));
        assert!(!sees(&store, &again));
        says(&store, span::STATE_HEARD, "k", Some("Alive"));
        assert!(sees(&store, &again));
    }
}
