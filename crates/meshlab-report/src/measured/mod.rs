//! What spans and samples come to: folds that keep little, however long the run was. Those of a
//! short run are read whole, of a long one as far as `long.rs` says.

mod curve;
mod long;

use std::collections::{BTreeMap, BTreeSet};

use meshlab_engine::results::{HARNESS, RunRecord};
use meshlab_model::{NodeId, Sample, SampleSource, SpanRecord};
use meshlab_wire::span;

pub(crate) use self::{curve::Curve, long::Long};
use crate::{counted::Counted, view::RunView};

/// Spans of a run that are read whole.
const SPANS_WHOLE: u64 = 300_000;

/// Samples of a run that are read whole; of more than these the minutes are read.
const SAMPLES_WHOLE: u64 = 150_000;

/// Ticks drawn for one node; the rest would only make the page large.
const TICKS_MAX: usize = 200;

/// Spans of a node's boot, in their order.
pub(crate) const BOOT: &[&str] = &[
    "endpoint_created",
    "alpn_registered",
    "gossip_started",
    "accept_loop_started",
    "seed.dialed",
    "neighbor.up",
    "node.ready",
];

/// Everything that the page and the files for machines show of spans and samples.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// By process: a node's id, or [`HARNESS`].
    usage: BTreeMap<String, Usage>,
    /// Memory in MiB, by process.
    pub(crate) memory: BTreeMap<String, Curve>,
    /// CPU in percent of a core, by process.
    pub(crate) cpu: BTreeMap<String, Curve>,
    /// Open files, by process.
    pub(crate) files: BTreeMap<String, Curve>,
    /// Threads, by process.
    pub(crate) threads: BTreeMap<String, Curve>,
    /// What of a long run was not read; `None` if all was.
    pub(crate) long: Option<Long>,
    /// Stretches of time that a curve tells apart.
    stretches: usize,
    /// How long the run was, in seconds.
    end: f64,
    /// The first span of each name of [`BOOT`], by node.
    pub(crate) boot: BTreeMap<NodeId, BTreeMap<String, SpanRecord>>,
    /// Spans that tell of states, by node.
    pub(crate) ticks: BTreeMap<NodeId, Ticks>,
    /// Connections that stood at the end: who, and with whom.
    pub(crate) edges: BTreeSet<(NodeId, NodeId)>,
    /// Digests by who heard them and whose they were.
    pub(crate) heard: BTreeMap<(NodeId, NodeId), u64>,
    /// What nodes count themselves.
    pub(crate) counted: Counted,
}

/// The first [`TICKS_MAX`] ticks of a node, and how many more there were.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    pub(crate) first: Vec<(SpanRecord, Mark)>,
    pub(crate) more: u64,
}

/// What a span says of states, by where it is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    Found,
    Lost,
    Became,
}

fn mark(of: &SpanRecord) -> Option<Mark> {
    match of.name.as_str() {
        span::PEER_CONNECTED | span::PEER_RESTARTED => Some(Mark::Found),
        span::PEER_DISCONNECTED | span::STATE_INFERRED => Some(Mark::Lost),
        span::STATE_CHANGED | span::NODE_PAUSED => Some(Mark::Became),
        _ => None,
    }
}

/// What a process used over the run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Mean share of a core.
    pub(crate) cpu_mean: Option<f64>,
    /// Highest share of a core.
    pub(crate) cpu_max: Option<f64>,
    /// Resident memory, last, in bytes.
    pub(crate) rss_last: u64,
    /// Resident memory, highest, in bytes.
    pub(crate) rss_max: u64,
    /// Most open files.
    pub(crate) files_max: u32,
    /// Most threads.
    pub(crate) threads_max: u32,
    /// When it was sampled last, in seconds.
    last_at: f64,
    cpu_sum: f64,
    cpu_count: u32,
}

impl Measured {
    /// Reads the spans and samples of the record.
    pub(crate) fn of(record: &RunRecord, view: &RunView) -> Self {
        let stretches = curve::stretches(view.nodes.len());
        let mut measured = Self { stretches, end: view.last.as_secs_f64(), ..Self::default() };
        let keys: BTreeMap<&str, &NodeId> = view
            .nodes
            .iter()
            .filter(|(_, node)| !node.public_key.is_empty())
            .map(|(id, node)| (node.public_key.as_str(), id))
            .collect();
        if record.spans.len() > SPANS_WHOLE {
            long::spans(&mut measured, record, &keys);
        } else {
            for span in &record.spans {
                measured.span(span, &keys);
            }
        }
        if record.samples.len() > SAMPLES_WHOLE && !record.minutes.is_empty() {
            long::minutes(&mut measured, record);
        } else {
            for sample in &record.samples {
                measured.sample(&sample);
            }
        }
        let until = measured.usage.iter().map(|(of, usage)| (of.clone(), usage.last_at));
        measured.counted =
            Counted::of(record, &until.collect(), view.last.as_secs_f64(), stretches);
        measured
    }

