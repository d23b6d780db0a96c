//! What nodes used over a stretch of time, from the samples that are in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use meshlab_model::{ByteSize, NodeId, RunTime, Sample, SampleSource, format_duration};

use crate::{Engine, HostError, Since, Usage, engine::lock};

/// Samples of a node in memory. Beyond that every second one of the older half goes: CPU time is a
/// running total and loses nothing by it, and the newest half hour at a sample a second is whole.
const SAMPLES_MAX: usize = 4096;

/// Samples by node, of the test that is running.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    by_node: BTreeMap<NodeId, VecDeque<Sample>>,
}

impl Samples {
    pub(crate) fn add(&mut self, samples: &[Sample]) {
        for sample in samples {
            let SampleSource::Node(node) = &sample.of else { continue };
            let kept = self.by_node.entry(node.clone()).or_default();
            kept.push_back(sample.clone());
            if kept.len() > SAMPLES_MAX {
                let half = kept.len() / 2;
                let mut place = 0;
                kept.retain(|_| {
                    place += 1;
                    place > half || place % 2 == 1
                });
            }
        }
    }

    /// Forgets all nodes: their test is over.
    pub(crate) fn clear(&mut self) {
        self.by_node.clear();
    }

    /// Averages over the time between samples from `since` on; `None` if there are no two samples
    /// of the same process in it.
    fn average(&self, node: &NodeId, since: RunTime) -> Option<Usage> {
        let samples = self.by_node.get(node)?;
        let first = samples.partition_point(|sample| sample.at < since);
        let (mut micros, mut cpu, mut rss, mut files, mut threads) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let in_time = || samples.iter().skip(first);
        for (a, b) in in_time().zip(in_time().skip(1)) {
            // A restart begins a new count.
            if a.pid != b.pid {
                continue;
            }
            let elapsed = b.at.since(a.at).as_micros() as f64;
            let mean = |a: f64, b: f64| elapsed * (a + b) / 2.0;
            micros += elapsed;
            cpu += b.cpu_micros_total.saturating_sub(a.cpu_micros_total) as f64;
            rss += mean(a.rss_bytes as f64, b.rss_bytes as f64);
            files += mean(f64::from(a.open_files), f64::from(b.open_files));
            threads += mean(f64::from(a.threads), f64::from(b.threads));
        }
        (micros > 0.0).then(|| Usage {
            cpu: cpu / micros,
            cpu_time: Duration::from_secs_f64(cpu / 1e6),
            rss: ByteSize((rss / micros).round() as u64),
            open_files: files / micros,
            threads: threads / micros,
        })
    }
}

impl Engine {
    /// Samples these nodes for their averages, beside the samples of the record: those are judged
    /// by whole periods, and this one is as short as it happens to be.
    pub(crate) fn sample_now(&self, nodes: &[NodeId]) {
        let sampler = lock(&self.shared.sampler);
        let at = self.shared.clock.now();
        // One that cannot be read has ended, or is about to be told of at the next period.
        let now: Vec<Sample> = nodes
            .iter()
            .filter_map(|node| sampler.peek(&SampleSource::Node(node.clone()), at)?.ok())
            .collect();
        lock(&self.shared.samples).add(&now);
    }

    /// What each of these nodes used by itself, averaged from `since` on.
    pub(crate) fn average_usage(
        &self,
        nodes: &[NodeId],
        since: Since,
    ) -> Result<Vec<Usage>, HostError> {
        let since = self.since(since)?;
        // Up to this moment, not to the last sample: a round may be shorter than a sample period.
        self.sample_now(nodes);
        let samples = lock(&self.shared.samples);
        let of = |node: &NodeId| {
            samples.average(node, since).ok_or_else(|| {
                let length = self.shared.clock.now().since(since);
                HostError::Misuse(format!(
                    "{node} has no two samples in the last {}, so its usage is not known; samples \
                     are taken each {} while it runs: look later, or further back with `since`",
                    format_duration(length),
                    format_duration(self.shared.config.sample_every)
                ))
            })
        };
        nodes.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> RunTime {
        RunTime { micros: second * 1_000_000 }
    }

    fn sample(second: u64, pid: u32, cpu_micros_total: u64, rss_bytes: u64) -> Sample {
        Sample {
            at: at(second),
            of: SampleSource::Node("node-1".into()),
            pid,
            cpu_micros_total,
            cpu: None,
            rss_bytes,
            open_files: 10,
            threads: 4,
        }
    }

    fn of(samples: &[Sample]) -> Samples {
        let mut kept = Samples::default();
        kept.add(samples);
        kept
    }

    #[test]
    fn it_is_the_average_of_the_time_that_was_asked_for() {
        let samples =
            of(&[sample(1, 7, 0, 100), sample(2, 7, 900_000, 100), sample(4, 7, 940_000, 300)]);
        let node = NodeId::from("node-1");
        let usage = samples.average(&node, at(2)).unwrap();
        assert!((usage.cpu - 0.02).abs() < 1e-9, "{usage:?}");
        assert_eq!(usage.rss, ByteSize(200));
        assert!((usage.open_files - 10.0).abs() < 1e-9 && (usage.threads - 4.0).abs() < 1e-9);
        let all = samples.average(&node, at(0)).unwrap();
        assert!((all.cpu - 0.94 / 3.0).abs() < 1e-9, "{all:?}");
    }

    #[test]
    fn no_two_samples_are_no_usage_and_never_zero() {
        let node = NodeId::from("node-1");
        assert_eq!(Samples::default().average(&node, at(0)), None);
        assert_eq!(of(&[sample(1, 7, 0, 1)]).average(&node, at(0)), None);
        let two = of(&[sample(1, 7, 0, 1), sample(2, 7, 0, 1)]);
        assert_eq!(two.average(&node, at(2)), None, "one is too old");
        assert_eq!(two.average(&"node-2".into(), at(0)), None);
    }

    #[test]
    fn a_restart_does_not_count_backwards() {
        let samples = [
            sample(1, 7, 5_000_000, 1),
            sample(2, 7, 5_500_000, 1),
            sample(3, 8, 0, 1),
            sample(4, 8, 500_000, 1),
        ];
        let usage = of(&samples).average(&"node-1".into(), at(0)).unwrap();
        assert!((usage.cpu - 0.5).abs() < 1e-9, "{usage:?}");
        assert_eq!(usage.cpu_time, Duration::from_secs(1));
    }

    #[test]
    fn memory_is_bounded_and_long_averages_stay_exact() {
        let mut kept = Samples::default();
        for second in 0..20_000 {
            kept.add(&[sample(second, 7, second * 10_000, 1)]);
        }
        let node = NodeId::from("node-1");
        assert!(kept.by_node[&node].len() <= SAMPLES_MAX);
        assert_eq!(kept.by_node[&node].front().unwrap().at, at(0), "the start is not lost");
        assert!((kept.average(&node, at(0)).unwrap().cpu - 0.01).abs() < 1e-9);
        let newest = kept.by_node[&node].iter().rev().nth(1799);
        assert_eq!(newest.unwrap().at, at(20_000 - 1800), "the newest are whole");
        kept.clear();
        assert_eq!(kept.average(&node, at(0)), None);
    }
}
