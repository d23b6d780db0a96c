//! Claims: started, watched until they hold or their time is up, judged, recorded.
//!
//! Each kind of claim is a [`Looking`]: a question that can be asked of the evidence at any
//! moment. The wait around it is the same for all, and level-triggered: it asks first, then waits
//! for something to change.

mod agreed;
mod changed;
mod conserved;
mod formed;
mod loss;
mod no_spans;
mod not_available;
mod notes;
mod query;
mod said;
mod spans;
mod state;
mod states;
mod temporal;

pub(crate) use notes::names;
pub(crate) use query::selector;
pub use temporal::Temporal;

use std::time::Duration;

use meshlab_model::{
    ClaimEvidence, ClaimId, NodeId, RunEventKind, RunTime, Severity, SourceLine, Tally, Verdict,
    format_duration,
};
use meshlab_mutants::{Mutant, on};
use tokio::time::Instant;

use crate::{Claim, ClaimOutcome, Engine, HostError, Since, cancel::describe};

/// A person who watches wants to see progress, not each span.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// What the evidence says at one moment.
pub(crate) struct Look {
    /// Whether the claim holds.
    pub(crate) holds: bool,
    /// How much is there, and how much is needed.
    pub(crate) have: u64,
    pub(crate) need: u64,
    pub(crate) by_node: Vec<Tally>,
    /// When the last part became true, where the evidence says; else it is the moment of looking.
    pub(crate) since_when: Option<RunTime>,
}

impl Look {
    /// Nodes at which nothing was found.
    fn without_any(&self) -> Vec<NodeId> {
        let empty = self.by_node.iter().filter(|tally| tally.have == 0);
        empty.map(|tally| tally.node.clone()).collect()
    }
}

/// A claim that is looked at again and again.
pub(crate) trait Looking: Send {
    /// The call in the scenario.
    fn call(&self) -> &'static str;
    /// What must hold, in a sentence.
    fn text(&self) -> String;
    /// From when on evidence counts.
    fn since(&self) -> RunTime;
    fn within(&self) -> Duration;
    fn look(&mut self, engine: &Engine) -> Look;
    /// What was found, in a few words: "143 of 200".
    fn found(&self, look: &Look) -> String;
    /// Sentences that name the culprit, for a claim that does not hold.
    fn notes(&self, engine: &Engine, look: &Look) -> Vec<String>;
}

/// A claim that is being waited for.
#[must_use]
pub(crate) struct Open<'a> {
    engine: &'a Engine,
    claim: Option<ClaimId>,
}

impl Open<'_> {
    /// It is about to be judged.
    pub(crate) fn judged(mut self) {
        self.claim = None;
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim {
            self.engine.shared.event(RunEventKind::ClaimWithdrawn { claim });
        }
    }
}

impl Engine {
    pub(crate) async fn judge_claim(
        &self,
        claim: Claim,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        if let Some(why) = self.not_available(&claim) {
            return self.judge_not_available(&claim, why, severity, at);
        }
        match claim {
            Claim::Answers { nodes, from, within } => {
                crate::kinds::judge_answers(self, nodes, from, within, (severity, at)).await
            }
            Claim::File { nodes, path, holds, within } => {
                let of = (severity, at);
                crate::kinds::judge_file(self, nodes, &path, &holds, within, of).await
            }
            Claim::Conserved(conserved) => self.judge_conserved(conserved, severity, at).await,
            Claim::Changed(changed) => self.judge_changed(&changed, severity, at),
            Claim::Compared { call, holds, text, found } => {
                self.judge_compared(call, holds, text, found, severity, at)
            }
            Claim::Spans { query, each, at_least, within } => {
                let looking = spans::SpansClaim::new(self, query, each, at_least, within)?;
                self.judge_looking(looking, severity, at).await
            }
            Claim::Agreed { mesh, since, within } => {
                let since = self.since(since)?;
                self.judge_agreed(mesh, since, within, severity, at).await
            }
            Claim::Formed { mesh, since, within } => {
                let looking = formed::FormedClaim::new(self, mesh, since, within)?;
                self.judge_looking(looking, severity, at).await
            }
            Claim::State { node, state, seen_by, via, since, within } => {
                let seeing = state::Seeing::new(self, node, seen_by, via, since)?;
                let looking = state::StateClaim::new(seeing, &state, within)?;
                self.judge_looking(looking, severity, at).await
            }
            Claim::States { node, states, seen_by, via, since, within } => {
                let seeing = state::Seeing::new(self, node, seen_by, via, since)?;
                let looking = states::StatesClaim::new(seeing, &states, within)?;
                self.judge_looking(looking, severity, at).await
            }
            Claim::NoSpans { query, during, meanwhile } => {
                self.judge_no_spans(query, during, meanwhile, severity, at).await
            }
            Claim::Temporal(claim) => self.judge_temporal(claim, severity, at).await,
        }
    }

    pub(crate) fn start_claim(
        &self,
        call: &str,
        text: String,
        severity: Severity,
        within: Duration,
        at: SourceLine,
    ) -> Result<ClaimId, HostError> {
        let mut state = self.shared.state();
        let test = state.test.ok_or_else(|| {
            HostError::Misuse(format!("`{call}` can only be used inside a `test`"))
        })?;
        state.last_claim += 1;
        let claim = ClaimId(state.last_claim);
        drop(state);
        let within_micros = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        let call = match severity {
            Severity::Expect => call.to_owned(),
            Severity::Check => call.replacen("expect.", "check.", 1),
        };
        let kind = RunEventKind::ClaimStarted { claim, test, call, text, severity, within_micros };
        self.shared.event_at(kind, at);
        Ok(claim)
    }

