//! Tasks: parts of a test that run beside each other, each with a place of its own.
//!
//! A task is cancelled by being told: its next call fails, which unwinds it like any error, so
//! that the faults whose bodies it was inside are taken back on the way. Nothing is ever dropped
//! in the middle but a wait that has no consequences.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use meshlab_engine::Draw;
use meshlab_model::RunTime;
use mlua::MultiValue;
use tokio::sync::watch;

use crate::{error::ScriptError, locate::Line};

tokio::task_local! {
    static PLACE: Place;
}

/// Where a piece of the script runs: in which task, and from when on its evidence counts.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) task: Arc<Task>,
    /// The start of the innermost test, fault body or round.
    pub(crate) since: RunTime,
}

impl Place {
    /// The place of whoever asks; `None` at the top level of a file.
    pub(crate) fn here() -> Option<Self> {
        PLACE.try_with(Self::clone).ok()
    }

    /// The same task with evidence that counts from another moment on.
    pub(crate) fn since(self, since: RunTime) -> Self {
        Self { since, ..self }
    }

    /// Does the work here.
    pub(crate) async fn run<T>(self, work: impl Future<Output = T>) -> T {
        match self.task.is_by_hand() {
            true => meshlab_engine::by_hand(PLACE.scope(self, work)).await,
            false => PLACE.scope(self, work).await,
        }
    }
}

/// How a task ended: what its body returned, or why it did not.
pub(crate) type Ended = Result<MultiValue, Box<ScriptError>>;

/// The first part of the paths of what is done by hand: a test counts its tasks from 1.
const BY_HAND: u32 = 0;

/// Who waits for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The call that started it: `parallel`, `race`, or the run for the body of a test.
    ByCall,
    /// Whoever joins it; nobody, perhaps.
    ByJoin,
}

/// A part of a test that runs beside others.
pub(crate) struct Task {
    /// Which task of the one that started it, from the outside in; empty for a test's body.
    pub(crate) path: Vec<u32>,
    /// The line that started it.
    pub(crate) line: Line,
    pub(crate) waited: Waited,
    started: AtomicU32,
    draws: AtomicU64,
    cancelled: watch::Sender<bool>,
    ended: watch::Sender<Option<Ended>>,
    joined: AtomicBool,
    /// The task that this one waits for, of those that have no call around them.
    waits_for: Mutex<Option<Arc<Task>>>,
}

impl Task {
    /// The task of the bodies of tests.
    pub(crate) fn root() -> Arc<Self> {
        Self::new(Vec::new(), Line::default(), Waited::ByCall)
    }

    /// The task of what is done by hand, beside the bodies of tests.
    pub(crate) fn by_hand() -> Arc<Self> {
        Self::new(vec![BY_HAND], Line::default(), Waited::ByCall)
    }

    /// Whether somebody's hands started it, not a test.
    pub(crate) fn is_by_hand(&self) -> bool {
        self.path.first() == Some(&BY_HAND)
    }

    fn new(path: Vec<u32>, line: Line, waited: Waited) -> Arc<Self> {
        Arc::new(Self {
            path,
            line,
            waited,
            started: AtomicU32::new(0),
            draws: AtomicU64::new(0),
            cancelled: watch::Sender::new(false),
            ended: watch::Sender::new(None),
            joined: AtomicBool::new(false),
            waits_for: Mutex::default(),
        })
    }

    /// The next choice of this task.
    pub(crate) fn draw(&self) -> Draw {
        let number = self.draws.fetch_add(1, Ordering::SeqCst) + 1;
        Draw { task: self.path.clone(), number }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Waits until it is cancelled.
    pub(crate) async fn cancelled(&self) {
        // The sender lives in `self`, so this cannot end otherwise.
        let _ = self.cancelled.subscribe().wait_for(|cancelled| *cancelled).await;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(crate) fn end(&self, how: Ended) {
        self.ended.send_replace(Some(how));
    }

    /// Waits until it has ended; everything that it did and is taken back is by then.
    pub(crate) async fn ended(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(how)) => how.clone(),
            _ => Ok(MultiValue::new()),
        }
    }

    /// Somebody takes what came of it.
    pub(crate) fn join(&self) {
        self.joined.store(true, Ordering::SeqCst);
    }

    /// What went wrong in it that nobody has been told.
    pub(crate) fn untold(&self) -> Option<Box<ScriptError>> {
        if self.joined.load(Ordering::SeqCst) || self.waited == Waited::ByCall {
            return None;
        }
        self.ended.borrow().as_ref().and_then(|ended| ended.as_ref().err().cloned())
    }

