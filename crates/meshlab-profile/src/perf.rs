//! CPU profiles of running processes, taken by `perf` from outside.
//!
//! The event is `cpu-clock`, a timer: it is there on machines without hardware counters too, and
//! ticks only while a thread runs, so what waits (off-CPU) is not in the profile. Stacks come by
//! frame pointers: programs need `-C force-frame-pointers=yes` to be seen whole.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use inferno::collapse::{Collapse, perf};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Folded, Windows, windows};

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// There is no `perf`.
    #[error("`perf` cannot be started ({0}): install it (Debian: linux-perf)")]
    Missing(io::Error),
    /// It refused.
    #[error(
        "`perf {what}` failed ({status}): {said}; where it is not allowed, \
        `sysctl kernel.perf_event_paranoid=2` or less, or root"
    )]
    Refused {
        /// Which of its commands.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last of what it said.
        said: String,
    },
    /// Its output could not be read.
    #[error("what `perf script` said of {} cannot be read: {error}", .data.display())]
    Output {
        /// The recording.
        data: PathBuf,
        /// What was wrong.
        error: io::Error,
    },
}

/// A recording that goes on until it is stopped or its process ends. Dropped, it is stopped.
#[derive(Debug)]
#[must_use]
pub struct Recording {
    child: Child,
    data: PathBuf,
}

/// Samples in a second that are sound to ask for.
const HZ_MAX: u32 = 10_000;

/// Whether `perf` can profile processes here.
///
/// # Errors
/// Why it cannot, with the cure.
pub fn is_available() -> Result<(), PerfError> {
    let how = ["record", "-e", "cpu-clock", "-F", "99", "-g", "-o", "/dev/null", "--", "true"];
    run("record", Command::new("perf").args(how)).map(drop)
}

/// Begins to record what these processes and their threads do, and what they start from now on, at
/// `hz` samples a CPU second (1 to 10,000), into the file `data`.
///
/// # Errors
/// `perf` cannot be started.
pub fn record(pids: &[u32], hz: u32, data: &Path) -> Result<Recording, PerfError> {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    let pids = pids.join(",");
    let child = Command::new("perf")
        .args(["record", "-e", "cpu-clock", "-g", "--no-buildid-cache"])
        .args(["-F", &hz.clamp(1, HZ_MAX).to_string(), "-p", &pids, "-o"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(PerfError::Missing)?;
    Ok(Recording { child, data: data.to_owned() })
}

impl Recording {
    /// Stops it and hands back the file. Waits until `perf` has written everything.
    ///
    /// # Errors
    /// `perf` failed, from the start or at the end.
    pub fn stop(mut self) -> Result<PathBuf, PerfError> {
        let asked = self.ask();
        let status = self.child.wait().map_err(PerfError::Missing)?;
        // It ends by our signal, or because the process ended.
        let written = std::fs::metadata(&self.data).is_ok_and(|data| data.len() > 0);
        if (status.success() || asked) && written {
            return Ok(self.data.clone());
        }
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = io::Read::read_to_string(&mut stderr, &mut said);
        }
        Err(PerfError::Refused { what: "record", status, said: last_words(&said) })
    }

    /// Whether it looks at its process by now, or has ended: `perf` writes its header once it is
    /// attached.
    pub fn has_begun(&mut self) -> bool {
        std::fs::metadata(&self.data).is_ok_and(|data| data.len() > 0) || self.has_ended()
    }

    /// Whether it has ended by itself, because its process did or because it failed.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, if it still runs.
    fn ask(&mut self) -> bool {
        let Ok(None) = self.child.try_wait() else { return false };
        let pid = i32::try_from(self.child.id()).unwrap_or(i32::MAX);
        kill(Pid::from_raw(pid), Signal::SIGINT).is_ok()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.ask() {
            let _ = self.child.wait();
        }
    }
}

/// The stacks in a recording, with symbols. The first frame is the thread's name.
///
/// # Errors
/// `perf script` fails or says what cannot be read.
pub fn collapse(data: &Path) -> Result<Folded, PerfError> {
    folded(data, &script(data)?)
}

/// The same, and beside all of it the first and the last steady window.
///
/// # Errors
/// As of [`collapse`].
pub fn collapse_with_ends(data: &Path) -> Result<Windows, PerfError> {
    let said = script(data)?;
    let ends = match windows::ends(&said) {
        Some((first, last)) => Some((folded(data, &first)?, folded(data, &last)?)),
        None => None,
    };
    Ok(Windows { whole: folded(data, &said)?, ends })
}

fn script(data: &Path) -> Result<Vec<u8>, PerfError> {
    // Inlined functions cost `perf script` minutes on a program of 80 MB.
    let how = ["script", "--no-inline", "-F", "comm,pid,tid,time,event,ip,sym,dso", "-i"];
    run("script", Command::new("perf").args(how).arg(data))
}

fn folded(data: &Path, said: &[u8]) -> Result<Folded, PerfError> {
    let failed = |error| PerfError::Output { data: data.to_owned(), error };
    let mut folded = Vec::new();
    let mut collapser = perf::Folder::from(perf::Options::default());
    collapser.collapse(said, &mut folded).map_err(failed)?;
    let text = String::from_utf8_lossy(&folded);
    let invalid = |error| failed(io::Error::new(io::ErrorKind::InvalidData, error));
    Ok(tidied(&Folded::parse(&text).map_err(invalid)?))
}

/// Hashes at the end of names are of no use to a reader, and differ from build to build, so that
/// two builds could not be compared.
fn tidied(folded: &Folded) -> Folded {
    let mut tidy = Folded::default();
    for (stack, count) in folded.stacks() {
        let frames: Vec<&str> = stack.split(';').map(without_hash).collect();
        tidy.add(&frames.join(";"), count);
    }
    tidy
}

/// `a::b::h0123456789abcdef` is `a::b`.
fn without_hash(frame: &str) -> &str {
    match frame.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            name
        }
        _ => frame,
    }
}

