//! What is on disk before the first node starts.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SourceLine;

/// Version of the results format. A reader refuses what it does not know.
///
/// 1: `spans.jsonl` and `samples.jsonl`, plain. 2: segments of compressed frames, and a checksum
/// in each event's line.
pub const MANIFEST_SCHEMA: u32 = 2;

/// Everything that was decided before the run began. `results/<run>/manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// [`MANIFEST_SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of the harness that wrote it.
    pub meshlab: String,
    /// `<scenario>/<utc>-s<seed>`: the run's folder under results, reports and profiles.
    pub run: String,
    /// The scenario's name: its file's name without `.lua`.
    pub scenario: String,
    /// The scenario file as it was given.
    pub script_path: String,
    /// SHA-256 of the script, hex. A copy lies beside this file as `scenario.lua`.
    pub script_sha256: String,
    /// The command line as it was given.
    pub arguments: Vec<String>,
    /// Seed of every random choice of the harness.
    pub seed: u64,
    /// When the run started, by the host's clock: nanoseconds since 1970, UTC.
    pub started_unix_nanos: u64,
    /// Commit of the working tree, with `-dirty` where it has changes; `None` outside git.
    pub commit: Option<String>,
    /// The tests that the file declares, in order.
    pub tests: Vec<DeclaredTest>,
    /// Hard stop for the whole file, in seconds.
    pub timeout_secs: f64,
    /// Where the nodes live.
    pub network: NetworkMode,
    /// Programs that the run starts, by name.
    pub binaries: BTreeMap<String, BinaryRecord>,
    /// How long the scenario's plan lasts, in seconds, where the command line said so in the place
    /// of the scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_secs: Option<f64>,
    /// What the lengths of the scenario's plan were multiplied by, where the command line said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_scale: Option<f64>,
    /// How many nodes its mesh has, where the command line said so in the place of the scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// The scenario's parameters, defaults too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamValue>,
    /// The run whose schedules of faults, as they came to be, this one carries out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replays: Option<String>,
    /// Environment given to single nodes on the command line: node, then name, then value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_env: BTreeMap<String, BTreeMap<String, String>>,
    /// The machine.
    pub host: HostFacts,
}

/// A parameter of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ParamValue {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number, finite.
    Number(f64),
    /// Text, with a unit perhaps.
    Text(String),
}

impl fmt::Display for ParamValue {
    /// As `--set` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => truth.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A `test` that the file declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeclaredTest {
    /// The claim it proves, as written.
    pub title: String,
    /// Where it stands.
    pub source: SourceLine,
}

/// Where the nodes of a run live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// A namespace and a TUN device each, joined by the harness's switch.
    Lab,
    /// The host's loopback. Network faults are not possible there.
    Host,
}

/// A program that the run starts, as it was at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BinaryRecord {
    /// Where it lies.
    pub path: String,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Modification time: nanoseconds since 1970, UTC.
    pub built_unix_nanos: u64,
    /// Whether this run built it, or was told to take it as it is.
    pub built_by_run: bool,
    /// What it was built with, where it was built to try other dependencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_with: Option<BuiltWith>,
}

/// The dependencies of a program that was built to try others than the repository's lock has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuiltWith {
    /// What was asked for, as on the command line; empty is the repository's own lock.
    pub asked: Vec<String>,
    /// Versions of the crates of its peer-to-peer stack and of those asked for, by name, as cargo
    /// resolved them; one from a folder, or patched, says `(changed)`.
    pub resolved: BTreeMap<String, String>,
    /// SHA-256 of each patch, hex, by the name of its file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub patches: BTreeMap<String, String>,
    /// SHA-256 of its Cargo.lock, hex; a copy lies in the run's folder as `locks/<program>.lock`.
    pub lock_sha256: String,
}

/// The machine a run was made on. Runs on unlike machines are not compared without being told to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// Operating system and its release.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub cpu: String,
    /// Logical cores.
    pub cores: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Load average over one minute, in hundredths, before the first node started.
    pub load_hundredths: u32,
}
