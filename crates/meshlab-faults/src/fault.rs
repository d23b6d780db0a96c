//! What every fault is.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use meshlab_fleet::{FleetError, Process};
use meshlab_lab::{Disk, Lab, LabError};
use meshlab_model::{NodeId, format_duration};
use meshlab_wire::{State, span};

use crate::{Settings, Undo};

/// Hurts something, and can take it back.
#[async_trait]
pub trait Fault: Send + Sync {
    /// Its name: the same word in scenarios, records, reports and help.
    fn name(&self) -> &'static str;

    /// What it hurts, and so what a [`Target`] of it holds.
    fn hurts(&self) -> Hurts;

    /// Whether it may be done to several nodes at once.
    fn many(&self) -> bool {
        false
    }

    /// Whether its target notices nothing while it acts, and so cannot be asked about others.
    fn freezes(&self) -> bool {
        false
    }

    /// What it sets, in a word: two faults that set the same cannot act on the same node or link at
    /// once, because the undo of one would undo the other.
    fn sets(&self) -> &'static str {
        self.name()
    }

    /// What shows that others noticed, or what would show that they took it for something else.
    fn evidence(&self) -> Evidence;

    /// What must not be there too often between a node that it hurts and any other, from the
    /// moment that it acted.
    fn at_most(&self, _settings: &Settings) -> Option<AtMost> {
        None
    }

    /// How soon after it was taken back, or acted if there is nothing to take back, every node of
    /// the mesh must hold every other one to be there again that it held to be there before.
    fn heals_within(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// Applies it and waits, up to a deadline, until its witness has seen it act.
    ///
    /// There is no `revert`: what takes the fault back comes from here. A fault that fails leaves
    /// nothing of itself behind.
    ///
    /// # Errors
    /// The fault could not be applied, or its witness did not see it act. Then nothing is known
    /// about the subject: the fault is broken, never passed.
    async fn apply(&self, target: &Target) -> Result<Applied, FaultError>;
}

/// What a fault hurts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hurts {
    /// One node's process, which ends by it.
    Life,
    /// One node's process, which lives on.
    Process,
    /// Links of one node, in the lab's switch.
    LinksOfNode,
    /// Links between two sides, in the lab's switch.
    LinksBetween,
}

impl Hurts {
    /// Whether it is done in the lab's switch, and so needs a lab.
    pub fn needs_lab(self) -> bool {
        matches!(self, Self::LinksOfNode | Self::LinksBetween)
    }
}

/// What shows that a fault was noticed, or that it was taken for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Spans about the target, from every node of its mesh that lived before and lives on.
    Spans {
        /// Any one of these is enough.
        any_of: &'static [Sign],
        /// How long after the observer's stated failure-detection time it may come: the span has
        /// to travel.
        slack: Duration,
        /// None of these may come, from them about the target or from the target about them.
        none_of: &'static [Sign],
    },
    /// Nobody has to notice, and nobody may take it for what it is not.
    Unnoticed {
        /// None of these may come, from any other node about the target or from the target about
        /// any other, while it acts and for one failure-detection time at least.
        none_of: &'static [Sign],
        /// Why nobody has to notice, in a few words.
        why: &'static str,
    },
    /// Links are cut. Of two nodes that no path of links joins any more, each has to infer that the
    /// other is dead; two that one does have to hold each other to be there.
    Parted {
        /// As for spans.
        slack: Duration,
        /// Whether the latter may not lose each other even for a while. Else they must have found
        /// each other again after some time.
        unbroken: bool,
    },
}

/// How often a span may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtMost {
    /// The span's name; its `peer.id` is the key of the node at the other end.
    pub span: &'static str,
    /// How often, from one node about another.
    pub times: u64,
}

/// A node was inferred to be dead.
pub(crate) const DEAD: Sign =
    Sign { span: span::STATE_INFERRED, state: Some(State::Dead), after: None };

/// The one sign of a death.
pub const DEATH: &[Sign] = &[DEAD];

/// A span about the target: its `peer.id` is the target's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    /// The span's name.
    pub span: &'static str,
    /// Its `state`, where it must have one.
    pub state: Option<State>,
    /// A span by the same observer that must have come before it.
    pub after: Option<(&'static str, State)>,
}

impl fmt::Display for Sign {
    /// `node.state_inferred { state = Dead }`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.span)?;
        if let Some(state) = self.state {
            write!(f, " {{ state = {state} }}")?;
        }
        match self.after {
            Some((span, state)) => write!(f, " after {span} {{ state = {state} }}"),
            None => Ok(()),
        }
    }
}

