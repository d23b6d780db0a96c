//! Statistics of measurements: what a report prints beside a number so that it can be believed.
//!
//! Owns summaries of a few repeated measurements. Open `summary.rs`. It has no I/O, no clock, no
//! runtime, and decides nothing: limits and verdicts are elsewhere.

mod summary;

pub use summary::Summary;
