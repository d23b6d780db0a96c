//! What the host did beside the run: stolen time, other processes, queues, late wake-ups.

use std::{
    collections::BTreeMap,
    fs, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use meshlab_model::{HostSample, RunTime, Sample, SampleSource};

/// How often the thread that is to be woken is woken: 20 times a second cost 0.02 % of a core.
const WAKE_EVERY: Duration = Duration::from_millis(50);
/// Wake-ups that are kept between two readings; a stretch is a minute at most.
const WAKES_MAX: usize = 4096;

/// Watches the host from its making on.
#[derive(Debug)]
pub struct HostWatch {
    late: Arc<Mutex<Vec<u32>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    began: RunTime,
    host: HostTimes,
    waited_micros: Option<u64>,
    own: Own,
}

/// CPU time of the run's processes.
#[derive(Debug, Default)]
struct Own {
    last: BTreeMap<SampleSource, (u32, u64)>,
    micros: u64,
}

impl Own {
    fn add(&mut self, samples: &[Sample]) {
        for sample in samples {
            let now = (sample.pid, sample.cpu_micros_total);
            let before = match self.last.insert(sample.of.clone(), now) {
                Some((pid, micros)) if pid == sample.pid => micros,
                // The harness lived before the run; a node's process began with its first sample.
                None if sample.of == SampleSource::Harness => sample.cpu_micros_total,
                _ => 0,
            };
            self.micros += sample.cpu_micros_total.saturating_sub(before);
        }
    }
}

/// CPU time of the host since it started, in ticks of a hundredth of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HostTimes {
    cores: u32,
    all: u64,
    busy: u64,
    steal: u64,
}

impl HostTimes {
    fn read() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "/proc/stat is not understood");
        Self::parse(&text).ok_or_else(wrong)
    }

    /// The first line of `/proc/stat`, and a line for each processor (proc_stat(5)): user, nice,
    /// system, idle, iowait, irq, softirq, steal, and guests, which are part of user and nice.
    fn parse(text: &str) -> Option<Self> {
        let mut cpus = text.lines().filter(|line| line.starts_with("cpu"));
        let total = cpus.next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            total.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks[..] else {
            return None;
        };
        let busy = user + nice + system + irq + softirq;
        let cores = u32::try_from(cpus.count()).ok().filter(|cores| *cores > 0)?;
        Some(Self { cores, all: busy + idle + iowait + steal, busy, steal })
    }
}

