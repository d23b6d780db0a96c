//! Rounds with two programs: what each measured, and what that comes to.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::{Measure, Round, RunEvent, RunEventKind, RunTime, SourceLine, TestId};
use meshlab_stats::{Paired, Summary, Word, words_with_primary};

use super::{ClaimView, RunView};

/// A change that nobody minds, of a measure in the table of all: a share. A claim has its own.
const MARGIN: f64 = 0.05;
/// Confidence of the intervals in that table.
const CONFIDENCE: f64 = 0.95;

/// Rounds with two programs.
#[derive(Debug, Clone)]
pub struct ComparisonView {
    /// Its test.
    pub test: TestId,
    /// Where it stands.
    pub source: Option<SourceLine>,
    /// Name of the one program.
    pub before: String,
    /// Name of the other one.
    pub after: String,
    /// Its rounds, warm-ups too, in order.
    pub rounds: Vec<RoundView>,
    /// Whether all rounds were made, or one failed.
    pub finished: bool,
    /// Measures that the scenario makes a claim about: what it is about, named before it was made.
    pub primary: Vec<String>,
}

/// One round with one program.
#[derive(Debug, Clone)]
pub struct RoundView {
    /// Which.
    pub round: Round,
    /// When it began.
    pub started: RunTime,
    /// When it ended.
    pub finished: Option<RunTime>,
    /// What it measured.
    pub measures: BTreeMap<String, Measure>,
    /// Why it failed.
    pub failed: Option<String>,
}

/// One measure of both programs.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasureView {
    /// Its name.
    pub name: String,
    /// Its unit: `s`, `B`, or empty.
    pub unit: String,
    /// Median before.
    pub before: f64,
    /// Median after.
    pub after: f64,
    /// Ratio of after to before, by rounds.
    pub effect: f64,
    /// Its 95 % interval; `None` with too few rounds.
    pub interval: Option<(f64, f64)>,
    /// The probability of rounds that differ as much if there is no difference, not corrected.
    pub p_value: f64,
    /// What it comes to, beside all other measures of the comparison.
    pub word: Word,
}

impl ComparisonView {
    /// The rounds that count and were made with both.
    pub fn pairs(&self) -> usize {
        let numbers = |binary: &String| -> BTreeSet<u32> {
            let made = self.rounds.iter().filter(|round| !round.measures.is_empty());
            made.filter(|round| !round.round.warmup && round.round.binary == *binary)
                .map(|round| round.round.round)
                .collect()
        };
        numbers(&self.before).intersection(&numbers(&self.after)).count()
    }

    /// The measures that all these rounds have, by name.
    pub fn measures(&self) -> Vec<MeasureView> {
        let side = |name: &str, binary: &str| -> BTreeMap<u32, &Measure> {
            let counted = self.rounds.iter().filter(|round| !round.round.warmup);
            counted
                .filter(|round| round.round.binary == binary)
                .filter_map(|round| Some((round.round.round, round.measures.get(name)?)))
                .collect()
        };
        let names: BTreeSet<&String> =
            self.rounds.iter().flat_map(|round| round.measures.keys()).collect();
        let mut found = Vec::new();
        for name in names {
            let (before, after) = (side(name, &self.before), side(name, &self.after));
            let both = before.iter().filter_map(|(n, b)| Some((b.value, after.get(n)?.value)));
            let (one, other): (Vec<f64>, Vec<f64>) = both.unzip();
            let unit = before.values().next().map(|measure| measure.unit.clone());
            if let Ok(paired) = Paired::new(&one, &other) {
                found.push((name, unit.unwrap_or_default(), one, other, paired));
            }
        }
        let all: Vec<Paired> = found.iter().map(|found| found.4.clone()).collect();
        let primary: Vec<usize> = (0..found.len())
            .filter(|place| self.primary.iter().any(|name| name == found[*place].0))
            .collect();
        let words = words_with_primary(&all, &primary, MARGIN, CONFIDENCE);
        let median = |values: &[f64]| Summary::of(values).map_or(f64::NAN, |s| s.median);
        let view = |((name, unit, before, after, paired), word): (_, Word)| {
            let (before, after): (Vec<f64>, Vec<f64>) = (before, after);
            let paired: Paired = paired;
            MeasureView {
                name: String::clone(name),
                unit,
                before: median(&before),
                after: median(&after),
                effect: paired.effect(),
                interval: paired.interval(CONFIDENCE),
                p_value: paired.p_value(),
                word,
            }
        };
        found.into_iter().zip(words).map(view).collect()
    }
}

impl RunView {
    /// The claims that hold nodes to what they may use and grow by.
    pub fn limits(&self) -> impl Iterator<Item = &ClaimView> {
        let calls = ["ceilings", "floors", "trends"];
        self.claims.values().filter(move |claim| calls.contains(&claim.call.as_str()))
    }

    pub(super) fn apply_comparison(&mut self, event: &RunEvent) {
        use RunEventKind as K;
        match &event.kind {
            K::ComparisonStarted { comparison, test, before, after, .. } => {
                let view = ComparisonView {
                    test: *test,
                    source: event.source.clone(),
                    before: before.clone(),
                    after: after.clone(),
                    rounds: Vec::new(),
                    finished: false,
                    primary: Vec::new(),
                };
                self.comparisons.insert(*comparison, view);
            }
            K::ClaimStarted { test, call, text, .. } if is_gain(call) => {
                // The measure stands first in what must hold, in backticks.
                let Some(name) = text.split('`').nth(1) else { return };
                for view in self.comparisons.values_mut().filter(|view| view.test == *test) {
                    view.primary.push(name.to_owned());
                }
            }
            K::RoundStarted { comparison, round } => match self.comparisons.get_mut(comparison) {
                Some(view) => view.rounds.push(RoundView {
                    round: round.clone(),
                    started: event.at,
                    finished: None,
                    measures: BTreeMap::new(),
                    failed: None,
                }),
                None => self.orphan(event, format!("{round} is of no comparison")),
            },
            K::RoundFinished { comparison, round, measures, failed } => {
                let view = self.comparisons.get_mut(comparison);
                let last = view.and_then(|view| view.rounds.last_mut());
                match last.filter(|last| last.round == *round) {
                    Some(last) => {
                        last.finished = Some(event.at);
                        last.measures.clone_from(measures);
                        last.failed.clone_from(failed);
                    }
                    None => self.orphan(event, format!("{round} ended without a start")),
                }
            }
            K::ComparisonFinished { comparison } => match self.comparisons.get_mut(comparison) {
                Some(view) => view.finished = true,
                None => self.orphan(event, format!("comparison {comparison} has no start")),
            },
            _ => {}
        }
    }
}

/// Whether a claim is about a measure of a comparison.
fn is_gain(call: &str) -> bool {
    call.ends_with(".improved") || call.ends_with(".not_worse")
}
