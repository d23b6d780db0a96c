//! The rules of the verdict: a pure function of the record, which never calls silence a success.

use meshlab_model::{EndReason, ExitCode, RunTime, TestId, TestOutcome, Verdict};
use meshlab_mutants::{Mutant, on};

use crate::view::{ClaimView, FaultView, RunView, interrupted};

impl ClaimView {
    /// How it came out; a claim that was begun and not judged is inconclusive.
    pub fn judged(&self) -> Verdict {
        let unjudged = || match self.interrupted {
            _ if on(Mutant::UnjudgedPasses) => Verdict::Passed,
            Some(at) => interrupted(at),
            None => Verdict::Inconclusive("it was begun and never judged".into()),
        };
        self.verdict.clone().unwrap_or_else(unjudged)
    }
}

impl FaultView {
    /// How it came out; a fault that was planned and not judged is inconclusive.
    pub fn judged(&self) -> Verdict {
        match &self.verdict {
            Some((_, verdict)) => verdict.clone(),
            None => match self.interrupted {
                Some(at) => interrupted(at),
                None => Verdict::Inconclusive("it was planned and never judged".into()),
            },
        }
    }
}

impl RunView {
    /// The verdict on one test, from its claims, faults, problems and the nodes that ended. What
    /// somebody did by hand while it ran spoils it: who looks for the cause must know.
    pub fn test_verdict(&self, test: TestId) -> Verdict {
        let own = self.undisturbed_verdict(test);
        match self.interference(Some(test)) {
            Some(hand) => spoilt(own, hand),
            None => own,
        }
    }

    /// What somebody did by hand in that test, or outside of any before the mesh was kept: in a
    /// sentence, if anything.
    fn interference(&self, test: Option<TestId>) -> Option<String> {
        let kept = self.kept.filter(|_| test.is_none());
        let counts = |at: RunTime, of: Option<TestId>| of == test && kept.is_none_or(|k| at < k);
        let mut acts = self.by_hand.iter().filter(|(at, of, _)| counts(*at, *of));
        let (at, _, line) = acts.next()?;
        let line = crate::text::first_line(line);
        let acts = match acts.count() {
            0 => format!("1 act by hand, at {at}"),
            more => format!("{} acts by hand, the first at {at}", more + 1),
        };
        Some(format!("{acts}: `{line}`; this proves nothing about the program alone"))
    }

    fn undisturbed_verdict(&self, test: TestId) -> Verdict {
        let Some(view) = self.tests.get(&test) else {
            return Verdict::Inconclusive("there is no such test".into());
        };
        if view.started.is_none() {
            if on(Mutant::NeverReachedPasses) {
                return Verdict::Passed;
            }
            return Verdict::Inconclusive("never reached".into());
        }
        let mut verdict = Verdict::Passed;
        let counts = |claim: &&ClaimView| !self.claim_was_asked_again(claim);
        for claim in self.claims.values().filter(|claim| claim.test == test).filter(counts) {
            verdict = verdict.worse(match claim.judged() {
                Verdict::Failed(why) => Verdict::Failed(format!("{}: {why}", claim.call)),
                other => other,
            });
        }
        let counts = |fault: &&FaultView| !self.fault_was_applied_again(fault);
        for fault in self.faults.values().filter(|fault| fault.test == test).filter(counts) {
            verdict = verdict.worse(match fault.judged() {
                // What a schedule drew may go wrong as often as its budget says, and the claims
                // of the schedule hold it to that. A broken fault is the harness's, and no flake.
                broken @ Verdict::Broken(_) => broken,
                _ if fault.chaos.is_some() => Verdict::Passed,
                Verdict::Failed(why) => Verdict::Failed(format!("fault.{}: {why}", fault.name)),
                other => other,
            });
        }
        for chaos in self.chaos.values().filter(|chaos| chaos.test == test) {
            if chaos.tally.is_none() {
                let why = "a schedule of faults was begun and never ended".to_owned();
                verdict = verdict.worse(Verdict::Inconclusive(why));
            }
        }
        for comparison in self.comparisons.values().filter(|comparison| comparison.test == test) {
            if !comparison.finished {
                let why = "a comparison was begun and never ended".to_owned();
                verdict = verdict.worse(Verdict::Inconclusive(why));
            }
        }
        for problem in self.problems.iter().filter(|problem| problem.test == Some(test)) {
            verdict = verdict.worse(problem.verdict());
        }
        verdict = verdict.worse(self.unasked_exits(Some(test)));
        // The body's outcome adds what the claims cannot say; it never makes a verdict better.
        let outcome = match view.finished.as_ref().map(|(_, outcome)| outcome) {
            Some(TestOutcome::Completed) => Verdict::Passed,
            Some(TestOutcome::Stopped) => Verdict::Inconclusive("stopped by a claim".into()),
            Some(TestOutcome::Errored) => Verdict::Failed("an error ended it".into()),
            Some(TestOutcome::Cancelled { why }) => Verdict::Inconclusive(why.clone()),
            None => Verdict::Inconclusive("it was begun and never ended".into()),
        };
        verdict = verdict.worse(outcome);
        if self.claims.values().any(|claim| claim.test == test && claim.verdict.is_some()) {
            return verdict;
        }
        if on(Mutant::NoClaimPasses) {
            return verdict;
        }
        verdict.worse(Verdict::Failed("no claim was evaluated".into()))
    }

