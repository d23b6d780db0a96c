//! Whether the node can still write to its data directory.
//!
//! A disk that is full, broken or read-only is found out by the node itself, before it needs to
//! keep something: it writes one byte to a new file and removes it. Nothing is synced, so that
//! costs some microseconds and no access to the disk.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The file that is written and removed.
const FILE: &str = "writable";

/// Looks after the data directory.
#[derive(Debug)]
pub(crate) struct OwnDisk {
    file: PathBuf,
    every: Duration,
    last: Option<Instant>,
}

impl OwnDisk {
    /// A directory that is tried at most once each `every`.
    pub(crate) fn new(data: &Path, every: Duration) -> Self {
        Self { file: data.join(FILE), every, last: None }
    }

    /// Tries it, if it is time: whether it refuses. Nobody is woken for this; it is asked whenever
    /// the node is awake anyway.
    pub(crate) fn refuses(&mut self, now: Instant) -> Option<bool> {
        let due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.every);
        due.then(|| {
            self.last = Some(now);
            self.try_it().is_err_and(|error| is_the_disks(&error))
        })
    }

    fn try_it(&self) -> io::Result<()> {
        // A new file each time: what was written once can be written over on a full disk too.
        let written = File::create(&self.file).and_then(|mut file| file.write_all(b"1"));
        let removed = fs::remove_file(&self.file);
        written.and(removed)
    }
}

/// Whether an error is the disk's. Others, such as too many open files, say nothing of it.
fn is_the_disks(error: &io::Error) -> bool {
    let disk = [libc::ENOSPC, libc::EDQUOT, libc::EROFS, libc::EIO];
    error.raw_os_error().is_some_and(|code| disk.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_tried_when_it_is_time_and_nothing_is_left() {
        let data = tempfile::tempdir().unwrap();
        let every = Duration::from_secs(2);
        let mut disk = OwnDisk::new(data.path(), every);
        let now = Instant::now();
        assert_eq!(disk.refuses(now), Some(false));
        assert_eq!(disk.refuses(now + every / 2), None);
        assert_eq!(disk.refuses(now + every), Some(false));
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_disk_refuses_and_a_missing_directory_does_not_count() {
        // The one device that is always full: opening works, writing does not.
        let data = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", data.path().join(FILE)).unwrap();
        let mut disk = OwnDisk::new(data.path(), Duration::ZERO);
        assert_eq!(disk.refuses(Instant::now()), Some(true));
        assert_eq!(disk.refuses(Instant::now()), Some(false), "the link was removed");
        let mut gone = OwnDisk::new(Path::new("/nowhere"), Duration::ZERO);
        assert_eq!(gone.refuses(Instant::now()), Some(false));
        for (code, disks) in [(libc::EROFS, true), (libc::EIO, true), (libc::EMFILE, false)] {
            assert_eq!(is_the_disks(&io::Error::from_raw_os_error(code)), disks);
        }
    }
}
