//! Which start of the node this is. Peers take a lower number for an old message.
//!
//! It is the time of the start, so that a node whose data directory was lost still comes after its
//! former self. The last one is kept on disk: a clock that was days ahead and was set right does
//! not make the node older than it was.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::small_file;

/// The file in the data directory: the last incarnation in decimal.
const FILE: &str = "incarnation";

/// Longest file that is looked at, in bytes.
const BYTES_MAX: u64 = 32;

/// The next one, in microseconds since 1970 at the earliest; kept for the start after it. A disk
/// that refuses costs the memory of it and nothing else.
pub(crate) fn next(data: &Path) -> u64 {
    let since =
        meshlab_agent::wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let next = after(last(data), since);
    if let Err(error) = keep(data, next) {
        let path = data.join(FILE);
        tracing::warn!(%error, path = %path.display(), "could not keep the incarnation");
    }
    next
}

fn after(last: Option<u64>, now: Duration) -> u64 {
    let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
    last.map_or(now, |last| now.max(last.saturating_add(1)))
}

fn last(data: &Path) -> Option<u64> {
    // What is damaged is as good as none: the clock is right most of the time.
    let text = String::from_utf8(small_file::read(&data.join(FILE), BYTES_MAX)?).ok()?;
    text.trim().parse().ok()
}

fn keep(data: &Path, incarnation: u64) -> io::Result<()> {
    small_file::replace(&data.join(FILE), &format!("{incarnation}\n"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_start_comes_after_the_last_whatever_the_clock_says() {
        let data = tempfile::tempdir().unwrap();
        let first = next(data.path());
        let second = next(data.path());
        assert!(second > first);
        let days_ahead = second + 10 * 86_400 * 1_000_000;
        keep(data.path(), days_ahead).unwrap();
        assert_eq!(next(data.path()), days_ahead + 1);
        assert_eq!(next(data.path()), days_ahead + 2);
    }

    #[test]
    fn a_damaged_file_or_a_disk_that_refuses_leaves_the_clock() {
        let data = tempfile::tempdir().unwrap();
        let now = next(data.path());
        for rubbish in ["", "x", "-1", "99999999999999999999999999", &"1".repeat(40)] {
            fs::write(data.path().join(FILE), rubbish).unwrap();
            let again = next(data.path());
            assert!(again >= now && again < now + 60_000_000, "{rubbish}: {again}");
        }
        assert!(next(Path::new("/proc/self")) >= now);
        assert_eq!(after(Some(u64::MAX), Duration::ZERO), u64::MAX);
    }
}
