//! A finished run held against ceilings and against a baseline: what `meshlab gate` says.
//!
//! Pure over the record. Nothing is green that was not looked at: no data is broken, too little is
//! undecided, a noisy host makes all that was measured undecided.

mod baseline;
mod files;
mod shown;

use std::collections::BTreeMap;

use meshlab_model::{Baseline, ExitCode, FigureKey, NodeId, Resource, SourceLine, Verdict};
use meshlab_mutants::{Mutant, on};

pub use self::{
    baseline::{BaselineError, make_baseline, read_baseline},
    files::{Annotations, COMMENT_BYTES_MAX, SUMMARY_BYTES_MAX},
    shown::baseline_terminal,
};
use crate::figures::{NodeFigures, RunFigures, amount, host_line, host_noise, whole};

/// Which of a node's samples is held against a ceiling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// 95 % of them are not above it; needs 20.
    P95,
    /// 99 %; needs 100.
    P99,
    /// The largest; needs 20 like the first, because a node that was hardly looked at may have been
    /// above it.
    Max,
}

impl Quantile {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Max => "max",
        }
    }

    fn share(self) -> f64 {
        match self {
            Self::P95 => 0.95,
            Self::P99 => 0.99,
            Self::Max => 1.0,
        }
    }

    /// The fewest samples of which one lies above the share.
    fn samples_min(self) -> u64 {
        if self == Self::P99 { 100 } else { 20 }
    }
}

/// What a run is held against.
#[derive(Debug, Clone)]
pub struct GateLimits {
    /// The most that each node may use.
    pub ceilings: BTreeMap<Resource, f64>,
    /// Which of its samples is held against that.
    pub quantile: Quantile,
    /// What earlier runs came to.
    pub baseline: Option<Baseline>,
    /// By how much more than that a run may use, as a share.
    pub allow: f64,
    /// Metrics of the scenario's own that are held against the baseline too; less is better.
    pub metrics: Vec<String>,
    /// Why a run is held against a baseline made under other conditions all the same.
    pub allow_unlike: Option<String>,
}

/// One line of the gate.
#[derive(Debug, Clone, PartialEq)]
pub struct GateRow {
    /// How it came out.
    pub verdict: Verdict,
    /// What was held: `rss p95 of node-3`.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub limit: String,
    /// How far it is from that: found over allowed; 0 where there is no such ratio.
    pub ratio: f64,
    /// The line of the scenario, where there is one.
    pub source: Option<SourceLine>,
    /// Whether it is of an amount that a busy host does not change: memory, files, threads.
    pub is_amount: bool,
}

/// What the gate says.
#[derive(Debug, Clone)]
pub struct GateReport {
    /// The run.
    pub run: String,
    /// Its scenario's file as it was given, and where it has no line of its own.
    pub script_path: String,
    /// Worst first.
    pub rows: Vec<GateRow>,
    /// What a reader has to know beside them.
    pub notes: Vec<String>,
    /// The worst of all.
    pub verdict: Verdict,
}

impl GateReport {
    /// What `meshlab gate` exits with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(&self.verdict)
    }

    fn new(run: &RunFigures, mut rows: Vec<GateRow>, notes: Vec<String>) -> Self {
        rows.sort_by(|a, b| {
            let ranks = b.verdict.rank().cmp(&a.verdict.rank());
            ranks.then(b.ratio.total_cmp(&a.ratio))
        });
        let named = |row: &GateRow| match &row.verdict {
            Verdict::Failed(why) => Verdict::Failed(format!("{}: {why}", row.what)),
            other => other.clone(),
        };
        let verdict = rows.iter().map(named).fold(Verdict::Passed, Verdict::worse);
        let (name, script_path) = (run.run.clone(), run.manifest.script_path.clone());
        Self { run: name, script_path, rows, notes, verdict }
    }
}

/// Holds a run against its limits.
pub fn gate(run: &RunFigures, limits: &GateLimits) -> GateReport {
    let mut rows = vec![own_verdict(run)];
    rows.extend(own_claims(run));
    let mut notes = vec![format!(
        "each process counts from an age of {} on",
        meshlab_model::format_duration(std::time::Duration::from_secs_f64(run.steady_from_secs))
    )];
    if let Some(refused) = run.refused() {
        rows.push(plain_row("the record", refused));
        return GateReport::new(run, rows, notes);
    }
    let mut held = ceilings(run, limits);
    if let Some(baseline) = &limits.baseline {
        held.extend(baseline::hold(run, baseline, limits, &mut notes));
    }
    notes.push(host_line(run));
    if let Some(noise) = host_noise(run) {
        held.iter_mut().for_each(spoil);
        notes.push(format!("{noise}; run it again on a quiet one"));
    }
    if !run.view.heaps.is_empty() {
        held.iter_mut().for_each(distort);
        notes.push("the nodes recorded their heap: run without `--profile heap`".to_owned());
    }
    rows.extend(held);
    GateReport::new(run, rows, notes)
}

