//! What a scenario can ask of the engine, free of any language.
//!
//! `meshlab-script` turns Lua calls into these; [`Engine`](crate::Engine) answers them for real.
//! A second implementation (a stub on a virtual clock) can answer them for a rehearsal.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use meshlab_faults::Settings as FaultSettings;
use meshlab_model::{
    ByteSize, Ceilings, ChaosPlace, ChaosTally, ClaimId, ComparisonId, FaultId, HeapSnapshot,
    Measure, MeshId, NodeId, Percent, Round, RunTime, Severity, SourceLine, SpanRecord, StepId,
    TestId, TestOutcome, Verdict,
};
use meshlab_spans::Condition;
use meshlab_wire::{Order, Outcome, State, TrafficKind};
use tokio::sync::watch;

use crate::{SharedKind, Temporal};

/// Why the engine could not do what it was asked. Every variant ends the test.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HostError {
    /// The scenario asked for something impossible: an unknown node, a dead one to kill.
    #[error("{0}")]
    Misuse(String),
    /// A claim with [`Severity::Expect`] failed. It is recorded already; the test ends here.
    #[error("a claim failed: {0}")]
    ClaimFailed(String),
    /// A node did not do its part: it exited at once, or was not ready in time.
    #[error("{0}")]
    Node(String),
    /// The harness or the host could not do its part.
    #[error("{0}")]
    Harness(String),
    /// The run is being stopped (signal or timeout).
    #[error("the run was stopped: {0}")]
    Cancelled(String),
}

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

/// From when on evidence counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Since {
    /// The start of the running test.
    Test,
    /// A moment of the run. Who asks keeps the scopes for evidence that lie in one another: what
    /// runs beside it has scopes of its own.
    At(RunTime),
    /// The moment a fault was applied.
    Fault(FaultId),
    /// This long before now.
    Ago(Duration),
}

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

/// Rounds with two programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparisonOptions {
    /// Name of the one program.
    pub before: String,
    /// Name of the other one.
    pub after: String,
    /// Rounds with each that count.
    pub rounds: u32,
    /// Rounds with each that come first and do not.
    pub warmup: u32,
}

/// What a round measured, by name, or why it failed.
pub type Measured = Result<BTreeMap<String, Measure>, String>;

/// How a claim came out, for the script.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimOutcome {
    /// Whether it held. (A failed `expect` comes back as [`HostError::ClaimFailed`] instead.)
    pub passed: bool,
    /// From `since` to the moment the last part of the claim became true.
    pub took: Duration,
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

/// Which choice of a run: tasks that run beside each other draw independently of each other, so
/// that the order in which they come to draw does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Draw {
    /// The task's place: which task of the one that started it, from 1, from the outside in.
    /// Empty for the body of a test.
    pub task: Vec<u32>,
    /// Which of the task's choices, from 1.
    pub number: u64,
}

/// A number with its unit, as `record.metric` takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricValue {
    /// The number, in `unit`.
    pub value: f64,
    /// `s`, `B`, `%`, or empty.
    pub unit: &'static str,
}

/// What a scenario can ask. Every wait in here has a deadline or ends when the run is stopped.
#[async_trait]
pub trait Host: Send + Sync {
    /// Whether nothing is real: no node runs and no time passes. Then a number that only a node
    /// knows is made up, and the language must take what is missing for unknown;
    /// a loop of its own need not go through every round.
    fn rehearses(&self) -> bool {
        false
    }

    /// A test begins: a new scope for evidence and for what is started.
    async fn begin_test(&self, test: TestId, title: &str, at: SourceLine) -> Result<(), HostError>;
    /// A test's body ended. Judges open faults, undoes them, stops every node, counts telemetry.
    async fn end_test(&self, test: TestId, outcome: TestOutcome) -> Result<(), HostError>;
    /// Whether the mesh of the test that has just ended stays up for whoever attaches. Then no
    /// further test is run, and calls are answered as inside that test.
    fn kept(&self) -> bool {
        false
    }
    /// Somebody has given a line at the prompt, which is about to be run.
    fn by_hand(&self, _text: &str) {}
    /// The meshes of the running test, by name.
    fn meshes(&self) -> Vec<MeshId> {
        Vec::new()
    }
    /// A named part of a test begins.
    fn begin_step(&self, name: &str, at: SourceLine) -> StepId;
    /// It ended.
    fn end_step(&self, step: StepId);

