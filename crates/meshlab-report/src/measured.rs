//! What spans and samples come to: folds that read each of them once and keep little, however long
//! the run was.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_engine::results::{HARNESS, RunRecord};
use meshlab_model::{NodeId, RunTime, Sample, SampleSource, SpanRecord};
use meshlab_wire::span;

use crate::{counted::Counted, view::RunView};

/// Points kept of one curve.
const POINTS_MAX: usize = 1000;

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
    /// Reads all spans and samples of the record, once.
    pub(crate) fn of(record: &RunRecord, view: &RunView) -> Self {
        let mut measured = Self::default();
        let keys: BTreeMap<&str, &NodeId> = view
            .nodes
            .iter()
            .filter(|(_, node)| !node.public_key.is_empty())
            .map(|(id, node)| (node.public_key.as_str(), id))
            .collect();
        for span in &record.spans {
            measured.span(span, &keys);
        }
        for sample in &record.samples {
            measured.sample(&sample, view.last);
        }
        let until = measured.usage.iter().map(|(of, usage)| (of.clone(), usage.last_at));
        measured.counted = Counted::of(record, &until.collect(), view.last.as_secs_f64());
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

    fn sample(&mut self, sample: &Sample, end: RunTime) {
        let of = match &sample.of {
            SampleSource::Node(node) => node.as_str(),
            SampleSource::Harness => HARNESS,
        };
        let usage = entry(&mut self.usage, of);
        usage.rss_last = sample.rss_bytes;
        usage.rss_max = usage.rss_max.max(sample.rss_bytes);
        usage.files_max = usage.files_max.max(sample.open_files);
        usage.threads_max = usage.threads_max.max(sample.threads);
        let at = sample.at.as_secs_f64();
        usage.last_at = at;
        if let Some(cpu) = sample.cpu {
            usage.cpu_sum += cpu;
            usage.cpu_count += 1;
            usage.cpu_max = Some(usage.cpu_max.unwrap_or(cpu).max(cpu));
            usage.cpu_mean = Some(usage.cpu_sum / f64::from(usage.cpu_count));
            entry(&mut self.cpu, of).add(at, cpu * 100.0, end.as_secs_f64());
        }
        let mib = sample.rss_bytes as f64 / 1_048_576.0;
        entry(&mut self.memory, of).add(at, mib, end.as_secs_f64());
    }
}

fn entry<'a, T: Default>(by: &'a mut BTreeMap<String, T>, of: &str) -> &'a mut T {
    if !by.contains_key(of) {
        by.insert(of.to_owned(), T::default());
    }
    by.entry(of.to_owned()).or_default()
}

/// Values over time, at most about [`POINTS_MAX`]: from then on the least and the greatest of each
/// stretch of time, so that no peak is lost.
#[derive(Debug, Default)]
pub(crate) struct Curve {
    /// All points, as long as they are few.
    few: Vec<(f64, f64)>,
    /// Least and greatest point of each stretch, once they are many.
    stretches: BTreeMap<usize, [(f64, f64); 2]>,
}

impl Curve {
    /// Adds a value at a time, in seconds, of a run that lasted `end` seconds.
    pub(crate) fn add(&mut self, at: f64, value: f64, end: f64) {
        if !value.is_finite() {
            return;
        }
        if self.stretches.is_empty() && self.few.len() < POINTS_MAX {
            self.few.push((at, value));
            return;
        }
        for point in std::mem::take(&mut self.few).into_iter().chain([(at, value)]) {
            let last = POINTS_MAX / 2 - 1;
            let place = (point.0 / end.max(0.001) * last as f64) as usize;
            let [least, most] = self.stretches.entry(place.min(last)).or_insert([point; 2]);
            if point.1 < least.1 {
                *least = point;
            }
            if point.1 > most.1 {
                *most = point;
            }
        }
    }

    /// The points, in order of time.
    pub(crate) fn points(&self) -> Vec<(f64, f64)> {
        let both = |[a, b]: &[(f64, f64); 2]| match a.0 <= b.0 {
            _ if a.0 == b.0 => vec![*a],
            true => vec![*a, *b],
            false => vec![*b, *a],
        };
        self.few.iter().copied().chain(self.stretches.values().flat_map(both)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_a_peak_and_a_dip() {
        let mut curve = Curve::default();
        for second in 0..100_000 {
            let value = match second {
                50_003 => 99.0,
                70_001 => 0.0,
                _ => 1.0,
            };
            curve.add(f64::from(second), value, 100_000.0);
        }
        let points = curve.points();
        assert!(points.len() <= POINTS_MAX);
        assert!(points.contains(&(50_003.0, 99.0)) && points.contains(&(70_001.0, 0.0)));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let mut curve = Curve::default();
        (0..1000).for_each(|second| curve.add(f64::from(second), 1.0, 10.0));
        assert_eq!(curve.points().len(), 1000);
    }
}
