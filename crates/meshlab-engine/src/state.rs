//! What the engine knows of the run that is going on.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use meshlab_faults::{Hurts, Undo};
use meshlab_fleet::Process;
use meshlab_lab::Disk;
use meshlab_model::{ComparisonId, FaultId, MeshId, NodeId, Phase, RunTime, TestId, Verdict};
use meshlab_spans::Receiver;
use meshlab_stats::Stream;
use meshlab_wire::Ready;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Draw, HostError, MeshOptions, NodeInfo, faults::Healing, kinds::Stranger, rounds::Comparing,
};

/// The run so far. Ordered maps only: what iterates must do so in the same order each time.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) test: Option<TestId>,
    /// When it began.
    pub(crate) began: RunTime,
    pub(crate) meshes: BTreeMap<MeshId, Mesh>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) faults: BTreeMap<FaultId, OpenFault>,
    /// Of the test that is running.
    pub(crate) comparisons: BTreeMap<ComparisonId, Comparing>,
    /// Nodes that were ever started, over all tests: ids are not used twice.
    pub(crate) nodes_named: u32,
    pub(crate) last_claim: u32,
    pub(crate) last_fault: u32,
    pub(crate) last_chaos: u32,
    pub(crate) last_comparison: u32,
    pub(crate) last_step: u32,
    /// Schedules of faults that go on.
    pub(crate) storms: u32,
    /// Public key of the run's operator, once one was needed.
    pub(crate) operator: Option<String>,
    /// CPU time of the lab's switch that is in the record already.
    pub(crate) switch_spent: Duration,
    /// Whether something went wrong in a test already: it is not the verdict, which comes of the
    /// record, but tells whether this is the mesh that somebody wants to look at.
    pub(crate) red: bool,
    /// Every process that was ever started, for the audit.
    pub(crate) pids: Vec<(NodeId, u32)>,
    /// Every network namespace that was ever made, by inode, for the audit.
    pub(crate) namespaces: BTreeMap<u64, Namespace>,
    /// What the record has kept of the nodes' data so far, in bytes.
    pub(crate) data_bytes_kept: u64,
}

/// A network namespace that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespace {
    pub(crate) node: NodeId,
    /// What tells it from a later one of the same inode; `None` if the kernel does not say.
    pub(crate) cookie: Option<u64>,
}

/// A mesh of the test that is running.
pub(crate) struct Mesh {
    pub(crate) options: MeshOptions,
    pub(crate) nodes: Vec<NodeId>,
    /// Its relay, if it has one.
    pub(crate) relay: Option<NodeId>,
}

/// What program a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A node of a mesh.
    Node,
    /// A relay.
    Relay,
}

/// A node of the test that is running, alive or not.
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// What is said of its program, where that has no agent.
    pub(crate) stranger: Option<Stranger>,
    pub(crate) mesh: MeshId,
    pub(crate) role: String,
    /// Name of its program.
    pub(crate) binary: String,
    pub(crate) place: Place,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) data: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) incarnation: u32,
    pub(crate) life: Option<Life>,
    /// Receives this node's spans; it lives as long as the node's place.
    pub(crate) _receiver: Receiver,
}

/// Where a node lives: it keeps this over restarts.
#[derive(Clone)]
pub(crate) struct Place {
    /// Addresses to bind, in the form the node takes. Port 0 until it is known.
    pub(crate) bind: Vec<String>,
    /// Namespaces to enter.
    pub(crate) namespaces: Vec<Arc<OwnedFd>>,
    /// Where its spans go, over http.
    pub(crate) otlp: String,
    /// Where they go over gRPC.
    pub(crate) otlp_grpc: String,
    /// Its disk; none on the host's network, where its data is in a plain directory.
    pub(crate) disk: Option<Arc<Disk>>,
}

