//! What a run is started with, and why it could not be.

use std::{
    collections::BTreeMap, io, path::PathBuf, sync::Arc, sync::mpsc::SyncSender, time::Duration,
};

use meshlab_model::{
    BinaryRecord, Bound, Ceilings, DeclaredTest, NetworkMode, NoiseLimits, ParamValue, RunEvent,
    SourceLine, Trends,
};

use crate::{Replay, Resume};

/// Name of the program that `mesh` starts unless told otherwise.
pub const NODE_BINARY: &str = "mesh-node";

/// Name of the program that is started as a relay.
pub const RELAY_BINARY: &str = "mesh-relay";

/// Everything that is decided before a run begins.
#[derive(Debug)]
pub struct RunConfig {
    /// Folder that `results/` and `reports/` are in.
    pub output: PathBuf,
    /// The scenario's name.
    pub scenario: String,
    /// Its file, as it was given.
    pub script_path: String,
    /// Its text.
    pub script: String,
    /// The tests it declares.
    pub tests: Vec<DeclaredTest>,
    /// The command line.
    pub arguments: Vec<String>,
    /// Seed of every random choice.
    pub seed: u64,
    /// Hard stop for the whole file.
    pub timeout: Duration,
    /// Time between two samples.
    pub sample_every: Duration,
    /// Where the nodes live.
    pub network: NetworkMode,
    /// Programs by name; [`NODE_BINARY`] among them, unless every mesh has another.
    pub binaries: BTreeMap<String, BinaryRecord>,
    /// The most that a node may use at any sample.
    pub ceilings: Limits<Ceilings>,
    /// Limits for some nodes or some of the time, and what is needed at least.
    pub bounds: Limits<Vec<Bound>>,
    /// The most that nodes may grow by.
    pub trends: Limits<Trends>,
    /// Environment of single nodes, or of all (`*`): node, then name, then value.
    pub node_env: BTreeMap<String, BTreeMap<String, String>>,
    /// How long the scenario's plan lasts, where the command line said so.
    pub duration: Option<Duration>,
    /// What the lengths of the scenario's plan are multiplied by, where the command line said so.
    pub time_scale: Option<f64>,
    /// How many nodes the scenario's mesh has, where the command line said so.
    pub nodes: Option<u32>,
    /// Whether the mesh of the last test, or of the first that fails, stays up after it.
    pub keep: bool,
    /// The scenario's parameters.
    pub params: BTreeMap<String, ParamValue>,
    /// Schedules of faults of another run, to be carried out in the place of those that would be
    /// drawn.
    pub replay: Option<Replay>,
    /// The run that is gone on with, in the place of a new one.
    pub resume: Option<Resume>,
    /// What of the host is too noisy for a verdict on CPU or time.
    pub noise: NoiseLimits,
    /// The library that sets the clock of programs without an agent, or why there is none.
    pub clock_library: Result<PathBuf, String>,
    /// What is profiled of every node.
    pub profile: Profiling,
    /// Commit of the working tree.
    pub commit: Option<String>,
    /// Who wants to hear of events as they happen.
    pub listener: Option<SyncSender<Arc<RunEvent>>>,
}

/// What is profiled of every node, from its start to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profiling {
    /// Where CPU time goes: samples in a second of it.
    pub cpu_hz: Option<u32>,
    /// Why `perf` cannot take them, if it cannot: then the nodes sample themselves, those whose
    /// program links the agent.
    pub no_perf: Option<String>,
    /// What the heap holds: when a mesh is ready and when its test ends. The program records each
    /// allocation, which takes CPU time and memory that is not its own.
    pub heap: bool,
    /// Mean bytes between two allocations that the program records; each one if absent.
    pub heap_sample: Option<u64>,
    /// How long spans are entered.
    pub spans: bool,
}

/// Limits that the scenario declares for all nodes, and where.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits<T> {
    /// The limits; none if empty.
    pub of: T,
    /// The line that declares them.
    pub at: Option<SourceLine>,
}

/// Why a run could not begin. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The run's folder or a file in it cannot be made.
    #[error("write the run's record under {}: {error}; is the disk full or read-only? \
        `--output DIR` takes another place", .path.display())]
    Record {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The lab cannot be made on this host.
    #[error(
        "make the network lab: {0}; `meshlab doctor` says what this host lacks, \
        `--network host` runs on loopback without network faults"
    )]
    Lab(String),
    /// A thread cannot be started.
    #[error("start the harness's threads: {0}")]
    Threads(io::Error),
    /// The script asks for a program that nobody named.
    #[error("find the program `{0}`: name it with `--binary {0}=PATH`")]
    NoBinary(&'static str),
}
