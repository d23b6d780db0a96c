//! What a heap holds, by allocation site: `dump.rs` reads and writes DHAT's format, `buckets.rs`
//! says which subsystem a site belongs to, `table.rs` adds up and compares.

mod buckets;
mod dump;
mod table;

pub use buckets::{BUCKETS, Decision, RULE, decide};
pub use dump::{Dump, HeapError, Recording as HeapRecording};
pub use table::{BucketRow, HeapTable, SiteRow};