/// One life of a node.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) process: Process,
    pub(crate) ready: Option<Ready>,
    pub(crate) started: RunTime,
    /// Whether the harness has made it end, or is about to.
    pub(crate) end_asked_for: Arc<AtomicBool>,
    /// True once its end is in the record.
    pub(crate) end_told: watch::Sender<bool>,
    /// Spans that had arrived from former lives.
    pub(crate) received_before: u64,
    /// Whether its span counts are in the record.
    pub(crate) counted: Arc<AtomicBool>,
}

/// A fault of the running test.
pub(crate) struct OpenFault {
    /// Its name in the catalogue.
    pub(crate) name: String,
    pub(crate) hurts: Hurts,
    /// Whether its targets notice nothing while it acts.
    pub(crate) freezes: bool,
    /// What it sets; two that set the same cannot act on the same at once.
    pub(crate) sets: &'static str,
    pub(crate) targets: Vec<NodeId>,
    /// Whether a schedule drew it, which may have some that fail.
    pub(crate) drawn: bool,
    /// The other side, of a fault between two.
    pub(crate) against: Vec<NodeId>,
    pub(crate) applied: RunTime,
    /// Whether it is being applied now, and nothing is known of it yet.
    pub(crate) applying: bool,
    /// Held as long as the fault acts and can be taken back.
    pub(crate) undo: Option<Undo>,
    pub(crate) undone: watch::Sender<bool>,
    /// True once it is taken back, or about to be: nothing more is watched for than must be.
    pub(crate) ending: watch::Sender<bool>,
    /// When it had been taken back.
    pub(crate) taken_back: Option<RunTime>,
    pub(crate) judging: Judging,
    /// What must be so again; taken when the wait for it begins.
    pub(crate) healing: Option<Healing>,
    /// Somebody waits until it is so again.
    pub(crate) heals: Option<JoinHandle<Verdict>>,
    /// True once others noticed or it is clear that they will not; `None` if nobody has to.
    pub(crate) judged: Option<watch::Receiver<bool>>,
    /// Whether its verdict is in the record.
    pub(crate) settled: bool,
    /// Takes the fault back after its hold.
    pub(crate) timer: Option<JoinHandle<()>>,
}

/// How far the judgement of a fault has come.
pub(crate) enum Judging {
    /// Others have to notice, and somebody waits for that.
    Waiting(JoinHandle<Verdict>),
    /// It is clear already.
    Known(Verdict),
    /// It is in the record.
    Done,
}

impl Life {
    pub(crate) fn runs(&self) -> bool {
        self.process.exit().is_none()
    }

    /// The harness is about to make it end. One that has ended by itself was not asked to, even if
    /// nobody has heard of it yet.
    pub(crate) fn expect_end(&self) {
        if !self.process.has_ended() {
            self.end_asked_for.store(true, Ordering::SeqCst);
        }
    }

    /// Waits until the end of a life that has ended is in the record: what a run is judged by is
    /// there before it is judged.
    pub(crate) async fn end_is_told(&self) {
        // It cannot close: this life holds the other side.
        let _ = self.end_told.subscribe().wait_for(|told| *told).await;
    }

    pub(crate) fn end_is_not_asked_for(&self) {
        self.end_asked_for.store(false, Ordering::SeqCst);
    }
}

impl Node {
    pub(crate) fn runs(&self) -> bool {
        self.life.as_ref().is_some_and(Life::runs)
    }

    /// What a scenario may know of it.
    pub(crate) fn info(&self, id: &NodeId) -> NodeInfo {
        NodeInfo {
            id: id.clone(),
            mesh: self.mesh.clone(),
            role: self.role.clone(),
            live: self.runs(),
            name: self.ready().map(|ready| ready.name.clone()),
            binary: self.binary.clone(),
            public_key: self.public_key(),
        }
    }

    fn public_key(&self) -> Option<String> {
        let told = self.ready().map(|ready| ready.public_key.clone());
        told.or_else(|| Some(self.stranger.as_ref()?.public_key()))
    }

    pub(crate) fn ready(&self) -> Option<&Ready> {
        self.life.as_ref()?.ready.as_ref()
    }
}

