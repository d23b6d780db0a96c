//! Finished runs of two programs beside each other: what `meshlab compare` and `meshlab ab` say.
//!
//! A run is the replicate, or with one run on each side a node; never a sample. Runs that were not
//! made alike are refused with what differs. What was not told apart is undecided, and undecided is
//! never green.

mod claims;
mod page;
mod shown;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use meshlab_model::{Conditions, ExitCode, FigureKey, Verdict, format_duration};
use meshlab_mutants::{Mutant, on};
use meshlab_stats::{Latency, Paired, PairedError, Summary, Word, holm, words};

pub use self::claims::ClaimsWord;
use crate::{
    figures::{Figure, RunFigures, host_noise},
    text::clean,
};

/// A change that nobody minds: an interval within it is the same.
const MARGIN: f64 = 0.05;

/// How sure a word is, over all figures of a report together.
const CONFIDENCE: f64 = 0.99;

/// The fewest rounds that decide anything: with less there is no test of them.
const ROUNDS_MIN: usize = 6;

/// What two runs of one program differ by at the most. Runs on a shared runner vary by 2.66 %, so
/// that two of them differ by 3.8 % in a standard deviation, and by less than three of these but
/// for one time of 370. With one run on each side nothing less is told from it.
const RUNS_DIFFER: f64 = 3.0 * 0.0266 * std::f64::consts::SQRT_2;

/// By how much the lengths of runs that are alike may differ: a factor, and seconds beside it for
/// what a busy host adds to a run that is short.
const LENGTHS_DIFFER: (f64, f64) = (1.5, 10.0);

/// What is to be known beside the runs.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    /// Figures of which more is better; of all others less is.
    pub more_is_better: Vec<String>,
    /// Why runs are compared that are not alike.
    pub allow_unlike: Option<String>,
}

/// What counts as one observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicate {
    /// A run beside another one.
    Run,
    /// A node beside the same node of the other run.
    Node,
}

/// One figure of both sides.
#[derive(Debug, Clone)]
pub struct CompareRow {
    /// What it is of.
    pub key: FigureKey,
    /// Its unit.
    pub unit: String,
    /// Median before.
    pub before: f64,
    /// Median after.
    pub after: f64,
    /// Ratio of after to before; `None` where there is none.
    pub effect: Option<f64>,
    /// Its interval at 99 %; `None` with too few pairs.
    pub interval: Option<(f64, f64)>,
    /// How many pairs it rests on.
    pub pairs: usize,
    /// What it comes to, beside all other figures.
    pub word: Word,
    /// Why it is undecided.
    pub why: Option<String>,
}

/// Lengths of time of both sides.
#[derive(Debug, Clone)]
pub struct CompareLatency {
    /// What they are of.
    pub name: String,
    /// Before.
    pub before: Latency,
    /// After.
    pub after: Latency,
}

/// Two sets of runs beside each other.
#[derive(Debug, Clone)]
pub struct CompareReport {
    /// The scenario.
    pub scenario: String,
    /// The runs before, in the order in which they were paired.
    pub before: Vec<String>,
    /// The runs after.
    pub after: Vec<String>,
    /// What counts as one observation.
    pub replicate: Replicate,
    /// Worst first.
    pub rows: Vec<CompareRow>,
    /// Lengths of time that both have.
    pub latencies: Vec<CompareLatency>,
    /// What a reader has to know beside them.
    pub notes: Vec<String>,
    /// What the claims came to; `None` where no run was red.
    pub claims: Option<ClaimsWord>,
    /// Differences of flamegraphs: a name and a file beside the page.
    pub flamegraphs: Vec<(String, PathBuf)>,
    /// Failed where something is worse, inconclusive where something is undecided.
    pub verdict: Verdict,
}

impl CompareReport {
    /// What `meshlab compare` exits with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(&self.verdict)
    }
}