/// Microseconds in which somebody waited for a processor, since the host started.
fn waited_micros() -> Option<u64> {
    parse_pressure(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=123` (the kernel's accounting/psi.rst).
fn parse_pressure(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_whitespace().find_map(|field| field.strip_prefix("total="))?.parse().ok()
}

impl HostWatch {
    /// Begins to watch.
    ///
    /// # Errors
    /// `/proc/stat` cannot be read, or a thread cannot be started.
    pub fn start(at: RunTime) -> io::Result<Self> {
        let late = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let host = HostTimes::read()?;
        let (theirs, ends) = (Arc::clone(&late), Arc::clone(&stop));
        let thread = thread::Builder::new().name("host-watch".into());
        let thread = thread.spawn(move || wake(&theirs, &ends))?;
        let own = Own::default();
        let waited_micros = waited_micros();
        Ok(Self { late, stop, thread: Some(thread), began: at, host, waited_micros, own })
    }

    /// Adds samples of the run's own processes.
    pub fn add(&mut self, samples: &[Sample]) {
        self.own.add(samples);
    }

    /// How long the stretch that is open is.
    pub fn open(&self, now: RunTime) -> Duration {
        now.since(self.began)
    }

    /// What the host did since the last call; the next stretch begins.
    ///
    /// # Errors
    /// `/proc/stat` cannot be read.
    pub fn take(&mut self, now: RunTime) -> io::Result<HostSample> {
        let host = HostTimes::read()?;
        let waited = waited_micros();
        let length = now.since(std::mem::replace(&mut self.began, now));
        let before = std::mem::replace(&mut self.host, host);
        let waited_before = std::mem::replace(&mut self.waited_micros, waited);
        let own_micros = std::mem::take(&mut self.own.micros);
        let mut late =
            std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        late.sort_unstable();
        // The ticks of the host, not the clock: so shares never add up to more than all of it.
        let all = host.all.saturating_sub(before.all) as f64;
        let share = |ticks: f64| if all > 0.0 { rounded(ticks / all) } else { 0.0 };
        let busy = host.busy.saturating_sub(before.busy) as f64;
        let own = (own_micros as f64 / 10_000.0).min(busy);
        let waiting = waited.zip(waited_before).map(|(now, before)| {
            let micros = length.as_micros().max(1) as f64;
            rounded((now.saturating_sub(before) as f64 / micros).min(1.0))
        });
        let rank = (late.len() * 99 / 100).min(late.len().saturating_sub(1));
        Ok(HostSample {
            length_micros: u64::try_from(length.as_micros()).unwrap_or(u64::MAX),
            cores: host.cores,
            steal: share(host.steal.saturating_sub(before.steal) as f64),
            own: share(own),
            foreign: share(busy - own),
            waiting,
            wakes: u32::try_from(late.len()).unwrap_or(u32::MAX),
            late_p99_micros: late.get(rank).copied().unwrap_or(0).into(),
            late_max_micros: late.last().copied().unwrap_or(0).into(),
        })
    }
}

impl Drop for HostWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It holds nothing that could be left half done.
            let _ = thread.join();
        }
    }
}

/// Four digits: a ten-thousandth of a host is less than a tick of ten seconds.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

fn wake(late: &Mutex<Vec<u32>>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let due = Instant::now() + WAKE_EVERY;
        thread::park_timeout(WAKE_EVERY);
        let Some(by) = Instant::now().checked_duration_since(due) else { continue };
        let micros = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        let mut late = late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.len() < WAKES_MAX {
            late.push(micros);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 20 30 800 40 5 5 10 7 0\ncpu0 50 10 15 400 20 2 3 5 0 0\ncpu1 50 \
                        10 15 400 20 3 2 5 0 0\nintr 1 2 3\n";

    #[test]
    fn the_kernels_files_are_read_as_they_are_documented() {
        let times = HostTimes { cores: 2, all: 1010, busy: 160, steal: 10 };
        assert_eq!(HostTimes::parse(STAT), Some(times));
        for bad in
            ["", "cpu  1 2 3\ncpu0 1\n", "cpu  a b c d e f g h\ncpu0 1\n", "cpu  1 2 3 4 5 6 7 8\n"]
        {
            assert_eq!(HostTimes::parse(bad), None, "{bad}");
        }
        let some = "some avg10=6.27 avg60=6.13 avg300=4.69 total=10787742597\nfull avg10=0 total=3";
        assert_eq!(parse_pressure(some), Some(10_787_742_597));
        assert_eq!(parse_pressure("some total=x"), None);
    }

    fn sample(of: SampleSource, pid: u32, cpu_micros_total: u64) -> Sample {
        let (at, cpu) = (RunTime { micros: 0 }, None);
        Sample { at, of, pid, cpu_micros_total, cpu, rss_bytes: 1, open_files: 1, threads: 1 }
    }

    #[test]
    fn what_the_run_used_is_counted_over_restarts_and_not_from_before_it() {
        let node = || SampleSource::Node("node-1".into());
        let mut own = Own::default();
        own.add(&[sample(SampleSource::Harness, 1, 9_000), sample(node(), 2, 100)]);
        assert_eq!(own.micros, 100);
        own.add(&[sample(SampleSource::Harness, 1, 9_500), sample(node(), 3, 50)]);
        assert_eq!(own.micros, 650);
    }

    #[test]
    fn a_stretch_has_shares_and_wake_ups() {
        let mut watch = HostWatch::start(RunTime { micros: 0 }).unwrap();
        let woken = || watch.late.lock().unwrap().len() >= 3;
        while !woken() {
            thread::yield_now();
        }
        let sample = watch.take(RunTime { micros: 200_000 }).unwrap();
        assert!(sample.wakes >= 3 && sample.cores > 0, "{sample:?}");
        assert!(sample.late_p99_micros <= sample.late_max_micros);
        let shares = [sample.steal, sample.own, sample.foreign, sample.waiting.unwrap_or(0.0)];
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{sample:?}");
        assert_eq!(watch.take(RunTime { micros: 200_000 }).unwrap().length_micros, 0);
    }
}
