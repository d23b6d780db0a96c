//! Baselines: how one is made of several runs, read, and held against.

use std::{collections::BTreeMap, path::Path};

use meshlab_model::{BASELINE_SCHEMA, Baseline, BaselineFigure, FigureKey, Verdict};
use meshlab_mutants::{Mutant, on};
use meshlab_stats::{PREDICTION_MIN, Prediction, Summary, holm, spread};

use super::{GateLimits, GateRow, figure_row, plain_row};
use crate::{
    figures::RunFigures,
    text::{change, clean},
};

/// How often something is called worse or within the limit wrongly.
const ERROR: f64 = 0.05;

/// Why a baseline cannot be made or read. Completes "failed to ... a baseline: ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaselineError {
    /// A run is not sound, or not green; with the exit code's verdict.
    #[error("{}", .0.reason().unwrap_or("a run is not sound"))]
    Run(Verdict),
    /// Runs were made under other conditions than the first.
    #[error("{of} and {with} are not alike: they differ in {}", .differ.join(", "))]
    Unlike {
        /// The first run.
        of: String,
        /// The other one.
        with: String,
        /// In what.
        differ: Vec<String>,
    },
    /// It is no baseline.
    #[error("{0} is no baseline: {1}; `meshlab baseline RUN...` makes one")]
    Malformed(String, String),
    /// It was written in another form.
    #[error(
        "{0} has schema {1}, this meshlab reads schema {BASELINE_SCHEMA}; make it again with \
        `meshlab baseline RUN...`"
    )]
    Schema(String, u64),
}

/// Makes a baseline of runs of one scenario.
///
/// # Errors
/// A run is not sound or not green, or runs differ in more than their seed.
pub fn make_baseline(runs: &[RunFigures]) -> Result<Baseline, BaselineError> {
    let mut runs: Vec<&RunFigures> = runs.iter().collect();
    runs.sort_by_key(|run| run.started_unix_nanos);
    let Some(first) = runs.first() else {
        return Err(BaselineError::Run(Verdict::Broken("there is no run".to_owned())));
    };
    let (mut binaries, mut commits) = (BTreeMap::<String, Vec<String>>::new(), Vec::new());
    let mut values: BTreeMap<&FigureKey, (&str, Vec<f64>)> = BTreeMap::new();
    for run in &runs {
        check(first, run)?;
        for (name, binary) in &run.manifest.binaries {
            let known = binaries.entry(name.clone()).or_default();
            if !known.contains(&binary.sha256) {
                known.push(binary.sha256.clone());
            }
        }
        commits.extend(run.manifest.commit.clone().filter(|commit| !commits.contains(commit)));
        for (key, figure) in &run.figures {
            values.entry(key).or_insert((&figure.unit, Vec::new())).1.push(figure.value);
        }
    }
    let figure = |(key, (unit, values)): (&FigureKey, (&str, Vec<f64>))| {
        let median = Summary::of(&values)?.median;
        let (key, unit, spread) = (key.clone(), unit.to_owned(), spread(&values));
        Some(BaselineFigure { key, unit, values, median, spread })
    };
    Ok(Baseline {
        schema: BASELINE_SCHEMA,
        meshlab: env!("CARGO_PKG_VERSION").to_owned(),
        conditions: first.conditions.clone(),
        binaries,
        commits,
        runs: runs.iter().map(|run| run.run.clone()).collect(),
        figures: values.into_iter().filter_map(figure).collect(),
    })
}

/// Whether a run can be part of a baseline that begins with `first`.
fn check(first: &RunFigures, run: &RunFigures) -> Result<(), BaselineError> {
    if let Some(refused) = run.refused() {
        return Err(BaselineError::Run(refused));
    }
    if run.verdict.rank() >= Verdict::Failed(String::new()).rank() {
        let why = format!("{} is {}: what is red is no measure for others", run.run, run.verdict);
        return Err(BaselineError::Run(Verdict::Inconclusive(clean(&why))));
    }
    let differ = first.conditions.unlike(&run.conditions);
    let (of, with) = (first.run.clone(), run.run.clone());
    if differ.is_empty() { Ok(()) } else { Err(BaselineError::Unlike { of, with, differ }) }
}

/// Reads a baseline; `path` is named where something is wrong with it.
///
/// # Errors
/// It is no baseline, of another form, or has numbers that are none.
pub fn read_baseline(path: &Path, text: &str) -> Result<Baseline, BaselineError> {
    let name = path.display().to_string();
    let malformed = |why: String| BaselineError::Malformed(name.clone(), why);
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(BASELINE_SCHEMA) => {
            return Err(BaselineError::Schema(name, found));
        }
        Some(_) => {}
        None => return Err(malformed("it has no `schema`".to_owned())),
    }
    let baseline: Baseline =
        serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
    for figure in &baseline.figures {
        let wrong = |value: &&f64| !(value.is_finite() && **value >= 0.0);
        let all = figure.values.iter().chain([&figure.median]).chain(&figure.spread);
        if let Some(wrong) = all.clone().find(wrong) {
            return Err(malformed(format!(
                "{} has the value {wrong}, which is no amount",
                figure.key
            )));
        }
        if figure.values.is_empty() {
            return Err(malformed(format!("{} has no value", figure.key)));
        }
    }
    if baseline.figures.is_empty() {
        return Err(malformed("it has no figure".to_owned()));
    }
    Ok(baseline)
}