/// Compares two sets of runs, paired in the order of their start.
///
/// # Errors
/// The verdict on why they cannot be compared: a run is not sound, or they are not alike and nobody
/// insists.
pub fn compare(
    before: &[RunFigures],
    after: &[RunFigures],
    options: &CompareOptions,
) -> Result<CompareReport, Verdict> {
    let in_order = |runs: &[RunFigures]| -> Vec<RunFigures> {
        let mut runs = runs.to_vec();
        runs.sort_by_key(|run| run.started_unix_nanos);
        runs
    };
    let (mut before, mut after) = (in_order(before), in_order(after));
    let (Some(first), Some(_)) = (before.first().cloned(), after.first()) else {
        return Err(Verdict::Broken("there is no run on one of the two sides".to_owned()));
    };
    let refused = before.iter().chain(&after).filter_map(RunFigures::refused);
    if let Some(worst) = refused.reduce(Verdict::worse) {
        return Err(worst);
    }
    let mut notes = Vec::new();
    let left: Vec<RunFigures> = match before.len().cmp(&after.len()) {
        std::cmp::Ordering::Greater => before.split_off(after.len()),
        _ => after.split_off(before.len()),
    };
    if !left.is_empty() {
        let named: Vec<&str> = left.iter().take(4).map(|run| run.run.as_str()).collect();
        let (count, named) = (left.len(), named.join(", "));
        notes.push(format!(
            "left out, because the other side has no run beside it: {count} \
            ({named})"
        ));
    }
    alike(&first, &before, &after, options, &mut notes)?;
    tell(&before, &after, &mut notes);
    let replicate = if before.len() == 1 { Replicate::Node } else { Replicate::Run };
    let rows = rows(&before, &after, replicate, options);
    let verdict = red(&before, &after).worse(verdict(&rows));
    let claims = claims::claims(&before, &after);
    if let Some(claims) = &claims {
        notes.insert(0, claims.line());
    }
    let names = |runs: &[RunFigures]| runs.iter().map(|run| run.run.clone()).collect();
    Ok(CompareReport {
        scenario: first.conditions.scenario,
        latencies: latencies(&before, &after),
        before: names(&before),
        after: names(&after),
        replicate,
        rows,
        notes,
        claims,
        flamegraphs: Vec::new(),
        verdict,
    })
}

/// What runs that are not green make of the verdict.
fn red(before: &[RunFigures], after: &[RunFigures]) -> Verdict {
    let all = || before.iter().chain(after);
    let broken = all().find(|run| matches!(run.verdict, Verdict::Broken(_)));
    if let Some(run) = broken {
        return Verdict::Inconclusive(format!("{} is {}", run.run, run.verdict));
    }
    let first = all().find(|run| matches!(run.verdict, Verdict::Failed(_)));
    claims::claims(before, after).map_or(Verdict::Passed, |claims| claims.verdict(first))
}

/// Refuses what was not made alike, or notes it where somebody insists.
fn alike(
    first: &RunFigures,
    before: &[RunFigures],
    after: &[RunFigures],
    options: &CompareOptions,
    notes: &mut Vec<String>,
) -> Result<(), Verdict> {
    // Rounds have seeds of their own; those of a pair are the same.
    let unseeded = |run: &RunFigures| Conditions { chaos_seed: None, ..run.conditions.clone() };
    let mut differ: Vec<String> = Vec::new();
    let mut with = String::new();
    for run in before.iter().chain(after) {
        let more = unseeded(first).unlike(&unseeded(run));
        if differ.is_empty() && !more.is_empty() {
            (differ, with) = (more, run.run.clone());
        }
    }
    for (one, other) in before.iter().zip(after) {
        let (a, b) = (one.conditions.chaos_seed, other.conditions.chaos_seed);
        if a != b && differ.is_empty() {
            let said =
                |seed: Option<u64>| seed.map_or("none".into(), |seed| format!("seed {seed}"));
            differ.push(format!("the schedule of faults ({} and {})", said(a), said(b)));
            with.clone_from(&other.run);
        }
    }
    let length = |run: &RunFigures| run.view.last.as_duration();
    let all = || before.iter().chain(after).map(length);
    if let (Some(least), Some(most)) = (all().min(), all().max())
        && differ.is_empty()
        && most.as_secs_f64() > least.as_secs_f64() * LENGTHS_DIFFER.0 + LENGTHS_DIFFER.1
    {
        let (least, most) = (format_duration(least), format_duration(most));
        differ.push(format!("how long they took ({least} and {most})"));
        with = "another run".to_owned();
    }
    if differ.is_empty() {
        return Ok(());
    }
    let text = format!("{} and {with} differ in {}", first.run, differ.join(", "));
    let Some(reason) = &options.allow_unlike else {
        return Err(Verdict::Inconclusive(format!(
            "{}; what they come to would say nothing about their programs. Insist with \
             `--allow-unlike REASON`",
            clean(&text)
        )));
    };
    notes.push(format!("UNLIKE RUNS: {}; compared because: {}", clean(&text), clean(reason)));
    Ok(())
}

