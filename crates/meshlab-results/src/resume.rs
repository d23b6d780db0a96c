//! A record that has no end, opened to be gone on with.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use meshlab_model::{CounterSample, RunTime, Sample};

use crate::{Filter, Record, Recorded, RunRecord, checked, file};

/// How long a lock may outlive the harness that held it: its children end within this.
const LOCKED_WITHIN: Duration = Duration::from_secs(3);

/// Time between two looks at a lock.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The events of a run, open at their end and locked: no other harness writes them.
#[derive(Debug)]
pub struct Reopened {
    pub(crate) folder: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Bytes of half a line at the end that were cut off: nobody had heard of that event.
    pub cut: u64,
}

impl Reopened {
    /// Locks the record in `folder` and cuts off half a line at the end of its events.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where another harness writes it; else, what the system said.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(file::EVENTS);
        let mut file = File::options().read(true).append(true).open(&path)?;
        let deadline = Instant::now() + LOCKED_WITHIN;
        while let Err(error) = lock(&file) {
            if error.kind() != io::ErrorKind::WouldBlock || Instant::now() > deadline {
                return Err(error);
            }
            thread::sleep(LOOK_EVERY);
        }
        let cut = cut(&mut file)?;
        Ok(Self { folder: folder.to_owned(), path, file, cut })
    }
}

/// What came in minutes that were not over when a harness was killed, so that they are written
/// whole once they are.
#[derive(Debug, Default)]
pub struct OpenMinutes {
    /// What processes used.
    pub samples: Vec<Sample>,
    /// What nodes count themselves.
    pub counters: Vec<CounterSample>,
}

impl OpenMinutes {
    /// Those of a record: at most a minute of each process and node.
    pub fn of(record: &RunRecord) -> Self {
        Self {
            samples: not_over(&record.samples, &record.minutes),
            counters: not_over(&record.counters, &record.counter_minutes),
        }
    }
}

/// Records of minutes that were not written. Each process has a minute of its own: that of one
/// which ended, or whose numbers rest, is older than those of the others.
fn not_over<T: Record, M: Record>(records: &Recorded<T>, minutes: &Recorded<M>) -> Vec<T> {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut over = BTreeMap::new();
    for minute in minutes {
        let end = RunTime::from_duration(minute.moment().as_duration() + MINUTE);
        over.insert(minute.node().to_owned(), end);
    }
    let counts = records.counts();
    let nodes = counts.values().flat_map(BTreeMap::keys);
    let since = nodes.map(|node| over.get(node).copied().unwrap_or_default()).min();
    let from = records.select(Filter { since, ..Filter::default() });
    from.filter(|one| over.get(one.node()).is_none_or(|end| one.moment() >= *end)).collect()
}

/// Marks the events as being written by this process, for as long as they are open.
pub(crate) fn lock(events: &File) -> io::Result<()> {
    match events.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            "another meshlab is writing it: the run goes on",
        )),
        // A file system without locks: two harnesses on one record are then not told apart.
        Err(TryLockError::Error(error))
            if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) =>
        {
            Ok(())
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Cuts off what is after the last line that is whole; how much that was.
fn cut(events: &mut File) -> io::Result<u64> {
    let length = events.metadata()?.len();
    let (mut keep, mut tail) = (length, Vec::new());
    while keep > 0 {
        keep = keep.saturating_sub(1 << 16);
        events.seek(SeekFrom::Start(keep))?;
        tail.clear();
        events.read_to_end(&mut tail)?;
        if let Some(last) = tail.iter().rposition(|byte| *byte == b'\n') {
            keep += last as u64 + 1;
            tail.drain(..=last);
            break;
        }
    }
    if checked::open(&tail).is_some() {
        // Only its end is missing.
        events.write_all(b"\n")?;
        return Ok(0);
    }
    events.set_len(keep)?;
    Ok(length - keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopened(text: &[u8]) -> (Vec<u8>, u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file::EVENTS);
        std::fs::write(&path, text).unwrap();
        let cut = Reopened::open(folder.path()).unwrap().cut;
        (std::fs::read(path).unwrap(), cut)
    }

    #[test]
    fn half_a_line_is_cut_off_and_a_whole_one_is_ended() {
        let line = checked::seal(br#"{"seq":1}"#.to_vec());
        let whole = [&line[..], b"\n"].concat();
        assert_eq!(reopened(&whole), (whole.clone(), 0));
        assert_eq!(reopened(&line), (whole.clone(), 0));
        let half = [&whole[..], &line[..9]].concat();
        assert_eq!(reopened(&half), (whole.clone(), 9));
        let long = [&whole[..], &vec![b'x'; 200_000]].concat();
        assert_eq!(reopened(&long), (whole, 200_000));
        assert_eq!(reopened(b"{"), (Vec::new(), 1));
        assert_eq!(reopened(b""), (Vec::new(), 0));
    }

    #[test]
    fn a_record_that_is_being_written_is_not_opened_a_second_time() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file::EVENTS), "").unwrap();
        let first = Reopened::open(folder.path()).unwrap();
        let refused = Reopened::open(folder.path()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(refused.to_string(), "another meshlab is writing it: the run goes on");
        drop(first);
        Reopened::open(folder.path()).unwrap();
    }
}