/// A figure that is held, with what it takes to judge it beside all others.
struct Held<'a> {
    figure: &'a BaselineFigure,
    value: f64,
    prediction: Prediction,
}

/// Holds a run against a baseline.
pub(super) fn hold(
    run: &RunFigures,
    baseline: &Baseline,
    limits: &GateLimits,
    notes: &mut Vec<String>,
) -> Vec<GateRow> {
    let differ = run.conditions.unlike(&baseline.conditions);
    if !differ.is_empty() && !on(Mutant::BaselineAnyHost) {
        let differ = format!("this run and the baseline differ in {}", clean(&differ.join(", ")));
        match &limits.allow_unlike {
            Some(reason) => {
                notes.push(format!("{differ}; held against it because: {}", clean(reason)));
            }
            None => {
                let why = format!(
                    "{differ}; make a baseline of runs like this one with `meshlab baseline`, or \
                     insist with `--allow-unlike REASON`"
                );
                return vec![plain_row("the baseline", Verdict::Inconclusive(why))];
            }
        }
    }
    let (mut rows, mut held, mut left) = (Vec::new(), Vec::new(), 0);
    for figure in &baseline.figures {
        let named = limits.metrics.contains(&figure.key.name);
        // Of a plain number nobody knows whether less of it is better.
        if figure.key.role.is_none() && figure.unit != "s" && !named {
            left += 1;
            continue;
        }
        match of(run, figure, limits.allow) {
            Ok(one) => held.push(one),
            Err(row) => rows.push(*row),
        }
    }
    for name in &limits.metrics {
        if !baseline.figures.iter().any(|figure| figure.key.name == *name) {
            let why = "the baseline has no such metric".to_owned();
            rows.push(plain_row(name, Verdict::Inconclusive(why)));
        }
    }
    if left > 0 {
        notes.push(format!(
            "not held, because nobody said that less of it is better, which `--metric NAME` does: \
             {left} of the scenario's own metrics"
        ));
    }
    notes.push(format!(
        "held against a baseline of {} runs: at most {} more, at {} % over all",
        baseline.runs.len(),
        change(1.0 + limits.allow).trim_start_matches('+'),
        ERROR * 100.0
    ));
    rows.extend(judge(&held, limits.allow));
    if rows.is_empty() {
        let why = "it has nothing that this run could be held against".to_owned();
        rows.push(plain_row("the baseline", Verdict::Inconclusive(why)));
    }
    rows
}

/// What a figure of the baseline is held with; or why it cannot be.
fn of<'a>(
    run: &RunFigures,
    figure: &'a BaselineFigure,
    allow: f64,
) -> Result<Held<'a>, Box<GateRow>> {
    let undecided = |value: f64, why: String| {
        let limit = figure.median * (1.0 + allow);
        let verdict = Verdict::Inconclusive(why);
        Box::new(figure_row(&figure.key, value, limit, &figure.unit, verdict))
    };
    let Some(found) = run.figures.get(&figure.key) else {
        let why = "the baseline has it and this run does not".to_owned();
        return Err(Box::new(plain_row(&figure.key.to_string(), Verdict::Inconclusive(why))));
    };
    if found.unit != figure.unit {
        let why = format!("its unit was `{}` and is `{}`", figure.unit, found.unit);
        return Err(undecided(found.value, clean(&why)));
    }
    let count = figure.values.len();
    if count < PREDICTION_MIN {
        let why = format!("the baseline has {count} runs of it, {PREDICTION_MIN} are the fewest");
        return Err(undecided(found.value, why));
    }
    let prediction = Prediction::new(&figure.values).filter(|_| found.value > 0.0);
    let Some(prediction) = prediction else {
        let why = "a value is zero, of which there is no ratio".to_owned();
        return Err(undecided(found.value, why));
    };
    Ok(Held { figure, value: found.value, prediction })
}

/// A figure fails where it is above what is allowed for sure, corrected for there being several
/// (Holm); it passes where its whole interval is below. What is neither is undecided.
fn judge(held: &[Held<'_>], allow: f64) -> Vec<GateRow> {
    let limit = 1.0 + allow;
    let p_values: Vec<f64> =
        held.iter().map(|held| held.prediction.p_above(held.value, limit)).collect();
    let row = |(held, p): (&Held<'_>, f64)| {
        let Held { figure, value, prediction } = held;
        let (low, high) = prediction.interval(*value, 1.0 - 2.0 * ERROR);
        let words =
            format!("{} ({} to {})", change(prediction.ratio(*value)), change(low), change(high));
        let verdict = if high <= limit {
            Verdict::Passed
        } else if p <= ERROR {
            let allowed = change(limit);
            Verdict::Failed(format!("{words} beside the baseline, at most {allowed} is allowed"))
        } else {
            let runs = figure.values.len();
            Verdict::Inconclusive(format!(
                "{words} beside {runs} runs: too much noise to tell it from {}; more runs in the \
                 baseline help",
                change(limit)
            ))
        };
        let row = figure_row(&figure.key, *value, figure.median * limit, &figure.unit, verdict);
        GateRow { found: format!("{}, {words}", row.found), ..row }
    };
    held.iter().zip(holm(&p_values)).map(row).collect()
}
