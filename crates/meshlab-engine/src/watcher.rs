//! Who hears of spans and numbers as they come, beside the record: a page that somebody looks at.

use std::sync::Arc;

use meshlab_model::{CounterSample, Sample, SpanRecord};

use crate::Engine;

/// Hears of what was recorded, on the harness's own threads: it takes what it wants and returns at
/// once. Events have a listener of their own, in [`RunConfig`](crate::RunConfig).
pub trait Watcher: Send + Sync {
    /// A span arrived.
    fn span(&self, span: &SpanRecord);
    /// A round of samples was taken.
    fn samples(&self, samples: &[Sample]);
    /// Numbers of nodes themselves changed.
    fn counters(&self, samples: &[CounterSample]);
}

impl Engine {
    /// Tells `watcher` of what comes from now on. A run has one; a second one is not told.
    pub fn watched_by(&self, watcher: Arc<dyn Watcher>) {
        // Whoever came first stays.
        let _ = self.shared.watcher.set(watcher);
    }

    /// What brings all that was recorded so far into its files, as long as the run lasts: for
    /// whoever reads the record and wants to go on from there.
    pub fn flusher(&self) -> Arc<dyn Fn() + Send + Sync> {
        let shared = Arc::downgrade(&self.shared);
        Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.recorder.flush();
            }
        })
    }
}
