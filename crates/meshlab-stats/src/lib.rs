//! Statistics of measurements: what a report prints beside a number so that it can be believed.
//!
//! Owns summaries of a few repeated measurements (`summary.rs`), quantiles of many
//! (`distribution.rs`), latency histograms (`latency.rs`), rates with their interval
//! (`proportion.rs`), one more measurement beside earlier ones (`prediction.rs`), comparisons of
//! two programs (`paired.rs`, `drift.rs`), slopes of one node (`slope.rs`), without its steps
//! (`steps.rs`), of many (`growth.rs`) and by event (`churn.rs`), changes over a history
//! (`change.rs`), and seeded random numbers (`stream.rs`). It has no I/O, no clock, no runtime, and
//! decides nothing: limits and verdicts are elsewhere.
//!
//! `cargo run --release -p meshlab-stats --example power` prints what the methods can see.

mod change;
mod churn;
mod distribution;
mod drift;
mod growth;
mod latency;
pub mod noise;
mod paired;
mod prediction;
mod proportion;
mod sequential;
mod sign;
mod signed_rank;
mod slope;
mod steps;
mod stream;
mod summary;

pub use change::{Change, SEGMENT_MIN, SERIES_MAX, changes};
pub use churn::{TROUGHS_MIN, Troughs, per_event};
pub use distribution::Distribution;
pub use growth::{Growth, Leak, NODES_MIN, Warmup, goes_on, odd_one, settling, warmup};
pub use latency::Latency;
pub use paired::{
    FALSE_ALARMS, Paired, PairedError, Word, holm, holm_weighted, words, words_with_primary,
};
pub use prediction::{PREDICTION_MIN, Prediction, spread};
pub use proportion::Proportion;
pub use sequential::{Decision, SequentialTest};
pub use sign::{sign_test, signs_min};
pub use slope::{MinuteMedians, Slope};
pub use steps::without_steps;
pub use stream::Stream;
pub use summary::Summary;
