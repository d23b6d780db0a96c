//! Receives what nodes say over OTLP and answers questions about it.
//!
//! Open `store.rs` for what is kept and how it is asked, `receiver.rs` for the doors (http/protobuf
//! and gRPC), `decode.rs`, `metrics.rs` and `logs.rs` for what is let in. A wait looks at the past
//! first and then at what comes, so evidence cannot slip between two looks.
//!
//! `forward/` sends spans on to a collector that somebody named.
//!
//! It does not know why anybody asks, and it judges nothing.
//!
//! # What it costs
//!
//! `cargo run --release -p meshlab-spans --example ingest`: batches of 512 spans with four
//! attributes over http/protobuf to one thread, which receives, decodes, keeps and indexes them and
//! holds them against 100 live selectors. Measured on two shared cores that ten others wanted, so
//! waits for a turn are in the times; the record is not written:
//!
//! | | measured | aim |
//! | --- | --- | --- |
//! | spans a second of CPU, 100 live selectors | 172,000 to 206,000 | 250,000 |
//! | the same without selectors | 197,000 | |
//! | span's end to the answer of a wait, p50 | 16 to 29 ms | |
//! | the same, p99 | 88 to 145 ms | 50 ms |
//! | rotel 0.0.1a15 (PyPI), which decodes and drops | 1,352,000 | |
//!
//! The last line is the same load with `-- --to 127.0.0.1:24318 --pid PID`, against `rotel-agent
//! start --exporter blackhole --otlp-http-endpoint 127.0.0.1:24318`. A third of what a span costs
//! is the allocator: a record has its strings and a map of its own.

mod clock;
mod condition;
mod decode;
mod fields;
mod forward;
mod fuzz;
mod grpc;
mod http;
mod id;
mod logs;
mod metrics;
mod receiver;
mod scan;
mod selector;
mod store;

pub use clock::RunClock;
pub use condition::Condition;
pub use decode::IncomingSpan;
pub use forward::{Collector, Forward, ForwardError, Forwarded, forward_all};
#[doc(hidden)]
pub use fuzz::{fuzz_logs, fuzz_metrics, fuzz_traces};
pub use logs::{LogLine, LogSink};
pub use metrics::{METRIC_NAMES_MAX, MetricKind, MetricNumber, MetricValue};
pub use receiver::{Receiver, ReceiverError};
pub use selector::Selector;
pub use store::{Found, ReceiverCounters, SPANS_A_SECOND_MAX, SpanStore};
