//! Faults, and schedules that draw them.

use std::time::Duration;

use meshlab_faults::Settings as FaultSettings;
use meshlab_model::{ChaosPlace, FaultId, NodeId, Percent, RunTime};

/// A fault to apply.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultCall {
    /// Its name in the catalogue: `kill_node`.
    pub name: String,
    /// Whom: one node, those of a fault that takes many, or the left side of a fault between two.
    pub targets: Vec<NodeId>,
    /// The right side of a fault between two sides, or the far ends of a fault of links; empty for
    /// every other node, and for a fault of a process.
    pub against: Vec<NodeId>,
    /// The group of the targets that is parted from the others; it begins with the first target.
    pub group: Option<Group>,
    /// What the fault itself can be told.
    pub settings: FaultSettings,
    /// Take it back after this long.
    pub hold: Option<Duration>,
    /// How soon others must notice; `None` for what their failure detection takes.
    pub detect_within: Option<Duration>,
    /// The schedule that it belongs to.
    pub chaos: Option<ChaosPlace>,
}

/// Faults by a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ChaosOptions {
    /// Whom it may hurt.
    pub on: Vec<NodeId>,
    /// What may be drawn.
    pub kinds: Vec<ChaosKind>,
    /// Time from one fault to the next, before jitter.
    pub every: Duration,
    /// Most that a fault is earlier or later than that.
    pub jitter: Duration,
    /// How long; `None` for as long as the body lasts.
    pub duration: Option<Duration>,
    /// Faults that may act at the same time, at least 1.
    pub at_once: usize,
    /// How soon a fault must be noticed.
    pub detect_within: Duration,
    /// Share of the judged faults that may be missed.
    pub flake_budget: Percent,
    /// Share of the drawn faults that may be skipped or undecided.
    pub skip_budget: Percent,
}

/// A kind of fault that a chaos may draw.
#[derive(Debug, Clone, PartialEq)]
pub struct ChaosKind {
    /// Its name in the catalogue.
    pub fault: String,
    /// How often, beside the others; 0 is never.
    pub weight: f64,
    /// Whom it hurts, beside the node that was drawn.
    pub aim: Aim,
    /// What the fault is told.
    pub settings: FaultSettings,
    /// Take it back after this long; `None` for as soon as it was noticed.
    pub hold: Option<Duration>,
}

/// Whom a fault of a chaos hurts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Aim {
    /// The node that was drawn.
    #[default]
    Node,
    /// So many nodes, the one that was drawn and those after it.
    Several(usize),
    /// The link between the node that was drawn and the next of its mesh.
    Pair,
    /// The links between the node that was drawn and all others of its mesh.
    Rest,
    /// A group of its mesh that begins with the node that was drawn.
    Group(Group),
    /// The relay of its mesh.
    Relay,
}

/// A group of a mesh's nodes that is parted from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// One node.
    One,
    /// One more than half.
    Majority,
    /// No side: each node keeps the links to its neighbours in a ring, so that it reaches a
    /// majority, and no two the same one.
    Ring,
    /// All of the mesh, from the nodes of all other meshes.
    Mesh,
    /// Those of a role.
    Role(String),
}

/// A fault that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultStarted {
    /// Its number, for [`Host::undo`] and [`Since::Fault`].
    pub fault: FaultId,
    /// When it was applied: what it brings counts from here, also before its witness has seen it.
    pub applied: RunTime,
    /// Whether it acts. One that this run cannot do is skipped, which is not an error; what was
    /// to be seen while it acts must not be asked for.
    pub acted: bool,
}