/// What a fault is applied to, and what it may use.
#[derive(Clone)]
pub struct Target {
    /// Whom it hurts; one node, unless it is a fault between two sides.
    pub nodes: Vec<Victim>,
    /// The far ends of the links that it hurts: the other side, or every other node of the lab.
    /// Empty for a fault of a process.
    pub far: Vec<NodeId>,
    /// Whether the far ends are all others, and so also those that come into the lab later.
    pub everywhere: bool,
    /// The lab, for a fault of links.
    pub lab: Option<Arc<Lab>>,
    /// What the scenario set.
    pub settings: Settings,
    /// Starts a node again, with the same identity and address, and waits until it is ready.
    pub revive: Revive,
    /// Gives a node something to do, where the harness can.
    pub stir: Stir,
}

/// A node that a fault hurts.
#[derive(Debug, Clone)]
pub struct Victim {
    /// The node.
    pub node: NodeId,
    /// Its present life.
    pub process: Process,
    /// Its public key; `None` if it was never ready.
    pub key: Option<String>,
    /// Its disk; `None` if its data is in a directory of the host's.
    pub disk: Option<Arc<Disk>>,
}

impl Target {
    /// The one node that it hurts.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(crate) fn one(&self, fault: &'static str) -> Result<&Victim, FaultError> {
        match self.nodes.as_slice() {
            [one] => Ok(one),
            nodes => Err(FaultError::NotOne { fault, given: nodes.len() }),
        }
    }

    /// The lab that the links are in.
    ///
    /// # Errors
    /// The nodes are not in a lab.
    pub(crate) fn lab(&self, fault: &'static str) -> Result<Arc<Lab>, FaultError> {
        self.lab.clone().ok_or(FaultError::NoLab { fault })
    }
}

/// A life that was started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revived {
    /// Its process.
    pub pid: u32,
    /// Its public key.
    pub key: String,
}

/// Starts a node again.
pub type Revive = Arc<
    dyn Fn(NodeId) -> Pin<Box<dyn Future<Output = Result<Revived, String>> + Send>> + Send + Sync,
>;

/// Asks a node something that it answers to anybody, if it does, and waits for the answer for at
/// most a second.
pub type Stir = Arc<dyn Fn(NodeId) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A fault that acts.
#[derive(Debug)]
pub struct Applied {
    /// What the witness saw.
    pub witness: String,
    /// What takes it back; `None` if it is over as soon as it acted.
    pub undo: Option<Undo>,
}

/// Why a fault is broken. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The process could not be hurt.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The links could not be hurt.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The nodes are on the host's network, where no switch is between them.
    #[error("apply {fault}: it is done in the lab's switch, and these nodes are in no lab")]
    NoLab {
        /// The fault.
        fault: &'static str,
    },
    /// This run or this host cannot do it, which says nothing about the subject: it is skipped.
    #[error("apply {fault}: {why}")]
    Unavailable {
        /// The fault.
        fault: &'static str,
        /// What is not there, and what would help.
        why: String,
    },
    /// The kernel, the node or the settings are in its way.
    #[error("apply {fault} to {on}: {why}")]
    Refused {
        /// The fault.
        fault: &'static str,
        /// Its target.
        on: String,
        /// What was in its way.
        why: String,
    },
    /// There is no far end of a link to be hurt.
    #[error("apply {fault}: there is no other node that a link of it leads to")]
    NoFarEnd {
        /// The fault.
        fault: &'static str,
    },
    /// A probe of the links could not be sent.
    #[error("probe the links for {fault}: {error}")]
    Probe {
        /// The fault.
        fault: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// It hurts one node, and was given none or several.
    #[error("apply {fault}: it hurts one node, {given} were given")]
    NotOne {
        /// The fault.
        fault: &'static str,
        /// How many.
        given: usize,
    },
    /// Something that it cannot do without was not set.
    #[error("apply {fault}: `{setting}` was not given")]
    NotSet {
        /// The fault.
        fault: &'static str,
        /// What.
        setting: &'static str,
    },
    /// The witness did not see the fault act.
    #[error("{fault} on {on}: it was applied, but {missing} within {}",
        format_duration(*.within))]
    NotWitnessed {
        /// The fault.
        fault: &'static str,
        /// Its target.
        on: String,
        /// What the witness waited for, in the negative.
        missing: String,
        /// How long it waited.
        within: Duration,
    },
    /// The node was to be started again, and was not.
    #[error("start {on} again after restart_node: {why}")]
    NotBack {
        /// Which node.
        on: String,
        /// Why not.
        why: String,
    },
    /// The fault could not be taken back.
    #[error("undo {fault} on {on}: {why}")]
    Undo {
        /// The fault.
        fault: &'static str,
        /// Its target.
        on: String,
        /// Why not.
        why: String,
    },
}
