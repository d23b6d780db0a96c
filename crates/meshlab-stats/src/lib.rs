//! Statistics of measurements: what a report prints beside a number so that it can be believed.
//!
//! Owns summaries of a few repeated measurements (`summary.rs`), latency histograms
//! (`latency.rs`) and rates with their interval (`proportion.rs`). It has no I/O, no clock, no
//! runtime, and decides nothing: limits and verdicts are elsewhere.

mod latency;
mod proportion;
mod summary;

pub use latency::Latency;
pub use proportion::Proportion;
pub use summary::Summary;