fn run(what: &'static str, command: &mut Command) -> Result<Vec<u8>, PerfError> {
    let output = command.stdin(Stdio::null()).output().map_err(PerfError::Missing)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = last_words(&String::from_utf8_lossy(&output.stderr));
    Err(PerfError::Refused { what, status: output.status, said })
}

/// The last lines of what a program said, in one.
fn last_words(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.get(lines.len().saturating_sub(3)..) {
        Some([]) | None => "it said nothing".to_owned(),
        Some(last) => last.join("; "),
    }
}

/// How many CPU seconds so many samples stand for.
#[must_use]
pub fn cpu_time(samples: u64, hz: u32) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(hz.clamp(1, HZ_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_left_out_so_that_two_builds_can_be_compared() {
        let folded = Folded::parse("a;b::h0123456789abcdef 1\na;b::hfedcba9876543210 2\n").unwrap();
        assert_eq!(tidied(&folded).to_string(), "a;b 3\n");
        assert_eq!(without_hash("a::hash"), "a::hash");
    }

    #[test]
    fn a_process_that_is_not_there_is_told_with_what_perf_said() {
        if let Err(why) = is_available() {
            assert!(why.to_string().contains("perf"), "what is missing is told: {why}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        // Above the largest pid that Linux gives out.
        let mut recording = record(&[5_000_000], 99, &folder.path().join("perf.data")).unwrap();
        while !recording.has_ended() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let error = recording.stop().unwrap_err().to_string();
        assert!(error.contains("perf record") && !error.contains("said nothing"), "{error}");
    }

    /// A process that computes until the test is over, however it ends.
    struct Busy(Child);

    impl Drop for Busy {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_busy_process_is_seen_and_its_function_is_named() {
        if let Err(why) = is_available() {
            assert!(why.to_string().contains("perf"), "what is missing is told: {why}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("perf.data");
        let busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
        let busy = Busy(busy.unwrap());
        let mut recording = record(&[busy.0.id()], 999, &data).unwrap();
        while !recording.has_begun() {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Until it has used CPU time for a while, however busy the machine is.
        let ticks = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", busy.0.id())).unwrap();
            let user = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(11).unwrap();
            user.parse::<u64>().unwrap()
        };
        let before = ticks();
        while ticks() < before + 50 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let data = recording.stop().unwrap();
        drop(busy);
        let folded = collapse(&data).unwrap();
        assert!(folded.samples() >= 100, "{folded}");
        assert!(folded.stacks().all(|(stack, _)| stack.starts_with("sh")), "{folded}");
    }
}
