//! What a program needs so that the harness can drive and observe it: spans out over OTLP, and a
//! control socket that answers. Any program of an iroh mesh can link it; it knows nothing of iroh.
//!
//! Open `agent.rs` first: [`Agent`] ties the parts together. `telemetry.rs` installs the tracing
//! subscriber, `processor.rs` queues and exports spans, `metrics.rs` exports numbers, `control/`
//! speaks the wire protocol, `heap/` says what memory is held by whom, `cpu.rs` where CPU time
//! goes, `span_flame.rs` how long spans are entered, `span_book.rs` how many are open, `stop.rs`
//! waits for a reason to stop, `clock.rs` tells the time.
//!
//! It does not decide when a node is ready, what a node sees, or how it shuts down: the program
//! says so through [`Agent::ready`], [`ViewSource`] and [`Agent::finish`].

mod agent;
mod clock;
mod control;
mod cpu;
mod error;
mod heap;
mod metrics;
mod processor;
mod span_book;
mod span_flame;
mod stop;
mod telemetry;
mod trace;

pub use agent::{Agent, AgentConfig};
pub use clock::wall_clock;
pub use control::{Commands, Performing, View, ViewSource};
pub use error::AgentError;
pub use heap::HeapRecorder;
pub use metrics::{CounterSource, DEFAULT_METRICS_EVERY, MetricCounts};
pub use span_book::{SpanCounts, span_counts};
pub use stop::StopReason;
pub use telemetry::{DEFAULT_OTLP_ENDPOINT, Exported, Telemetry, TelemetryConfig};
pub use trace::{adopt, trace_context, trace_id};
