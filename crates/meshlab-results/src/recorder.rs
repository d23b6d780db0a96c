//! Writes a run's folder as things happen.
//!
//! Events are written by whoever records them, under a lock: an event is in its file before anybody
//! hears of it. Spans and samples wait in memory, as lines, for a thread that writes a frame of
//! them each second; so a slow disk holds up neither the receiver of spans nor the run. What
//! waits has a bound. Reaching it is a failure of the record like any other: what does not fit is
//! counted, and the run has to end.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use meshlab_model::{
    ByteSize, CounterSample, Manifest, RunEvent, RunEventKind, RunTime, Sample, SourceLine,
    SpanRecord, Verdict,
};
use meshlab_mutants::{Mutant, on};

use crate::{
    checked, file,
    minutes::{CounterMinutes, Minutes},
    record::Record,
    resume::{self, OpenMinutes, Reopened},
    writer::{self, Batch, SEGMENT_BYTES, Segments},
};

/// How often spans and samples are written, so that a killed run loses little.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Bytes of lines that may wait. At 500 spans a second that is three quarters of a minute.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// Bytes of lines that are written without waiting for the second to end.
const WAITING_BYTES_MANY: usize = 1 << 20;

/// Kinds of records that are kept in segments.
const KINDS: usize = 5;

/// Writes events, spans and samples.
pub struct Recorder {
    started: Instant,
    events: Mutex<Events>,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    listener: Option<SyncSender<Arc<RunEvent>>>,
    unheard: AtomicU64,
}

struct Events {
    last_seq: u64,
    /// Whether what happens now is in somebody's hands, not the scenario's.
    manual: bool,
    path: PathBuf,
    file: File,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Something came that the writer should look at.
    wake: Condvar,
    /// The writer has done what was asked.
    done: Condvar,
}

#[derive(Default)]
struct Waiting {
    spans: Batch,
    samples: Batch,
    minutes: Batch,
    counters: Batch,
    counter_minutes: Batch,
    /// Minutes that are not over yet.
    open_minutes: Minutes,
    open_counters: CounterMinutes,
    /// The first write that failed: from then on the record is not whole.
    failed: Option<String>,
    /// Records that were not written.
    lost: u64,
    flushes_asked: u64,
    flushes_done: u64,
    written_bytes: u64,
    stop: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every change is whole before anything in it can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, why: String) {
        self.lock().failed.get_or_insert(why);
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        let counters = self.counters.bytes + self.counter_minutes.bytes;
        self.spans.bytes + self.samples.bytes + self.minutes.bytes + counters
    }

    fn add<T: Record>(&mut self, record: &T, batch: impl Fn(&mut Self) -> &mut Batch) {
        if self.bytes() > WAITING_BYTES_MAX {
            self.lost += 1;
            let behind = ByteSize(WAITING_BYTES_MAX as u64);
            self.failed.get_or_insert_with(|| {
                format!(
                    "{} cannot be written as fast as they come: {behind} wait for the disk",
                    T::FOLDER
                )
            });
            return;
        }
        if let Err(error) = batch(self).push(record) {
            self.lost += 1;
            self.failed.get_or_insert(format!("{} cannot be written: {error}", T::FOLDER));
        }
    }
}

impl Recorder {
    /// Writes the manifest and the copy of the script, synced to the disk, and opens the rest.
    /// `started` is when the run's clock was zero. `listener` hears of every event after it is
    /// written; if it does not keep up, events are kept from it and counted, never from the record.
    ///
    /// # Errors
    /// A file cannot be written; no node has been started then.
    pub fn create(
        folder: &Path,
        manifest: &Manifest,
        script: &str,
        started: Instant,
        listener: Option<SyncSender<Arc<RunEvent>>>,
    ) -> io::Result<Self> {
        Self::with_segments(folder, manifest, script, started, listener, SEGMENT_BYTES)
    }

