//! A span processor that sleeps when nothing happens and counts what it loses.
//!
//! The stock batch processor wakes on a timer and drops silently. This one has a thread that blocks
//! until a span ends, lingers shortly so that a burst becomes one request, and exports. Metrics go
//! the same way: the thread reads them after it has exported spans, so that a program which does
//! nothing is not woken for them.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use meshlab_wire::Telemetry as Counts;
use opentelemetry::Context;
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};

use crate::metrics::{CounterSource, Meter, MetricCounts};

/// Bounds of the queue between the program and its exporter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Spans that may wait; what ends while so many wait is dropped and counted.
    pub(crate) queue: usize,
    /// Spans in one request.
    pub(crate) batch: usize,
    /// How long the exporter waits for company after the first span.
    pub(crate) linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 8192, batch: 512, linger: Duration::from_millis(100) }
    }
}

/// The program's end of the queue. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Processor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// Told when there is something to export, a flush waits, or the queue is closed.
    work: Condvar,
    /// Told when a batch was exported or refused.
    done: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<SpanData>,
    counts: Counts,
    /// Spans ever put into the queue.
    queued: u64,
    /// Spans ever taken out of it and exported or refused.
    settled: u64,
    flushing: usize,
    closed: bool,
    source: Option<Arc<dyn CounterSource>>,
    metrics: MetricCounts,
    /// When the source is read next; `None` when no span was exported since it was read.
    read_at: Option<Instant>,
    /// Readings that a flush asked for, whatever the time.
    readings_asked: u64,
    readings_done: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl State {
    /// The source, when it is to be read now. Spans that somebody waits for go first.
    fn due_source(&self, now: Instant) -> Option<Arc<dyn CounterSource>> {
        let asked = self.readings_done < self.readings_asked;
        let due = self.flushing == 0 && self.read_at.is_some_and(|at| at <= now);
        if asked || due { self.source.clone() } else { None }
    }
}

/// What the exporting thread does next.
enum Work {
    Spans(Vec<SpanData>),
    /// Read the source, for a flush that asked for so many readings or because it is time.
    Metrics(Arc<dyn CounterSource>, u64),
}

