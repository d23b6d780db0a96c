//! A run that somebody looks at: its model, and word of every change. It is made when the first
//! page comes and gone when the last one leaves.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use meshlab_engine::results::read_run;
use tokio::sync::{mpsc, watch};

use crate::{
    live::{Live, News},
    model::Model,
    runs::Ceilings,
    series::Minutes,
};

/// News that are taken in before pages are told again.
const NEWS_AT_ONCE: usize = 1024;

/// A run that is looked at.
pub(crate) struct Board {
    /// Tells this board from one that was made of the same run before: numbers of changes count
    /// within it.
    pub(crate) epoch: u64,
    model: Mutex<Model>,
    /// The number of the last change.
    moved: watch::Sender<u64>,
    /// Whether news were missed, so that a board must be made anew.
    stale: watch::Sender<bool>,
    /// The live run, if it is this one, and this board's number there.
    live: Option<(u64, Arc<Live>)>,
    minutes: Minutes,
}

impl Board {
    /// Reads the record of the run in `folder` and follows it if it goes on in this process. Blocks
    /// for as long as the disk takes; to be called in a runtime.
    ///
    /// # Errors
    /// A sentence: there is no such run, or it cannot be read.
    pub(crate) fn open(
        folder: &Path,
        ceilings: Ceilings,
        live: Option<Arc<Live>>,
    ) -> Result<Arc<Self>, String> {
        let missed = live.as_ref().map_or(0, |live| live.missed());
        let (number, news) = live.as_ref().and_then(|live| live.watch()).unzip();
        let record = match read_run(folder) {
            Ok(record) => record,
            Err(error) => {
                live.iter().for_each(|live| live.unwatch(number));
                return Err(format!("failed to read the run: {error}"));
            }
        };
        let model = Model::of(&record, ceilings, news.is_some());
        let board = Arc::new(Self {
            epoch: epoch(),
            moved: watch::Sender::new(model.at()),
            model: Mutex::new(model),
            stale: watch::Sender::new(false),
            live: number.zip(live),
            minutes: Minutes::default(),
        });
        if let Some(news) = news {
            tokio::spawn(follow(Arc::downgrade(&board), news, missed));
        }
        Ok(board)
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        // Every change is whole before anything in it can panic.
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    pub(crate) fn stale(&self) -> watch::Receiver<bool> {
        self.stale.subscribe()
    }

    pub(crate) fn minutes(&self) -> &Minutes {
        &self.minutes
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.live.iter().for_each(|(number, live)| live.unwatch(Some(*number)));
    }
}

/// Takes in what happens until the run is over or nobody looks any more.
async fn follow(board: Weak<Board>, mut news: mpsc::Receiver<News>, missed: u64) {
    let mut some = Vec::new();
    loop {
        some.clear();
        if news.recv_many(&mut some, NEWS_AT_ONCE).await == 0 {
            break;
        }
        let Some(board) = board.upgrade() else { return };
        let at = {
            let mut model = board.model();
            some.iter().for_each(|news| model.apply(news));
            model.at()
        };
        board.moved.send_replace(at);
        if board.live.as_ref().is_some_and(|(_, live)| live.missed() > missed) {
            board.stale.send_replace(true);
        }
    }
    if let Some(board) = board.upgrade() {
        let at = {
            let mut model = board.model();
            model.end();
            model.at()
        };
        board.moved.send_replace(at);
    }
}

/// A number that no other board has.
fn epoch() -> u64 {
    static BOARDS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    // As a number that a browser holds exactly.
    (now % (1 << 40)) * 1024 + BOARDS.fetch_add(1, Ordering::Relaxed) % 1024
}
