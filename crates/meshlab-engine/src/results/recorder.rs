//! Writes a run's folder as things happen.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
};

use meshlab_model::{Manifest, RunEvent, RunEventKind, RunTime, Sample, SourceLine, SpanRecord};
use meshlab_spans::RunClock;
use serde::Serialize;

use super::file;

/// Writes events, spans and samples. An event is in the file, flushed, before anybody is told of
/// it; spans are flushed every half second by whoever owns the tick.
pub struct Recorder {
    clock: RunClock,
    inner: Mutex<Inner>,
    listener: Option<SyncSender<Arc<RunEvent>>>,
    unheard: AtomicU64,
}

struct Inner {
    last_seq: u64,
    /// Whether what happens now is in somebody's hands, not the scenario's.
    manual: bool,
    events: Lines,
    spans: Lines,
    samples: Lines,
    /// The first write that failed: from then on the record is not whole.
    failed: Option<String>,
}

struct Lines {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl Lines {
    fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Self { path, writer: BufWriter::with_capacity(64 * 1024, file) })
    }

    fn write<T: Serialize>(&mut self, record: &T) -> Result<(), String> {
        serde_json::to_writer(&mut self.writer, record)
            .map_err(io::Error::from)
            .and_then(|()| self.writer.write_all(b"\n"))
            .map_err(|error| self.told(&error))
    }

    fn flush(&mut self) -> Result<(), String> {
        self.writer.flush().map_err(|error| self.told(&error))
    }

    fn told(&self, error: &io::Error) -> String {
        format!("{} cannot be written: {error}", self.path.display())
    }
}

impl Recorder {
    /// Writes the manifest and the copy of the script, synced to the disk, and opens the rest.
    /// `listener` hears of every event after it is written; if it does not keep up, events are
    /// kept from it and counted, never from the record.
    ///
    /// # Errors
    /// A file cannot be written; no node has been started then.
    pub fn create(
        folder: &Path,
        manifest: &Manifest,
        script: &str,
        clock: RunClock,
        listener: Option<SyncSender<Arc<RunEvent>>>,
    ) -> io::Result<Self> {
        let text = serde_json::to_vec_pretty(manifest)?;
        write_synced(&folder.join(file::MANIFEST), &text)?;
        write_synced(&folder.join(file::SCRIPT), script.as_bytes())?;
        let inner = Inner {
            last_seq: 0,
            manual: false,
            events: Lines::create(folder, file::EVENTS)?,
            spans: Lines::create(folder, file::SPANS)?,
            samples: Lines::create(folder, file::SAMPLES)?,
            failed: None,
        };
        Ok(Self { clock, inner: Mutex::new(inner), listener, unheard: AtomicU64::new(0) })
    }

    /// Records that something happened now.
    pub fn event(&self, kind: RunEventKind, source: Option<SourceLine>) -> RunTime {
        let mut inner = self.lock();
        inner.last_seq += 1;
        // The time is taken under the lock, so that order of numbers and order of times agree.
        let at = self.clock.now();
        let manual = match kind {
            RunEventKind::ByHand { .. } => true,
            // It is the run's own word that the rest is not.
            RunEventKind::Kept { .. } => false,
            _ => inner.manual,
        };
        let event = Arc::new(RunEvent { seq: inner.last_seq, at, source, manual, kind });
        let written = inner.events.write(&*event).and_then(|()| inner.events.flush());
        note_failure(&mut inner, written);
        if let Some(listener) = &self.listener
            && listener.try_send(event).is_err()
        {
            self.unheard.fetch_add(1, Ordering::Relaxed);
        }
        at
    }

    /// From now on, what happens is in somebody's hands, or in the scenario's again.
    pub fn set_manual(&self, manual: bool) {
        self.lock().manual = manual;
    }

    /// Records a span.
    pub fn span(&self, span: &SpanRecord) {
        let mut inner = self.lock();
        let written = inner.spans.write(span);
        note_failure(&mut inner, written);
    }

    /// Records samples of one moment and brings everything that is buffered to the file.
    pub fn samples(&self, samples: &[Sample]) {
        let mut inner = self.lock();
        for sample in samples {
            let written = inner.samples.write(sample);
            note_failure(&mut inner, written);
        }
    }

    /// Brings everything that is buffered to the files.
    pub fn flush(&self) {
        let mut inner = self.lock();
        let flushed = inner.spans.flush().and_then(|()| inner.samples.flush());
        note_failure(&mut inner, flushed);
    }

    /// The first write that failed; from then on the record is not whole and the run must end.
    pub fn failure(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    /// Events that the listener was too slow for.
    pub fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The state is a counter and three writers: a panic elsewhere cannot leave it half-made.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note_failure(inner: &mut Inner, result: Result<(), String>) {
    if let Err(why) = result {
        inner.failed.get_or_insert(why);
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn recorder(events: &Path) -> Recorder {
        let lines = |path: &Path| Lines {
            path: path.to_owned(),
            writer: BufWriter::new(File::options().write(true).open(path).unwrap()),
        };
        let null = Path::new("/dev/null");
        Recorder {
            clock: RunClock { started: Instant::now(), started_unix_nanos: 0 },
            inner: Mutex::new(Inner {
                last_seq: 0,
                manual: false,
                events: lines(events),
                spans: lines(null),
                samples: lines(null),
                failed: None,
            }),
            listener: None,
            unheard: AtomicU64::new(0),
        }
    }

    #[test]
    fn a_full_disk_is_told_with_the_file_and_the_first_failure_is_kept() {
        let recorder = recorder(Path::new("/dev/full"));
        assert_eq!(recorder.failure(), None);
        recorder.event(RunEventKind::Note { text: "x".into() }, None);
        let told = recorder.failure().unwrap();
        assert!(told.starts_with("/dev/full cannot be written: No space left"), "{told}");
        recorder.event(RunEventKind::Note { text: "y".into() }, None);
        assert_eq!(recorder.failure().unwrap(), told);
    }

    #[test]
    fn a_listener_that_is_slow_misses_events_and_that_is_counted() {
        let (listener, heard) = std::sync::mpsc::sync_channel(2);
        let recorder = Recorder { listener: Some(listener), ..recorder(Path::new("/dev/null")) };
        for _ in 0..5 {
            recorder.event(RunEventKind::Note { text: "x".into() }, None);
        }
        let seqs: Vec<u64> = heard.try_iter().map(|event| event.seq).collect();
        assert_eq!((seqs, recorder.unheard(), recorder.failure()), (vec![1, 2], 3, None));
    }
}