impl Processor {
    /// Starts the exporting thread. The exporter and the meter are used and dropped on that thread
    /// only.
    pub(crate) fn spawn<E: SpanExporter + 'static>(
        exporter: E,
        meter: Option<Meter>,
        limits: Limits,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            limits,
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let thread = Arc::clone(&shared);
        // The thread ends when the queue is closed; process exit does not wait for it.
        std::thread::Builder::new()
            .name("span-export".to_owned())
            .spawn(move || thread.export_until_closed(&exporter, meter))?;
        Ok(Self { shared })
    }

    /// What ended, what was exported and what was dropped so far.
    pub(crate) fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// Requests with metrics that were accepted and that failed so far.
    pub(crate) fn metric_counts(&self) -> MetricCounts {
        self.shared.lock().metrics
    }

    /// Reads metrics from `source` from now on.
    pub(crate) fn count(&self, source: Arc<dyn CounterSource>) {
        self.shared.lock().source = Some(source);
    }

    /// Exports what the source says now, if it is not what was exported last. Blocks the calling
    /// thread. False when the deadline came first.
    pub(crate) fn flush_metrics(&self, deadline: Duration) -> bool {
        let mut state = self.shared.lock();
        if state.source.is_none() || state.closed {
            return state.source.is_none();
        }
        state.readings_asked += 1;
        let target = state.readings_asked;
        self.shared.work.notify_one();
        let waited = self
            .shared
            .done
            .wait_timeout_while(state, deadline, |state| state.readings_done < target);
        waited.unwrap_or_else(PoisonError::into_inner).0.readings_done >= target
    }

    /// Waits until every span that ended before the call is exported or dropped. Blocks the
    /// calling thread. False when the deadline came first.
    pub(crate) fn flush(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let mut state = self.shared.lock();
        let target = state.queued;
        state.flushing += 1;
        self.shared.work.notify_one();
        while state.settled < target {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .shared
                .done
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.flushing -= 1;
        state.settled >= target
    }

    fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The lock guards counters and a queue that stay consistent at every statement, so a
        // panic elsewhere while it was held leaves nothing to repair.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn export_until_closed<E: SpanExporter>(&self, exporter: &E, mut meter: Option<Meter>) {
        let mut warned = false;
        while let Some(work) = self.next_work() {
            let result = match work {
                Work::Spans(batch) => self.export_spans(exporter, batch, meter.as_ref()),
                Work::Metrics(source, asked) => {
                    self.export_metrics(meter.as_mut(), source.as_ref(), asked)
                }
            };
            self.done.notify_all();
            if let (Err(error), false) = (result, warned) {
                warned = true;
                tracing::warn!(
                    error,
                    "telemetry is not accepted; the program goes on and counts what is lost"
                );
            }
        }
    }

    fn export_spans<E: SpanExporter>(
        &self,
        exporter: &E,
        batch: Vec<SpanData>,
        meter: Option<&Meter>,
    ) -> Result<(), String> {
        let spans = batch.len() as u64;
        let result = futures_executor::block_on(exporter.export(batch));
        let mut state = self.lock();
        state.settled += spans;
        match &result {
            Ok(()) => state.counts.exported += spans,
            Err(_) => state.counts.dropped += spans,
        }
        // Something happened, so something may have been counted.
        if state.source.is_some() && state.read_at.is_none() {
            state.read_at = meter.map(|meter| meter.due(Instant::now()));
        }
        result.map_err(|error| error.to_string())
    }

    fn export_metrics(
        &self,
        meter: Option<&mut Meter>,
        source: &dyn CounterSource,
        asked: u64,
    ) -> Result<(), String> {
        let exported = meter.map_or(Ok(false), |meter| meter.export(source));
        let mut state = self.lock();
        state.readings_done = asked;
        state.read_at = None;
        match &exported {
            Ok(sent) => state.metrics.exported += u64::from(*sent),
            Err(_) => state.metrics.failed += 1,
        }
        exported.map(|_| ())
    }

    /// Blocks until there is something to do; `None` once the queue is closed and empty.
    fn next_work(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if let Some(source) = state.due_source(now) {
                return Some(Work::Metrics(source, state.readings_asked));
            }
            if !state.queue.is_empty() {
                break;
            }
            if state.closed {
                return None;
            }
            state = match state.read_at {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let wait = self.work.wait_timeout(state, at.saturating_duration_since(now));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        let mut state = self
            .work
            .wait_timeout_while(state, self.limits.linger, |state| {
                state.queue.len() < self.limits.batch
                    && state.flushing == 0
                    && state.readings_done == state.readings_asked
                    && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        let size = state.queue.len().min(self.limits.batch);
        Some(Work::Spans(state.queue.drain(..size).collect()))
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut state = self.shared.lock();
        state.counts.ended += 1;
        if state.closed || state.queue.len() >= self.shared.limits.queue {
            state.counts.dropped += 1;
            return;
        }
        state.queue.push_back(span);
        state.queued += 1;
        // Two lengths matter to the exporter: the first span ends its sleep, a full batch ends its
        // linger. Any other wake-up would be for nothing.
        let wake = state.queue.len() == 1 || state.queue.len() == self.shared.limits.batch;
        drop(state);
        if wake {
            self.shared.work.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        let deadline = Duration::from_secs(5);
        if self.flush(deadline) { Ok(()) } else { Err(OTelSdkError::Timeout(deadline)) }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let flushed = self.flush(timeout);
        self.close();
        if flushed { Ok(()) } else { Err(OTelSdkError::Timeout(timeout)) }
    }
}

#[cfg(test)]
#[path = "processor_tests.rs"]
mod tests;
