//! Meshes and nodes: what they are to be like, what they are asked, what they use.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{ByteSize, Ceilings, MeshId, NodeId};
use meshlab_wire::{Order, Outcome, State, TrafficKind};

use crate::SharedKind;

/// Options of `mesh`, with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshOptions {
    /// The mesh's id.
    pub name: MeshId,
    /// Role of each node, in the order they are started.
    pub roles: Vec<String>,
    /// Time between two digests of a node.
    pub digest_every: Duration,
    /// Whether a digest is sent only on change, with a slow refresh.
    pub digest_gated: bool,
    /// Environment of every node of the mesh.
    pub env: BTreeMap<String, String>,
    /// Whether its nodes take part in the topic that all meshes share.
    pub backbone: bool,
    /// Whether its nodes take orders that root in the run's operator.
    pub operator: bool,
    /// Whether a relay is started for its nodes.
    pub relay: bool,
    /// What fits on the disk of each of its nodes; 64 MiB if absent. Of no effect on the host's
    /// network, where a node's data is in a plain directory.
    pub disk: Option<ByteSize>,
    /// Name of the program of its nodes; [`NODE_BINARY`](crate::NODE_BINARY) if absent.
    pub binary: Option<String>,
    /// How to run its nodes, whose program has no agent then.
    pub kind: Option<SharedKind>,
    /// The most that its nodes may use, in the place of what the scenario says for all.
    pub ceilings: Option<Ceilings>,
}

impl MeshOptions {
    /// A mesh with a node for each of these roles, in that order, and nothing special about it:
    /// one digest a second, sent whether anything changed or not.
    pub fn plain(name: &str, roles: Vec<String>) -> Self {
        Self {
            name: name.into(),
            roles,
            digest_every: Duration::from_secs(1),
            digest_gated: false,
            env: BTreeMap::new(),
            backbone: false,
            operator: false,
            relay: false,
            disk: None,
            binary: None,
            kind: None,
            ceilings: None,
        }
    }
}

/// Options of `mesh:add`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeOptions {
    /// The node's id; `node-<n>` if absent.
    pub id: Option<NodeId>,
    /// Its role; the mesh's first role if absent.
    pub role: Option<String>,
    /// Environment of this node.
    pub env: BTreeMap<String, String>,
    /// Name of its program; that of its mesh if absent.
    pub binary: Option<String>,
    /// How to run it; as its mesh says if absent, unless it has a program of its own.
    pub kind: Option<SharedKind>,
    /// Whom it joins by, whether they run or not; two live nodes of its mesh if there are none.
    pub seeds: Vec<NodeId>,
}

/// A node as a scenario sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// Its mesh.
    pub mesh: MeshId,
    /// Its role.
    pub role: String,
    /// Whether its process runs now.
    pub live: bool,
    /// What it calls itself, `<mesh>.<role>.<6 hex>`; `None` until it was ready once.
    pub name: Option<String>,
    /// Name of its program.
    pub binary: String,
    /// Its public key, 64 hex digits: that which the harness made, or which it told when it was
    /// ready; `None` until then.
    pub public_key: Option<String>,
}

/// What a node used, averaged over a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Share of one core while it ran; 1.0 is all of it.
    pub cpu: f64,
    /// CPU time of its processes, user and system. What two programs are compared by: a share is of
    /// the time that a node ran, and the faster one has run for less of it.
    pub cpu_time: Duration,
    /// Resident memory.
    pub rss: ByteSize,
    /// Open file descriptors.
    pub open_files: f64,
    /// Threads.
    pub threads: f64,
}

/// Where a node's CPU time went for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuProfile {
    /// Samples that it rests on.
    pub samples: u64,
    /// What took them: `perf`, or `the node itself`.
    pub sampler: &'static str,
    /// The flamegraph, from the run's folder; absent where there is no sample.
    pub file: Option<String>,
    /// The functions that ran most, each with its share of the samples, 0 to 1.
    pub hottest: Vec<(String, f64)>,
}

/// Something that a node can be asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeAct {
    /// Enter a state and announce it.
    SetState(State),
    /// Order another node, as a message over the mesh.
    Order {
        /// Whom.
        to: NodeId,
        /// What.
        order: Order,
    },
    /// Find the node of that name, in whatever mesh.
    Resolve {
        /// `<mesh>.<role>.<6 hex>`.
        name: String,
    },
    /// Deliver a message to a node by its name, in whatever mesh.
    Deliver {
        /// Whom.
        to: NodeId,
        /// The message.
        text: String,
    },
    /// Drive a workload.
    Traffic(TrafficCall),
    /// Make a directory and offer it.
    Share {
        /// How many files.
        files: u32,
        /// Size of each.
        each: ByteSize,
    },
    /// Fetch a directory.
    Fetch {
        /// From whom.
        from: NodeId,
        /// What it was offered as.
        hash: String,
    },
    /// Say every counter.
    Counters,
}

/// A workload between two nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficCall {
    /// Against whom.
    pub to: NodeId,
    /// What kind.
    pub kind: TrafficKind,
    /// Concurrent streams.
    pub streams: u32,
    /// Size of a message, or of the transfer.
    pub size: ByteSize,
    /// How long; of a transfer, its deadline.
    pub length: Duration,
    /// Messages a second over all streams; `None` sends as soon as replies come.
    pub rate: Option<f64>,
}

/// What a node did, or why it refused.
pub type Answered = Result<Outcome, String>;

/// How much a node knows and has open, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeView {
    /// Peers in its directory.
    pub peers: u64,
    /// Gossip neighbours.
    pub neighbors: u64,
    /// Live gossip connections.
    pub connections: u64,
}

/// What an operator allows a node to order others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// `shutdown`, `set-state`, or both with a comma.
    pub may: String,
    /// Nodes of which mesh; `None` for every mesh of the run's operator.
    pub mesh: Option<MeshId>,
    /// For how long, in whole seconds; `None` for ever.
    pub valid_for: Option<Duration>,
}
