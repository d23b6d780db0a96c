//! What every fault is.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use meshlab_fleet::{FleetError, Process};
use meshlab_model::{NodeId, format_duration};

/// Hurts something, and can take it back.
#[async_trait]
pub trait Fault: Send + Sync {
    /// Its name: the same word in scenarios, records, reports and help.
    fn name(&self) -> &'static str;

    /// What shows that a node which was not the target noticed.
    fn evidence(&self) -> Evidence;

    /// Applies it and waits, up to a deadline, until its witness has seen it act.
    ///
    /// There is no `revert`: what takes the fault back comes from here.
    ///
    /// # Errors
    /// The fault could not be applied, or its witness did not see it act. Then nothing is known
    /// about the subject: the fault is broken, never passed.
    async fn apply(&self, target: &Target) -> Result<Applied, FaultError>;
}

/// Which evidence shows that a fault was noticed. It must come from every node of the target's
/// mesh that lived before and lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Name of a span about the target (its `peer.id` is the target's key).
    pub span: &'static str,
    /// The span's `state`.
    pub state: &'static str,
    /// How long after the observer's stated failure-detection time it may come: the span has to
    /// travel.
    pub slack: Duration,
}

/// Whom a fault hurts, and how to bring it back.
#[derive(Clone)]
pub struct Target {
    /// The node.
    pub node: NodeId,
    /// Its present life.
    pub process: Process,
    /// Starts a node again, with the same identity and address, and waits until it is ready.
    pub revive: Revive,
}

/// Starts a node again.
pub type Revive =
    Arc<dyn Fn(NodeId) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// A fault that acts.
#[derive(Debug)]
pub struct Applied {
    /// What the witness saw.
    pub witness: String,
    /// What takes it back.
    pub undo: Undo,
}

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
        (self.act)().await
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undo").field("how", &self.how).finish_non_exhaustive()
    }
}

/// Why a fault is broken. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The process could not be hurt.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The witness did not see the fault act.
    #[error("{fault} on {node}: it was applied, but {missing} within {}",
        format_duration(*.within))]
    NotWitnessed {
        /// The fault.
        fault: &'static str,
        /// Its target.
        node: NodeId,
        /// What the witness waited for, in the negative.
        missing: String,
        /// How long it waited.
        within: Duration,
    },
    /// The fault could not be taken back.
    #[error("undo {fault} on {node}: {why}")]
    Undo {
        /// The fault.
        fault: &'static str,
        /// Its target.
        node: NodeId,
        /// Why not.
        why: String,
    },
}