    fn unasked_exits(&self, test: Option<TestId>) -> Verdict {
        if on(Mutant::ExitUnjudged) {
            return Verdict::Passed;
        }
        for (id, node) in &self.nodes {
            for life in node.lives.iter().filter(|life| life.test == test && !life.manual) {
                if let Some((_, exit, false)) = &life.exited {
                    return Verdict::Failed(format!("{id} exited by itself with {exit}"));
                }
            }
        }
        Verdict::Passed
    }

    /// The verdict on the run: the worst of its tests and of what concerns the run as a whole.
    pub fn verdict(&self) -> Verdict {
        let mut verdict = match &self.leftovers {
            Some(left) if !left.is_empty() && !on(Mutant::LeftoversPass) => {
                Verdict::Broken(format!("left behind: {}", left.join(", ")))
            }
            _ => Verdict::Passed,
        };
        for test in self.tests.keys() {
            verdict = verdict.worse(self.test_verdict(*test));
        }
        if self.tests.is_empty() {
            verdict = verdict.worse(Verdict::Failed("the scenario declares no test".into()));
        }
        for problem in self.problems.iter().filter(|problem| problem.test.is_none()) {
            verdict = verdict.worse(problem.verdict());
        }
        verdict = verdict.worse(self.unasked_exits(None));
        if let Some(hand) = self.interference(None) {
            verdict = verdict.worse(Verdict::Inconclusive(hand));
        }
        let end = self.end_verdict();
        // A reason why the run as a whole stopped explains more than a test it cut short.
        if end.rank() >= verdict.rank() && !end.is_passed() { end } else { verdict }
    }

    fn end_verdict(&self) -> Verdict {
        match &self.end {
            Some(EndReason::Completed) => Verdict::Passed,
            Some(EndReason::Interrupted { signal }) => {
                Verdict::Inconclusive(format!("interrupted by {signal}"))
            }
            Some(EndReason::TimedOut) => Verdict::Failed("the timeout of the run passed".into()),
            Some(EndReason::ScriptError) if self.problems.is_empty() => {
                Verdict::Failed("the scenario is wrong, and no problem says how".into())
            }
            Some(EndReason::HarnessFailed) if self.problems.is_empty() => {
                Verdict::Broken("the harness could not go on, and no problem says why".into())
            }
            Some(EndReason::CeilingBroken) if !self.limit_failed() => {
                Verdict::Broken("a limit was broken, and no claim says which".into())
            }
            Some(EndReason::ScriptError | EndReason::HarnessFailed | EndReason::CeilingBroken) => {
                Verdict::Passed
            }
            None if on(Mutant::EndUnasked) => Verdict::Passed,
            None => Verdict::Broken(format!(
                "incomplete: the record ends with event {} at {}; the harness was killed, the host \
                 stopped, or the run still goes on",
                self.events, self.last
            )),
        }
    }

    fn limit_failed(&self) -> bool {
        let failed = |claim: &ClaimView| matches!(claim.verdict, Some(Verdict::Failed(_)));
        self.limits().any(failed)
    }

    /// What the process exits with.
    pub fn exit_code(&self) -> ExitCode {
        if matches!(self.end, Some(EndReason::Interrupted { .. })) {
            return ExitCode::Interrupted;
        }
        let verdict = self.verdict();
        let script = self.problems.iter().any(|problem| problem.script)
            || self.end == Some(EndReason::ScriptError);
        if script && !matches!(verdict, Verdict::Broken(_)) {
            return ExitCode::ScriptError;
        }
        ExitCode::from(&verdict)
    }
}

/// A verdict on what somebody had a hand in: never green, and what is red stays so.
fn spoilt(own: Verdict, hand: String) -> Verdict {
    match own {
        Verdict::Passed | Verdict::Skipped(_) => Verdict::Inconclusive(hand),
        Verdict::Inconclusive(why) => Verdict::Inconclusive(format!("{why}; {hand}")),
        Verdict::Failed(why) => Verdict::Failed(format!("{why}; {hand}")),
        Verdict::Broken(why) => Verdict::Broken(format!("{why}; {hand}")),
    }
}

impl crate::view::ProblemView {
    fn verdict(&self) -> Verdict {
        let first = crate::text::first_line(&self.text);
        if self.script { Verdict::Failed(first) } else { Verdict::Broken(first) }
    }
}
