//! How the claims of both sides came out: which runs were red, round by round.

use std::collections::BTreeMap;

use meshlab_model::Verdict;
use meshlab_stats::{Word, sign_test, signs_min};

use super::CONFIDENCE;
use crate::{figures::RunFigures, text::clean};

/// Claims that are named.
const NAMED_MAX: usize = 4;

/// What the claims come to, over all rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimsWord {
    /// Runs before that were red.
    pub red_before: usize,
    /// Runs after that were red.
    pub red_after: usize,
    /// Runs after that were green.
    pub green_after: usize,
    /// How many rounds there were.
    pub rounds: usize,
    /// Rounds in which one was green and the other red.
    pub turned: usize,
    /// The two-sided sign test over the rounds in which one was green and the other red.
    pub p_value: f64,
    /// Better where red became green.
    pub word: Word,
    /// Claims that were red on one side only, with how often before and after.
    pub changed: Vec<(String, usize, usize)>,
}

/// What the claims of these pairs of runs say; `None` where no run is red.
pub(super) fn claims(before: &[RunFigures], after: &[RunFigures]) -> Option<ClaimsWord> {
    let red = |run: &&RunFigures| matches!(run.verdict, Verdict::Failed(_));
    let green = |run: &&RunFigures| run.verdict == Verdict::Passed;
    let count = |runs: &[RunFigures], is: &dyn Fn(&&RunFigures) -> bool| {
        runs.iter().filter(|run| is(run)).count()
    };
    let (red_before, red_after) = (count(before, &red), count(after, &red));
    if red_before + red_after == 0 {
        return None;
    }
    let rounds = || before.iter().zip(after);
    let better = rounds().filter(|(one, other)| red(one) && green(other)).count();
    let worse = rounds().filter(|(one, other)| green(one) && red(other)).count();
    let p_value = sign_test(better, worse);
    let word = match p_value <= 1.0 - CONFIDENCE {
        true if better > worse => Word::Better,
        true => Word::Worse,
        false => Word::Undecided,
    };
    Some(ClaimsWord {
        red_before,
        red_after,
        green_after: count(after, &green),
        rounds: before.len(),
        turned: better + worse,
        p_value,
        word,
        changed: changed(before, after),
    })
}

/// Claims by where they stand, since their words name what was found; how many runs had each red.
fn changed(before: &[RunFigures], after: &[RunFigures]) -> Vec<(String, usize, usize)> {
    let mut all: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for (side, runs) in [before, after].into_iter().enumerate() {
        for run in runs {
            let mut red: Vec<String> = run.view.claims.values().filter_map(name_if_red).collect();
            red.sort();
            red.dedup();
            for name in red {
                all.entry(name).or_default()[side] += 1;
            }
        }
    }
    let one_side = |(name, [one, other]): (String, [usize; 2])| {
        ((one == 0) != (other == 0)).then_some((name, one, other))
    };
    all.into_iter().filter_map(one_side).collect()
}

fn name_if_red(claim: &crate::view::ClaimView) -> Option<String> {
    let red = matches!(claim.verdict, Some(Verdict::Failed(_)));
    let place = claim.source.as_ref().map(|at| format!(" in line {}", at.line));
    red.then(|| format!("{}{}", claim.call, place.unwrap_or_default()))
}

impl ClaimsWord {
    /// In one line, for people.
    pub fn line(&self) -> String {
        let Self { red_before, red_after, green_after, rounds, p_value, .. } = self;
        let mut text = format!(
            "claims: red before in {red_before} of {rounds}, green after in {green_after} of \
             {rounds}"
        );
        if *red_after > 0 {
            text += &format!(" and red in {red_after}");
        }
        text += &match self.word {
            Word::Undecided if self.turned == 0 => ": no round turned".to_owned(),
            Word::Undecided => format!(
                ": undecided (sign test over rounds, p = {p_value:.2}; {} rounds that all turn are \
                 the fewest that decide)",
                signs_min(CONFIDENCE)
            ),
            word => format!(": {} (sign test over rounds, p = {p_value:.4})", word.as_str()),
        };
        let named = self.changed.iter().take(NAMED_MAX);
        let named: Vec<String> = named
            .map(|(name, one, other)| format!("{} ({one} before, {other} after)", clean(name)))
            .collect();
        if !named.is_empty() {
            text += &format!("; red on one side only: {}", named.join(", "));
        }
        text
    }

    /// What it makes of the verdict: red claims that are not known to be mended decide nothing, and
    /// those that are new are a failure. `first` is a run that is red.
    pub(super) fn verdict(&self, first: Option<&RunFigures>) -> Verdict {
        match self.word {
            Word::Worse => Verdict::Failed(format!("worse: {}", self.line())),
            Word::Better if self.red_after == 0 => Verdict::Passed,
            _ => Verdict::Inconclusive(match first {
                Some(run) => format!("{}; {} is {}", self.line(), run.run, run.verdict),
                None => self.line(),
            }),
        }
    }
}
