//! How something came out, and what the process says about it when it exits.

use std::fmt;

use meshlab_mutants::{Mutant, on};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a claim, a fault, a test or a run came out. Ordered: the worst wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", content = "because", rename_all = "snake_case")]
pub enum Verdict {
    /// It was looked at, and it held.
    Passed,
    /// It was not looked at, for this reason. Never counts as passed.
    Skipped(String),
    /// It was looked at, but what was seen cannot decide it.
    Inconclusive(String),
    /// It was looked at, and it did not hold.
    Failed(String),
    /// The harness or the host could not do its part, so nothing is known about the subject.
    Broken(String),
}

impl Verdict {
    /// One word, the same in every output.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped(_) => "skipped",
            Self::Inconclusive(_) => "inconclusive",
            Self::Failed(_) => "failed",
            Self::Broken(_) => "broken",
        }
    }

    /// The reason, where there is one to give.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Skipped(why)
            | Self::Inconclusive(why)
            | Self::Failed(why)
            | Self::Broken(why) => Some(why),
        }
    }

    /// Whether this is [`Verdict::Passed`].
    pub fn is_passed(&self) -> bool {
        matches!(self, Self::Passed)
    }

    /// How bad it is, worst highest: the order of the verdicts without their reasons.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Skipped(_) => 1,
            Self::Inconclusive(_) => 2,
            Self::Failed(_) => 3,
            Self::Broken(_) => 4,
        }
    }

    /// The worse of two; of two equally bad ones, the first, so that the first reason is kept.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            None => f.write_str(self.word()),
            Some(why) => write!(f, "{}: {why}", self.word()),
        }
    }
}

/// What `meshlab` exits with. A stable part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[repr(u8)]
pub enum ExitCode {
    /// Every claim was evaluated and held.
    Passed = 0,
    /// A claim failed.
    ClaimFailed = 1,
    /// The command line is wrong, or a program that it or a kind names is not there.
    Usage = 2,
    /// The scenario is wrong: it does not parse, or misuses the language.
    ScriptError = 3,
    /// Nothing failed, but something could not be decided or was skipped.
    Inconclusive = 4,
    /// The harness or the host failed, so the run says nothing about the subject.
    HarnessFailed = 5,
    /// Stopped by a signal before it was done.
    Interrupted = 130,
}

impl From<&Verdict> for ExitCode {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            // A run in which everything was skipped proved nothing: that is not success.
            Verdict::Skipped(_) if on(Mutant::SkippedPasses) => Self::Passed,
            Verdict::Inconclusive(_) if on(Mutant::UndecidedPasses) => Self::Passed,
            Verdict::Skipped(_) | Verdict::Inconclusive(_) => Self::Inconclusive,
            Verdict::Failed(_) if on(Mutant::ExitCodeZero) => Self::Passed,
            Verdict::Failed(_) => Self::ClaimFailed,
            Verdict::Broken(_) => Self::HarnessFailed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins_and_keeps_the_first_reason() {
        let first = Verdict::Failed("first".into());
        let all = [
            Verdict::Passed,
            Verdict::Skipped("no network".into()),
            first.clone(),
            Verdict::Failed("second".into()),
            Verdict::Inconclusive("late".into()),
        ];
        let worst = all.into_iter().fold(Verdict::Passed, Verdict::worse);
        assert_eq!(worst, first);
        let broken = worst.worse(Verdict::Broken("no /proc".into()));
        assert_eq!(ExitCode::from(&broken), ExitCode::HarnessFailed);
    }

    #[test]
    fn not_looked_at_is_not_success() {
        assert_ne!(ExitCode::from(&Verdict::Skipped("x".into())), ExitCode::Passed);
    }
}
