//! A figure over all runs of a scenario: where it changed.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::FigureKey;
use meshlab_stats::{Change, SEGMENT_MIN, Summary, changes};

use crate::{
    figures::{RunFigures, amount},
    text::{change, clean, utc},
};

/// How often a history that did not change is said to have changed, of each figure.
const ALPHA: f64 = 0.01;

/// Runs that a terminal shows of one figure; the others are in its changes.
const RUNS_SHOWN: usize = 30;

/// Columns of a sparkline.
const SPARK_MAX: usize = 60;

/// A run's number.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPoint {
    /// The run.
    pub run: String,
    /// When it started: nanoseconds since 1970, UTC.
    pub started_unix_nanos: u64,
    /// Commit that it was made from.
    pub commit: Option<String>,
    /// The number, in the figure's unit.
    pub value: f64,
}

/// A figure over the runs.
#[derive(Debug, Clone)]
pub struct History {
    /// What it is of.
    pub key: FigureKey,
    /// Its unit.
    pub unit: String,
    /// In the order of the runs' start.
    pub points: Vec<HistoryPoint>,
    /// Where it changed.
    pub changes: Vec<Change>,
}

/// The figures of all runs, over time. Runs that are not sound are left out, with the reason.
pub fn histories(runs: &[RunFigures]) -> (Vec<History>, Vec<String>) {
    let mut runs: Vec<&RunFigures> = runs.iter().collect();
    runs.sort_by_key(|run| run.started_unix_nanos);
    let told = |run: &&RunFigures| Some(clean(run.refused()?.reason().unwrap_or_default()));
    let mut left: Vec<String> = runs.iter().filter_map(told).collect();
    runs.retain(|run| run.refused().is_none());
    if let Some(last) = runs.last().copied() {
        let unlike = |run: &&RunFigures| !run.conditions.unlike(&last.conditions).is_empty();
        let count = runs.iter().filter(|run| unlike(run)).count();
        if count > 0 {
            let first = runs.iter().find(|run| unlike(run)).map(|run| {
                let differ = run.conditions.unlike(&last.conditions).join(", ");
                format!("{}: {differ}", run.run)
            });
            left.push(format!(
                "{count} runs under other conditions than the last one, such as {}",
                clean(&first.unwrap_or_default())
            ));
            runs.retain(|run| !unlike(run));
        }
    }
    let keys: BTreeSet<&FigureKey> = runs.iter().flat_map(|run| run.figures.keys()).collect();
    let one = |key: &FigureKey| {
        let mut unit = String::new();
        let point = |run: &&RunFigures| {
            let figure = run.figures.get(key)?;
            unit.clone_from(&figure.unit);
            Some(HistoryPoint {
                run: run.run.clone(),
                started_unix_nanos: run.started_unix_nanos,
                commit: run.manifest.commit.clone(),
                value: figure.value,
            })
        };
        let points: Vec<HistoryPoint> = runs.iter().filter_map(point).collect();
        let values: Vec<f64> = points.iter().map(|point| point.value).collect();
        History { key: key.clone(), unit, changes: changes(&values, ALPHA), points }
    };
    (keys.into_iter().map(one).collect(), left)
}

impl History {
    /// Its values in a line of eight heights; of more runs than columns each column is a mean.
    pub fn sparkline(&self) -> String {
        let each = self.points.len().div_ceil(SPARK_MAX).max(1);
        let mean = |points: &[HistoryPoint]| {
            points.iter().map(|point| point.value).sum::<f64>() / points.len() as f64
        };
        let values: Vec<f64> = self.points.chunks(each).map(mean).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let bar = |value: &f64| {
            let share = if high > low { (value - low) / (high - low) } else { 0.5 };
            ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][((share * 7.0).round() as usize).min(7)]
        };
        values.iter().map(bar).collect()
    }

    /// The median of the runs between two places.
    fn level(&self, from: usize, to: usize) -> f64 {
        let values: Vec<f64> = self.points[from..to].iter().map(|point| point.value).collect();
        Summary::of(&values).map_or(f64::NAN, |summary| summary.median)
    }

    /// Each change in a line: where, from what to what.
    fn changed(&self) -> Vec<String> {
        let places: Vec<usize> = self.changes.iter().map(|change| change.at).collect();
        let told = |(n, of): (usize, &Change)| {
            let from = if n == 0 { 0 } else { places[n - 1] };
            let to = places.get(n + 1).copied().unwrap_or(self.points.len());
            let (before, after) = (self.level(from, of.at), self.level(of.at, to));
            let point = &self.points[of.at];
            let commit = point.commit.as_deref().map(|commit| format!(", commit {commit}"));
            format!(
                "changed at {}{}: {} to {} ({}), p {:.3}",
                clean(&point.run),
                clean(&commit.unwrap_or_default()),
                clean(&amount(before, &self.unit)),
                clean(&amount(after, &self.unit)),
                if before > 0.0 { crate::text::change(after / before) } else { "from none".into() },
                of.p_value
            )
        };
        self.changes.iter().enumerate().map(told).collect()
    }

    /// The figure with each of its runs.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n{}\n\n", clean(&self.key.to_string()), self.sparkline());
        let skipped = self.points.len().saturating_sub(RUNS_SHOWN);
        if skipped > 0 {
            text += &format!("  {skipped} runs before\n");
        }
        for (place, point) in self.points.iter().enumerate().skip(skipped) {
            let mark = self.changes.iter().any(|change| change.at == place);
            let commit = point.commit.as_deref().unwrap_or("no commit");
            text += &format!(
                "{} {}  {:19}  {:>12}  {}\n",
                if mark { ">" } else { " " },
                utc(point.started_unix_nanos),
                clean(commit),
                clean(&amount(point.value, &self.unit)),
                clean(&point.run)
            );
        }
        text.push('\n');
        text + &self.told()
    }

    /// What changed; or why nothing can be told, or that nothing did.
    fn told(&self) -> String {
        if self.points.len() < 2 * SEGMENT_MIN {
            return format!(
                "  {} runs: {} are the fewest in which a change is found\n",
                self.points.len(),
                2 * SEGMENT_MIN
            );
        }
        match self.changed() {
            none if none.is_empty() => "  no change\n".to_owned(),
            all => all.iter().map(|line| format!("  {line}\n")).collect(),
        }
    }
}

/// All figures in a line each, with their changes below.
pub fn history_overview(all: &[History]) -> String {
    let names: BTreeMap<&FigureKey, String> =
        all.iter().map(|history| (&history.key, clean(&history.key.to_string()))).collect();
    let width = names.values().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for history in all {
        let Some(last) = history.points.last() else { continue };
        let (name, spark) = (&names[&history.key], history.sparkline());
        let (count, last) = (history.points.len(), clean(&amount(last.value, &history.unit)));
        let median = history.level(0, history.points.len());
        let off = if median > 0.0 { change(last_of(history) / median) } else { String::new() };
        text += &format!("{name:width$}  {count:>4} runs  last {last:>12}  {off:>8}  {spark}\n");
        text += &history.told();
    }
    text
}

fn last_of(history: &History) -> f64 {
    history.points.last().map_or(f64::NAN, |point| point.value)
}
