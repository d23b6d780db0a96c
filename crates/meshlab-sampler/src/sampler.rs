//! Samples of many processes, and the share of a core between two of them.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::{RunTime, Sample, SampleSource};
use meshlab_mutants::{Mutant, on};

use crate::{
    ProcessReading, SampleError, read_process,
    tree::{Census, Tree},
};

/// Processes that are sampled together.
#[derive(Debug, Default)]
pub struct Sampler {
    tracked: BTreeMap<SampleSource, Tracked>,
}

#[derive(Debug)]
struct Tracked {
    pid: u32,
    last: Option<(RunTime, ProcessReading)>,
    /// Where it is to be sampled with what it started.
    tree: Option<Rooted>,
}

#[derive(Debug, Default)]
struct Rooted {
    network: Option<u64>,
    last: Tree,
}

impl Tracked {
    /// What it uses; of a tree, also the tree as it is now.
    fn read(
        &self,
        pid: u32,
        census: &Census,
    ) -> Result<(ProcessReading, Option<Tree>), SampleError> {
        match &self.tree {
            None => Ok((read_process(pid)?, None)),
            Some(rooted) => {
                let (reading, now) = rooted.last.read(pid, rooted.network, census)?;
                Ok((reading, Some(now)))
            }
        }
    }
}

/// One round over all tracked processes.
#[derive(Debug, Default)]
pub struct SampleRound {
    /// What could be read.
    pub samples: Vec<Sample>,
    /// What could not: these have no sample in this round.
    pub failed: Vec<(SampleSource, SampleError)>,
}

impl Sampler {
    /// A sampler that tracks nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples this process from now on; replaces a former process of the same source.
    pub fn track(&mut self, of: SampleSource, pid: u32) {
        self.tracked.insert(of, Tracked { pid, last: None, tree: None });
    }

    /// Samples this process together with everything that it started, and, if it has a network
    /// namespace of its own, by the inode of that.
    pub fn track_tree(&mut self, of: SampleSource, pid: u32, network: Option<u64>) {
        let tree = Some(Rooted { network, last: Tree::default() });
        self.tracked.insert(of, Tracked { pid, last: None, tree });
    }

    /// What there is to know to find the members of trees.
    fn census<'a>(tracked: impl Iterator<Item = &'a Tracked> + Clone) -> Census {
        let trees = tracked.filter_map(|one| one.tree.as_ref());
        let without = trees.clone().any(|tree| tree.network.is_none());
        let networks: BTreeSet<u64> = trees.filter_map(|tree| tree.network).collect();
        Census::read(&networks, without)
    }

    /// Samples it no longer.
    pub fn untrack(&mut self, of: &SampleSource) {
        self.tracked.remove(of);
    }

    /// Reads one tracked process, and leaves the shares of the next round alone: the sample has
    /// none. `None` if it is not tracked.
    pub fn peek(&self, of: &SampleSource, at: RunTime) -> Option<Result<Sample, SampleError>> {
        let tracked = self.tracked.get(of)?;
        let census = Self::census(std::iter::once(tracked));
        Some(Self::peeked(of, tracked, &census, at))
    }

    fn peeked(
        of: &SampleSource,
        tracked: &Tracked,
        census: &Census,
        at: RunTime,
    ) -> Result<Sample, SampleError> {
        let (reading, _) = tracked.read(tracked.pid, census)?;
        Ok(sample(of, tracked.pid, at, reading, None))
    }

    /// Reads every tracked process and leaves the shares of the next round alone; what cannot be
    /// read is left out.
    pub fn peek_all(&self, at: RunTime) -> Vec<Sample> {
        let census = Self::census(self.tracked.values());
        let all = self.tracked.iter();
        all.filter_map(|(of, one)| Self::peeked(of, one, &census, at).ok()).collect()
    }

    /// Reads every tracked process; `at` is the time of the round. A share is of the time between
    /// two readings, by `now`: a harness that gets no processor in the middle of a round is not to
    /// show what a node used meanwhile as if it had used it before.
    pub fn sample(&mut self, at: RunTime, now: impl Fn() -> RunTime) -> SampleRound {
        let mut round = SampleRound::default();
        let census = Self::census(self.tracked.values());
        for (of, tracked) in &mut self.tracked {
            let pid = if on(Mutant::SamplerSelf) { std::process::id() } else { tracked.pid };
            let read_at = now();
            let reading =
                tracked.read(pid, &census).and_then(|(reading, tree)| match tracked.last {
                    Some((_, last)) if on(Mutant::SamplerRepeats) => Ok((last, tree)),
                    Some((_, last)) if last.start_ticks != reading.start_ticks => {
                        Err(SampleError::Reused(tracked.pid))
                    }
                    _ => Ok((reading, tree)),
                });
            match reading {
                Ok((reading, tree)) => {
                    if let (Some(rooted), Some(tree)) = (&mut tracked.tree, tree) {
                        rooted.last = tree;
                    }
                    let cpu = tracked.last.and_then(|last| share(last, (read_at, reading)));
                    tracked.last = Some((read_at, reading));
                    round.samples.push(sample(of, tracked.pid, at, reading, cpu));
                }
                Err(error) => round.failed.push((of.clone(), error)),
            }
        }
        round
    }
}