    /// The same with segments of another size, for tests.
    #[doc(hidden)]
    pub fn with_segments(
        folder: &Path,
        manifest: &Manifest,
        script: &str,
        started: Instant,
        listener: Option<SyncSender<Arc<RunEvent>>>,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        let text = checked::seal(serde_json::to_vec_pretty(manifest)?);
        write_synced(&folder.join(file::MANIFEST), &text)?;
        write_synced(&folder.join(file::SCRIPT), script.as_bytes())?;
        let path = folder.join(file::EVENTS);
        let events = File::options().append(true).create_new(true).open(&path)?;
        resume::lock(&events)?;
        let spans = Segments::create(folder, file::SPANS, segment_bytes)?;
        let samples = Segments::create(folder, file::SAMPLES, segment_bytes)?;
        let minutes = Segments::create(folder, file::MINUTES, segment_bytes)?;
        let counters = Segments::create(folder, file::COUNTERS, segment_bytes)?;
        let by_minute = Segments::create(folder, file::COUNTER_MINUTES, segment_bytes)?;
        let events = Events { last_seq: 0, manual: false, path, file: events };
        Self::over(events, [spans, samples, minutes, counters, by_minute], started, listener)
    }

    /// Goes on with a record that has no end: events after the last that is whole, spans and
    /// samples in segments of their own. `started` is when the run's clock was zero, `last_seq` the
    /// number of the last event, `open` what came in minutes that were not over.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn go_on(
        reopened: Reopened,
        last_seq: u64,
        open: OpenMinutes,
        started: Instant,
        listener: Option<SyncSender<Arc<RunEvent>>>,
    ) -> io::Result<Self> {
        let segments = |kind| Segments::go_on(&reopened.folder, kind, SEGMENT_BYTES);
        let segments = [
            segments(file::SPANS)?,
            segments(file::SAMPLES)?,
            segments(file::MINUTES)?,
            segments(file::COUNTERS)?,
            segments(file::COUNTER_MINUTES)?,
        ];
        let Reopened { path, file, .. } = reopened;
        let recorder = Self::over(
            Events { last_seq, manual: false, path, file },
            segments,
            started,
            listener,
        )?;
        let mut waiting = recorder.queue.lock();
        for sample in open.samples {
            if let Some(over) = waiting.open_minutes.add(&sample) {
                waiting.add(&over, |waiting| &mut waiting.minutes);
            }
        }
        for sample in open.counters {
            if let Some(over) = waiting.open_counters.add(&sample) {
                waiting.add(&over, |waiting| &mut waiting.counter_minutes);
            }
        }
        drop(waiting);
        Ok(recorder)
    }

    fn over(
        events: Events,
        segments: [Segments; KINDS],
        started: Instant,
        listener: Option<SyncSender<Arc<RunEvent>>>,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let theirs = Arc::clone(&queue);
        let log = events.file.try_clone()?;
        let writer = thread::Builder::new().name("recorder".into());
        let writer = writer.spawn(move || write(&theirs, segments, &log))?;
        Ok(Self {
            started,
            events: Mutex::new(events),
            queue,
            writer: Some(writer),
            listener,
            unheard: AtomicU64::new(0),
        })
    }

    /// Records that something happened now.
    pub fn event(&self, kind: RunEventKind, source: Option<SourceLine>) -> RunTime {
        self.event_by(kind, source, false)
    }

    /// The same; `by_hand` marks it as manual while the rest is the scenario's.
    pub fn event_by(
        &self,
        kind: RunEventKind,
        source: Option<SourceLine>,
        by_hand: bool,
    ) -> RunTime {
        let mut events = self.lock_events();
        let failed =
            matches!(kind, RunEventKind::ClaimFinished { verdict: Verdict::Failed(_), .. });
        if failed && on(Mutant::RecorderDrops) {
            return RunTime::from_duration(self.started.elapsed());
        }
        events.last_seq += 1;
        // The time is taken under the lock, so that order of numbers and order of times agree.
        let at = RunTime::from_duration(self.started.elapsed());
        let manual = match kind {
            RunEventKind::ByHand { .. } => true,
            // It is the run's own word that the rest is not.
            RunEventKind::Kept { .. } => false,
            _ => events.manual || by_hand,
        };
        let event = Arc::new(RunEvent { seq: events.last_seq, at, source, manual, kind });
        if let Err(error) = events.write(&event) {
            self.queue.fail(format!("{} cannot be written: {error}", events.path.display()));
        }
        if let Some(listener) = &self.listener
            && listener.try_send(event).is_err()
        {
            self.unheard.fetch_add(1, Ordering::Relaxed);
        }
        at
    }

    /// From now on, what happens is in somebody's hands, or in the scenario's again.
    pub fn set_manual(&self, manual: bool) {
        self.lock_events().manual = manual;
    }

    fn lock_events(&self) -> MutexGuard<'_, Events> {
        // The state is a counter, a mark and a file: a panic elsewhere cannot leave it half-made.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a span. It is in its file within a second or so.
    pub fn span(&self, span: &SpanRecord) {
        let mut waiting = self.queue.lock();
        waiting.add(span, |waiting| &mut waiting.spans);
        if waiting.bytes() >= WAITING_BYTES_MANY {
            self.queue.wake.notify_one();
        }
    }

    /// Records samples of one moment.
    pub fn samples(&self, samples: &[Sample]) {
        let mut waiting = self.queue.lock();
        for sample in samples {
            waiting.add(sample, |waiting| &mut waiting.samples);
            if let Some(over) = waiting.open_minutes.add(sample) {
                waiting.add(&over, |waiting| &mut waiting.minutes);
            }
        }
    }

    /// Records numbers of nodes themselves, of one moment.
    pub fn counters(&self, samples: &[CounterSample]) {
        let mut waiting = self.queue.lock();
        for sample in samples {
            waiting.add(sample, |waiting| &mut waiting.counters);
            if let Some(over) = waiting.open_counters.add(sample) {
                waiting.add(&over, |waiting| &mut waiting.counter_minutes);
            }
        }
    }

    /// Waits until everything that was recorded before is in the files.
    pub fn flush(&self) {
        let mut waiting = self.queue.lock();
        waiting.flushes_asked += 1;
        let asked = waiting.flushes_asked;
        self.queue.wake.notify_one();
        while waiting.flushes_done < asked {
            waiting = self.queue.done.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The first write that failed; from then on the record is not whole and the run must end.
    pub fn failure(&self) -> Option<String> {
        self.queue.lock().failed.clone()
    }

    /// Spans and samples that could not be written.
    pub fn lost(&self) -> u64 {
        self.queue.lock().lost
    }

    /// Bytes of spans and samples that were written so far.
    pub fn written(&self) -> ByteSize {
        ByteSize(self.queue.lock().written_bytes)
    }

    /// Events that the listener was too slow for.
    pub fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }
}

