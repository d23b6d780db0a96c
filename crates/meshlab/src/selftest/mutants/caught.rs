//! Which mistake is caught by which check, and by what of its answer.

use meshlab_mutants::Mutant;

use super::{bench::Said, checks::Check};

/// A mistake and what shows it.
pub(super) struct Caught {
    pub(super) mutant: Mutant,
    check: &'static str,
    pub(super) shows: Shows,
}

/// In what the answer differs from that of a sound harness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shows {
    /// It ends with another exit code: this one.
    Ends(i32),
    /// It no longer says this.
    Lacks(&'static str),
    /// It says this, which a sound one does not.
    Says(&'static str),
}

use Shows::{Ends, Lacks, Says};

const fn caught(mutant: Mutant, check: &'static str, shows: Shows) -> Caught {
    Caught { mutant, check, shows }
}

/// Each mistake once.
pub(super) static CAUGHT: &[Caught] = &[
    // Without a node.
    caught(Mutant::EqualUnasked, "values", Ends(0)),
    caught(Mutant::ExitCodeZero, "values", Ends(0)),
    caught(Mutant::RecorderDrops, "values", Says("no claim was evaluated")),
    caught(Mutant::NoClaimPasses, "nothing-claimed", Ends(0)),
    caught(Mutant::TimeoutUnkept, "timeout", Ends(0)),
    caught(Mutant::TasksForgotten, "task-left", Ends(0)),
    caught(Mutant::SequentialAtOnce, "again-and-again", Says("the test says: not flaky")),
    caught(Mutant::ShareCertain, "again-and-again", Says("(95 %: 0 % to 0 %)")),
    caught(Mutant::ChecksumUnseen, "changed-line", Lacks("its checksum does not hold")),
    caught(Mutant::StaleAccepted, "stale-program", Lacks("older than its source")),
    caught(Mutant::StraysUnseen, "stray", Lacks("of node-5 (state")),
    caught(Mutant::EndUnasked, "report-of-a-run-without-end", Ends(0)),
    caught(Mutant::TailUnseen, "gate-of-a-torn-record", Lacks("events.jsonl ends at line")),
    caught(Mutant::GapUnseen, "gate-of-a-gap", Ends(0)),
    caught(Mutant::NeverReachedPasses, "report-of-a-test-not-begun", Ends(0)),
    caught(Mutant::UnjudgedPasses, "report-of-a-claim-not-judged", Ends(0)),
    caught(Mutant::UndecidedPasses, "report-of-a-claim-not-judged", Ends(0)),
    caught(Mutant::ExitUnjudged, "report-of-an-exit", Ends(0)),
    caught(Mutant::LeftoversPass, "report-of-leftovers", Ends(0)),
    caught(Mutant::GateBlind, "gate-of-a-short-run", Ends(0)),
    caught(Mutant::UnsampledUnseen, "gate-of-no-samples", Ends(0)),
    caught(Mutant::GateFirstNode, "gate-of-one-heavy-node", Ends(0)),
    caught(Mutant::NoiseIgnored, "gate-on-a-busy-host", Ends(0)),
    caught(Mutant::BaselineAnyHost, "gate-of-another-host", Ends(0)),
    caught(Mutant::CompareItself, "compare-of-one-run", Lacks("is on both sides")),
    caught(Mutant::WorseUnsaid, "compare-of-a-worse-side", Lacks("failed: worse: ")),
    caught(Mutant::IntervalZero, "compare-of-alike-sides", Ends(0)),
    caught(Mutant::PValueHalved, "compare-of-near-sides", Ends(1)),
    caught(Mutant::ShufflesUnmade, "history-of-one-program", Lacks("no change")),
    // Claims.
    caught(Mutant::ClaimUnasked, "claims", Lacks("2 of 6 pairs have heard each other after")),
    caught(Mutant::FormedByOne, "claims", Lacks("2 of 6 pairs have heard each other after")),
    caught(Mutant::BooksUnread, "claims", Lacks("nodes do not agree after")),
    caught(Mutant::SpanTwice, "claims", Lacks("3 of 4 after")),
    caught(Mutant::SenderUnseen, "claims", Lacks("1 of 2 after")),
    caught(Mutant::ConditionUnseen, "claims", Lacks("`gossip_started` came, none as asked")),
    caught(
        Mutant::OldEvidence,
        "claims",
        Lacks("`alpn_registered` came in this run, but before the claim began"),
    ),
    caught(Mutant::AbsenceUnasked, "claims", Lacks("node-2 sent `gossip.digest_received`")),
    caught(Mutant::WindowUnheld, "claims", Lacks("`gossip.digest_sent` in the")),
    caught(Mutant::BalanceUnasked, "claims", Lacks("are left with")),
    caught(Mutant::HearsayInferred, "claims", Lacks("0 of 1 observers hold node-2 to be Leaving")),
    caught(Mutant::LossUnseen, "absent", Ends(0)),
    caught(Mutant::StoreLoses, "frozen", Ends(1)),
    caught(Mutant::ClockStill, "greedy", Lacks("at most 0.00 % is allowed")),
    // Faults.
    caught(Mutant::FaultWithoutEffect, "frozen", Says("was not stopped")),
    caught(Mutant::UndoNothing, "frozen", Says("not healed within")),
    caught(Mutant::UndoLeftOut, "frozen", Lacks("SIGCONT, and it runs again")),
    caught(Mutant::FaultUnjournalled, "frozen", Lacks("\"event\":\"fault_planned\"")),
    caught(Mutant::WitnessUnseen, "frozen-without-effect", Lacks("was not stopped")),
    caught(Mutant::HealedUnasked, "frozen-for-good", Lacks("not healed within")),
    caught(Mutant::DeathFromTable, "deaf", Lacks("not noticed by node-3")),
    caught(Mutant::AnyObserver, "deaf", Lacks("not noticed by node-3")),
    caught(Mutant::QuietUnwatched, "mute", Lacks("after it was applied, though")),
    caught(Mutant::SilenceBelieved, "mute", Ends(4)),
    caught(Mutant::SwitchUncut, "parted", Says("the switch did not drop a probe")),
    caught(Mutant::SwitchPrompt, "slow", Says("not by 100.0 ms as asked")),
    caught(Mutant::CutBelieved, "parted-without-effect", Lacks("the switch did not drop a probe")),
    caught(Mutant::ProberBelieves, "slow-without-effect", Ends(0)),
    // Chaos and replay.
    caught(Mutant::BudgetEndless, "storm", Lacks("cannot be met any more")),
    caught(Mutant::SeedIgnored, "storm", Lacks("\"at_micros\":779918,")),
    caught(Mutant::SkipsDetected, "skips", Lacks("3 of 3 of the drawn faults")),
    caught(Mutant::SkippedPasses, "skipped", Ends(0)),
    caught(
        Mutant::ReplayNothing,
        "replay",
        Lacks("2 of the 2 faults that acted there acted again"),
    ),
    // Limits, processes, what is left.
    caught(Mutant::SamplerRepeats, "greedy", Lacks("at most 0.00 % is allowed")),
    caught(Mutant::CeilingUnheld, "greedy", Lacks("at most 0.00 % is allowed")),
    caught(Mutant::SamplerSelf, "files", Ends(0)),
    caught(Mutant::CeilingBlind, "unsampled", Lacks("no sample of cpu was taken")),
    caught(Mutant::TrendBlind, "unsampled", Lacks("3 are the fewest that show")),
    caught(Mutant::ExitAskedFor, "ends", Lacks("exited by itself with signal 9")),
    caught(Mutant::AuditAsksNothing, "leaves", Ends(0)),
];

impl Caught {
    /// The check that catches it.
    pub(super) fn check(&self) -> &'static Check {
        // A test asks each; without one the first would be wrong, and told as not caught.
        Check::named(self.check).unwrap_or(&super::CHECKS[0])
    }
}

