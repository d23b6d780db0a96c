//! Receives what nodes say over OTLP and answers questions about it.
//!
//! Open `store.rs` for what is kept and how it is asked, `receiver.rs` for the doors (http/protobuf
//! and gRPC), `scan.rs`, `decode.rs`, `metrics.rs` and `logs.rs` for what is let in. A wait looks
//! at the past first and then at what comes, so evidence cannot slip between two looks.
//!
//! Spans are most of what comes, so they are never made twice: `scan.rs` walks a request, refuses
//! it or counts it; `decode.rs` shows its spans where they lie; the store looks up names and
//! attributes that came before, and allocates what is new.
//!
//! `forward/` sends spans on to a collector that somebody named.
//!
//! It does not know why anybody asks, and it judges nothing.
//!
//! # What it costs
//!
//! `cargo run --release -p meshlab-spans --example ingest`: batches of 512 spans with four
//! attributes over http/protobuf to one thread, which receives, decodes, keeps and indexes them and
//! holds them against 100 live selectors. Three rounds of 8 s (`-- --seconds 8`) on two shared
//! cores with a load average of 9, at the lowest priority; nothing was recorded:
//!
//! | | measured | aim |
//! | --- | --- | --- |
//! | spans a second of CPU, 100 live selectors | 634,000 to 669,000 | 250,000 |
//! | the same without selectors | 706,000 to 729,000 | |
//! | span's end to the answer of a wait, p50 | 12 to 13 ms | |
//! | the same, p99 | 22 to 29 ms | 50 ms |
//! | rotel 0.0.1a15 (PyPI), which decodes and drops | 1,352,000 | |
//!
//! The times are by the clock, so waits for a turn are in them. The last line is from another day:
//! the same load with `-- --to 127.0.0.1:24318 --pid PID`, against `rotel-agent start --exporter
//! blackhole --otlp-http-endpoint 127.0.0.1:24318`. The allocator takes 3% of the samples of `perf`;
//! finding attributes that came before takes 17%, reading fields 15%, and taking leave of what is
//! evicted 12%.

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
