//! The results format: what lies in `results/<run>/`, and how it is written and read.

mod folder;
mod reader;
mod recorder;

pub use folder::{RunFolder, point_latest};
pub use reader::{ResultsError, RunRecord, read_run};

pub use recorder::Recorder;

/// Names of the files in a run's folder.
pub mod file {
    /// [`Manifest`](meshlab_model::Manifest), one JSON object, written before the first node.
    pub const MANIFEST: &str = "manifest.json";
    /// Copy of the scenario as it was run.
    pub const SCRIPT: &str = "scenario.lua";
    /// [`RunEvent`](meshlab_model::RunEvent), one JSON object a line, in order.
    pub const EVENTS: &str = "events.jsonl";
    /// [`SpanRecord`](meshlab_model::SpanRecord), one JSON object a line, in order of arrival.
    pub const SPANS: &str = "spans.jsonl";
    /// [`Sample`](meshlab_model::Sample), one JSON object a line.
    pub const SAMPLES: &str = "samples.jsonl";
    /// Folder with one `<node>.log` for each node: its stdout and stderr.
    pub const LOGS: &str = "logs";
    /// Folder with a pcapng file for each of the first faults that went wrong: the packets before.
    pub const CAPTURES: &str = "captures";
    /// The verdict for machines, made from the files above.
    pub const SUMMARY: &str = "summary.json";
}
