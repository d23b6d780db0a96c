//! What nodes used in their steady state, from their samples; and what is wrong with those.
//!
//! The samples are read twice: once to find what is wrong with them and from which age on processes
//! are warm, once to count what comes after. Little is kept, however long the run was.

use std::{collections::BTreeMap, time::Duration};

use meshlab_engine::results::RunRecord;
use meshlab_model::{NodeId, Resource, RunTime, Sample, SampleSource, Verdict, format_duration};
use meshlab_mutants::{Mutant, on};
use meshlab_stats::warmup;

use super::NodeFigures;
use crate::view::RunView;

/// Points kept of a process to find its warm-up in; every second one goes when there are more.
const POINTS_MAX: usize = 512;
/// Gaps between samples that the usual one is told from.
const GAPS_KEPT: usize = 1001;
/// Usual gaps after which a sample is missing, and the least of that.
const GAP_TIMES: u32 = 10;
const GAP_MIN: Duration = Duration::from_secs(10);

/// What the samples of a run come to.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    pub(super) nodes: BTreeMap<NodeId, NodeFigures>,
    pub(super) from_secs: f64,
    pub(super) unfit: Vec<Verdict>,
}

/// A process: a node, and its process id.
type Process = (NodeId, u32);

/// What is known of a process before its steady state is.
#[derive(Debug)]
struct Life {
    began: RunTime,
    last: RunTime,
    cpu_micros: u64,
    /// Memory in bytes and share of a core, by age in seconds.
    points: [Vec<(f64, f64)>; 2],
    /// Of so many samples one is kept.
    each: u64,
    seen: u64,
}

impl Life {
    fn new(began: RunTime, sample: &Sample) -> Self {
        let (last, cpu_micros) = (sample.at, sample.cpu_micros_total);
        Self { began, last, cpu_micros, points: Default::default(), each: 1, seen: 0 }
    }

    fn keep(&mut self, sample: &Sample) {
        self.seen += 1;
        if !self.seen.is_multiple_of(self.each) {
            return;
        }
        let age = sample.at.since(self.began).as_secs_f64();
        self.points[0].push((age, sample.rss_bytes as f64));
        self.points[1].extend(sample.cpu.map(|cpu| (age, cpu)));
        if self.points[0].len() > POINTS_MAX {
            self.each *= 2;
            for points in &mut self.points {
                let kept = points.iter().copied().enumerate().filter(|(n, _)| n % 2 == 1);
                *points = kept.map(|(_, point)| point).collect();
            }
        }
    }
}

impl Sampled {
    pub(super) fn of(record: &RunRecord, view: &RunView, after_secs: Option<f64>) -> Self {
        let until = super::scenario_ends(record);
        let counts = |sample: &Sample| until.is_none_or(|until| sample.at <= until);
        let mut sampled = Self::default();
        let lives = sampled.look(record, view, &counts);
        sampled.from_secs = after_secs.unwrap_or_else(|| {
            let of = |kind: usize| {
                warmup(&lives.values().map(|life| life.points[kind].clone()).collect::<Vec<_>>())
            };
            of(0).max(of(1))
        });
        sampled.count(record, view, &counts, &lives);
        sampled.missing(view);
        sampled
    }

    /// Looks at all samples once, and tells what is wrong with them.
    fn look(
        &mut self,
        record: &RunRecord,
        view: &RunView,
        counts: &dyn Fn(&Sample) -> bool,
    ) -> BTreeMap<Process, Life> {
        let mut lives: BTreeMap<Process, Life> = BTreeMap::new();
        let (mut gaps, mut longest) = (Vec::new(), None::<(Duration, NodeId, RunTime)>);
        for sample in record.samples.iter().filter(counts) {
            let SampleSource::Node(node) = &sample.of else { continue };
            if let Some(why) = nonsense(node, &sample) {
                self.tell(Verdict::Broken(why));
                continue;
            }
            let process = (node.clone(), sample.pid);
            let life = lives.entry(process).or_insert_with(|| {
                let known = view.nodes.get(node).into_iter().flat_map(|node| &node.lives);
                let mut own = known.filter(|life| life.pid == sample.pid);
                let began = own.next_back().map_or(sample.at, |life| life.spawned);
                Life::new(began, &sample)
            });
            if let Some(why) = backwards(node, life, &sample) {
                self.tell(Verdict::Broken(why));
                continue;
            }
            let gap = sample.at.since(life.last);
            if gap > Duration::ZERO && gaps.len() < GAPS_KEPT {
                gaps.push(gap);
            }
            if longest.as_ref().is_none_or(|(most, ..)| gap > *most) {
                longest = Some((gap, node.clone(), life.last));
            }
            (life.last, life.cpu_micros) = (sample.at, sample.cpu_micros_total);
            life.keep(&sample);
        }
        gaps.sort();
        if let (Some(usual), Some((gap, node, at))) = (gaps.get(gaps.len() / 2), longest)
            && gap > GAP_MIN.max(*usual * GAP_TIMES)
        {
            self.unfit.push(Verdict::Inconclusive(format!(
                "the clock jumped or the host slept: no sample of {node} for {} after {at}, one is \
                 due each {}",
                format_duration(gap),
                format_duration(*usual)
            )));
        }
        lives
    }

