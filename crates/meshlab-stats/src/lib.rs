//! Statistics of measurements: what a report prints beside a number so that it can be believed.
//!
//! Owns summaries of a few repeated measurements (`summary.rs`), latency histograms
//! (`latency.rs`), rates with their interval (`proportion.rs`), sequential tests of them
//! (`sequential.rs`) and seeded random numbers (`stream.rs`). It has no I/O, no clock, no runtime,
//! and decides nothing: limits and verdicts are elsewhere.

mod latency;
mod proportion;
mod sequential;
mod stream;
mod summary;

pub use latency::Latency;
pub use proportion::Proportion;
pub use sequential::{Decision, SequentialTest};
pub use stream::Stream;
pub use summary::Summary;
