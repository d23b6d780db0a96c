//! Gaps: the harness was killed, and another one went on with the run later.

use std::time::Duration;

use meshlab_model::{NodeExit, RunEvent, RunEventKind, RunTime, TestId, Verdict, format_duration};

use super::{ClaimView, FaultView, RunView};

/// What ends a node whose harness is gone.
const SIGKILL: i32 = 9;

/// A stretch of time of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The last moment before it of which anything is in the record.
    pub from: RunTime,
    /// When the run was gone on with.
    pub to: RunTime,
    /// Which part of the run began then, from 2.
    pub part: u32,
    /// The test that was interrupted, and is run again for what is left of it.
    pub test: Option<TestId>,
    /// How long that had run.
    pub spent: Duration,
}

impl Gap {
    /// It, in a sentence.
    pub fn told(&self) -> String {
        let length = format_duration(self.to.since(self.from));
        let part = self.part;
        let mut told = format!(
            "nothing is known from {} to {}, {length}: the harness was killed, and the run gone \
             on with as part {part}, on nodes that were started anew",
            self.from, self.to
        );
        if self.test.is_some() {
            let spent = format_duration(self.spent);
            told.push_str(&format!("; the test had run for {spent}, and is run for what is left"));
        }
        told
    }
}

impl RunView {
    /// Takes in that the run was gone on with.
    pub(super) fn apply_gap(&mut self, event: &RunEvent) {
        let RunEventKind::RunResumed { part, from, test, spent_micros } = &event.kind else {
            return;
        };
        let (part, from, test) = (*part, *from, *test);
        let spent = Duration::from_micros(*spent_micros);
        let to = event.at;
        self.gaps.push(Gap { from, to, part, test, spent });
        self.running = None;
        for life in self.nodes.values_mut().flat_map(|node| &mut node.lives) {
            // Nodes die with their harness.
            let exit = NodeExit { code: None, signal: Some(SIGKILL) };
            life.exited.get_or_insert((from, exit, true));
        }
        for step in self.steps.values_mut() {
            step.finished.get_or_insert(from);
        }
        for claim in self.claims.values_mut().filter(|claim| claim.verdict.is_none()) {
            claim.interrupted.get_or_insert(from);
        }
        for fault in self.faults.values_mut().filter(|fault| fault.verdict.is_none()) {
            fault.interrupted.get_or_insert(from);
        }
    }

    /// Whether a claim that was interrupted by the end of its harness was begun again in a later
    /// part of the run: then that one counts, and this one is no more than history.
    pub(crate) fn claim_was_asked_again(&self, claim: &ClaimView) -> bool {
        let same = |other: &ClaimView| {
            other.test == claim.test && other.call == claim.call && other.source == claim.source
        };
        let Some(from) = claim.interrupted else { return false };
        self.claims.values().any(|other| other.started > from && same(other))
    }

    /// The same of a fault.
    pub(crate) fn fault_was_applied_again(&self, fault: &FaultView) -> bool {
        let same = |other: &FaultView| {
            other.test == fault.test && other.name == fault.name && other.source == fault.source
        };
        let Some(from) = fault.interrupted else { return false };
        self.faults.values().any(|other| other.planned > from && same(other))
    }
}

/// How a claim stands that nobody will judge any more.
pub(crate) fn interrupted(at: RunTime) -> Verdict {
    Verdict::Inconclusive(format!("the harness was killed at {at}, before it was judged"))
}

#[cfg(test)]
mod tests {
    use meshlab_model::{
        ClaimEvidence, ClaimId, DeclaredTest, EndReason, ExitCode, Severity, SourceLine,
        TestOutcome,
    };

    use super::*;

    type K = RunEventKind;

    const TEST: TestId = TestId(0);

    fn line(line: u32) -> SourceLine {
        SourceLine { file: "x.lua".into(), line, column: 1 }
    }

