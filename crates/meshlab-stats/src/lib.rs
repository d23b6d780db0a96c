//! Statistics of measurements: what a report prints beside a number so that it can be believed.
//!
//! Owns summaries of a few repeated measurements (`summary.rs`), latency histograms
//! (`latency.rs`), rates with their interval (`proportion.rs`), comparisons of two programs
//! (`paired.rs`), slopes of one node (`slope.rs`) and of many (`growth.rs`), and seeded random
//! numbers (`stream.rs`). It has no I/O, no clock, no runtime, and decides nothing: limits and
//! verdicts are elsewhere.
//!
//! `cargo run --release -p meshlab-stats --example power` prints what the methods can see.

mod drift;
mod growth;
mod latency;
pub mod noise;
mod paired;
mod proportion;
mod sequential;
mod signed_rank;
mod slope;
mod stream;
mod summary;

pub use growth::{Growth, NODES_MIN, odd_one, warmup};
pub use latency::Latency;
pub use paired::{
    FALSE_ALARMS, Paired, PairedError, Word, holm, holm_weighted, words, words_with_primary,
};
pub use proportion::Proportion;
pub use sequential::{Decision, SequentialTest};
pub use slope::{MinuteMedians, Slope};
pub use stream::Stream;
pub use summary::Summary;