    /// Tells a few of what is wrong with samples: there may be one for each.
    fn tell(&mut self, what: Verdict) {
        if self.unfit.len() < 3 {
            self.unfit.push(what);
        }
    }

    /// Counts what processes used from their steady state on.
    fn count(
        &mut self,
        record: &RunRecord,
        view: &RunView,
        counts: &dyn Fn(&Sample) -> bool,
        lives: &BTreeMap<Process, Life>,
    ) {
        // First and last reading of CPU time of each process.
        let mut spent: BTreeMap<Process, [(RunTime, u64); 2]> = BTreeMap::new();
        for sample in record.samples.iter().filter(counts) {
            let SampleSource::Node(node) = &sample.of else { continue };
            let process = (node.clone(), sample.pid);
            let Some(life) = lives.get(&process) else { continue };
            if sample.at.since(life.began).as_secs_f64() < self.from_secs {
                continue;
            }
            let reading = (sample.at, sample.cpu_micros_total);
            spent.entry(process).or_insert([reading; 2])[1] = reading;
            let figures = self.nodes.entry(node.clone()).or_default();
            figures.samples += 1;
            let mut add = |resource, value: Option<f64>| {
                let Some(value) = value else { return };
                figures.by_resource.entry(resource).or_default().add(value);
            };
            add(Resource::Cpu, sample.cpu);
            add(Resource::Rss, Some(sample.rss_bytes as f64));
            add(Resource::OpenFiles, Some(f64::from(sample.open_files)));
            add(Resource::Threads, Some(f64::from(sample.threads)));
        }
        for (node, figures) in &mut self.nodes {
            let role = view.nodes.get(node).map(|view| view.role.clone());
            figures.role = role.unwrap_or_default();
            let own = spent.iter().filter(|((of, _), _)| of == node);
            let (mut micros, mut length) = (0.0, 0.0);
            for (_, [first, last]) in own {
                micros += last.1.saturating_sub(first.1) as f64;
                length += last.0.since(first.0).as_micros() as f64;
            }
            figures.cpu_cores = (length > 0.0).then(|| micros / length);
        }
    }

    /// Tells of nodes that ran and were not sampled, or were there no samples at all.
    fn missing(&mut self, view: &RunView) {
        let ran = |node: &&NodeId| {
            view.nodes[*node].lives.iter().any(|life| life.ready_micros.is_some() && !life.manual)
        };
        let all = view.nodes.keys().filter(ran);
        let missing: Vec<&str> =
            all.filter(|node| !self.nodes.contains_key(*node)).map(NodeId::as_str).collect();
        if on(Mutant::UnsampledUnseen) {
            return;
        }
        if self.nodes.is_empty() {
            let why = "it has no sample of a node, so nothing is known of what they used; was it \
                       shorter than `sample_every`?";
            self.unfit.push(Verdict::Broken(why.to_owned()));
        } else if !missing.is_empty() {
            let after = format_duration(Duration::from_secs_f64(self.from_secs.max(0.0)));
            let named: Vec<&str> = missing.iter().take(4).copied().collect();
            self.unfit.push(Verdict::Inconclusive(format!(
                "{} of its nodes have no sample after a warm-up of {after}: {}",
                missing.len(),
                crate::text::clean(&named.join(", "))
            )));
        }
    }
}

/// What in a sample cannot be.
fn nonsense(node: &NodeId, sample: &Sample) -> Option<String> {
    let cpu = sample.cpu?;
    let what = match cpu {
        cpu if cpu.is_nan() => "is no number",
        cpu if cpu.is_infinite() => "is without end",
        cpu if cpu < 0.0 => "is below zero",
        _ => return None,
    };
    Some(format!("the CPU share of {node} {what} ({cpu}) at {}; run it again", sample.at))
}

/// What runs backwards from a sample of a process to the next.
fn backwards(node: &NodeId, life: &Life, sample: &Sample) -> Option<String> {
    if sample.at < life.last {
        let (at, last) = (sample.at, life.last);
        return Some(format!(
            "the clock of the record runs backwards: {node} at {at} after {last}"
        ));
    }
    (sample.cpu_micros_total < life.cpu_micros).then(|| {
        format!("the CPU time of {node} (pid {}) runs backwards at {}", sample.pid, sample.at)
    })
}
