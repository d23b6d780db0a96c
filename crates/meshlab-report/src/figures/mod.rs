//! What one finished run comes to, in numbers: what `meshlab gate`, `baseline`, `compare` and
//! `history` fold further.
//!
//! A node is one number of each kind, however often it was sampled, and only of its steady state:
//! what a process does while it warms up is left out (`samples.rs`). What is wrong with a record is
//! told here once, for all of them, and never passed by (`unfit`).

mod samples;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use meshlab_engine::results::{RunRecord, file};
use meshlab_model::{
    Conditions, EndReason, FigureKey, Manifest, NodeId, Resource, RunEventKind, RunTime, Verdict,
};
use meshlab_stats::{Distribution, Latency, Summary};

use self::samples::Sampled;
use crate::view::{ProblemView, RunView};

/// Round trips that it takes for a p99.
const P99_MIN: u64 = 100;

/// What one finished run comes to.
#[derive(Debug, Clone)]
pub struct RunFigures {
    /// `<scenario>/<utc>-s<seed>`.
    pub run: String,
    /// The run's folder.
    pub folder: PathBuf,
    /// When it started: nanoseconds since 1970, UTC.
    pub started_unix_nanos: u64,
    /// Under which conditions it was made.
    pub conditions: Conditions,
    /// The rest of what was decided before it began.
    pub manifest: Manifest,
    /// Its verdict, by its own claims.
    pub verdict: Verdict,
    /// Its fold.
    pub view: RunView,
    /// What each node used in its steady state.
    pub nodes: BTreeMap<NodeId, NodeFigures>,
    /// What the run comes to, by what it is of.
    pub figures: BTreeMap<FigureKey, Figure>,
    /// Lengths of time: recovery by fault and stage, round trips by workload.
    pub latencies: BTreeMap<String, Latency>,
    /// From which age of a process on it counts, in seconds.
    pub steady_from_secs: f64,
    /// Why nothing can be said of the run, or not all; empty if it is sound.
    pub unfit: Vec<Verdict>,
}

/// What one node used in its steady state.
#[derive(Debug, Clone, Default)]
pub struct NodeFigures {
    /// Its role.
    pub role: String,
    /// Samples that count.
    pub samples: u64,
    /// What it used, as the samples tell.
    pub by_resource: BTreeMap<Resource, Distribution>,
    /// CPU time spent a second, in cores; absent with less than two samples of a process.
    pub cpu_cores: Option<f64>,
}

/// A number of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figure {
    /// `cores`, `B`, `s`, or that of the scenario's own metric.
    pub unit: String,
    /// The number, in that unit.
    pub value: f64,
    /// That of each node that it was made of; empty where it is of no nodes.
    pub by_node: BTreeMap<NodeId, f64>,
}

impl RunFigures {
    /// Folds a record. `after_secs`: the age from which on processes count; found if absent.
    pub fn of(record: &RunRecord, after_secs: Option<f64>) -> Self {
        let mut view = RunView::new(&record.manifest.tests);
        record.events.iter().for_each(|event| view.apply(event));
        let mut unfit = unfit(record, &mut view);
        let sampled = Sampled::of(record, &view, after_secs);
        unfit.extend(sampled.unfit);
        // Damage within a frame is told once the frame was read.
        unfit.extend(damage(record));
        let mut figures = BTreeMap::new();
        node_figures(&sampled.nodes, &mut figures);
        metric_figures(&view, &mut figures);
        let latencies = latencies(&view);
        latency_figures(&latencies, &mut figures);
        for (key, figure) in &figures {
            if !figure.value.is_finite() || figure.value < 0.0 {
                let value = figure.value;
                unfit.push(Verdict::Broken(format!("{key} is {value}, which is no amount")));
            }
        }
        figures.retain(|_, figure| figure.value.is_finite());
        Self {
            run: record.manifest.run.clone(),
            folder: record.folder.clone(),
            started_unix_nanos: record.manifest.started_unix_nanos,
            conditions: conditions(record, &view),
            manifest: record.manifest.clone(),
            verdict: view.verdict(),
            view,
            nodes: sampled.nodes,
            figures,
            latencies,
            steady_from_secs: sampled.from_secs,
            unfit,
        }
    }

