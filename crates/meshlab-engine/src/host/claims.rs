//! What must hold, as a scenario asks it.

use std::{sync::Arc, time::Duration};

use meshlab_model::{ComparisonId, MeshId, NodeId, Percent};
use meshlab_spans::Condition;

use super::Since;
use crate::Temporal;

/// How an observer came to hold a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Told by the node itself.
    Message,
    /// Worked out by the observer.
    Inference,
}

/// Which spans are meant.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanQuery {
    /// The span's name.
    pub name: String,
    /// Senders; `None` for all nodes of the run.
    pub from: Option<Vec<NodeId>>,
    /// Attributes and what they must be.
    pub conditions: Vec<(String, Condition)>,
    /// The name of a span that must be above it in its trace.
    pub under: Option<String>,
    /// From when on.
    pub since: Since,
}

/// Something that must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// At least so many such spans.
    Spans {
        /// Which.
        query: SpanQuery,
        /// Whether each sender must reach the number by itself.
        each: bool,
        /// The number.
        at_least: u64,
        /// Deadline.
        within: Duration,
    },
    /// Every live node of the mesh holds every other live node to be there.
    Formed {
        /// Which mesh.
        mesh: MeshId,
        /// From when on it is counted how long it took.
        since: Since,
        /// Deadline.
        within: Duration,
    },
    /// Every live node's own word on its directory, its neighbours and its connections agrees with
    /// who is there: nobody missing, nobody too many.
    Agreed {
        /// Which mesh.
        mesh: MeshId,
        /// From when on it is counted how long it took.
        since: Since,
        /// Deadline.
        within: Duration,
    },
    /// Observers hold a node to be in a state.
    State {
        /// The node.
        node: NodeId,
        /// Name of the state, one of `meshlab_wire::State`.
        state: String,
        /// Observers; `None` for every other live node of its mesh.
        seen_by: Option<Vec<NodeId>>,
        /// How they must have come to it; `None` for either.
        via: Option<Via>,
        /// From when on.
        since: Since,
        /// Deadline.
        within: Duration,
    },
    /// Observers saw exactly these states of a node, in this order.
    States {
        /// The node.
        node: NodeId,
        /// Names of states, each one of `meshlab_wire::State`; never twice the same in a row.
        states: Vec<String>,
        /// Observers; `None` for every other live node of its mesh.
        seen_by: Option<Vec<NodeId>>,
        /// How they must have come to each; `None` for either.
        via: Option<Via>,
        /// From when on.
        since: Since,
        /// Deadline.
        within: Duration,
    },
    /// No such span.
    NoSpans {
        /// Which.
        query: SpanQuery,
        /// How long to keep watching; `None` to look once. Spans travel for about a tenth of a
        /// second: a single look does not see what is under way.
        during: Option<Duration>,
        /// What was going on since the query began to count: " while the body ran". Empty if
        /// nothing is to be said of it.
        meanwhile: &'static str,
    },
    /// What nodes made and did not end is bounded.
    Conserved(Conserved),
    /// One program measured otherwise than another.
    Changed(Changed),
    /// The order or the density of spans.
    Temporal(Temporal),
    /// Each of these nodes, which are of a kind that says how, answers who asks from outside.
    Answers {
        /// Whom is asked.
        nodes: Vec<NodeId>,
        /// From the network of which nodes, each of them; `None` for one other of its mesh.
        from: Option<Vec<NodeId>>,
        /// Deadline.
        within: Duration,
    },
    /// A file of each of these nodes, on its own disk, holds these bytes and nothing else.
    File {
        /// Whose; they need not run any more.
        nodes: Vec<NodeId>,
        /// Its path below the data directory.
        path: String,
        /// The bytes.
        holds: Arc<[u8]>,
        /// Deadline.
        within: Duration,
    },
    /// A comparison that the script has made already.
    Compared {
        /// The call: `expect.at_least`.
        call: &'static str,
        /// Whether it held.
        holds: bool,
        /// What must hold, in a sentence.
        text: String,
        /// What was found, in a sentence.
        found: String,
    },
}

/// What each node has made and not ended is at most so many for each that it sees, and a few more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conserved {
    /// Each of these by itself.
    pub nodes: Vec<NodeId>,
    /// Name of what counts what is made: `tasks.spawned`.
    pub created: String,
    /// Name of what counts what has ended: `tasks.finished`.
    pub destroyed: String,
    /// What these are names of.
    pub counted: Counted,
    /// What of its view bounds a node.
    pub of: InView,
    /// How many for each of them.
    pub per_peer: u64,
    /// How many besides.
    pub plus: u64,
    /// By when it must be so: what is under way is not a leak.
    pub within: Duration,
}

/// Where counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A node's own counters.
    Counters,
    /// Its spans, since its process started.
    Spans,
}

/// What of a node's view counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InView {
    /// Peers in its directory.
    Peers,
    /// Its gossip neighbours.
    Neighbors,
}

impl InView {
    /// Its name in a scenario.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Neighbors => "neighbors",
        }
    }
}

/// What rounds with two programs must show of one of their measures, of which less is better.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Which rounds.
    pub comparison: ComparisonId,
    /// Name of the measure.
    pub measure: String,
    /// In which direction.
    pub gain: Gain,
    /// By how much: the share of before that after is less by at least, or more by at most.
    pub by: Percent,
    /// Of the interval of the effect; 0.95 is 95 %.
    pub confidence: Percent,
}

/// What one program must be, beside another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gain {
    /// Less by so much at least.
    Improved,
    /// Not more by so much.
    NotWorse,
}

/// How a claim came out, for the script.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimOutcome {
    /// Whether it held. (A failed `expect` comes back as [`HostError::ClaimFailed`] instead.)
    pub passed: bool,
    /// From `since` to the moment the last part of the claim became true.
    pub took: Duration,
}