    /// Whether it is this task or one below it.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        other.path.starts_with(&self.path)
    }

    fn waits_for(&self) -> MutexGuard<'_, Option<Arc<Self>>> {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks of a test.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<Vec<Arc<Task>>>);

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Task>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task below another one.
    pub(crate) fn start(&self, parent: &Task, line: Line, waited: Waited) -> Arc<Task> {
        let number = parent.started.fetch_add(1, Ordering::SeqCst) + 1;
        let path = parent.path.iter().copied().chain([number]).collect();
        let task = Task::new(path, line, waited);
        // One that is started while its parent is being cancelled must hear of it too.
        if parent.is_cancelled() {
            task.cancelled.send_replace(true);
        }
        let mut tasks = self.lock();
        // What has ended well is of no more interest; a test may start many.
        tasks.retain(|task| !task.has_ended() || task.untold().is_some());
        tasks.push(Arc::clone(&task));
        task
    }

    /// Whether any task of the test still runs beside its body.
    pub(crate) fn any_runs(&self) -> bool {
        self.lock().iter().any(|task| !task.has_ended() && !task.is_by_hand())
    }

    fn below(&self, task: &Task) -> Vec<Arc<Task>> {
        self.lock().iter().filter(|other| task.holds(other)).cloned().collect()
    }

    /// Tells a task and all below it to end.
    pub(crate) fn cancel(&self, task: &Task) {
        for task in self.below(task) {
            task.cancelled.send_replace(true);
        }
    }

    /// Waits for a task that has been told to end, and for all below it.
    pub(crate) async fn gone(&self, task: &Task) {
        for task in self.below(task) {
            // Why it ended early is known: it was told to. What else went wrong stays untold.
            let _ = task.ended().await;
        }
    }

    /// Waits for another task on behalf of `me`; `None` if that would be for ever, because it
    /// waits for `me` already.
    pub(crate) async fn wait(&self, me: &Task, other: &Arc<Task>) -> Option<Ended> {
        {
            // One at a time: two tasks that begin to wait for each other must not both pass.
            let tasks = self.lock();
            if waits(&tasks, other, me) {
                return None;
            }
            *me.waits_for() = Some(Arc::clone(other));
        }
        let ended = tokio::select! {
            biased;
            ended = other.ended() => Some(ended),
            () = me.cancelled() => Some(Ok(MultiValue::new())),
        };
        *me.waits_for() = None;
        ended
    }

    /// What went wrong in tasks by hand that have ended, which nobody has been told; told once.
    pub(crate) fn take_untold_by_hand(&self) -> Vec<ScriptError> {
        let mut tasks = self.lock();
        let over = |task: &Arc<Task>| task.is_by_hand() && task.has_ended();
        let ended = tasks.iter().filter(|task| over(task));
        let untold = ended.filter_map(|task| task.untold().map(|error| *error)).collect();
        tasks.retain(|task| !over(task));
        untold
    }

    /// Ends what still runs when a test does, by hand too. Returns the tasks of the test that did,
    /// and what went wrong in those that nobody joined.
    pub(crate) async fn finish(&self) -> (Vec<Arc<Task>>, Vec<Box<ScriptError>>) {
        let running: Vec<_> =
            self.lock().iter().filter(|task| !task.has_ended()).cloned().collect();
        for task in &running {
            task.cancelled.send_replace(true);
        }
        for task in &running {
            let _ = task.ended().await;
        }
        let all = std::mem::take(&mut *self.lock());
        let of_test = |task: &Arc<Task>| !task.is_by_hand();
        let untold = all.iter().filter(|task| of_test(task)).filter_map(|task| task.untold());
        let untold = untold.collect();
        (running.into_iter().filter(of_test).collect(), untold)
    }
}

/// Whether `task` can end only after `me`.
fn waits(tasks: &[Arc<Task>], task: &Arc<Task>, me: &Task) -> bool {
    let mut seen: Vec<Arc<Task>> = Vec::new();
    let mut open = vec![Arc::clone(task)];
    while let Some(task) = open.pop() {
        if task.path == me.path {
            return true;
        }
        if task.has_ended() || seen.iter().any(|other| Arc::ptr_eq(other, &task)) {
            continue;
        }
        open.extend(task.waits_for().clone());
        let depth = task.path.len() + 1;
        let inside = |other: &&Arc<Task>| {
            other.waited == Waited::ByCall && other.path.len() == depth && task.holds(other)
        };
        open.extend(tasks.iter().filter(inside).cloned());
        seen.push(task);
    }
    false
}