impl State {
    pub(crate) fn node(&self, id: &NodeId) -> Result<&Node, HostError> {
        self.nodes.get(id).ok_or_else(|| HostError::Misuse(format!("there is no node {id}")))
    }

    pub(crate) fn node_mut(&mut self, id: &NodeId) -> Result<&mut Node, HostError> {
        self.nodes.get_mut(id).ok_or_else(|| HostError::Misuse(format!("there is no node {id}")))
    }

    pub(crate) fn mesh(&self, id: &MeshId) -> Result<&Mesh, HostError> {
        self.meshes.get(id).ok_or_else(|| HostError::Misuse(format!("there is no mesh {id}")))
    }

    /// Whether there is such a node, and it runs now.
    pub(crate) fn runs(&self, id: &NodeId) -> bool {
        self.nodes.get(id).is_some_and(Node::runs)
    }

    /// How often a node was started, if there is such a node.
    pub(crate) fn incarnation(&self, id: &NodeId) -> Option<u32> {
        Some(self.nodes.get(id)?.incarnation)
    }

    /// Nodes of the mesh that run now, in the order they were started.
    pub(crate) fn live(&self, mesh: &MeshId) -> Vec<NodeId> {
        let nodes = self.meshes.get(mesh).map(|mesh| mesh.nodes.as_slice()).unwrap_or_default();
        nodes.iter().filter(|id| self.runs(id)).cloned().collect()
    }

    /// Whether its program is of a kind that ends when it is done. It may have ended before anybody
    /// has noted that it was ready; where it was not, its start fails, which is red by itself.
    pub(crate) fn ends_by_itself(&self, id: &NodeId) -> bool {
        let stranger = self.nodes.get(id).and_then(|node| node.stranger.as_ref());
        stranger.is_some_and(|stranger| stranger.kind.ends)
    }

    /// What the test is doing to its nodes.
    pub(crate) fn phase(&self) -> Phase {
        let acts = self.faults.values().any(|fault| fault.taken_back.is_none() || !fault.settled);
        match (self.storms > 0 || acts, self.faults.is_empty()) {
            (true, _) => Phase::Chaos,
            (false, true) => Phase::Idle,
            (false, false) => Phase::Recovered,
        }
    }

    /// Public key of a node, once it has been ready.
    pub(crate) fn key(&self, id: &NodeId) -> Option<String> {
        Some(self.nodes.get(id)?.ready()?.public_key.clone())
    }
}

/// A number in `0..bound` for a choice, which depends on the seed, the task and its place among the
/// task's choices only: a choice that is not made does not shift the others.
pub(crate) fn choose(seed: u64, draw: &Draw, bound: usize) -> usize {
    let below = |root: u64, task: &u32| Stream::numbered(root, u64::from(*task)).draw();
    let root = draw.task.iter().fold(seed, below);
    Stream::after(root, draw.number).below(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_depend_on_seed_task_and_number_only() {
        let drawn = |seed, task: &[u32]| {
            let draw = |number| Draw { task: task.to_vec(), number };
            (0..8).map(|number| choose(seed, &draw(number), 18)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(42, &[]), [13, 2, 5, 6, 0, 15, 3, 14]);
        assert_ne!(drawn(42, &[]), drawn(43, &[]));
        let tasks: [&[u32]; 6] = [&[], &[1], &[2], &[1, 1], &[1, 2], &[2, 1]];
        for (place, task) in tasks.iter().enumerate() {
            for other in &tasks[place + 1..] {
                assert_ne!(drawn(42, task), drawn(42, other), "{task:?} {other:?}");
            }
            let mut seen = [0_u32; 18];
            for number in 0..18_000 {
                seen[choose(7, &Draw { task: task.to_vec(), number }, 18)] += 1;
            }
            assert!(seen.iter().all(|count| (850..1150).contains(count)), "{task:?} {seen:?}");
        }
    }
}
