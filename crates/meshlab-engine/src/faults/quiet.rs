//! Watches that nobody takes a fault for what it is not: who is slow is not dead.

use std::{collections::BTreeMap, time::Duration};

use meshlab_faults::{AtMost, Sign};
use meshlab_model::{FaultId, NodeId, RunTime, SpanRecord, Verdict, format_duration};
use meshlab_mutants::{Mutant, on};
use meshlab_spans::Selector;
use meshlab_wire::attr;
use tokio::{sync::watch, time::Instant};

use super::judge::selector;
use crate::{cancel::describe, engine::Shared, state::State};

/// Longer than any run: the wait has another end.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What nobody may say of whom while a fault acts.
pub(super) struct Quiet {
    pub(super) fault: FaultId,
    pub(super) none_of: &'static [Sign],
    pub(super) at_most: Option<AtMost>,
    /// Why nobody may.
    pub(super) why: String,
    pub(super) applied: RunTime,
    /// How long at least: a death is inferred only after so much silence.
    pub(super) at_least: Duration,
    /// By observer: the nodes about which it may not, with their keys.
    pub(super) pairs: BTreeMap<NodeId, BTreeMap<NodeId, String>>,
}

/// Watches until the fault is taken back or the test is over, and for the least time at least.
pub(super) async fn stay_quiet(
    shared: &Shared,
    quiet: Quiet,
    mut ending: watch::Receiver<bool>,
) -> Verdict {
    let least = Instant::now() + quiet.at_least;
    let over = async {
        tokio::time::sleep_until(least).await;
        // Whoever would say so is gone: then the fault is too.
        let _ = ending.wait_for(|ending| *ending).await;
    };
    let offence = shared.store.wait_for(Instant::now() + FOR_EVER, |_| quiet.offence(shared));
    let offence = tokio::select! {
        offence = offence => offence,
        () = over => quiet.offence(shared),
        reason = shared.cancel.stopped() => match quiet.offence(shared) {
            None => return Verdict::Inconclusive(describe(&reason)),
            offence => offence,
        },
    };
    match offence {
        Some(offence) => Verdict::Failed(format!("{offence}, though {}", quiet.why)),
        None if shared.store.is_whole_since(quiet.applied) => Verdict::Passed,
        None => Verdict::Inconclusive(
            "spans of the time in which it acted are no longer in memory, so that none was seen \
             proves nothing"
                .to_owned(),
        ),
    }
}

impl Quiet {
    /// The first thing that somebody said and may not have.
    fn offence(&self, shared: &Shared) -> Option<String> {
        if on(Mutant::QuietUnwatched) {
            return None;
        }
        for (observer, subjects) in &self.pairs {
            for (subject, key) in subjects {
                for sign in self.none_of {
                    let wanted = selector(sign.span, sign.state, observer, key, self.applied);
                    let found = shared.store.find(&wanted, usize::MAX);
                    let own = |span: &&SpanRecord| self.is_its_own(shared, observer, subject, span);
                    if let Some(span) = found.iter().find(own) {
                        let after = format_duration(span.arrived.since(self.applied));
                        return Some(format!(
                            "{observer} sent `{sign}` about {subject}, {after} after it was applied"
                        ));
                    }
                }
                let often = self.too_often(shared, observer, subject, key);
                if often.is_some() {
                    return often;
                }
            }
        }
        None
    }

    fn too_often(
        &self,
        shared: &Shared,
        observer: &NodeId,
        subject: &NodeId,
        key: &str,
    ) -> Option<String> {
        let AtMost { span, times } = self.at_most?;
        let selector = Selector::named(span).of(observer).with(attr::PEER_ID, key);
        let count = shared.store.count(&selector.since(self.applied));
        (count > times).then(|| {
            format!(
                "{observer} sent `{span}` about {subject} {count} times and not {times} at most"
            )
        })
    }

    /// Whether the span can come of this fault: both nodes run, and no other fault hurt one of
    /// them then or so short a time before that a death by it may have been told only now.
    fn is_its_own(
        &self,
        shared: &Shared,
        observer: &NodeId,
        subject: &NodeId,
        span: &SpanRecord,
    ) -> bool {
        let state = shared.state();
        state.runs(subject)
            && state.runs(observer)
            && !self.may_be_of_another(&state, observer, subject, span.arrived)
    }

    fn may_be_of_another(
        &self,
        state: &State,
        observer: &NodeId,
        subject: &NodeId,
        at: RunTime,
    ) -> bool {
        let mut others = state.faults.iter().filter(|(id, _)| **id != self.fault);
        others.any(|(_, other)| {
            let hurt = |node| other.targets.contains(node) || other.against.contains(node);
            let ended = match (&other.undo, other.taken_back) {
                (Some(_), _) => None,
                (None, Some(back)) => Some(back),
                // It was over as soon as it acted.
                (None, None) => Some(other.applied),
            };
            let late = ended.map(|ended| ended.as_duration() + self.at_least);
            (hurt(observer) || hurt(subject))
                && other.applied <= at
                && late.is_none_or(|late| at.as_duration() <= late)
        })
    }
}