/// What nodes used that recorded their heap is shown and decides nothing, but for counts: the
/// recording takes CPU time and memory of its own.
fn distort(row: &mut GateRow) {
    let counts = [Resource::OpenFiles, Resource::Threads].map(|resource| resource.to_string());
    if !counts.iter().any(|counted| row.what.starts_with(counted)) {
        let why = format!("the heap was recorded, which takes some; it was {}", row.verdict);
        row.verdict = Verdict::Inconclusive(why);
    }
}

/// What was measured on a noisy host is shown and decides nothing: but for an amount of memory,
/// files or threads that is too much, because a busy host makes none of them more.
fn spoil(row: &mut GateRow) {
    let bears_it = row.is_amount && matches!(row.verdict, Verdict::Failed(_));
    if !bears_it {
        let why = format!("the host was noisy; without that it was {}", row.verdict);
        row.verdict = Verdict::Inconclusive(why);
    }
}

/// The run's own verdict: ceilings that hold do not make a red run green.
fn own_verdict(run: &RunFigures) -> GateRow {
    let found = run.verdict.word().to_owned();
    let limit = "passed".to_owned();
    GateRow { found, limit, ..plain_row("the run by its own claims", run.verdict.clone()) }
}

fn plain_row(what: &str, verdict: Verdict) -> GateRow {
    let (found, limit) = (String::new(), String::new());
    let (ratio, source, is_amount) = (0.0, None, false);
    GateRow { verdict, what: what.to_owned(), found, limit, ratio, source, is_amount }
}

/// Claims of the run that did not hold, each with its line.
fn own_claims(run: &RunFigures) -> impl Iterator<Item = GateRow> {
    let bad = run.view.claims.values().filter(|claim| !claim.judged().is_passed());
    bad.map(|claim| GateRow {
        source: claim.source.clone(),
        ..plain_row(&format!("{} {}", claim.call, claim.text), claim.judged())
    })
}

fn ceilings(run: &RunFigures, limits: &GateLimits) -> Vec<GateRow> {
    let each = |(resource, limit): (&Resource, &f64)| {
        let (resource, limit) = (*resource, *limit);
        let nodes = if on(Mutant::GateFirstNode) { 1 } else { usize::MAX };
        let of = run.nodes.iter().take(nodes);
        of.map(move |(id, node)| ceiling(id, node, resource, limit, limits.quantile))
            .collect::<Vec<_>>()
    };
    limits.ceilings.iter().flat_map(each).collect()
}

fn ceiling(
    id: &NodeId,
    node: &NodeFigures,
    resource: Resource,
    limit: f64,
    quantile: Quantile,
) -> GateRow {
    let what = format!("{resource} {} of {id}", quantile.as_str());
    let allowed = resource.amount(limit);
    let values = node.by_resource.get(&resource);
    let count = values.map_or(0, meshlab_stats::Distribution::count);
    let value = values.and_then(|values| values.quantile(quantile.share()));
    let value = value.map(|value| whole(resource, value));
    let (Some(value), true) = (value, count >= quantile.samples_min()) else {
        let (few, least) = (format!("{count} samples"), quantile.samples_min());
        let why = format!("{count} samples in its steady state, {least} are the fewest that do");
        let verdict = match on(Mutant::GateBlind) {
            true => Verdict::Passed,
            false => Verdict::Inconclusive(why),
        };
        let row = plain_row(&what, verdict);
        return GateRow { found: few, limit: allowed, ..row };
    };
    let found = resource.amount(value);
    let verdict = match value <= limit {
        true => Verdict::Passed,
        false => Verdict::Failed(format!("{found} of at most {allowed}")),
    };
    let ratio = if limit > 0.0 { value / limit } else { f64::INFINITY };
    let is_amount = resource != Resource::Cpu;
    GateRow { found, limit: allowed, ratio, is_amount, ..plain_row(&what, verdict) }
}

/// A figure of the run against what it may be.
fn figure_row(key: &FigureKey, value: f64, limit: f64, unit: &str, verdict: Verdict) -> GateRow {
    let ratio = if limit > 0.0 { value / limit } else { 0.0 };
    let (found, limit) = (amount(value, unit), amount(limit, unit));
    let is_amount = key.role.is_some() && unit != "cores";
    GateRow { found, limit, ratio, is_amount, ..plain_row(&key.to_string(), verdict) }
}
