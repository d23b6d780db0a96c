//! What takes a fault back.

use std::{fmt, future::Future, pin::Pin};

use meshlab_mutants::{Mutant, on};

use crate::FaultError;

type UndoAct =
    Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<(), FaultError>> + Send>> + Send>;

/// Takes a fault back. Held by the engine; no path ends a run while it holds one.
#[must_use = "a fault that is not undone stays behind"]
pub struct Undo {
    how: &'static str,
    needed: bool,
    act: UndoAct,
}

impl Undo {
    /// An undo that must be carried out before the test ends.
    pub fn needed<F>(how: &'static str, act: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), FaultError>> + Send + 'static,
    {
        Self { how, needed: true, act: Box::new(|| Box::pin(act())) }
    }

    /// An undo that a scenario may ask for; without it nothing harmful stays behind.
    pub fn optional<F>(how: &'static str, act: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), FaultError>> + Send + 'static,
    {
        Self { needed: false, ..Self::needed(how, act) }
    }

    /// What it does, in a few words.
    pub fn how(&self) -> &'static str {
        self.how
    }

    /// Whether the end of a test carries it out by itself.
    pub fn is_needed(&self) -> bool {
        self.needed
    }

    /// Takes the fault back.
    ///
    /// # Errors
    /// The fault is still there; the run cannot be trusted any further.
    pub async fn carry_out(self) -> Result<(), FaultError> {
        if on(Mutant::UndoNothing) {
            return Ok(());
        }
        (self.act)().await
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undo").field("how", &self.how).finish_non_exhaustive()
    }
}

/// Takes a fault back that is applied only in part, when it is dropped: because its witness did
/// not see it, or because the run is being stopped.
pub(crate) struct Rollback<F: FnMut()> {
    act: F,
    armed: bool,
}

impl<F: FnMut()> Rollback<F> {
    pub(crate) fn new(act: F) -> Self {
        Self { act, armed: true }
    }

    /// The fault is whole, and its [`Undo`] takes over.
    pub(crate) fn keep(mut self) {
        self.armed = false;
    }
}

impl<F: FnMut()> Drop for Rollback<F> {
    fn drop(&mut self) {
        if self.armed {
            (self.act)();
        }
    }
}