    /// Starts a mesh and waits until every node is ready.
    async fn start_mesh(&self, options: MeshOptions, at: SourceLine) -> Result<(), HostError>;
    /// Starts one more node and waits until it is ready.
    async fn add_node(
        &self,
        mesh: &MeshId,
        options: NodeOptions,
        at: SourceLine,
    ) -> Result<NodeId, HostError>;
    /// Starts a stopped or killed node again, with the same identity and address.
    async fn start_node(&self, node: &NodeId, at: SourceLine) -> Result<(), HostError>;
    /// Asks a node to leave and waits for its exit.
    async fn stop_node(&self, node: &NodeId, at: SourceLine) -> Result<(), HostError>;
    /// Asks a node to do something. A refusal is an answer, not an error.
    async fn act(&self, node: &NodeId, act: NodeAct, at: SourceLine)
    -> Result<Answered, HostError>;
    /// Has the run's operator allow a node to order others.
    async fn grant(&self, node: &NodeId, grant: Grant, at: SourceLine) -> Result<(), HostError>;
    /// Asks a node how much it knows and has open.
    async fn node_view(&self, node: &NodeId) -> Result<NodeView, HostError>;
    /// The relay of a mesh, if it was given one.
    fn relay(&self, mesh: &MeshId) -> Option<NodeInfo>;
    /// Every node of a mesh that was ever started, in that order.
    fn nodes(&self, mesh: &MeshId) -> Vec<NodeInfo>;
    /// A number in `0..bound`, which depends on the run's seed and on `draw` only. `bound` > 0.
    fn choose(&self, draw: &Draw, bound: usize) -> usize;

    /// Evaluates a claim, waiting for it if need be, and records how it came out. Dropped before
    /// its end, the claim is withdrawn: who asked was cancelled and needs no answer.
    async fn claim(
        &self,
        claim: Claim,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError>;
    /// Starts a claim whose question only the script can ask; to be closed however that ends.
    /// `call` is the `expect.` form.
    fn open_claim(
        &self,
        call: &'static str,
        text: String,
        within: Duration,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimId, HostError>;
    /// Records how such a claim came out, `took` after it was opened.
    fn close_claim(
        &self,
        claim: ClaimId,
        verdict: Verdict,
        severity: Severity,
        took: Duration,
    ) -> Result<ClaimOutcome, HostError>;
    /// Records that such a claim will not be judged, because who asked it was cancelled.
    fn withdraw_claim(&self, claim: ClaimId);
    /// Resource use of each node by itself, averaged from `since` on, in the order given.
    fn usage(&self, nodes: &[NodeId], since: Since) -> Result<Vec<Usage>, HostError>;
    /// Watches for `length` where the node's CPU time goes.
    async fn cpu_profile(&self, node: &NodeId, length: Duration) -> Result<CpuProfile, HostError>;
    /// What the node's heap holds now. Its program has to keep book of it.
    async fn heap(&self, node: &NodeId) -> Result<HeapSnapshot, HostError>;
    /// Spans that have arrived. Does not wait.
    fn count_spans(&self, query: &SpanQuery) -> Result<u64, HostError>;
    /// The newest of them, at most `limit`, the newest last.
    fn list_spans(&self, query: &SpanQuery, limit: usize) -> Result<Vec<SpanRecord>, HostError>;

    /// Applies a fault and waits until its witness has seen it act.
    async fn fault(&self, call: FaultCall, at: SourceLine) -> Result<FaultStarted, HostError>;
    /// Takes a fault back and waits until that is done. One that has nothing to be taken back is
    /// left alone.
    async fn undo(&self, fault: FaultId) -> Result<(), HostError>;
    /// Draws faults and applies them by their schedule until its end, or until `over` is true;
    /// then judges what came of them.
    async fn chaos(
        &self,
        options: ChaosOptions,
        over: watch::Receiver<bool>,
        at: SourceLine,
    ) -> Result<ChaosTally, HostError>;
    /// Rounds with two programs begin.
    fn begin_comparison(
        &self,
        options: ComparisonOptions,
        at: SourceLine,
    ) -> Result<ComparisonId, HostError>;
    /// A round begins: what is started from now on ends with it.
    fn begin_round(&self, comparison: ComparisonId, round: &Round) -> Result<(), HostError>;
    /// It ended. Judges the faults of the round, takes them back, and stops its nodes.
    async fn end_round(
        &self,
        comparison: ComparisonId,
        round: &Round,
        measured: Measured,
    ) -> Result<(), HostError>;
    /// There are no more rounds.
    fn end_comparison(&self, comparison: ComparisonId);
    /// Waits. Ends early, with an error, when the run is stopped.
    async fn sleep(&self, length: Duration) -> Result<(), HostError>;
    /// A line in the timeline.
    fn note(&self, text: &str, at: SourceLine);
    /// A number for the report.
    fn metric(&self, name: &str, value: MetricValue, at: SourceLine);
    /// Time since the run started.
    fn now(&self) -> RunTime;
    /// Whether the run is being stopped; a busy script is interrupted by asking this.
    fn cancelled(&self) -> Option<String>;
}
