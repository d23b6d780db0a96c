//! Processes of nodes: start, readiness, control, log, end.
//!
//! Owns the spawner thread, the pipe that carries a node's log and the harness's side of the
//! control channel. Open `process.rs` first: a [`Process`] is one life of one node. `cgroup.rs` is
//! what limits one, `janitor.rs` what removes that after a crash; by its `mark.rs` what is left of
//! a fleet is found. `clock.rs` sets the clock of one that has no agent.
//!
//! It does not know what a fault or a span is, and it does not decide whether an exit was right:
//! it reports every exit to whoever asks.

mod cgroup;
mod clock;
mod control;
mod error;
mod hierarchy;
mod janitor;
mod log;
mod mark;
mod probe;
mod process;
mod procfs;
mod rest;
mod spawner;
mod stray;
mod tool;

pub use cgroup::{CgroupError, Confined, Controller};
pub use clock::{Clock, unfit_for_clock};
pub use control::Control;
pub use error::FleetError;
pub use hierarchy::{groups_left_behind, groups_of, remove_group};
pub use log::{LOG_BYTES_MAX, log_tail};
pub use mark::Mark;
pub use probe::{Burden, Probe, ProbeEnd};
pub use process::{Process, SpawnSpec};
pub use procfs::started_at;
pub use rest::{Rest, end_rest};
pub use spawner::Fleet;
pub use stray::{Marked, end_marked, marked_processes};
pub use tool::{ToolError, run_tool};
