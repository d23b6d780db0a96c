//! What a scenario can ask of the engine, free of any language.
//!
//! `meshlab-script` turns Lua calls into these; [`Engine`](crate::Engine) answers them for real.
//! A second implementation (a stub on a virtual clock) can answer them for a rehearsal. What is
//! asked of nodes is in `nodes.rs`, what must hold in `claims.rs`, what is to go wrong in
//! `faults.rs`.

mod claims;
mod faults;
mod nodes;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use meshlab_model::{
    ChaosTally, ClaimId, ComparisonId, FaultId, HeapSnapshot, Measure, MeshId, NodeId, Round,
    RunTime, Severity, SourceLine, SpanRecord, StepId, TestId, TestOutcome, Verdict,
};
use tokio::sync::watch;

pub use self::{
    claims::{Changed, Claim, ClaimOutcome, Conserved, Counted, Gain, InView, SpanQuery, Via},
    faults::{Aim, ChaosKind, ChaosOptions, FaultCall, FaultStarted, Group},
    nodes::{
        Answered, CpuProfile, Grant, MeshOptions, NodeAct, NodeInfo, NodeOptions, NodeView,
        TrafficCall, Usage,
    },
};

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