    /// Withdraws a claim whose wait is dropped before it was judged.
    pub(crate) fn until_judged(&self, claim: ClaimId) -> Open<'_> {
        Open { engine: self, claim: Some(claim) }
    }

    /// A claim that rests on what the nodes' programs cannot say.
    fn judge_not_available(
        &self,
        claim: &Claim,
        why: String,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        let (call, text) = not_available::words(claim);
        let id = self.start_claim(call, text, severity, Duration::ZERO, at)?;
        let verdict = Verdict::Inconclusive(why);
        let evidence = ClaimEvidence::default();
        self.finish_claim(id, verdict, Duration::ZERO, evidence, severity, Duration::ZERO)
    }

    pub(crate) fn judge_compared(
        &self,
        call: &'static str,
        holds: bool,
        text: String,
        found: String,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        let claim = self.start_claim(call, text, severity, Duration::ZERO, at)?;
        let holds = holds || on(Mutant::EqualUnasked);
        let verdict = if holds { Verdict::Passed } else { Verdict::Failed(found.clone()) };
        let mut evidence = ClaimEvidence::default();
        if holds {
            evidence.notes.push(found);
        }
        self.finish_claim(claim, verdict, Duration::ZERO, evidence, severity, Duration::ZERO)
    }

    async fn judge_looking(
        &self,
        mut looking: impl Looking,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        let shared = &self.shared;
        let within = looking.within();
        let claim = self.start_claim(looking.call(), looking.text(), severity, within, at)?;
        let open = self.until_judged(claim);
        let started = Instant::now();
        let mut told = (started, 0);
        let waited = shared.cancel.or(shared.store.wait_for(started + within, |_| {
            let look = looking.look(self);
            if told.0.elapsed() >= PROGRESS_EVERY && told.1 != look.have {
                told = (Instant::now(), look.have);
                let (have, need) = (look.have, look.need);
                shared.event(RunEventKind::ClaimProgress { claim, have, need });
            }
            (look.holds || on(Mutant::ClaimUnasked)).then_some(look)
        }));
        let waited = waited.await;
        // A look after the deadline: evidence that arrived with it is shown, but does not count.
        let (look, verdict) = match waited {
            Ok(Some(look)) => (look, Verdict::Passed),
            Ok(None) => {
                let look = looking.look(self);
                let found = looking.found(&look);
                (look, Verdict::Failed(format!("{found} after {}", format_duration(within))))
            }
            Err(_) => {
                let look = looking.look(self);
                let why = shared.cancel.reason().as_ref().map(describe).unwrap_or_default();
                let verdict = Verdict::Inconclusive(format!("{} when {why}", looking.found(&look)));
                (look, verdict)
            }
        };
        let since = looking.since();
        let became_true = look.since_when.unwrap_or_else(|| shared.clock.now());
        let mut evidence =
            ClaimEvidence { by_node: look.by_node.clone(), notes: Vec::new(), since: Some(since) };
        if verdict.is_passed() {
            evidence.notes.push(looking.found(&look));
        } else {
            evidence.notes = looking.notes(self, &look);
        }
        let took = became_true.since(since);
        open.judged();
        self.finish_claim(claim, verdict, started.elapsed(), evidence, severity, took)
    }

    pub(crate) fn finish_claim(
        &self,
        claim: ClaimId,
        verdict: Verdict,
        evaluated_for: Duration,
        evidence: ClaimEvidence,
        severity: Severity,
        took: Duration,
    ) -> Result<ClaimOutcome, HostError> {
        let outcome = match &verdict {
            Verdict::Passed => Ok(ClaimOutcome { passed: true, took }),
            other if !matches!(other, Verdict::Failed(_)) && self.stopped().is_some() => {
                Err(HostError::Cancelled(other.to_string()))
            }
            // What could not be decided must not be gone on from either.
            other if severity == Severity::Expect => {
                Err(HostError::ClaimFailed(other.reason().unwrap_or_default().to_owned()))
            }
            _ => Ok(ClaimOutcome { passed: false, took }),
        };
        let bad = !matches!(verdict, Verdict::Passed | Verdict::Skipped(_));
        self.shared.state().red |= bad && !self.shared.hands.asked(claim);
        let took_micros = u64::try_from(evaluated_for.as_micros()).unwrap_or(u64::MAX);
        self.shared.event(RunEventKind::ClaimFinished { claim, verdict, took_micros, evidence });
        outcome
    }

    /// The moment that a scenario's `since` means.
    pub(crate) fn since(&self, since: Since) -> Result<RunTime, HostError> {
        let state = self.shared.state();
        match since {
            Since::Test => Ok(state.began),
            Since::At(moment) => Ok(moment),
            Since::Fault(fault) => {
                state.faults.get(&fault).map(|open| open.applied).ok_or_else(|| {
                    HostError::Misuse("`since` is a fault of a test that has ended".to_owned())
                })
            }
            Since::Ago(length) => Ok(RunTime::from_duration(
                self.shared.clock.now().as_duration().saturating_sub(length),
            )),
        }
    }
}

#[cfg(test)]
mod tests;
