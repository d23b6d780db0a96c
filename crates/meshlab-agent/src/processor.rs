//! A span processor that sleeps when nothing happens and counts what it loses.
//!
//! The stock batch processor wakes on a timer and drops silently. This one has a thread that blocks
//! until a span ends, lingers shortly so that a burst becomes one request, and exports.

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

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<SpanData>,
    counts: Counts,
    /// Spans ever put into the queue.
    queued: u64,
    /// Spans ever taken out of it and exported or refused.
    settled: u64,
    flushing: usize,
    closed: bool,
}

impl Processor {
    /// Starts the exporting thread. The exporter is used and dropped on that thread only.
    pub(crate) fn spawn<E: SpanExporter + 'static>(
        exporter: E,
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
            .spawn(move || thread.export_until_closed(&exporter))?;
        Ok(Self { shared })
    }

    /// What ended, what was exported and what was dropped so far.
    pub(crate) fn counts(&self) -> Counts {
        self.shared.lock().counts
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

    fn export_until_closed<E: SpanExporter>(&self, exporter: &E) {
        let mut warned = false;
        while let Some(batch) = self.next_batch() {
            let spans = batch.len() as u64;
            let result = futures_executor::block_on(exporter.export(batch));
            let mut state = self.lock();
            state.settled += spans;
            match &result {
                Ok(()) => state.counts.exported += spans,
                Err(_) => state.counts.dropped += spans,
            }
            drop(state);
            self.done.notify_all();
            if let (Err(error), false) = (result, warned) {
                warned = true;
                tracing::warn!(
                    %error,
                    "spans are not accepted; the program goes on and counts what is lost"
                );
            }
        }
    }

    /// Blocks until there is a batch; `None` once the queue is closed and empty.
    fn next_batch(&self) -> Option<Vec<SpanData>> {
        let state = self
            .work
            .wait_while(self.lock(), |state| state.queue.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .work
            .wait_timeout_while(state, self.limits.linger, |state| {
                state.queue.len() < self.limits.batch && state.flushing == 0 && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        if state.queue.is_empty() {
            return None;
        }
        let size = state.queue.len().min(self.limits.batch);
        Some(state.queue.drain(..size).collect())
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
