//! What a heap held, as the record has it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ClaimId, NodeId, RunTime};

/// What a node's heap held at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeapSnapshot {
    /// Whose.
    pub node: NodeId,
    /// Which of the node's, from 1 on.
    pub number: u32,
    /// Of which of its processes.
    pub pid: u32,
    /// When it was taken; it is read and named later.
    pub taken: RunTime,
    /// The dump, from the run's folder: JSON that DHAT's viewer opens.
    pub file: String,
    /// Bytes that were allocated and not freed.
    pub bytes: u64,
    /// Blocks that they were in.
    pub blocks: u64,
    /// Version of the rule that made the buckets: tables of two versions are not compared.
    pub rule: u32,
    /// How it was recorded, and what that cost the node.
    pub recorder: String,
    /// By subsystem.
    pub buckets: Vec<HeapAmount>,
    /// Where most was allocated, the largest first.
    pub sites: Vec<HeapAmount>,
    /// What became of it since the first snapshot of the same process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<HeapGrowth>,
    /// The claim that failed and that it was taken for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimId>,
}

/// What a subsystem or an allocation site held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeapAmount {
    /// The subsystem.
    pub bucket: String,
    /// The function and its line; absent for a whole subsystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Bytes.
    pub bytes: u64,
    /// Blocks.
    pub blocks: u64,
}

/// What a heap gained from one snapshot to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeapGrowth {
    /// Time between the two.
    pub micros: u64,
    /// Processes of other nodes that ended meanwhile.
    pub churn: u32,
    /// By subsystem; less than nothing where it lost some.
    pub buckets: Vec<HeapGain>,
    /// Sites that gained, the most first.
    pub sites: Vec<HeapGain>,
}

/// What a subsystem or an allocation site gained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeapGain {
    /// The subsystem.
    pub bucket: String,
    /// The function and its line; absent for a whole subsystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Bytes.
    pub bytes: i64,
}

impl HeapSnapshot {
    /// The share of the bytes that the rule found a subsystem for, from 0 to 1.
    pub fn attributed(&self) -> f64 {
        let other = self.buckets.iter().find(|row| row.bucket == "other");
        let other = other.map_or(0, |row| row.bytes);
        if self.bytes == 0 { 1.0 } else { 1.0 - other as f64 / self.bytes as f64 }
    }
}

impl HeapGrowth {
    /// Bytes gained in all.
    pub fn bytes(&self) -> i64 {
        self.buckets.iter().map(|gain| gain.bytes).sum()
    }

    /// So many bytes as an hour brings at this pace; `None` for no time.
    pub fn per_hour(&self, bytes: i64) -> Option<f64> {
        (self.micros > 0).then(|| bytes as f64 * 3.6e9 / self.micros as f64)
    }

    /// So many bytes for each process that ended; `None` if none did.
    pub fn per_churn(&self, bytes: i64) -> Option<f64> {
        (self.churn > 0).then(|| bytes as f64 / f64::from(self.churn))
    }
}
