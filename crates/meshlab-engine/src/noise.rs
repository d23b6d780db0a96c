//! Whether the host was quiet enough for a verdict on CPU or time.

use std::{collections::VecDeque, time::Duration};

use meshlab_model::{HostSample, Noise, Resource, RunEventKind, RunTime, Sample, Verdict};
use meshlab_sampler::HostWatch;

use crate::{
    Engine,
    engine::{Shared, lock},
};

/// Length of a stretch at the beginning of a run: short enough to say which minute was noisy.
const STRETCH: Duration = Duration::from_secs(10);
/// Length of a stretch later: four days are 5760 events of some 200 bytes.
const LATE_STRETCH: Duration = Duration::from_secs(60);
/// From when on a stretch is a long one.
const LATE: Duration = Duration::from_secs(600);
/// The least stretch that is cut off for a verdict: 100 ticks of `/proc/stat` for each processor.
const CUT_MIN: Duration = Duration::from_secs(1);
/// Stretches in memory: eleven days.
const STRETCHES_MAX: usize = 16_384;

/// What is known of the host.
#[derive(Debug, Default)]
pub(crate) struct HostNoise {
    watch: Option<HostWatch>,
    /// The end of each stretch, and what it was like.
    stretches: VecDeque<(RunTime, HostSample)>,
}

impl HostNoise {
    pub(crate) fn start(now: RunTime) -> (Self, Option<String>) {
        match HostWatch::start(now) {
            Ok(watch) => (Self { watch: Some(watch), stretches: VecDeque::new() }, None),
            Err(error) => {
                let told = format!(
                    "the host cannot be watched: {error}; ceilings on CPU and comparisons of time \
                     stay undecided, unless `--ignore-noise` is given"
                );
                (Self::default(), Some(told))
            }
        }
    }

    /// One that was like this all the time, for tests.
    #[cfg(test)]
    pub(crate) fn of(end: RunTime, sample: HostSample) -> Self {
        Self { watch: None, stretches: VecDeque::from([(end, sample)]) }
    }

    /// The stretches that reach into the time since then.
    fn since(&self, since: RunTime) -> Vec<HostSample> {
        let first = self.stretches.partition_point(|(end, _)| *end <= since);
        self.stretches.iter().skip(first).map(|(_, sample)| sample.clone()).collect()
    }

    /// Ends the open stretch.
    fn cut(&mut self, now: RunTime) -> Option<HostSample> {
        let sample = match self.watch.as_mut()?.take(now) {
            Ok(sample) => sample,
            Err(_) => {
                // What cannot be read any more is not quiet: nothing is known from here on.
                self.watch = None;
                return None;
            }
        };
        self.stretches.push_back((now, sample.clone()));
        if self.stretches.len() > STRETCHES_MAX {
            self.stretches.pop_front();
        }
        Some(sample)
    }
}

/// Counts the run's own samples in, and ends a stretch that is long enough.
pub(crate) fn tick(shared: &Shared, samples: &[Sample]) {
    let now = shared.clock.now();
    let length = if now.as_duration() < LATE { STRETCH } else { LATE_STRETCH };
    let sample = {
        let mut noise = lock(&shared.noise);
        let Some(watch) = noise.watch.as_mut() else { return };
        watch.add(samples);
        if watch.open(now) < length {
            return;
        }
        noise.cut(now)
    };
    if let Some(sample) = sample {
        shared.event(RunEventKind::HostSampled(sample));
    }
}

/// Ends the open stretch of a run that ends.
pub(crate) fn finish(shared: &Shared) {
    let last = {
        let mut noise = lock(&shared.noise);
        let sample = noise.cut(shared.clock.now());
        noise.watch = None;
        sample
    };
    if let Some(sample) = last {
        shared.event(RunEventKind::HostSampled(sample));
    }
}

impl Engine {
    /// How noisy the host has been since then.
    pub(crate) fn host_noise(&self, since: RunTime) -> Noise {
        self.noise_since(since, CUT_MIN)
    }

    /// How noisy the host was about when a sample was taken that is above a ceiling. Where one was
    /// before, the open stretch is only cut where it is a whole one: there may be many.
    pub(crate) fn noise_at(&self, at: RunTime, again: bool) -> Noise {
        let since = at.as_duration().saturating_sub(STRETCH);
        let cut_min = if again { STRETCH } else { CUT_MIN };
        self.noise_since(RunTime::from_duration(since), cut_min)
    }

    fn noise_since(&self, since: RunTime, cut_min: Duration) -> Noise {
        let now = self.shared.clock.now();
        let own = lock(&self.shared.sampler).peek_all(now);
        let (sample, stretches) = {
            let mut noise = lock(&self.shared.noise);
            let open = noise.watch.as_ref().map(|watch| watch.open(now));
            let needed = |open: Duration| open >= cut_min || noise.since(since).is_empty();
            let sample = match open.is_some_and(needed) {
                true => {
                    if let Some(watch) = noise.watch.as_mut() {
                        watch.add(&own);
                    }
                    noise.cut(now)
                }
                false => None,
            };
            (sample, noise.since(since))
        };
        if let Some(sample) = sample {
            self.shared.event(RunEventKind::HostSampled(sample));
        }
        Noise::by(self.shared.config.noise, &stretches)
    }

    /// What becomes of a verdict on this resource on a host like that, and what to print beside
    /// it. Memory and counts do not depend on who else runs.
    pub(crate) fn on_this_host(
        &self,
        resource: Resource,
        verdict: Verdict,
        since: RunTime,
    ) -> (Verdict, Vec<String>) {
        if resource != Resource::Cpu {
            return (verdict, Vec::new());
        }
        let noise = self.host_noise(since);
        (undecided(verdict, &noise), vec![noise.line()])
    }
}

/// A verdict on CPU or time as it is on a host like that: what was seen may be the host's doing.
pub(crate) fn undecided(verdict: Verdict, noise: &Noise) -> Verdict {
    let Some(why) = &noise.why else { return verdict };
    let advice = "run it again on a quiet host; `--ignore-noise` judges anyway";
    match verdict {
        Verdict::Passed => {
            Verdict::Inconclusive(format!("it held, but the host was too noisy: {why}; {advice}"))
        }
        Verdict::Failed(found) => {
            Verdict::Inconclusive(format!("{found}; but the host was too noisy: {why}; {advice}"))
        }
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use meshlab_model::NoiseLimits;

    use super::*;

    pub(crate) fn sample(foreign: f64) -> HostSample {
        HostSample {
            length_micros: 10_000_000,
            cores: 2,
            steal: 0.0,
            own: 0.1,
            foreign,
            waiting: None,
            wakes: 200,
            late_p99_micros: 0,
            late_max_micros: 0,
        }
    }

    fn noisy() -> Noise {
        Noise::by(NoiseLimits::USUAL, &[sample(0.9)])
    }

    #[test]
    fn on_a_noisy_host_nothing_is_green_or_red() {
        let of = |verdict| undecided(verdict, &noisy()).to_string();
        let all = [
            of(Verdict::Passed),
            of(Verdict::Failed("cpu of node-2 was 30 %".to_owned())),
            of(Verdict::Inconclusive("too little data".to_owned())),
            of(Verdict::Broken("the node is gone".to_owned())),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
