//! Processes of nodes: start, readiness, control, log, end.
//!
//! Owns the spawner thread, the pipe that carries a node's log and the harness's side of the
//! control channel. Open `process.rs` first: a [`Process`] is one life of one node.
//!
//! It does not know what a fault or a span is, and it does not decide whether an exit was right:
//! it reports every exit to whoever asks.

mod control;
mod error;
mod log;
mod process;
mod spawner;
mod tool;

pub use control::Control;
pub use error::FleetError;
pub use log::{LOG_BYTES_MAX, log_tail};
pub use process::{Process, SpawnSpec};
pub use spawner::Fleet;
pub use tool::{ToolError, run_tool};