    /// What `node`, or without one the harness, used; `None` where it was never sampled.
    pub(crate) fn usage(&self, node: Option<&str>) -> Option<Usage> {
        self.usage.get(node.unwrap_or(HARNESS)).copied()
    }

    fn span(&mut self, of: SpanRecord, keys: &BTreeMap<&str, &NodeId>) {
        let peer = || {
            let key = of.attributes.get("peer.id").and_then(serde_json::Value::as_str);
            key.and_then(|key| keys.get(key)).map(|peer| (of.node.clone(), (*peer).clone()))
        };
        match of.name.as_str() {
            span::NEIGHBOR_UP => self.edges.extend(peer()),
            span::NEIGHBOR_DOWN => {
                peer().map(|edge| self.edges.remove(&edge));
            }
            span::DIGEST_RECEIVED => {
                if let Some(pair) = peer() {
                    *self.heard.entry(pair).or_default() += 1;
                }
                return;
            }
            _ => {}
        }
        if BOOT.contains(&of.name.as_str()) {
            let by = self.boot.entry(of.node.clone()).or_default();
            by.entry(of.name.clone()).or_insert_with(|| of.clone());
        }
        if let Some(mark) = mark(&of) {
            let ticks = self.ticks.entry(of.node.clone()).or_default();
            if ticks.first.len() < TICKS_MAX {
                ticks.first.push((of, mark));
            } else {
                ticks.more += 1;
            }
        }
    }

    fn sample(&mut self, sample: &Sample) {
        let of = process(&sample.of);
        let usage = entry(&mut self.usage, of);
        usage.rss_last = sample.rss_bytes;
        usage.rss_max = usage.rss_max.max(sample.rss_bytes);
        usage.files_max = usage.files_max.max(sample.open_files);
        usage.threads_max = usage.threads_max.max(sample.threads);
        let at = sample.at.as_secs_f64();
        usage.last_at = at;
        if let Some(cpu) = sample.cpu {
            usage.add_cpu(cpu, cpu, 1);
            self.curve(of, |all| &mut all.cpu).add(at, cpu * 100.0);
        }
        let mib = sample.rss_bytes as f64 / MIB;
        self.curve(of, |all| &mut all.memory).add(at, mib);
        self.curve(of, |all| &mut all.files).add(at, f64::from(sample.open_files));
        self.curve(of, |all| &mut all.threads).add(at, f64::from(sample.threads));
    }

    /// The curve of a process, one of those of the same measure.
    fn curve(
        &mut self,
        of: &str,
        measure: impl Fn(&mut Self) -> &mut BTreeMap<String, Curve>,
    ) -> &mut Curve {
        let (stretches, end) = (self.stretches, self.end);
        let by = measure(self);
        if !by.contains_key(of) {
            by.insert(of.to_owned(), Curve::new(end, stretches));
        }
        by.entry(of.to_owned()).or_default()
    }
}

impl Usage {
    /// Counts the CPU of so many samples in, of which these are the mean and the greatest.
    fn add_cpu(&mut self, mean: f64, max: f64, samples: u32) {
        self.cpu_sum += mean * f64::from(samples);
        self.cpu_count += samples;
        self.cpu_max = Some(self.cpu_max.unwrap_or(max).max(max));
        self.cpu_mean = Some(self.cpu_sum / f64::from(self.cpu_count.max(1)));
    }
}

const MIB: f64 = 1_048_576.0;

fn process(of: &SampleSource) -> &str {
    match of {
        SampleSource::Node(node) => node.as_str(),
        SampleSource::Harness => HARNESS,
    }
}

fn entry<'a, T: Default>(by: &'a mut BTreeMap<String, T>, of: &str) -> &'a mut T {
    if !by.contains_key(of) {
        by.insert(of.to_owned(), T::default());
    }
    by.entry(of.to_owned()).or_default()
}
