//! A run that goes on in this process, as the pages hear of it: nothing is taken in while nobody
//! looks.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use meshlab_engine::Watcher;
use meshlab_model::{CounterSample, RunEvent, Sample, SpanRecord};
use tokio::sync::mpsc;

use crate::model::is_told;

/// What may wait for a board. One that is so far behind is made anew from the record.
const WAITING_MAX: usize = 65_536;

/// Something that happened in the run.
#[derive(Debug, Clone)]
pub(crate) enum News {
    Event(Arc<RunEvent>),
    Span(SpanRecord),
    Samples(Vec<Sample>),
    Counters(Vec<CounterSample>),
}

/// The run that goes on in this process.
#[derive(Default)]
pub struct Live {
    begun: OnceLock<Begun>,
    /// Whether somebody looks: all that is read when nobody does.
    watched: AtomicBool,
    /// The board that takes the news in, by its number.
    to: Mutex<Option<(u64, mpsc::Sender<News>)>>,
    boards: AtomicU64,
    missed: AtomicU64,
    over: AtomicBool,
}

struct Begun {
    run: String,
    results: PathBuf,
    flush: Arc<dyn Fn() + Send + Sync>,
}

impl Live {
    /// The run has a folder now. `flush` brings what was recorded so far into its files.
    pub fn begin(&self, run: String, results: PathBuf, flush: Arc<dyn Fn() + Send + Sync>) {
        // A run begins once.
        let _ = self.begun.set(Begun { run, results, flush });
    }

    /// An event was recorded.
    pub fn event(&self, event: &Arc<RunEvent>) {
        self.tell(|| News::Event(Arc::clone(event)));
    }

    /// The run is over: nothing comes any more.
    pub(crate) fn finish(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.unwatch(None);
    }

    /// The name of the run and its folder, once it has one.
    pub(crate) fn run(&self) -> Option<(&str, &PathBuf)> {
        self.begun.get().map(|begun| (begun.run.as_str(), &begun.results))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// From now on news come, and all older ones are in the record's files. Blocks for as long as
    /// the disk takes. The number is for [`Live::unwatch`].
    pub(crate) fn watch(&self) -> Option<(u64, mpsc::Receiver<News>)> {
        let begun = self.begun.get()?;
        if self.is_over() {
            return None;
        }
        let (to, news) = mpsc::channel(WAITING_MAX);
        let board = self.boards.fetch_add(1, Ordering::Relaxed);
        *self.to() = Some((board, to));
        self.watched.store(true, Ordering::SeqCst);
        (begun.flush)();
        Some((board, news))
    }

    /// Nobody looks at that board any more, or at any; another one that took its place stays.
    pub(crate) fn unwatch(&self, board: Option<u64>) {
        let mut to = self.to();
        if board.is_none() || to.as_ref().map(|(board, _)| *board) == board {
            self.watched.store(false, Ordering::SeqCst);
            *to = None;
        }
    }

    /// News that were not taken in because too many waited.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    fn to(&self) -> MutexGuard<'_, Option<(u64, mpsc::Sender<News>)>> {
        self.to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, news: impl FnOnce() -> News) {
        if !self.watched.load(Ordering::Relaxed) {
            return;
        }
        if let Some((_, to)) = &*self.to()
            && to.try_send(news()).is_err()
        {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Watcher for Live {
    fn span(&self, span: &SpanRecord) {
        if self.watched.load(Ordering::Relaxed) && is_told(&span.name) {
            self.tell(|| News::Span(span.clone()));
        }
    }

    fn samples(&self, samples: &[Sample]) {
        self.tell(|| News::Samples(samples.to_vec()));
    }

    fn counters(&self, samples: &[CounterSample]) {
        self.tell(|| News::Counters(samples.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use meshlab_model::{RunEventKind, RunTime};

    use super::*;

    #[test]
    fn nothing_is_taken_in_while_nobody_looks() {
        let live = Live::default();
        let kind = RunEventKind::Note { text: "x".into() };
        let at = RunTime { micros: 1 };
        let event = Arc::new(RunEvent { seq: 1, at, source: None, manual: false, kind });
        assert!(live.watch().is_none(), "it has not begun");
        live.begin("a/b".into(), "/nowhere".into(), Arc::new(|| ()));
        live.event(&event);
        let (first, mut news) = live.watch().expect("it goes on");
        assert!(news.try_recv().is_err());
        live.event(&event);
        assert!(matches!(news.try_recv(), Ok(News::Event(_))));
        live.unwatch(Some(first));
        live.event(&event);
        assert!(news.try_recv().is_err() && Arc::strong_count(&event) == 1);
        let (_, mut news) = live.watch().expect("it goes on");
        // A board that is out of date goes when another one is there.
        live.unwatch(Some(first));
        for _ in 0..WAITING_MAX + 3 {
            live.event(&event);
        }
        assert_eq!(live.missed(), 3);
        assert!(news.try_recv().is_ok());
        live.finish();
        assert!(live.watch().is_none());
    }
}