/// Notes what a reader has to know of the runs.
fn tell(before: &[RunFigures], after: &[RunFigures], notes: &mut Vec<String>) {
    let programs = |runs: &[RunFigures]| -> BTreeSet<String> {
        let all = runs.iter().flat_map(|run| &run.manifest.binaries);
        all.map(|(name, binary)| {
            format!("{name} {}", binary.sha256.chars().take(12).collect::<String>())
        })
        .collect()
    };
    let (one, other) = (programs(before), programs(after));
    let said = |all: &BTreeSet<String>| {
        clean(&all.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    };
    let none = one.is_empty() && other.is_empty();
    notes.extend((!none).then(|| match one == other {
        true => format!("both sides ran the same programs: {}", said(&one)),
        false => format!("programs: {} before, {} after", said(&one), said(&other)),
    }));
    let built = |runs: &[RunFigures]| {
        runs.first()?.manifest.binaries.get(meshlab_engine::NODE_BINARY)?.built_with.clone()
    };
    if let (Some(one), Some(other)) = (built(before), built(after)) {
        let sides = crate::built::built_sides([&one, &other]);
        notes.push(clean(&format!("mesh-node: {}", sides.join("; "))));
    }
    let ends = before.iter().map(|run| run.started_unix_nanos).max();
    let begins = after.iter().map(|run| run.started_unix_nanos).min();
    if before.len() > 1 && ends < begins {
        notes.push(
            "all runs before were made before all runs after, so what changed on the host \
            meanwhile is in the difference; `meshlab ab` interleaves them"
                .to_owned(),
        );
    } else if before.len() > 1 && !mirrored(before, after) {
        notes.push(
            "the runs were not made in the order before, after, after, before, so a drift of the \
            host is not told from a change; `meshlab ab` makes them so"
                .to_owned(),
        );
    }
    if before.len() == 1 {
        notes.push(format!(
            "one run on each side: each node is beside itself in the other run, and what two runs \
             of one program differ by, up to {:.0} %, is told from nothing; `meshlab ab` makes \
             rounds",
            RUNS_DIFFER * 100.0
        ));
    }
    let noisy: Vec<String> = before.iter().chain(after).filter_map(host_noise).collect();
    if let Some(first) = noisy.first() {
        let all = before.len() + after.len();
        notes.push(format!("in {} of {all} runs {first}", noisy.len()));
    }
}

/// The figures that both sides have, worst first.
fn rows(
    before: &[RunFigures],
    after: &[RunFigures],
    replicate: Replicate,
    options: &CompareOptions,
) -> Vec<CompareRow> {
    let keys: BTreeSet<&FigureKey> =
        before.iter().chain(after).flat_map(|run| run.figures.keys()).collect();
    let noisy = before.iter().chain(after).any(|run| host_noise(run).is_some());
    let (mut rows, mut paired) = (Vec::new(), Vec::new());
    for key in keys {
        let (one, other, unit) = pairs(key, before, after, replicate);
        let more = options.more_is_better.contains(&key.name);
        let (mut row, pair) = row(key, &unit, &one, &other, more);
        match pair {
            // It cannot be decided, so the others need no correction for it.
            Some(pair) if pair.rounds() == 1 => {
                row.why = Some("one value on each side; `meshlab ab` makes rounds".to_owned());
            }
            Some(pair) => paired.push((rows.len(), pair)),
            None => {}
        }
        rows.push(row);
    }
    let measures: Vec<Paired> = paired.iter().map(|(_, pair)| pair.clone()).collect();
    let of_all = measures.len();
    let told = match replicate {
        Replicate::Run if mirrored(before, after) => words(&measures, MARGIN, CONFIDENCE),
        _ => words_by_rank(&measures),
    };
    for ((place, measure), word) in paired.iter().zip(told) {
        let row = &mut rows[*place];
        row.word = word;
        if word == Word::Undecided {
            row.why = Some(undecided(measure, of_all, replicate));
        }
        if replicate == Replicate::Node {
            soften(row, noisy);
        }
    }
    let rank = |word: Word| match word {
        Word::Worse => 0,
        Word::Undecided => 1,
        Word::Better => 2,
        Word::Same => 3,
    };
    let change = |row: &CompareRow| row.effect.map_or(0.0, |effect| effect.ln().abs());
    rows.sort_by(|a, b| rank(a.word).cmp(&rank(b.word)).then(change(b).total_cmp(&change(a))));
    rows
}

/// Whether the rounds were made in the order before, after, after, before and so on: then a drift
/// of the host can be told from a change, and in no other.
fn mirrored(before: &[RunFigures], after: &[RunFigures]) -> bool {
    let round = |(n, (one, other)): (usize, (&RunFigures, &RunFigures))| {
        let both = [one.started_unix_nanos, other.started_unix_nanos];
        if n % 2 == 0 { both } else { [both[1], both[0]] }
    };
    let order: Vec<u64> = before.iter().zip(after).enumerate().flat_map(round).collect();
    order.is_sorted_by(|one, next| one < next)
}

/// The words for pairs in no order of time that is known: nodes beside themselves, or runs that
/// were not interleaved. Nothing is to be said of a drift, and only each beside its own pair
/// counts: Wilcoxon's signed-rank test, corrected by Holm.
fn words_by_rank(measures: &[Paired]) -> Vec<Word> {
    let p_values: Vec<f64> = measures.iter().map(Paired::p_value).collect();
    let word = |(measure, p): (&Paired, f64)| {
        let is_same = |(low, high): (f64, f64)| low >= 1.0 / (1.0 + MARGIN) && high <= 1.0 + MARGIN;
        match measure.interval(CONFIDENCE) {
            Some(interval) if is_same(interval) => Word::Same,
            _ if p > 1.0 - CONFIDENCE => Word::Undecided,
            _ if measure.effect() < 1.0 => Word::Better,
            _ => Word::Worse,
        }
    };
    measures.iter().zip(holm(&p_values)).map(word).collect()
}

/// What one run on each side says is less than it looks.
fn soften(row: &mut CompareRow, noisy: bool) {
    let beyond =
        |(low, high): (f64, f64)| low > 1.0 + RUNS_DIFFER || high < 1.0 / (1.0 + RUNS_DIFFER);
    let told = matches!(row.word, Word::Better | Word::Worse);
    if told && !row.interval.is_some_and(beyond) {
        row.word = Word::Undecided;
        let most = RUNS_DIFFER * 100.0;
        row.why = Some(format!("two runs of one program differ by up to {most:.0} % too"));
    }
    if noisy && row.word != Word::Undecided {
        row.word = Word::Undecided;
        row.why = Some("the host was noisy, and one run on each side does not even it out".into());
    }
}

/// Values that belong together, and their unit.
fn pairs(
    key: &FigureKey,
    before: &[RunFigures],
    after: &[RunFigures],
    replicate: Replicate,
) -> (Vec<f64>, Vec<f64>, String) {
    let of = |run: &'_ RunFigures| run.figures.get(key).cloned();
    let (mut one, mut other, mut unit) = (Vec::new(), Vec::new(), String::new());
    for (before, after) in before.iter().zip(after) {
        let (Some(before), Some(after)) = (of(before), of(after)) else { continue };
        unit.clone_from(&before.unit);
        match replicate {
            Replicate::Node if !before.by_node.is_empty() => {
                let both = |(node, value): (&_, &f64)| Some((*value, *after.by_node.get(node)?));
                let (a, b): (Vec<f64>, Vec<f64>) = before.by_node.iter().filter_map(both).unzip();
                one.extend(a);
                other.extend(b);
            }
            _ => push(&before, &after, &mut one, &mut other),
        }
    }
    (one, other, unit)
}

fn push(before: &Figure, after: &Figure, one: &mut Vec<f64>, other: &mut Vec<f64>) {
    one.push(before.value);
    other.push(after.value);
}

/// A row without its word, and what the word comes from.
fn row(
    key: &FigureKey,
    unit: &str,
    before: &[f64],
    after: &[f64],
    more_is_better: bool,
) -> (CompareRow, Option<Paired>) {
    let median = |values: &[f64]| Summary::of(values).map_or(f64::NAN, |summary| summary.median);
    let mut row = CompareRow {
        key: key.clone(),
        unit: unit.to_owned(),
        before: median(before),
        after: median(after),
        effect: None,
        interval: None,
        pairs: before.len(),
        word: Word::Undecided,
        why: None,
    };
    let all_zero = before.iter().chain(after).all(|value| *value == 0.0);
    if all_zero && !before.is_empty() {
        row.word = Word::Same;
        return (row, None);
    }
    match Paired::new(before, after) {
        Ok(paired) => {
            row.effect = Some(paired.effect());
            row.interval = paired.interval(CONFIDENCE);
            // Less is better for the words.
            let turned = more_is_better.then(|| Paired::new(after, before).ok()).flatten();
            (row, Some(turned.unwrap_or(paired)))
        }
        Err(PairedError::Unpaired { .. }) => {
            row.why = Some("only one side has it".to_owned());
            (row, None)
        }
        Err(PairedError::NoRatio(value)) => {
            row.why = Some(format!("{value} has no ratio to anything"));
            (row, None)
        }
    }
}

fn undecided(measure: &Paired, of_all: usize, replicate: Replicate) -> String {
    let what = match replicate {
        Replicate::Run => "rounds",
        Replicate::Node => "nodes",
    };
    let least = match replicate {
        Replicate::Run => ROUNDS_MIN,
        // All on one side is the most that so few can say, and Holm's first hurdle is the highest.
        Replicate::Node => Paired::rounds_min(1.0 - (1.0 - CONFIDENCE) / of_all.max(1) as f64),
    };
    let have = measure.rounds();
    if have < least {
        return format!("{have} {what}: {least} are the fewest that decide anything");
    }
    match measure.rounds_to_decide(1.0, CONFIDENCE) {
        Some(more) => format!("about {more} {what} would tell it from no change"),
        None => format!("no number of {what} would tell it from no change"),
    }
}

fn verdict(rows: &[CompareRow]) -> Verdict {
    let of = |word: Word| rows.iter().filter(move |row| row.word == word);
    let named = |row: &CompareRow| {
        let change = row
            .effect
            .map_or(String::new(), |effect| format!(" ({})", crate::text::change(effect)));
        format!("{}{change}", clean(&row.key.to_string()))
    };
    if let Some(worst) = of(Word::Worse).next().filter(|_| !on(Mutant::WorseUnsaid)) {
        return Verdict::Failed(format!("worse: {}", named(worst)));
    }
    match (of(Word::Undecided).next(), rows.is_empty()) {
        (_, true) => Verdict::Broken("no figure that both sides have".to_owned()),
        (Some(first), _) => {
            let count = of(Word::Undecided).count();
            let why = first.why.as_deref().unwrap_or("the pairs do not say");
            Verdict::Inconclusive(format!(
                "{count} of {} figures are undecided: {}: {why}",
                rows.len(),
                named(first)
            ))
        }
        (None, _) => Verdict::Passed,
    }
}

fn latencies(before: &[RunFigures], after: &[RunFigures]) -> Vec<CompareLatency> {
    let all = |runs: &[RunFigures]| {
        let mut all: BTreeMap<String, Latency> = BTreeMap::new();
        for (name, times) in runs.iter().flat_map(|run| &run.latencies) {
            all.entry(name.clone()).or_default().add(times);
        }
        all
    };
    let (before, mut after) = (all(before), all(after));
    let both = |(name, before): (String, Latency)| {
        let after = after.remove(&name)?;
        Some(CompareLatency { name, before, after })
    };
    before.into_iter().filter_map(both).collect()
}
