//! Where CPU time and memory go: stacks and how often they were seen, or how much they hold.
//!
//! Open `folded.rs` for what a profile is, `perf.rs` for how one is taken of a process from
//! outside, `heap/` for what memory is held by which subsystem, `symbols.rs` for the names of
//! addresses, `flame.rs`, `speedscope.rs` and `pprof.rs` for how it is shown. Works on any process;
//! it does not know what a node is.
//!
//! It judges nothing.

pub mod files;
mod flame;
mod folded;
pub mod heap;
mod perf;
mod pprof;
mod speedscope;
mod symbols;
mod windows;

pub use flame::{FlameError, Title, difference, flamegraph};
pub use folded::{Folded, FoldedError, Share};
pub use perf::{
    PerfError, Recording, collapse, collapse_with_ends, cpu_time, is_available, record,
};
pub use pprof::pprof;
pub use speedscope::speedscope;
pub use symbols::{Frame, Names, SymbolsError};
pub use windows::Windows;
