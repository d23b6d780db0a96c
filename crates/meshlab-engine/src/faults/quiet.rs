//! Watches that nobody takes a fault for what it is not: who is slow is not dead.

use std::{collections::BTreeMap, future::pending, sync::Mutex, time::Duration};

use meshlab_faults::{AtMost, Sign};
use meshlab_model::{FaultId, NodeId, RunTime, SpanRecord, Verdict, format_duration};
use meshlab_mutants::{Mutant, on};
use meshlab_sampler::ThreadTime;
use meshlab_spans::Selector;
use meshlab_wire::attr;
use tokio::{sync::watch, time::Instant};

use super::{
    judge::selector,
    plan::was_hurt_as_process,
    silenced::{Silenced, Stretch},
};
use crate::{
    cancel::describe,
    engine::{Shared, lock},
    state::State,
};

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
    /// How long these were kept from a processor; `None` where the host's noise is to be ignored.
    pub(super) silenced: Option<Silenced>,
    /// Spans, by number, about who was, which decide nothing; and what they are.
    pub(super) excused: Mutex<BTreeMap<u64, String>>,
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
    let looking = async {
        match &quiet.silenced {
            Some(silenced) => silenced.keep_looking().await,
            None => pending().await,
        }
    };
    let offence = tokio::select! {
        offence = offence => offence,
        never = looking => match never {},
        () = over => quiet.offence(shared),
        reason = shared.cancel.stopped() => match quiet.offence(shared) {
            None => return Verdict::Inconclusive(describe(&reason)),
            offence => offence,
        },
    };
    match offence {
        Some(offence) => Verdict::Failed(format!("{offence}, though {}", quiet.why)),
        None if !lock(&quiet.excused).is_empty() => quiet.undecided(),
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
                    for span in found.iter().filter(own) {
                        let after = format_duration(span.arrived.since(self.applied));
                        let said = format!(
                            "{observer} sent `{sign}` about {subject}, {after} after it was applied"
                        );
                        if !self.is_excused(shared, subject, span.seq, &said) {
                            return Some(said);
                        }
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

    /// Whether the subject of a span could not speak for want of a processor, so that it was
    /// rightly held dead: for half of the silence that it takes at least, the rest of which passed
    /// before it had to. Who spins waits too where others want to run, but is not kept from running
    /// all that time. Never where a fault had its process then: that may be what throttled it.
    fn is_excused(&self, shared: &Shared, subject: &NodeId, seq: u64, said: &str) -> bool {
        if on(Mutant::SilenceBelieved) {
            lock(&self.excused).insert(seq, said.to_owned());
            return true;
        }
        let Some(silenced) = &self.silenced else { return false };
        // It is decided when the span comes: what was waited for later explains nothing.
        if lock(&self.excused).contains_key(&seq) {
            return true;
        }
        let Stretch { length, time: ThreadTime { ran, waited } } = silenced.stretch(subject);
        if waited < self.at_least / 2 || ran >= self.at_least / 10 {
            return false;
        }
        if was_hurt_as_process(&shared.state(), subject, length, shared.clock.now()) {
            return false;
        }
        let waited = format_duration(waited);
        let told = format!(
            "{said}, but {subject} had waited {waited} for a processor just before, and could not \
             speak"
        );
        lock(&self.excused).insert(seq, told);
        true
    }

    fn undecided(&self) -> Verdict {
        let excused = lock(&self.excused);
        let first = excused.values().next().map(String::as_str).unwrap_or_default();
        let more = match excused.len() {
            0 | 1 => String::new(),
            count => format!("; and {} more like it", count - 1),
        };
        Verdict::Inconclusive(format!("{first}{more}"))
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

#[cfg(test)]
mod tests {
    use meshlab_faults::DEATH;
    use meshlab_model::NetworkMode::Host as HostNetwork;
    use meshlab_wire::span::STATE_INFERRED;

    use super::*;
    use crate::{Host, fixture::Bench};

    const AT_LEAST: Duration = Duration::from_millis(200);

    /// The word of the kernel about the last hour.
    fn had(waited: Duration, ran: Duration) -> Option<Silenced> {
        let time = ThreadTime { ran, waited };
        Some(Silenced::By(Stretch { length: Duration::from_secs(3600), time }))
    }

    /// node-1 may not hold node-2 dead, which waited so long for a processor.
    fn quiet(bench: &Bench, silenced: Option<Silenced>) -> Quiet {
        let (one, two) = (NodeId::from("node-1"), NodeId::from("node-2"));
        let key = bench.engine.shared.state().key(&two).unwrap();
        Quiet {
            fault: FaultId(9),
            none_of: DEATH,
            at_most: None,
            why: "nobody is dead".to_owned(),
            applied: bench.engine.shared.clock.now(),
            at_least: AT_LEAST,
            pairs: BTreeMap::from([(one, BTreeMap::from([(two, key)]))]),
            silenced,
            excused: Mutex::default(),
        }
    }

    /// What comes of it that it does.
    async fn judged(bench: &Bench, silenced: Option<Silenced>) -> Verdict {
        let quiet = quiet(bench, silenced);
        bench.says("node-1", STATE_INFERRED, "node-2", Some("Dead"));
        let (_ending, over) = watch::channel(true);
        stay_quiet(&bench.engine.shared, quiet, over).await
    }

    #[tokio::test]
    async fn a_node_that_got_no_processor_was_rightly_held_dead_and_one_that_hung_was_not() {
        let bench = Bench::start(HostNetwork, 2).await;
        let (moment, least) = (Duration::from_millis(1), AT_LEAST / 2);
        let excused = judged(&bench, had(least, AT_LEAST / 10 - moment)).await;
        let Verdict::Inconclusive(why) = &excused else { panic!("{excused:?}") };
        assert!(why.starts_with("node-1 sent `node.state_inferred { state = Dead }` about"));
        let told = "node-2 had waited 100.0 ms for a processor just before, and could not speak";
        assert!(why.ends_with(told), "{why}");
        let less = had(least - moment, Duration::ZERO);
        let spun = had(AT_LEAST, AT_LEAST / 10);
        for silenced in [less, had(Duration::ZERO, Duration::ZERO), spun, None] {
            let red = judged(&bench, silenced).await;
            let Verdict::Failed(why) = &red else { panic!("{red:?}") };
            assert!(why.ends_with("though nobody is dead"), "{why}");
        }
        bench.finish().await;
    }

    #[tokio::test]
    async fn a_fault_that_has_its_process_excuses_nothing() {
        let bench = Bench::start(HostNetwork, 3).await;
        let waited = Duration::from_secs(3600);
        let mut quiet = quiet(&bench, had(waited, Duration::ZERO));
        let (shared, two) = (&bench.engine.shared, NodeId::from("node-2"));
        assert!(quiet.is_excused(shared, &two, 1, "it is dead"));
        let hit = bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
        assert!(!quiet.is_excused(shared, &two, 2, "it is dead"));
        assert!(quiet.is_excused(shared, &two, 1, "it is dead"), "what is decided stays so");
        bench.engine.undo(hit.fault).await.unwrap();
        assert!(!quiet.is_excused(shared, &two, 2, "it is dead"), "it acted in the last hour");
        let time = ThreadTime { ran: Duration::ZERO, waited };
        quiet.silenced = Some(Silenced::By(Stretch { length: Duration::ZERO, time }));
        let back = |shared: &Shared| shared.state().faults[&hit.fault].taken_back.unwrap();
        while shared.clock.now() == back(shared) {
            std::thread::yield_now();
        }
        assert!(quiet.is_excused(shared, &two, 2, "it is dead"), "it was over by then");
        bench.finish().await;
    }
}
