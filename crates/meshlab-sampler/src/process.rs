//! One reading of one process, from /proc and its CPU clock.

use std::{fs, io};

/// What a process used up to now, and has at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessReading {
    /// CPU time since it started, user and system, of all its threads, in microseconds.
    pub cpu_micros_total: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Open file descriptors.
    pub open_files: u32,
    /// Threads.
    pub threads: u32,
    /// When it started, in clock ticks since boot: tells a pid that was used again.
    pub start_ticks: u64,
}

/// Why a process cannot be read. Completes "failed to sample: ...".
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// There is no such process any more.
    #[error("process {0} is gone")]
    Gone(u32),
    /// The pid belongs to another process now.
    #[error("pid {0} was used again by another process")]
    Reused(u32),
    /// A file of it cannot be read.
    #[error("{path} cannot be read: {error}")]
    Io {
        /// Which.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A file of it is not what the kernel documents.
    #[error("{path} is not understood: `{text}`")]
    Malformed {
        /// Which.
        path: String,
        /// What it held.
        text: String,
    },
}

/// Reads a process.
///
/// CPU time comes from the process's CPU clock, in nanoseconds, where the kernel lets this process
/// read it; else from `utime + stime` in `/proc/PID/stat`, which counts in ticks of 10 ms.
///
/// # Errors
/// The process is gone, or one of its files cannot be read.
pub fn read_process(pid: u32) -> Result<ProcessReading, SampleError> {
    read_family(pid).map(|family| family.own)
}

/// A process, and what is known of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) own: ProcessReading,
    /// CPU time of what it started, has ended and was waited for, in microseconds.
    pub(crate) waited_micros: u64,
    /// Who started it, or whom it was left to.
    pub(crate) parent: u32,
}

impl Family {
    pub(crate) fn cpu_micros(&self) -> u64 {
        self.own.cpu_micros_total + self.waited_micros
    }
}

pub(crate) fn read_family(pid: u32) -> Result<Family, SampleError> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|error| told(pid, &path, error))?;
    let stat = parse_stat(&text)
        .ok_or_else(|| SampleError::Malformed { path: path.clone(), text: text.clone() })?;
    let path = format!("/proc/{pid}/fd");
    let open_files = fs::read_dir(&path).map_err(|error| told(pid, &path, error))?.count();
    let own = ProcessReading {
        cpu_micros_total: cpu_clock_micros(pid).unwrap_or(stat.cpu_ticks * micros_per_tick()),
        rss_bytes: stat.rss_pages * page_bytes(),
        open_files: u32::try_from(open_files).unwrap_or(u32::MAX),
        threads: stat.threads,
        start_ticks: stat.start_ticks,
    };
    let waited_micros = stat.waited_ticks * micros_per_tick();
    Ok(Family { own, waited_micros, parent: stat.parent })
}

/// Who started a process, or whom it was left to; `None` if it is gone.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|stat| stat.parent)
}

fn told(pid: u32, path: &str, error: io::Error) -> SampleError {
    let gone = error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH);
    if gone { SampleError::Gone(pid) } else { SampleError::Io { path: path.to_owned(), error } }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    cpu_ticks: u64,
    waited_ticks: u64,
    threads: u32,
    start_ticks: u64,
    rss_pages: u64,
}

/// Fields of `/proc/PID/stat`, counted from the state, which follows the last `)`: the name before
/// it may hold anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        cpu_ticks: number(11)? + number(12)?,
        waited_ticks: number(13)? + number(14)?,
        threads: u32::try_from(number(17)?).ok()?,
        start_ticks: number(19)?,
        rss_pages: number(21)?,
    })
}

/// The process's CPU clock (`clock_getcpuclockid`): nanosecond precision, all threads.
fn cpu_clock_micros(pid: u32) -> Option<u64> {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write one value each through a pointer to a local of that type.
    let read = unsafe {
        libc::clock_getcpuclockid(libc::pid_t::try_from(pid).ok()?, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanos = u64::try_from(time.tv_nsec).ok()?;
    read.then_some(seconds * 1_000_000 + nanos / 1000)
}

fn micros_per_tick() -> u64 {
    // SAFETY: reads a constant of the system.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    1_000_000 / u64::try_from(ticks).unwrap_or(100).max(1)
}

fn page_bytes() -> u64 {
    // SAFETY: reads a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::mpsc};

    use super::*;

    fn me() -> ProcessReading {
        read_process(std::process::id()).unwrap()
    }

    #[test]
    fn work_moves_the_cpu_total() {
        let before = me().cpu_micros_total;
        let mut sum = 0_u64;
        while me().cpu_micros_total < before + 2_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        assert!(me().cpu_micros_total >= before + 2_000);
    }

    #[test]
    fn a_file_and_a_thread_are_counted() {
        let before = me();
        let files: Vec<File> = (0..64).map(|_| File::open("/dev/null").unwrap()).collect();
        let (hold, held) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || held.recv().is_ok());
        let during = me();
        assert!(during.open_files >= before.open_files + 32, "{before:?} {during:?}");
        assert!(during.threads >= 2, "{during:?}");
        drop((files, hold));
        assert!(!thread.join().unwrap());
    }

    #[test]
    fn a_name_with_parentheses_is_no_trap() {
        let text = "42 (a) R (b) S 1 42 42 0 -1 4194560 1 0 0 0 7 5 0 0 20 0 3 0 999 1000 250 1";
        let stat = Stat {
            parent: 1,
            cpu_ticks: 12,
            waited_ticks: 0,
            threads: 3,
            start_ticks: 999,
            rss_pages: 250,
        };
        assert_eq!(parse_stat(text), Some(stat));
        assert_eq!(parse_stat("42 (x) S 1 2"), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_told() {
        let error = read_process(u32::MAX - 7).unwrap_err();
        assert!(matches!(error, SampleError::Gone(_)), "{error}");
    }
}
