//! How much others than the run had of the host, and whether that was too much to judge by.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Percent, format_duration};

/// What the host did over a stretch of the run, of which this is the end. The event
/// `host_sampled`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostSample {
    /// Length of the stretch, in microseconds.
    pub length_micros: u64,
    /// Processors of the host.
    pub cores: u32,
    /// Time that a hypervisor gave to others, a share of that of all processors: `/proc/stat`.
    pub steal: f64,
    /// CPU time of the nodes and the harness, a share of that of all processors.
    pub own: f64,
    /// CPU time of everybody else, a share of that of all processors: `/proc/stat` without `own`.
    pub foreign: f64,
    /// Share of the time in which somebody waited for a processor: `some` of
    /// `/proc/pressure/cpu`; absent where the kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<f64>,
    /// How often a thread of the harness that does nothing else was to be woken.
    pub wakes: u32,
    /// How late it was, at the 99th percentile, in microseconds; 0 where it was never woken.
    pub late_p99_micros: u64,
    /// How late it was at most, in microseconds.
    pub late_max_micros: u64,
}

impl HostSample {
    /// How long it was.
    pub fn length(&self) -> Duration {
        Duration::from_micros(self.length_micros)
    }
}

/// What is too much. Only what others did counts: a node that takes a whole processor is what a
/// ceiling is there to find, and must not hide itself as noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseLimits {
    /// Of [`HostSample::steal`].
    pub steal: f64,
    /// Of [`HostSample::foreign`].
    pub foreign: f64,
    /// Of [`HostSample::waiting`], where the run is not the cause.
    pub waiting: f64,
    /// Of [`HostSample::late_p99_micros`], where the run is not the cause.
    pub late_p99: Duration,
    /// From this share of all processors on, the run itself may be why others wait.
    pub own: f64,
    /// Share of the time that may be noisy.
    pub share: f64,
}

impl NoiseLimits {
    /// What holds unless a test says otherwise.
    ///
    /// - Stolen time is counted as a process's own by kernels without a steal clock, and 5 % is the
    ///   smallest change that a comparison promises to see: 2 % is less than half of it.
    /// - Others on a quarter of the processors share caches and, with two threads a core, the
    ///   core itself with the nodes; below it the scheduler has somewhere else to put them.
    /// - Somebody waits for a quarter of the time: measured times hold queues.
    /// - 10 ms late is 4 % of 250 ms, the shortest wait that scenarios state.
    /// - A tenth of the time: a backup of some minutes does not void four days.
    pub const USUAL: Self = Self {
        steal: 0.02,
        foreign: 0.25,
        waiting: 0.25,
        late_p99: Duration::from_millis(10),
        own: 0.5,
        share: 0.1,
    };

    /// Nothing is too much.
    pub const NONE: Self = Self {
        steal: f64::INFINITY,
        foreign: f64::INFINITY,
        waiting: f64::INFINITY,
        late_p99: Duration::MAX,
        own: 0.0,
        share: 1.0,
    };

    /// What of a stretch was too much, the first of these: stolen, foreign, waiting, late.
    pub fn disturbed(&self, sample: &HostSample) -> Option<Disturbance> {
        let waiting = sample.waiting.unwrap_or(0.0);
        let late = Duration::from_micros(sample.late_p99_micros);
        // What is no number is no quiet either.
        let above = |value: f64, limit: f64| value > limit || value.is_nan();
        if above(sample.steal, self.steal) {
            return Some(Disturbance::Steal);
        }
        if above(sample.foreign, self.foreign) {
            return Some(Disturbance::Foreign);
        }
        if sample.own >= self.own {
            return None;
        }
        if above(waiting, self.waiting) {
            return Some(Disturbance::Waiting);
        }
        (late > self.late_p99).then_some(Disturbance::Late)
    }
}

/// What disturbed a stretch of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    /// A hypervisor gave the processors to others.
    Steal,
    /// Other processes had the processors.
    Foreign,
    /// Somebody waited for a processor.
    Waiting,
    /// A thread was woken late.
    Late,
}

/// Whether a host was quiet enough for what is measured in CPU time or by the clock.
///
/// It says nothing against counts and memory: those do not depend on who else runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// How long the host was watched.
    pub watched: Duration,
    /// How long of it was disturbed.
    pub disturbed: Duration,
    /// Stolen share of the whole time.
    pub steal: f64,
    /// Share of others of the whole time.
    pub foreign: f64,
    /// Share of the time in which somebody waited, where it is known.
    pub waiting: Option<f64>,
    /// The worst 99th percentile of lateness of any stretch.
    pub late_p99: Duration,
    /// Why it is too noisy to judge by, as the end of "the host was too noisy: ..."; `None` if it
    /// is not.
    pub why: Option<String>,
}

impl Noise {
    /// What these stretches come to, by [`NoiseLimits::USUAL`].
    pub fn of(samples: &[HostSample]) -> Self {
        Self::by(NoiseLimits::USUAL, samples)
    }

    /// What these stretches come to. A host that was not watched is not quiet.
    pub fn by(limits: NoiseLimits, samples: &[HostSample]) -> Self {
        let watched: Duration = samples.iter().map(HostSample::length).sum();
        let disturbed = |sample: &&HostSample| limits.disturbed(sample).is_some();
        let noisy: Duration = samples.iter().filter(disturbed).map(HostSample::length).sum();
        let mean = |of: &dyn Fn(&HostSample) -> Option<f64>| {
            let known = |sample: &HostSample| Some((of(sample)?, sample.length().as_secs_f64()));
            let known: Vec<(f64, f64)> = samples.iter().filter_map(known).collect();
            let weight: f64 = known.iter().map(|(_, seconds)| seconds).sum();
            let sum: f64 = known.iter().map(|(value, seconds)| value * seconds).sum();
            (weight > 0.0).then(|| sum / weight)
        };
        let late = samples.iter().map(|sample| sample.late_p99_micros).max().unwrap_or(0);
        let mut noise = Self {
            watched,
            disturbed: noisy,
            steal: mean(&|sample| Some(sample.steal)).unwrap_or(0.0),
            foreign: mean(&|sample| Some(sample.foreign)).unwrap_or(0.0),
            waiting: mean(&|sample| sample.waiting),
            late_p99: Duration::from_micros(late),
            why: None,
        };
        noise.why = noise.reason(limits, samples);
        noise
    }