    /// The worst of what is wrong with it, with its name; `None` if it is sound.
    pub fn refused(&self) -> Option<Verdict> {
        let worst = self.unfit.iter().map(Verdict::rank).max()?;
        // One thing that is wrong often explains the next.
        let mut reasons: Vec<&str> = Vec::new();
        let of_worst = self.unfit.iter().filter(|verdict| verdict.rank() == worst);
        for reason in of_worst.filter_map(Verdict::reason) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let why = format!("{}: {}", self.run, reasons.join("; "));
        let is_broken = worst == Verdict::Broken(String::new()).rank();
        Some(if is_broken { Verdict::Broken(why) } else { Verdict::Inconclusive(why) })
    }
}

/// What is wrong with a record as a whole.
fn unfit(record: &RunRecord, view: &mut RunView) -> Vec<Verdict> {
    let mut all = Vec::new();
    for damage in record.damage.iter().filter(|damage| damage.starts_with(file::EVENTS)) {
        // What is missing from the events may be the very claim that failed.
        let text = format!("the record is damaged: {damage}");
        let at = view.last;
        view.problems.push(ProblemView { at, test: None, script: false, text, source: None });
    }
    let ends = view.last;
    match &view.end {
        Some(EndReason::Completed | EndReason::CeilingBroken) => {}
        None => all.push(Verdict::Broken(format!(
            "it was cut short: its record ends at {ends}, because the harness was killed or the \
             host stopped; run it again"
        ))),
        Some(EndReason::Interrupted { signal }) => all.push(Verdict::Broken(format!(
            "it was cut short: interrupted by {signal} at {ends}; run it again"
        ))),
        Some(EndReason::TimedOut) => all.push(Verdict::Broken(format!(
            "it was cut short: its timeout passed at {ends}; give the scenario a longer one"
        ))),
        Some(EndReason::ScriptError | EndReason::HarnessFailed) => {
            let why = view.problems.first().map_or("no problem says why", |first| &first.text);
            let why = crate::text::first_line(why);
            all.push(Verdict::Broken(format!("it was cut short at {ends}: {why}")));
        }
    }
    all.extend(damage(record));
    all
}

fn damage(record: &RunRecord) -> Option<Verdict> {
    let damage = record.all_damage();
    let first = damage.first()?;
    Some(Verdict::Broken(format!("its record is damaged: {}", crate::text::clean(first))))
}

/// Under which conditions a run was made.
fn conditions(record: &RunRecord, view: &RunView) -> Conditions {
    let manifest = &record.manifest;
    let mut nodes: BTreeMap<String, u32> = BTreeMap::new();
    for node in view.nodes.values() {
        *nodes.entry(node.role.clone()).or_default() += 1;
    }
    Conditions {
        scenario: manifest.scenario.clone(),
        script_sha256: manifest.script_sha256.clone(),
        network: manifest.network,
        duration_secs: manifest.duration_secs,
        time_scale: manifest.time_scale,
        nodes,
        params: manifest.params.clone(),
        node_env: manifest.node_env.clone(),
        chaos_seed: (!view.chaos.is_empty()).then_some(manifest.seed),
        profiled: !view.profiles.is_empty(),
        host: manifest.host.clone(),
    }
}

/// By role: the median node, and the worst one, which a single leaky node shows in.
fn node_figures(nodes: &BTreeMap<NodeId, NodeFigures>, figures: &mut BTreeMap<FigureKey, Figure>) {
    let roles: BTreeSet<&str> = nodes.values().map(|node| node.role.as_str()).collect();
    for role in roles {
        let of = |value: &dyn Fn(&NodeFigures) -> Option<f64>| -> BTreeMap<NodeId, f64> {
            let own = nodes.iter().filter(|(_, node)| node.role == role);
            own.filter_map(|(id, node)| Some((id.clone(), value(node)?))).collect()
        };
        let p95 = |resource: Resource| {
            of(&move |node: &NodeFigures| {
                let value = node.by_resource.get(&resource)?.quantile(0.95)?;
                Some(whole(resource, value))
            })
        };
        let mut add = |name: &str, unit: &str, by_node: BTreeMap<NodeId, f64>, worst: bool| {
            let values: Vec<f64> = by_node.values().copied().collect();
            let Some(summary) = Summary::of(&values) else { return };
            let value = if worst { summary.max } else { summary.median };
            // Of the worst node alone nothing is known node by node.
            let by_node = if worst { BTreeMap::new() } else { by_node };
            let key = FigureKey { name: name.to_owned(), role: Some(role.to_owned()) };
            figures.insert(key, Figure { unit: unit.to_owned(), value, by_node });
        };
        add("cpu, median node", "cores", of(&|node| node.cpu_cores), false);
        add("cpu, worst node", "cores", of(&|node| node.cpu_cores), true);
        add("rss p95, median node", "B", p95(Resource::Rss), false);
        add("rss p95, worst node", "B", p95(Resource::Rss), true);
        add("open files p95, worst node", "", p95(Resource::OpenFiles), true);
    }
}

