//! A run that somebody looks at: its model, and word of every change. It is made when the first
//! page comes and gone when the last one leaves.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use meshlab_engine::results::{file, read_run};
use meshlab_model::RunTime;
use tokio::sync::{mpsc, watch};

use crate::{
    live::{Live, News},
    model::{GoesOn, Model},
    runs::Ceilings,
    series::Minutes,
    tail::Tail,
};

/// News that are taken in before pages are told again.
const NEWS_AT_ONCE: usize = 1024;

/// Time between two looks at a run's folder.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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
    /// Why there is no such run any more.
    gone: watch::Sender<Option<String>>,
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
        // Of the record that is read, or another one that is begun meanwhile is taken for it.
        let first = inode(&folder.join(file::MANIFEST));
        let missed = live.as_ref().map_or(0, |live| live.missed());
        // Before the record is read, so that nothing is missed between.
        let mut tail = match live.is_none() {
            true => Tail::of(folder),
            false => None,
        };
        let (number, news) = live.as_ref().and_then(|live| live.watch()).unzip();
        let record = match read_run(folder) {
            Ok(record) => record,
            Err(error) => {
                live.iter().for_each(|live| live.unwatch(number));
                return Err(format!("failed to read the run: {error}"));
            }
        };
        if let Some(tail) = &mut tail {
            let last = |last: Option<(RunTime, String)>| last.map(|(at, _)| at).unwrap_or_default();
            tail.known(last(record.spans.last()), last(record.samples.last()));
        }
        let goes_on = match (&news, &tail) {
            (Some(_), _) => GoesOn::Here,
            (None, Some(_)) => GoesOn::Elsewhere,
            (None, None) => GoesOn::No,
        };
        let model = Model::of(&record, ceilings, goes_on);
        let board = Arc::new(Self {
            epoch: epoch(),
            moved: watch::Sender::new(model.at()),
            model: Mutex::new(model),
            stale: watch::Sender::new(false),
            gone: watch::Sender::new(None),
            live: number.zip(live),
            minutes: Minutes::default(),
        });
        if let Some(news) = news {
            tokio::spawn(follow(Arc::downgrade(&board), news, missed));
        }
        tokio::spawn(look_after(Arc::downgrade(&board), folder.to_owned(), first, tail));
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

    /// Why there is no such run any more, once it is so.
    pub(crate) fn gone(&self) -> watch::Receiver<Option<String>> {
        self.gone.subscribe()
    }

    /// Takes in what came, and tells who looks.
    fn take_in(&self, news: &[News]) {
        let at = {
            let mut model = self.model();
            news.iter().for_each(|news| model.apply(news));
            model.at()
        };
        self.moved.send_replace(at);
    }

    /// The run goes on no longer.
    fn end(&self) {
        let at = {
            let mut model = self.model();
            model.end();
            model.at()
        };
        self.moved.send_replace(at);
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
        board.take_in(&some);
        if board.live.as_ref().is_some_and(|(_, live)| live.missed() > missed) {
            board.stale.send_replace(true);
        }
    }
    if let Some(board) = board.upgrade() {
        board.end();
    }
}

/// Looks after the folder of a run for as long as somebody looks at it: whether it is still there,
/// and what another process writes into it.
async fn look_after(
    board: Weak<Board>,
    folder: PathBuf,
    first: Option<u64>,
    mut tail: Option<Tail>,
) {
    let manifest = folder.join(file::MANIFEST);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // The run may be deleted and another one of the name begun.
        if inode(&manifest) != first {
            let Some(board) = board.upgrade() else { return };
            let why = "the record of this run is gone: its folder was deleted while it was shown";
            board.gone.send_replace(Some(why.to_owned()));
            return;
        }
        if board.strong_count() == 0 {
            return;
        }
        let Some(mut following) = tail.take() else { continue };
        let looked = tokio::task::spawn_blocking(move || {
            let (news, over) = following.look();
            (following, news, over)
        });
        // It broke, and what is known of the run stays as it is.
        let Ok((following, news, over)) = looked.await else { continue };
        let Some(board) = board.upgrade() else { return };
        if !news.is_empty() {
            board.take_in(&news);
        }
        match over {
            true => board.end(),
            false => tail = Some(following),
        }
    }
}

/// What tells a file from another one that takes its name later.
fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|facts| facts.ino())
}

/// A number that no other board has.
fn epoch() -> u64 {
    static BOARDS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    // As a number that a browser holds exactly.
    (now % (1 << 40)) * 1024 + BOARDS.fetch_add(1, Ordering::Relaxed) % 1024
}