fn sample(
    of: &SampleSource,
    pid: u32,
    at: RunTime,
    reading: ProcessReading,
    cpu: Option<f64>,
) -> Sample {
    Sample {
        at,
        of: of.clone(),
        pid,
        cpu_micros_total: reading.cpu_micros_total,
        cpu,
        rss_bytes: reading.rss_bytes,
        open_files: reading.open_files,
        threads: reading.threads,
    }
}

/// Share of one core between two readings; `None` if no time passed between them.
fn share(
    (then, before): (RunTime, ProcessReading),
    (now, after): (RunTime, ProcessReading),
) -> Option<f64> {
    let elapsed = now.since(then).as_micros();
    let spent = after.cpu_micros_total.saturating_sub(before.cpu_micros_total);
    (elapsed > 0).then(|| spent as f64 / elapsed as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(cpu_micros_total: u64) -> ProcessReading {
        ProcessReading { cpu_micros_total, rss_bytes: 1, open_files: 1, threads: 1, start_ticks: 1 }
    }

    fn at(second: u64) -> RunTime {
        RunTime { micros: second * 1_000_000 }
    }

    #[test]
    fn half_a_second_of_work_in_two_is_a_quarter() {
        let quarter = share((at(1), reading(100)), (at(3), reading(500_100)));
        assert_eq!(quarter, Some(0.25));
        assert_eq!(share((at(1), reading(0)), (at(1), reading(9))), None);
    }

    #[test]
    fn the_first_sample_has_no_share_and_a_dead_process_no_sample() {
        let mut sampler = Sampler::new();
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let node = SampleSource::Node("node-1".into());
        sampler.track(node.clone(), child.id());
        assert_eq!(sampler.sample(at(1), || at(1)).samples[0].cpu, None);
        let peeked = sampler.peek(&node, at(2)).unwrap().unwrap();
        assert_eq!(
            (peeked.cpu, sampler.peek(&SampleSource::Harness, at(2)).is_none()),
            (None, true)
        );
        assert!(sampler.sample(at(2), || at(2)).samples[0].cpu.is_some());
        drop(child.stdin.take());
        child.wait().unwrap();
        let round = sampler.sample(at(3), || at(3));
        assert!(round.samples.is_empty(), "a dead process has no value: {round:?}");
        assert!(matches!(round.failed[..], [(ref of, SampleError::Gone(_))] if *of == node));
        sampler.untrack(&node);
        assert!(sampler.sample(at(4), || at(4)).failed.is_empty());
    }

    #[test]
    fn a_share_is_of_the_time_between_two_readings_whenever_the_round_began() {
        let mut sampler = Sampler::new();
        sampler.track(SampleSource::Harness, std::process::id());
        let first = sampler.sample(at(1), || at(1)).samples.remove(0);
        let used = |sampler: &Sampler| {
            let peeked = sampler.peek(&SampleSource::Harness, at(1)).unwrap().unwrap();
            peeked.cpu_micros_total - first.cpu_micros_total
        };
        while used(&sampler) < 20_000 {
            std::hint::spin_loop();
        }
        // It stood still for 99 s, from when the round began to when it read.
        let second = sampler.sample(at(2), || at(101)).samples.remove(0);
        assert_eq!(second.at, at(2));
        let spent = (second.cpu_micros_total - first.cpu_micros_total) as f64;
        assert_eq!(second.cpu, Some(spent / 1e8));
    }

    #[test]
    fn a_pid_that_was_used_again_is_not_the_same_process() {
        let mut sampler = Sampler::new();
        sampler.track(SampleSource::Harness, std::process::id());
        sampler.sample(at(1), || at(1));
        if let Some(tracked) = sampler.tracked.get_mut(&SampleSource::Harness)
            && let Some((_, last)) = &mut tracked.last
        {
            last.start_ticks += 1;
        }
        let round = sampler.sample(at(2), || at(2));
        assert!(matches!(round.failed[..], [(SampleSource::Harness, SampleError::Reused(_))]));
    }
}
