//! Follows a record that another process writes: what came since the last look.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use meshlab_model::{CounterSample, RunEvent, RunTime, Sample, SpanRecord};

use crate::{Filter, Record, Recorded, Records, file, reader};

/// Bytes of events that are taken in at one look; what is beyond comes at the next.
const LOOK_BYTES_MAX: u64 = 8 << 20;

/// Whether some process writes the record in `folder` now. Where the file system knows no locks,
/// nobody is seen to.
pub fn is_written(folder: &Path) -> bool {
    let Ok(events) = File::open(folder.join(file::EVENTS)) else { return false };
    // Held for no longer than this look; who opens a record to write it waits that long.
    matches!(events.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// A record that grows.
#[derive(Debug)]
pub struct Following {
    folder: PathBuf,
    schema: u32,
    events: File,
    /// Up to where its events were read, and what of a line was there already.
    place: u64,
    half: Vec<u8>,
}

impl Following {
    /// Follows the record in `folder`, of that schema, from now on. Opened before the record is
    /// read, no event is missed; the last that was there may come again.
    ///
    /// # Errors
    /// Its events cannot be read.
    pub fn open(folder: &Path, schema: u32) -> io::Result<Self> {
        let mut events = File::open(folder.join(file::EVENTS))?;
        let place = events.seek(SeekFrom::End(0))?;
        let mut following = Self {
            folder: folder.to_owned(),
            schema,
            events,
            place: place.saturating_sub(LOOK_BYTES_MAX / 8),
            half: Vec::new(),
        };
        // Up to the last line that is whole; what is before it has been written before.
        following.take(place)?;
        let whole = memchr::memrchr(b'\n', &following.half).map_or(0, |end| end + 1);
        following.half = following.half.split_off(whole);
        Ok(following)
    }

    /// Reads on, up to a place.
    fn take(&mut self, until: u64) -> io::Result<()> {
        self.events.seek(SeekFrom::Start(self.place))?;
        let mut bounded = (&self.events).take(until.saturating_sub(self.place));
        self.place += bounded.read_to_end(&mut self.half)? as u64;
        Ok(())
    }

    /// The events that came. A line that is damaged is passed by: who reads the whole record is
    /// told of it.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn events(&mut self) -> io::Result<Vec<RunEvent>> {
        self.take(self.place + LOOK_BYTES_MAX)?;
        let whole = memchr::memrchr(b'\n', &self.half).map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.half.drain(..whole).collect();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines.filter_map(|line| reader::event(line, self.schema).ok()).collect())
    }

    /// The spans that arrived from then on.
    pub fn spans(&self, since: RunTime) -> Records<SpanRecord> {
        self.newer(since)
    }

    /// What processes used from then on.
    pub fn samples(&self, since: RunTime) -> Records<Sample> {
        self.newer(since)
    }

    /// What nodes counted from then on.
    pub fn counters(&self, since: RunTime) -> Records<CounterSample> {
        self.newer(since)
    }

    fn newer<T: Record>(&self, since: RunTime) -> Records<T> {
        let recorded = match self.folder.join(T::FOLDER).is_dir() {
            // What is damaged is told to who reads the whole.
            true => Recorded::in_segments(&self.folder, &mut Vec::new()),
            false => Recorded::default(),
        };
        recorded.select(Filter { since: Some(since), ..Filter::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use meshlab_model::RunEventKind;

    use super::*;

    #[test]
    fn what_is_written_is_followed_a_line_at_a_time_and_its_end_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file::EVENTS);
        assert!(!is_written(folder.path()), "there is nothing");
        let line = |seq: u64| {
            let kind = RunEventKind::Note { text: format!("{seq}") };
            let at = RunTime { micros: seq };
            let event = RunEvent { seq, at, source: None, manual: false, kind };
            let mut line = serde_json::to_vec(&event).unwrap();
            line.push(b'\n');
            line
        };
        let mut events = File::create(&path).unwrap();
        events.write_all(&line(1)).unwrap();
        let (half, rest) = (&line(2)[..9], &line(2)[9..]);
        events.write_all(half).unwrap();
        events.try_lock().unwrap();
        assert!(is_written(folder.path()));
        let mut following = Following::open(folder.path(), 1).unwrap();
        assert_eq!(following.events().unwrap(), [], "half a line is none");
        events.write_all(rest).unwrap();
        events.write_all(&line(3)).unwrap();
        events.write_all(b"no event\n").unwrap();
        events.write_all(&line(4)).unwrap();
        let came: Vec<u64> = following.events().unwrap().iter().map(|event| event.seq).collect();
        assert_eq!(came, [2, 3, 4]);
        assert_eq!(following.events().unwrap(), []);
        // A writer that is killed lets go too.
        drop(events);
        assert!(!is_written(folder.path()));
        fs::remove_file(&path).unwrap();
        assert!(Following::open(folder.path(), 1).is_err());
    }
}