    fn reason(&self, limits: NoiseLimits, samples: &[HostSample]) -> Option<String> {
        if limits == NoiseLimits::NONE {
            return None;
        }
        if self.watched.is_zero() {
            return Some("nobody watched the host".to_owned());
        }
        let share = self.disturbed.as_secs_f64() / self.watched.as_secs_f64();
        if share <= limits.share {
            return None;
        }
        // The kind of disturbance that lasted longest is the one to tell.
        let length = |kind: Disturbance| -> Duration {
            let of = |sample: &&HostSample| limits.disturbed(sample) == Some(kind);
            samples.iter().filter(of).map(HostSample::length).sum()
        };
        let kinds =
            [Disturbance::Late, Disturbance::Waiting, Disturbance::Foreign, Disturbance::Steal];
        let kind = kinds.into_iter().max_by_key(|kind| length(*kind))?;
        let worst = |of: fn(&HostSample) -> f64| samples.iter().map(of).fold(0.0, f64::max);
        let (what, got, limit) = match kind {
            Disturbance::Steal => {
                ("a hypervisor took up to", worst(|sample| sample.steal), limits.steal)
            }
            Disturbance::Foreign => {
                ("other processes used up to", worst(|sample| sample.foreign), limits.foreign)
            }
            Disturbance::Waiting => {
                let waiting = worst(|sample| sample.waiting.unwrap_or(0.0));
                return Some(format!(
                    "somebody waited for a processor up to {} of the time, {} is allowed, in {}",
                    Percent(waiting),
                    Percent(limits.waiting),
                    self.part()
                ));
            }
            Disturbance::Late => {
                return Some(format!(
                    "a thread was woken up to {} late (99th percentile), {} is allowed, in {}",
                    format_duration(self.late_p99),
                    format_duration(limits.late_p99),
                    self.part()
                ));
            }
        };
        Some(format!(
            "{what} {} of all processors, {} is allowed, in {}",
            Percent(got),
            Percent(limit),
            self.part()
        ))
    }

    fn part(&self) -> String {
        format!("{} of {}", format_duration(self.disturbed), format_duration(self.watched))
    }

    /// Whether it is too noisy to judge by.
    pub fn is_noisy(&self) -> bool {
        self.why.is_some()
    }

    /// The line to print beside a verdict on CPU or time.
    pub fn line(&self) -> String {
        if self.watched.is_zero() {
            return "host: not watched".to_owned();
        }
        let waiting = self.waiting.map_or(String::new(), |waiting| {
            format!(", somebody waits {} of the time", Percent(waiting))
        });
        format!(
            "host: {} over {}: stolen {}, others {}{waiting}, wake-ups late by {} (99th \
             percentile)",
            if self.is_noisy() { "noisy" } else { "quiet" },
            format_duration(self.watched),
            Percent(self.steal),
            Percent(self.foreign),
            format_duration(self.late_p99)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> HostSample {
        HostSample {
            length_micros: 10_000_000,
            cores: 2,
            steal: 0.001,
            own: 0.04,
            foreign: 0.02,
            waiting: Some(0.03),
            wakes: 200,
            late_p99_micros: 180,
            late_max_micros: 900,
        }
    }

    fn said(samples: &[HostSample]) -> String {
        let noise = Noise::of(samples);
        let why = noise.why.as_ref().map_or("quiet".to_owned(), |why| format!("noisy: {why}"));
        format!("{why}\n  {}", noise.line())
    }

    #[test]
    fn each_disturbance_is_told_and_quiet_is_quiet() {
        let run = |change: fn(&mut HostSample)| -> Vec<HostSample> {
            let mut disturbed = quiet();
            change(&mut disturbed);
            vec![quiet(), quiet(), disturbed]
        };
        let one = |change: fn(&mut HostSample)| said(&run(change));
        let all = [
            one(|_| {}),
            one(|sample| sample.steal = 0.06),
            one(|sample| sample.foreign = 0.5),
            one(|sample| sample.waiting = Some(0.6)),
            one(|sample| sample.waiting = None),
            one(|sample| sample.late_p99_micros = 24_000),
            one(|sample| sample.foreign = f64::NAN),
            said(&[]),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn what_the_run_itself_does_is_no_noise() {
        let busy = HostSample {
            own: 0.98,
            foreign: 0.01,
            waiting: Some(0.9),
            late_p99_micros: 40_000,
            ..quiet()
        };
        assert!(!Noise::of(std::slice::from_ref(&busy)).is_noisy());
        // The same queue with nothing of ours in it.
        assert!(Noise::of(&[HostSample { own: 0.1, ..busy }]).is_noisy());
    }

    #[test]
    fn a_tenth_of_the_time_may_be_noisy() {
        let loud = HostSample { foreign: 0.9, ..quiet() };
        let mut samples = vec![quiet(); 9];
        samples.push(loud.clone());
        assert!(!Noise::of(&samples).is_noisy());
        samples.push(loud);
        assert!(Noise::of(&samples).is_noisy());
        assert!(!Noise::by(NoiseLimits::NONE, &samples).is_noisy());
    }
}
