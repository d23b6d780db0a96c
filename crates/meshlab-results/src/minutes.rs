//! Samples by the minute: least, mean and greatest of each.

use std::collections::BTreeMap;

use meshlab_model::{
    CounterMinute, CounterSample, NodeId, RunTime, Sample, SampleMinute, SampleSource, Spread,
};

const MINUTE_MICROS: u64 = 60_000_000;

/// The minutes that are not over yet, one for each process.
#[derive(Debug, Default)]
pub(crate) struct Minutes {
    open: BTreeMap<SampleSource, Open>,
}

#[derive(Debug, Default)]
struct Open {
    minute: u64,
    samples: u32,
    cpu: Values,
    rss_bytes: Values,
    open_files: Values,
    threads: Values,
}

#[derive(Debug, Default)]
struct Values {
    count: u32,
    sum: f64,
    min: f64,
    max: f64,
}

impl Values {
    fn add(&mut self, value: f64) {
        (self.min, self.max) = match self.count {
            0 => (value, value),
            _ => (self.min.min(value), self.max.max(value)),
        };
        self.sum += value;
        self.count += 1;
    }

    fn spread(&self) -> Spread {
        let mean = self.sum / f64::from(self.count.max(1));
        Spread { min: self.min, mean, max: self.max }
    }
}

impl Minutes {
    /// Counts a sample in; the minute of its process that is over by it, if one is.
    pub(crate) fn add(&mut self, sample: &Sample) -> Option<SampleMinute> {
        let minute = sample.at.micros / MINUTE_MICROS;
        let over = match self.open.get(&sample.of) {
            Some(open) if open.minute != minute => self.open.remove(&sample.of),
            _ => None,
        };
        let open = self.open.entry(sample.of.clone()).or_default();
        open.minute = minute;
        open.samples += 1;
        if let Some(cpu) = sample.cpu.filter(|cpu| cpu.is_finite()) {
            open.cpu.add(cpu);
        }
        open.rss_bytes.add(sample.rss_bytes as f64);
        open.open_files.add(sample.open_files.into());
        open.threads.add(sample.threads.into());
        over.map(|over| over.close(sample.of.clone()))
    }

    /// All that are open: the run is over.
    pub(crate) fn close(&mut self) -> Vec<SampleMinute> {
        std::mem::take(&mut self.open).into_iter().map(|(of, open)| open.close(of)).collect()
    }
}

impl Open {
    fn close(self, of: SampleSource) -> SampleMinute {
        SampleMinute {
            at: RunTime { micros: self.minute * MINUTE_MICROS },
            of,
            samples: self.samples,
            cpu: (self.cpu.count > 0).then(|| self.cpu.spread()),
            rss_bytes: self.rss_bytes.spread(),
            open_files: self.open_files.spread(),
            threads: self.threads.spread(),
        }
    }
}

/// The minutes of nodes' own numbers that are not over yet, one for each node. A node has so many
/// names at most as the receiver lets in.
#[derive(Debug, Default)]
pub(crate) struct CounterMinutes {
    open: BTreeMap<NodeId, (u64, BTreeMap<String, Values>)>,
}

impl CounterMinutes {
    /// Counts a sample in; the minute of its node that is over by it, if one is.
    pub(crate) fn add(&mut self, sample: &CounterSample) -> Option<CounterMinute> {
        let minute = sample.at.micros / MINUTE_MICROS;
        let over = match self.open.get(&sample.node) {
            Some((open, _)) if *open != minute => self.open.remove(&sample.node),
            _ => None,
        };
        let open = self.open.entry(sample.node.clone()).or_default();
        open.0 = minute;
        for (name, value) in &sample.values {
            match open.1.get_mut(name) {
                Some(values) => values.add(*value),
                None => open.1.entry(name.clone()).or_default().add(*value),
            }
        }
        over.map(|over| counters(sample.node.clone(), over))
    }

    /// All that are open: the run is over.
    pub(crate) fn close(&mut self) -> Vec<CounterMinute> {
        let open = std::mem::take(&mut self.open).into_iter();
        open.map(|(node, open)| counters(node, open)).collect()
    }
}

fn counters(node: NodeId, (minute, open): (u64, BTreeMap<String, Values>)) -> CounterMinute {
    let values = open.into_iter().map(|(name, values)| (name, values.spread())).collect();
    CounterMinute { at: RunTime { micros: minute * MINUTE_MICROS }, node, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_node_are_in_the_minute_in_which_they_changed() {
        let mut minutes = CounterMinutes::default();
        let mut over = Vec::new();
        for (second, tasks) in [(1, 4.0), (30, 900.0), (59, 5.0), (61, 6.0), (130, 7.0)] {
            over.extend(minutes.add(&CounterSample {
                at: RunTime { micros: second * 1_000_000 },
                node: "node-1".into(),
                values: BTreeMap::from([("tasks".to_owned(), tasks)]),
            }));
        }
        over.extend(minutes.close());
        let seen: Vec<(u64, f64, f64, f64)> = over
            .iter()
            .map(|minute| {
                let tasks = minute.values["tasks"];
                (minute.at.micros / MINUTE_MICROS, tasks.min, tasks.mean, tasks.max)
            })
            .collect();
        assert_eq!(seen, [(0, 4.0, 303.0, 900.0), (1, 6.0, 6.0, 6.0), (2, 7.0, 7.0, 7.0)]);
        assert!(minutes.close().is_empty());
    }

    #[test]
    fn a_spike_of_a_second_stays_in_its_minute() {
        let mut minutes = Minutes::default();
        let mut over = Vec::new();
        for second in 30..150 {
            over.extend(minutes.add(&Sample {
                at: RunTime { micros: second * 1_000_000 },
                of: SampleSource::Harness,
                pid: 1,
                cpu_micros_total: 0,
                cpu: (second > 30).then_some(0.25),
                rss_bytes: if second == 70 { 900 } else { 100 },
                open_files: 3,
                threads: 4,
            }));
        }
        over.extend(minutes.close());
        let seen: Vec<(u64, u32, f64, f64)> = over
            .iter()
            .map(|minute| {
                (minute.at.micros, minute.samples, minute.rss_bytes.min, minute.rss_bytes.max)
            })
            .collect();
        let minute = MINUTE_MICROS;
        let wanted =
            [(0, 30, 100.0, 100.0), (minute, 60, 100.0, 900.0), (2 * minute, 30, 100.0, 100.0)];
        assert_eq!(seen, wanted);
        let mean = (59.0 * 100.0 + 900.0) / 60.0;
        assert!((over[1].rss_bytes.mean - mean).abs() < 1e-9);
        assert_eq!(over[0].cpu, Some(Spread { min: 0.25, mean: 0.25, max: 0.25 }));
        assert!(minutes.close().is_empty());
    }
}