    fn asked(claim: u32) -> K {
        K::ClaimStarted {
            claim: ClaimId(claim),
            test: TEST,
            call: "expect.formed".into(),
            text: "formed".into(),
            severity: Severity::Expect,
            within_micros: 0,
        }
    }

    fn judged(claim: u32, verdict: Verdict) -> K {
        let evidence = ClaimEvidence::default();
        K::ClaimFinished { claim: ClaimId(claim), verdict, took_micros: 1, evidence }
    }

    fn resumed() -> K {
        let from = RunTime { micros: 20_000_000 };
        K::RunResumed { part: 2, from, test: Some(TEST), spent_micros: 20_000_000 }
    }

    fn begun() -> K {
        K::TestStarted { test: TEST, title: "t".into() }
    }

    /// A run of these events, each in a line of the scenario, which then ends.
    fn run(kinds: Vec<(u32, K)>) -> RunView {
        let mut view = RunView::new(&[DeclaredTest { title: "t".into(), source: line(1) }]);
        let ends = [
            (1, K::TestFinished { test: TEST, outcome: TestOutcome::Completed }),
            (1, K::Audited { checked: Vec::new(), leftovers: Vec::new() }),
            (1, K::RunFinished { reason: EndReason::Completed }),
        ];
        for (seq, (at, kind)) in (1..).zip(kinds.into_iter().chain(ends)) {
            let moment = RunTime { micros: seq * 10_000_000 };
            let source = Some(line(at));
            view.apply(&RunEvent { seq, at: moment, source, manual: false, kind });
        }
        view
    }

    #[test]
    fn a_claim_that_was_asked_again_after_the_gap_counts_as_it_came_out_then() {
        let parts = |after: Verdict| {
            run(vec![
                (1, begun()),
                (2, asked(1)),
                (1, resumed()),
                (1, begun()),
                (2, asked(2)),
                (2, judged(2, after)),
            ])
        };
        let view = parts(Verdict::Passed);
        assert_eq!((view.verdict(), view.exit_code()), (Verdict::Passed, ExitCode::Passed));
        assert_eq!(view.gaps.len(), 1);
        assert_eq!(
            view.gaps[0].told(),
            "nothing is known from 00:20.000 to 00:30.000, 10.0 s: the harness was killed, and \
             the run gone on with as part 2, on nodes that were started anew; the test had run \
             for 20.0 s, and is run for what is left"
        );
        let told = view.claims[&ClaimId(1)].judged().to_string();
        assert!(told.contains("the harness was killed at 00:20.000"), "{told}");
        assert!(matches!(parts(Verdict::Failed("no".into())).verdict(), Verdict::Failed(_)));
    }

    #[test]
    fn what_failed_before_the_gap_stays_failed_and_what_was_not_asked_again_is_open() {
        let failed = run(vec![
            (1, begun()),
            (2, asked(1)),
            (2, judged(1, Verdict::Failed("before".into()))),
            (1, resumed()),
            (1, begun()),
            (2, asked(2)),
            (2, judged(2, Verdict::Passed)),
        ]);
        assert_eq!(failed.exit_code(), ExitCode::ClaimFailed);
        let open = run(vec![
            (1, begun()),
            (3, asked(1)),
            (1, resumed()),
            (1, begun()),
            (2, asked(2)),
            (2, judged(2, Verdict::Passed)),
        ]);
        assert_eq!(open.exit_code(), ExitCode::Inconclusive);
        let told = open.verdict().to_string();
        assert!(told.contains("the harness was killed at 00:20.000"), "{told}");
    }

    #[test]
    fn a_gap_without_an_end_after_it_is_no_end() {
        let mut view = RunView::new(&[DeclaredTest { title: "t".into(), source: line(1) }]);
        for (seq, kind) in [(1, begun()), (2, asked(1)), (3, resumed())] {
            let at = RunTime { micros: seq * 10_000_000 };
            view.apply(&RunEvent { seq, at, source: None, manual: false, kind });
        }
        assert_eq!(view.exit_code(), ExitCode::HarnessFailed);
    }
}