impl Drop for Recorder {
    /// Writes what waits, and the indexes.
    fn drop(&mut self) {
        self.queue.lock().stop = true;
        self.queue.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            // It ends by itself; if it broke, there is nothing more to write.
            let _ = writer.join();
        }
    }
}

impl Events {
    fn write(&mut self, event: &RunEvent) -> io::Result<()> {
        let mut line = checked::seal(serde_json::to_vec(event)?);
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// The writer's thread: writes what waits, each second or as soon as there is much of it.
fn write(queue: &Queue, mut kinds: [Segments; KINDS], events: &File) {
    // Whatever ends this thread, nobody waits for it for ever.
    let _gone = Gone(queue);
    let mut synced = Instant::now();
    loop {
        let (batches, flushes, stop) = next(queue);
        let mut lost = 0;
        for (segments, batch) in kinds.iter_mut().zip(batches) {
            let records = batch.records();
            if let Err(why) = segments.write(batch) {
                lost += records;
                queue.fail(why);
            }
        }
        if stop || synced.elapsed() >= WRITE_EVERY {
            synced = Instant::now();
            sync(queue, &mut kinds, events);
        }
        if stop {
            for segments in &mut kinds {
                if let Err(why) = segments.close() {
                    queue.fail(why);
                }
            }
        }
        let mut waiting = queue.lock();
        waiting.lost += lost;
        waiting.written_bytes = kinds.iter().map(Segments::written).sum();
        waiting.flushes_done = flushes;
        queue.done.notify_all();
        if stop {
            return;
        }
    }
}

/// Brings everything that was written to the disk.
fn sync(queue: &Queue, kinds: &mut [Segments; KINDS], events: &File) {
    for segments in kinds {
        if let Err(why) = segments.sync() {
            queue.fail(why);
        }
    }
    if let Err(error) = writer::sync(events) {
        queue.fail(format!("{} cannot be synced: {error}", file::EVENTS));
    }
}

/// Waits for something to write; what there is, and how many flushes it answers.
fn next(queue: &Queue) -> ([Batch; KINDS], u64, bool) {
    let deadline = Instant::now() + WRITE_EVERY;
    let mut waiting = queue.lock();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let asked = waiting.flushes_asked > waiting.flushes_done;
        let many = waiting.bytes() >= WAITING_BYTES_MANY;
        if waiting.stop || asked || many || left.is_zero() {
            if waiting.stop {
                for over in waiting.open_minutes.close() {
                    waiting.add(&over, |waiting| &mut waiting.minutes);
                }
                for over in waiting.open_counters.close() {
                    waiting.add(&over, |waiting| &mut waiting.counter_minutes);
                }
            }
            let Waiting { spans, samples, minutes, counters, counter_minutes, .. } = &mut *waiting;
            let batches = [spans, samples, minutes, counters, counter_minutes];
            let batches = batches.map(std::mem::take);
            return (batches, waiting.flushes_asked, waiting.stop);
        }
        let woken = queue.wake.wait_timeout(waiting, left);
        waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
}

struct Gone<'a>(&'a Queue);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        if !waiting.stop {
            waiting.failed.get_or_insert("the thread that writes spans and samples broke".into());
        }
        waiting.flushes_done = u64::MAX;
        self.0.done.notify_all();
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn span(seq: u64) -> SpanRecord {
        SpanRecord {
            seq,
            arrived: RunTime { micros: seq },
            node: "node-1".into(),
            name: "x".into(),
            trace_id: "t".repeat(32),
            span_id: "s".repeat(16),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes: BTreeMap::from([("text".to_owned(), "y".repeat(1 << 16).into())]),
        }
    }