/// The scenario's own metrics, the median of each where it was recorded several times.
fn metric_figures(view: &RunView, figures: &mut BTreeMap<FigureKey, Figure>) {
    let mut by_name: BTreeMap<&str, (&str, Vec<f64>)> = BTreeMap::new();
    for (_, name, value, unit) in &view.metrics {
        by_name.entry(name).or_insert((unit, Vec::new())).1.push(*value);
    }
    for (name, (unit, values)) in by_name {
        // What is no number stays one, and is told.
        let value = Summary::of(&values).map_or(f64::NAN, |summary| summary.median);
        let key = FigureKey { name: name.to_owned(), role: None };
        let (unit, by_node) = (unit.to_owned(), BTreeMap::new());
        figures.insert(key, Figure { unit, value, by_node });
    }
}

fn latencies(view: &RunView) -> BTreeMap<String, Latency> {
    let mut all: BTreeMap<String, Latency> = BTreeMap::new();
    for (_, measure) in &view.traffic {
        if let Ok(times) = Latency::decode(&measure.histogram) {
            all.entry(format!("{} round trip", measure.kind)).or_default().add(&times);
        }
    }
    for (name, times) in &view.recovery.kinds {
        for (stage, times) in times.stages() {
            all.entry(format!("{name} {stage}")).or_default().add(times);
        }
    }
    all.retain(|_, times| times.count() > 0);
    all
}

fn latency_figures(
    latencies: &BTreeMap<String, Latency>,
    figures: &mut BTreeMap<FigureKey, Figure>,
) {
    for (name, times) in latencies {
        let p99 = (times.count() >= P99_MIN).then_some(("p99", 99.0));
        for (short, percentile) in [("p50", 50.0)].into_iter().chain(p99) {
            let key = FigureKey { name: format!("{name} {short}"), role: None };
            let value = times.at(percentile).as_secs_f64();
            let (unit, by_node) = ("s".to_owned(), BTreeMap::new());
            figures.insert(key, Figure { unit, value, by_node });
        }
    }
}

/// Why a host was too busy for what is measured on it to be believed; `None` if it was quiet.
///
/// A run says itself what others had of its host, a stretch at a time. An older record only knows
/// the load before the first node started: one above the number of cores is work that waits for a
/// core, so the nodes waited too.
pub(crate) fn host_noise(run: &RunFigures) -> Option<String> {
    if let Some(noise) = run.view.noise() {
        return noise.why.map(|why| format!("the host was too noisy: {why}"));
    }
    let host = &run.manifest.host;
    let (load, cores) = (f64::from(host.load_hundredths) / 100.0, host.cores);
    (cores > 0 && load > f64::from(cores)).then(|| {
        format!("the host was noisy: a load of {load:.2} on {cores} cores before the first node")
    })
}

/// What is known of the host, for a line beside a verdict.
pub(crate) fn host_line(run: &RunFigures) -> String {
    let unknown = || "host: its load is known only from before the first node".to_owned();
    run.view.noise().map_or_else(unknown, |noise| noise.line())
}

/// Events after which what happens is in somebody's hands.
pub(crate) fn scenario_ends(record: &RunRecord) -> Option<RunTime> {
    let kept = |kind: &RunEventKind| matches!(kind, RunEventKind::Kept { .. });
    record.events.iter().find(|event| kept(&event.kind)).map(|event| event.at)
}

/// A quantile as it was before it was told to a thousandth: files and threads are counted.
pub(crate) fn whole(resource: Resource, value: f64) -> f64 {
    match resource {
        Resource::OpenFiles | Resource::Threads | Resource::Counter(_) => value.round(),
        Resource::Cpu | Resource::Rss => value,
    }
}

/// A number in its unit, for people.
pub(crate) fn amount(value: f64, unit: &str) -> String {
    match unit {
        "cores" => Resource::Cpu.amount(value),
        "" | "s" | "B" => meshlab_model::Measure::show(value, unit),
        other => format!("{} {other}", meshlab_model::Measure::show(value, unit)),
    }
}
