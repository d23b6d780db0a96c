//! The results format: what lies in `results/<run>/`, and how it is written and read. For people
//! it is described in `docs/results-format.md`.
//!
//! Open `frame.rs` for what lies on the disk, `recorder.rs` for how it gets there, `reader.rs` and
//! `stream.rs` for how it is read. It knows neither the engine nor any report: it keeps records and
//! gives them back, and it judges nothing.
//!
//! # Why this format
//!
//! Measured on the record of a five-minute soak of 18 nodes, 103,079 spans of 363 bytes of JSON
//! and 5,743 samples of 156, with a frame for each second:
//!
//! | kept as | bytes a span | bytes a sample |
//! | --- | --- | --- |
//! | JSON lines | 363 | 156 |
//! | zstd level 1, a frame a second | 49.4 | 31.2 |
//! | zstd level 9, a frame a second | 48.5 | 31.0 |
//! | zstd level 19, a frame a second | 45.4 | 30.1 |
//! | zstd level 1, a frame for each 10,000 | 48.5 | 18.4 |
//!
//! Of the 49 bytes of a span 24 are its random ids, which nothing makes smaller. So a second of
//! spans compresses as well as an hour, slow levels gain nothing, and four days of 500 spans a
//! second are 8.4 GB (aim: 10), a day of samples 51 MB (aim: 100). Columns (Parquet) could save
//! perhaps a quarter more; they would cost a second pass over every segment, a reader that
//! other tools have but `zstdcat` and `jq` do not, and a large dependency. Frames of JSON lines
//! are read by all of them while the run is still writing.

mod checked;
pub mod disk;
mod folder;
mod frame;
mod fuzz;
mod index;
mod minutes;
mod reader;
mod record;
mod recorder;
mod stream;
mod writer;

pub use folder::{RunFolder, point_latest};
pub use frame::Counts;
#[doc(hidden)]
pub use fuzz::fuzz_segment;
pub use reader::{ResultsError, RunRecord, read_run};
pub use record::{Filter, HARNESS, Record};
pub use recorder::Recorder;
pub use stream::{Recorded, Records};

/// Names of the files in a run's folder.
pub mod file {
    /// [`Manifest`](meshlab_model::Manifest), one JSON object, written before the first node.
    pub const MANIFEST: &str = "manifest.json";
    /// Copy of the scenario as it was run.
    pub const SCRIPT: &str = "scenario.lua";
    /// [`RunEvent`](meshlab_model::RunEvent), one JSON object a line, in order.
    pub const EVENTS: &str = "events.jsonl";
    /// Folder of segments with [`SpanRecord`](meshlab_model::SpanRecord)s, in order of arrival.
    pub const SPANS: &str = "spans";
    /// Folder of segments with [`Sample`](meshlab_model::Sample)s.
    pub const SAMPLES: &str = "samples";
    /// Folder of segments with [`SampleMinute`](meshlab_model::SampleMinute)s.
    pub const MINUTES: &str = "minutes";
    /// Folder with one `<node>.log` for each node: its stdout and stderr.
    pub const LOGS: &str = "logs";
    /// Folder with a pcapng file for each of the first faults that went wrong: the packets before.
    pub const CAPTURES: &str = "captures";
    /// The verdict for machines, made from the files above.
    pub const SUMMARY: &str = "summary.json";
}