    fn recorder(
        events: &str,
        segments: &str,
        listener: Option<SyncSender<Arc<RunEvent>>>,
    ) -> Recorder {
        let open = |path: &str| File::options().write(true).open(path).unwrap();
        let events = Events { last_seq: 0, manual: false, path: events.into(), file: open(events) };
        let segment = || Segments::to(Path::new(segments), open(segments));
        let segments = std::array::from_fn(|_| segment());
        Recorder::over(events, segments, Instant::now(), listener).unwrap()
    }

    fn note(recorder: &Recorder) {
        recorder.event(RunEventKind::Note { text: "x".into() }, None);
    }

    #[test]
    fn a_full_disk_is_told_with_the_file_and_the_first_failure_is_kept() {
        let full = recorder("/dev/full", "/dev/null", None);
        assert_eq!(full.failure(), None);
        note(&full);
        let told = full.failure().unwrap();
        assert!(told.starts_with("/dev/full cannot be written: No space left"), "{told}");
        note(&full);
        assert_eq!(full.failure().unwrap(), told);
    }

    #[test]
    fn spans_that_find_the_disk_full_are_counted_as_lost() {
        let full = recorder("/dev/null", "/dev/full", None);
        (1..=3).for_each(|seq| full.span(&span(seq)));
        full.flush();
        let told = full.failure().unwrap();
        assert!(told.starts_with("/dev/full cannot be written: No space left"), "{told}");
        full.span(&span(4));
        full.flush();
        assert_eq!((full.lost(), full.failure().unwrap()), (4, told));
    }

    #[test]
    fn what_waits_has_a_bound_and_what_is_over_it_is_counted() {
        let mut waiting = Waiting::default();
        let mut seq = 0;
        while waiting.lost < 3 {
            seq += 1;
            waiting.add(&span(seq), |waiting| &mut waiting.spans);
        }
        assert!(waiting.bytes() < WAITING_BYTES_MAX + (1 << 17), "{}", waiting.bytes());
        assert_eq!(waiting.spans.records(), seq - 3);
        let told = waiting.failed.unwrap();
        assert_eq!(told, "spans cannot be written as fast as they come: 8.0 MiB wait for the disk");
    }

    #[test]
    fn a_listener_that_is_slow_misses_events_and_that_is_counted() {
        let (listener, heard) = std::sync::mpsc::sync_channel(2);
        let recorder = recorder("/dev/null", "/dev/null", Some(listener));
        (0..5).for_each(|_| note(&recorder));
        let seqs: Vec<u64> = heard.try_iter().map(|event| event.seq).collect();
        assert_eq!((seqs, recorder.unheard(), recorder.failure()), (vec![1, 2], 3, None));
    }
}
