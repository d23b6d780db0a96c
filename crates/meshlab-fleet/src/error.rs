//! What can go wrong with a process.

use std::{io, path::PathBuf, time::Duration};

use meshlab_model::{NodeId, format_duration};

/// Why something could not be done with a node's process. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The process could not be started.
    #[error("start {node}: {} cannot be run: {error}", .program.display())]
    Spawn {
        /// Which node.
        node: NodeId,
        /// Its program.
        program: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something around the process could not be made: a pipe, a socket, its log.
    #[error("prepare the start of {node}: {what}: {error}")]
    Prepare {
        /// Which node.
        node: NodeId,
        /// What.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// The harness's spawner thread is gone, so no process can be started any more.
    #[error("start {0}: the fleet is shut down already")]
    ShutDown(NodeId),
    /// The node did not answer in time.
    #[error("ask {node} for {what}: no answer within {}", format_duration(*.within))]
    NoAnswer {
        /// Which node.
        node: NodeId,
        /// What was asked.
        what: &'static str,
        /// The deadline.
        within: Duration,
    },
    /// The node has closed its end of the control channel, or never spoke on it.
    #[error("ask {node} for {what}: its control channel is closed{}", .because.as_ref().map(|why|
        format!(" ({why})")).unwrap_or_default())]
    Closed {
        /// Which node.
        node: NodeId,
        /// What was asked.
        what: &'static str,
        /// What was wrong with what it said, where something was.
        because: Option<String>,
    },
    /// A signal could not be sent.
    #[error("send signal {signal} to {node}: {error}")]
    Signal {
        /// Which node.
        node: NodeId,
        /// Which signal.
        signal: i32,
        /// What the system said.
        error: io::Error,
    },
}
