//! Statistics of measurements: what a report prints beside a number so that it can be believed.
//!
//! Owns summaries of a few repeated measurements (`summary.rs`) and latency histograms
//! (`latency.rs`). It has no I/O, no clock, no
//! runtime, and decides nothing: limits and verdicts are elsewhere.

mod latency;
mod summary;

pub use latency::Latency;
pub use summary::Summary;