impl Shows {
    /// Whether an answer shows it, beside that of a sound harness.
    pub(super) fn is_in(self, said: &Said, sound: &Said) -> bool {
        match self {
            Self::Ends(code) => said.code == Some(code) && sound.code != Some(code),
            // What did not end says nothing for want of time.
            Self::Lacks(words) => {
                said.code.is_some() && !said.text.contains(words) && sound.text.contains(words)
            }
            Self::Says(words) => said.text.contains(words) && !sound.text.contains(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_expected_to_be_caught_once_and_by_what_a_sound_harness_does_not_say() {
        for (number, mutant) in Mutant::ALL.iter().enumerate() {
            assert!(*mutant as usize == number);
            let rows = CAUGHT.iter().filter(|row| row.mutant == *mutant).count();
            assert_eq!(rows, 1, "mistake number {number}");
        }
        assert_eq!(CAUGHT.len(), Mutant::ALL.len());
        for row in CAUGHT {
            let check = Check::named(row.check).expect(row.check);
            match row.shows {
                Ends(code) => assert_ne!(code, check.code, "{}", check.name),
                Lacks(words) => assert!(check.says.contains(&words), "{}: {words}", check.name),
                Says(words) => assert!(!check.says.contains(&words), "{}: {words}", check.name),
            }
        }
    }

    #[test]
    fn an_answer_shows_a_mistake_only_beside_a_sound_one() {
        let said = |code, text: &str| Said { code, text: text.to_owned(), file: "x".into() };
        let sound = said(Some(1), "not healed");
        assert!(Ends(0).is_in(&said(Some(0), ""), &sound));
        assert!(!Ends(0).is_in(&said(Some(5), ""), &sound) && !Ends(1).is_in(&sound, &sound));
        assert!(Lacks("not healed").is_in(&said(Some(1), "healed"), &sound));
        assert!(!Lacks("not healed").is_in(&said(None, ""), &sound), "it was killed");
        assert!(!Lacks("other words").is_in(&said(Some(1), ""), &sound));
        assert!(Says("changed at").is_in(&said(Some(0), "changed at 7"), &sound));
        assert!(!Says("not healed").is_in(&sound, &sound));
    }
}
