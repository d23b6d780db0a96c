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
//! | Parquet 2 with zstd, ids as bytes (by DuckDB 2.0) | 32.9 | 10.8 |
//!
//! Of the 49 bytes of a span 24 are its random ids, which nothing makes smaller. So a second of
//! spans compresses as well as an hour, and slow levels gain next to nothing. Heads and indexes
//! add 4 bytes a span, and 15 a sample. Parquet would save a third, but a Parquet file cannot be
//! read before its end is written: it would be a second form of the same data, with a second pass
//! over each segment, a large dependency, and nothing that `zstdcat` and `jq` can open. The aims
//! are met without: `COPY (FROM read_json('spans/*.zst')) TO 'spans.parquet'` makes one in DuckDB.
//!
//! # What it costs
//!
//! `cargo run --release -p meshlab-query --example soak -- 4d`, on two cores of an AMD EPYC that
//! did other things too: 172.8 million spans and 6.6 million samples, a frame of each a second,
//! brought to the disk each second of real time.
//!
//! | | measured | aim |
//! | --- | --- | --- |
//! | spans | 9.16 GB, 53.0 bytes each | 10 GB |
//! | samples and minutes | 81 MB a day | 100 MB a day |
//! | CPU | 0.9 us a record | |
//! | memory while writing | 5 to 10 MiB, the same after four days as after one | 64 MiB |
//! | counts by name and node | 0.26 s | 1 s |
//! | spans of one node in one minute | 0.18 s | 1 s |
//! | highest memory of each process, from its minutes | 0.39 s | 1 s |
//! | spans of a rare name (433 of 43 million) in one day | 0.3 s | 1 s |
//! | a look at every sample | 7.9 s | |
//! | memory while reading | 54 MiB | |
//!
//! With a tenth of the spans and with what nodes count themselves (`-- 4d RUN 50`: 17.3 million
//! spans, 6.6 million samples and 6.2 million lines of counters: 39 million numbers), once, at a
//! load average of 20. Queries in CPU time; by the clock they took four times as long there:
//!
//! | | measured | aim |
//! | --- | --- | --- |
//! | samples and minutes | 81 MB a day | |
//! | counters, two of which change each second, and their minutes | 54 MB a day | |
//! | both | 135 MB a day | 100 MB a day |
//! | memory while writing | 12 to 18 MiB | 64 MiB |
//! | how many spans there are of a rare name; those of it after a moment | 0.13 s | 1 s |
//! | highest memory of each process, from its minutes | 0.27 s | 1 s |
//! | highest value of a number on each node, from its minutes | 0.34 s | 1 s |
//! | the same from every line of counters | 1.2 s | |
//! | a look at every sample | 4.4 s | |
//!
//! A second of counters is a frame of 534 bytes, 315 of which are its head (of samples 326 of 827),
//! for the head counts each node by name: that is what is over the aim.

mod checked;
pub mod disk;
mod folder;
mod follow;
mod frame;
mod fuzz;
mod index;
mod minutes;
mod reader;
mod record;
mod recorder;
mod resume;
mod stream;
mod writer;

pub use folder::{RunFolder, point_latest};
pub use follow::{Following, is_written};
pub use frame::Counts;
#[doc(hidden)]
pub use fuzz::fuzz_segment;
pub use reader::{ResultsError, RunRecord, read_run};
pub use record::{Filter, HARNESS, Record};
pub use recorder::Recorder;
pub use resume::{OpenMinutes, Reopened};
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
    /// Folder of segments with [`CounterSample`](meshlab_model::CounterSample)s.
    pub const COUNTERS: &str = "counters";
    /// Folder of segments with [`CounterMinute`](meshlab_model::CounterMinute)s.
    pub const COUNTER_MINUTES: &str = "counter_minutes";
    /// Folder with one `<node>.log` for each node: its stdout and stderr.
    pub const LOGS: &str = "logs";
    /// Folder with a pcapng file for each of the first faults that went wrong: the packets before.
    pub const CAPTURES: &str = "captures";
    /// The verdict for machines, made from the files above.
    pub const SUMMARY: &str = "summary.json";
}
