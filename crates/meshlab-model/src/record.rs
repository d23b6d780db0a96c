//! What is recorded beside the events: spans, samples, telemetry counts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{NodeId, RunTime};

/// One span that a node ended and the harness received. A line of a segment in `spans/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpanRecord {
    /// Order of arrival in the run, from 1, over all nodes.
    pub seq: u64,
    /// When it arrived.
    pub arrived: RunTime,
    /// Who sent it: known by the socket in a lab, by its own word on the host network.
    pub node: NodeId,
    /// The span's name.
    pub name: String,
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits, empty for a root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent_id: String,
    /// Start by the node's own wall clock, nanoseconds since 1970. A skewed node skews it.
    pub start_unix_nanos: u64,
    /// End by the node's own wall clock, nanoseconds since 1970.
    pub end_unix_nanos: u64,
    /// Attributes: text, numbers and booleans as themselves, anything else as JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, serde_json::Value>,
}

impl SpanRecord {
    /// How long the span lasted by the node's clock, in nanoseconds; zero if it ran backwards.
    pub fn took_nanos(&self) -> u64 {
        self.end_unix_nanos.saturating_sub(self.start_unix_nanos)
    }
}

/// Whose resources a sample tells of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SampleSource {
    /// A node's process.
    Node(NodeId),
    /// The harness itself.
    Harness,
}

/// Resource use of one process at one moment. A line of a segment in `samples/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// When it was read.
    pub at: RunTime,
    /// Whose it is.
    pub of: SampleSource,
    /// The process that was read; a restarted node has another.
    pub pid: u32,
    /// CPU time used since the process started, user and system, in microseconds.
    pub cpu_micros_total: u64,
    /// Share of one core since the previous sample of the same process; absent on the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// Open file descriptors.
    pub open_files: u32,
    /// Threads.
    pub threads: u32,
}

/// Samples of one process within one minute of the run, so that a long run is seen whole without
/// reading all of them. A line of a segment in `minutes/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleMinute {
    /// When the minute began: a whole number of minutes after the run started.
    pub at: RunTime,
    /// Whose samples they are.
    pub of: SampleSource,
    /// How many there were.
    pub samples: u32,
    /// Share of one core; absent where no sample had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Spread>,
    /// Resident memory, in bytes.
    pub rss_bytes: Spread,
    /// Open file descriptors.
    pub open_files: Spread,
    /// Threads.
    pub threads: Spread,
}

/// Numbers of a node itself, as it sent them over OTLP: its connections, its tasks. A line of a
/// segment in `counters/`. Only what changed is there, so a value holds until the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CounterSample {
    /// When the harness looked, with the samples of CPU and memory. Of several values that came
    /// since it looked before, the last one counts.
    pub at: RunTime,
    /// Whose they are.
    pub node: NodeId,
    /// By name, such as `connections.opened` or `requests{kind=echo}`; finite, above 2^53 rounded.
    pub values: BTreeMap<String, f64>,
}

/// The same within one minute of the run. A line of a segment in `counter_minutes/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CounterMinute {
    /// When the minute began: a whole number of minutes after the run started.
    pub at: RunTime,
    /// Whose they are.
    pub node: NodeId,
    /// By name; a number that did not change in that minute is absent.
    pub values: BTreeMap<String, Spread>,
}

/// Least, mean and greatest of some values: a spike of one second stays visible in `max`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The mean; each value counts the same.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
}

/// How many spans a node says it ended, against how many arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryCount {
    /// Spans the node ended; `None` where it could not be asked (killed, or no agent).
    pub ended: Option<u64>,
    /// Spans the node itself dropped because its queue was full.
    pub dropped: u64,
    /// Spans that arrived and were stored.
    pub received: u64,
}

impl TelemetryCount {
    /// Spans that were ended but never arrived; `None` where the node could not be asked.
    pub fn lost(&self) -> Option<u64> {
        self.ended.map(|ended| ended.saturating_sub(self.received))
    }
}
