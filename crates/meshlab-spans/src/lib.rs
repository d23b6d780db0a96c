//! Receives what nodes say over OTLP and answers questions about it.
//!
//! Open `store.rs` for what is kept and how it is asked, `receiver.rs` for the doors (http/protobuf
//! and gRPC), `decode.rs`, `metrics.rs` and `logs.rs` for what is let in. A wait looks at the past
//! first and then at what comes, so evidence cannot slip between two looks.
//!
//! `forward/` sends spans on to a collector that somebody named.
//!
//! It does not know why anybody asks, and it judges nothing.

mod clock;
mod condition;
mod decode;
mod forward;
mod fuzz;
mod grpc;
mod http;
mod logs;
mod metrics;
mod receiver;
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
pub use store::{Found, ReceiverCounters, SpanStore};
