//! Reads what processes use: CPU, resident memory, open files, threads.
//!
//! Open `process.rs` for what is read from where, `sampler.rs` for how a share of a core comes
//! out of two readings, `run_queue.rs` for how long a process waited for a processor, `tree.rs` for
//! a program together with what it started. It knows no limits and judges nothing; a process that
//! cannot be read is told as failed, and its last value is never repeated.

mod host;
mod process;
mod run_queue;
mod sampler;
mod tree;
mod watch;

pub use host::host_facts;
pub use process::{ProcessReading, SampleError, read_process};
pub use run_queue::{RunQueue, ThreadTime};
pub use sampler::{SampleRound, Sampler};
pub use watch::HostWatch;
