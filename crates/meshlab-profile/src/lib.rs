//! Where CPU time goes: stacks and how often they were seen.
//!
//! Open `folded.rs` for what a profile is, `perf.rs` for how one is taken of a process from
//! outside, `flame.rs` and `speedscope.rs` for how it is shown. Works on any process; it does not
//! know what a node is.
//!
//! It judges nothing.

pub mod files;
mod flame;
mod folded;
mod perf;
mod speedscope;

pub use flame::{FlameError, Title, difference, flamegraph};
pub use folded::{Folded, FoldedError, Share};
pub use perf::{PerfError, Recording, collapse, cpu_time, is_available, record};
pub use speedscope::speedscope;
