//! What happened, in the order it happened: the one way out of the engine.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ChaosId, ClaimId, ComparisonId, FaultId, HeapSnapshot, HostSample, Measure, MeshId, NodeId,
    Round, RunTime, StepId, TelemetryCount, TestId, Verdict,
};

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunEvent {
    /// Place in the stream, from 1, without gaps. A gap means that the record was damaged.
    pub seq: u64,
    /// When it happened.
    pub at: RunTime,
    /// The line of the scenario that caused it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceLine>,
    /// Whether it happened in somebody's hands, not the scenario's. The verdict does not rest on
    /// it, but a test during which there was such an event cannot pass.
    #[serde(default, skip_serializing_if = "is_false")]
    pub manual: bool,
    /// What happened.
    #[serde(flatten)]
    pub kind: RunEventKind,
}

/// What a mesh is like, beside its size and its digests: enough to make one like it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeshMade {
    /// The role of each node, in the order they are started.
    pub roles: Vec<String>,
    /// Whether its nodes take orders that root in the run's operator.
    #[serde(default, skip_serializing_if = "is_false")]
    pub operator: bool,
    /// Whether it has a relay.
    #[serde(default, skip_serializing_if = "is_false")]
    pub relay: bool,
    /// Whether its nodes take part in the topic that all meshes share.
    #[serde(default, skip_serializing_if = "is_false")]
    pub backbone: bool,
    /// What fits on the disk of each node, in bytes, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Environment of each node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Name of the program of its nodes, if it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
    /// Name of the kind of its nodes, if their program has no agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// A place in a scenario file. Line and column count from 1; column 0 means "not known".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceLine {
    /// The file as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 where only the line is known.
    #[serde(default)]
    pub column: u32,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEventKind {
    /// The manifest is on disk and the run begins.
    RunStarted {
        /// The run's folder: `<scenario>/<utc>-s<seed>`.
        run: String,
        /// Seed of every random choice.
        seed: u64,
        /// The run whose schedules of faults, as they came to be, this one carries out again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replays: Option<String>,
    },
    /// The harness had ended before the run did, and another one goes on with what was left of its
    /// plan. Between [`RunEventKind::RunResumed::from`] and the time of this event nothing is
    /// known, and no node ran at its end.
    RunResumed {
        /// Which part of the run begins: 2 at first.
        part: u32,
        /// The last moment of which anything is in the record.
        from: RunTime,
        /// The test that was interrupted, and is run again for what is left of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test: Option<TestId>,
        /// How long it had run, in all parts together, in microseconds.
        #[serde(default, skip_serializing_if = "is_zero_micros")]
        spent_micros: u64,
    },
    /// A test begins.
    TestStarted {
        /// Which.
        test: TestId,
        /// Its claim, as written.
        title: String,
    },
    /// A test's body ended and everything that it started is gone.
    TestFinished {
        /// Which.
        test: TestId,
        /// How the body ended. The verdict is worked out from the claims, not from this alone.
        outcome: TestOutcome,
    },
    /// A named part of a test begins.
    StepStarted {
        /// Which.
        step: StepId,
        /// Its name, as written.
        name: String,
    },
    /// A named part of a test ended.
    StepFinished {
        /// Which.
        step: StepId,
    },
    /// A mesh is about to be started.
    MeshStarting {
        /// Its id.
        mesh: MeshId,
        /// How many nodes.
        nodes: u32,
        /// Time between two digests of a node, in microseconds.
        digest_every_micros: u64,
        /// Whether a digest is sent only on change (with a slow refresh).
        digest_gated: bool,
        /// What else it is like; absent in older records.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made: Option<MeshMade>,
    },
    /// Every node of the mesh is ready.
    MeshReady {
        /// Its id.
        mesh: MeshId,
    },
    /// A node's process was started.
    NodeSpawned {
        /// Which node.
        node: NodeId,
        /// Its mesh.
        mesh: MeshId,
        /// Its role.
        role: String,
        /// Name of its program in the manifest.
        binary: String,
        /// Its process.
        pid: u32,
        /// 1 at first, one more at each start again.
        incarnation: u32,
        /// Address that other nodes reach it at.
        address: String,
        /// Machine it runs on; today always this one.
        host: String,
    },
    /// A node said that its endpoint is bound, its accept loop runs and gossip is subscribed.
    NodeReady {
        /// Which node.
        node: NodeId,
        /// The node's own name, `<mesh>.<role>.<6 hex>`.
        name: String,
        /// Its public key, 64 hex digits.
        public_key: String,
        /// From spawn to ready, in microseconds, by the harness's clock.
        took_micros: u64,
    },
    /// A node's process ended.
    NodeExited {
        /// Which node.
        node: NodeId,
        /// Its process.
        pid: u32,
        /// How.
        exit: NodeExit,
        /// Whether the harness made it end. An exit nobody asked for fails the test.
        asked_for: bool,
    },
    /// What a node said it ended against what arrived, read at the node's end.
    TelemetryCounted {
        /// Which node.
        node: NodeId,
        /// The counts.
        #[serde(flatten)]
        count: TelemetryCount,
    },
    /// What the switch counted for the nodes of a test, read at its end.
    PacketsCounted {
        /// By directed pair; pairs that never sent are absent.
        links: Vec<LinkCount>,
        /// By node; nodes that sent nothing astray are absent.
        stray: Vec<StrayCount>,
        /// CPU time that the switch took for all of it, in microseconds; `None` where the system
        /// does not tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        switch_micros: Option<u64>,
    },
    /// A claim is being evaluated.
    ClaimStarted {
        /// This evaluation.
        claim: ClaimId,
        /// The test it belongs to.
        test: TestId,
        /// The call: `expect.spans`.
        call: String,
        /// What must hold, in a sentence.
        text: String,
        /// Whether a failure ends the test.
        severity: Severity,
        /// How long it may take, in microseconds; zero where it is judged at once.
        within_micros: u64,
    },
    /// How far a claim has come. At most a few a second, for people who watch.
    ClaimProgress {
        /// Which.
        claim: ClaimId,
        /// How much is there.
        have: u64,
        /// How much is needed.
        need: u64,
    },
    /// A claim was judged.
    ClaimFinished {
        /// Which.
        claim: ClaimId,
        /// How it came out.
        verdict: Verdict,
        /// From the start of the evaluation, in microseconds.
        took_micros: u64,
        /// What the verdict rests on.
        evidence: ClaimEvidence,
    },
    /// A claim will not be judged: the part of the scenario that asked was cancelled, as the loser
    /// of a `race` is. It counts neither for nor against the test.
    ClaimWithdrawn {
        /// Which.
        claim: ClaimId,
    },
    /// A fault is about to be applied: written before the act.
    FaultPlanned {
        /// Which.
        fault: FaultId,
        /// The test it belongs to.
        test: TestId,
        /// Its name in the catalogue: `kill_node`.
        name: String,
        /// Whom it hurts; of a fault with two sides, those of the near one first.
        targets: Vec<NodeId>,
        /// How many of them, the last ones, are on the far side; 0 where there is none.
        #[serde(default, skip_serializing_if = "is_zero")]
        against: u32,
        /// What it was told, as a scenario writes it: `delay = "200 ms"`. Empty if nothing.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        told: String,
        /// Its place in the schedule that drew it; `None` if the scenario asked for it by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chaos: Option<ChaosPlace>,
    },
    /// A fault went one stage further.
    FaultReached {
        /// Which.
        fault: FaultId,
        /// What it reached.
        #[serde(flatten)]
        stage: FaultStage,
    },
    /// The packets before a fault went wrong were written to a file.
    FaultCaptured {
        /// Which.
        fault: FaultId,
        /// The file, from the run's folder: pcapng.
        file: String,
        /// Packets in it; each is there as it was sent and as it arrived.
        packets: u64,
        /// Its size.
        bytes: u64,
    },
    /// A profile was drawn, of all of a node's processes or of all nodes together.
    ProfileTaken {
        /// Whose; absent for that of all nodes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeId>,
        /// What was counted: `cpu`, `heap`, `spans`.
        kind: String,
        /// The flamegraph, from the run's folder: SVG.
        file: String,
        /// Samples that it rests on; bytes of a heap, microseconds of spans.
        samples: u64,
        /// Samples in a second of CPU time; 0 for what is not sampled.
        hz: u32,
        /// What took the samples: `perf`, or `the node itself`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sampler: Option<String>,
        /// The claim that failed and that it was taken for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claim: Option<ClaimId>,
    },
    /// A node wrote down what its heap holds.
    HeapTaken(HeapSnapshot),
    /// A fault was judged.
    FaultFinished {
        /// Which.
        fault: FaultId,
        /// How it came out.
        verdict: Verdict,
    },
    /// A schedule of faults was drawn; its times count from here.
    ChaosPlanned {
        /// Which.
        chaos: ChaosId,
        /// The test it belongs to.
        test: TestId,
        /// The seed that it was drawn from.
        seed: u64,
        /// Whom it may hurt.
        on: Vec<NodeId>,
        /// The faults, in order.
        plan: Vec<ChaosFault>,
        /// How long the schedule is, in microseconds; of one that is gone on with, all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        length_micros: Option<u64>,
    },
    /// A fault of a schedule was not applied, because nobody was fit for it.
    ChaosSkipped {
        /// Its place.
        #[serde(flatten)]
        place: ChaosPlace,
        /// Why nobody was.
        why: String,
    },
    /// A schedule is over, and what was hurt is healed or given up.
    ChaosFinished {
        /// Which.
        chaos: ChaosId,
        /// What came of its faults.
        tally: ChaosTally,
        /// Why it ended before its schedule did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        early: Option<String>,
    },
    /// Rounds with two programs begin.
    ComparisonStarted {
        /// Which.
        comparison: ComparisonId,
        /// The test it belongs to.
        test: TestId,
        /// Name of the one program in the manifest.
        before: String,
        /// Name of the other one.
        after: String,
        /// Rounds with each that count.
        rounds: u32,
        /// Rounds with each that come first and do not.
        warmup: u32,
    },
    /// A round with one of the two programs begins.
    RoundStarted {
        /// Of which comparison.
        comparison: ComparisonId,
        /// Which round.
        #[serde(flatten)]
        round: Round,
    },
    /// A round ended, and everything that it started is gone.
    RoundFinished {
        /// Of which comparison.
        comparison: ComparisonId,
        /// Which round.
        #[serde(flatten)]
        round: Round,
        /// What it measured, by name; empty if it failed.
        measures: BTreeMap<String, Measure>,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    /// All rounds of a comparison were made, or one of them failed.
    ComparisonFinished {
        /// Which.
        comparison: ComparisonId,
    },
    /// A node was asked to do something, and what came of it.
    NodeActed {
        /// Which node.
        node: NodeId,
        /// What it was asked to do, in a few words: `order node-3 to shut down`.
        act: String,
        /// What came of it.
        outcome: String,
        /// Whether it was done; a refusal may be just what the scenario wants to see.
        done: bool,
        /// From the question to the answer, in microseconds.
        took_micros: u64,
    },
    /// A stretch of the run ended, and this is what the host did over it.
    HostSampled(HostSample),
    /// A workload between two nodes was driven to its end.
    TrafficMeasured(TrafficMeasure),
    /// A line for the timeline, by `print` or `record.note`.
    Note {
        /// The line.
        text: String,
    },
    /// A number of the scenario's own, by `record.metric`.
    Metric {
        /// Its name.
        name: String,
        /// Its value, in `unit`.
        value: f64,
        /// `s`, `B`, `%`, or empty for a plain number.
        unit: String,
    },
    /// Something a person should know that decides nothing.
    Warning {
        /// What, and what to do about it.
        text: String,
    },
    /// The scenario misused the language, or the harness could not do what it was asked.
    Problem {
        /// Whether the scenario is at fault, rather than the harness or the host.
        script: bool,
        /// What failed, what was got, what to do next.
        text: String,
    },
    /// The tests are over and judged; the mesh of the last one stays up for whoever attaches. What
    /// follows until [`RunEventKind::KeepEnded`] is manual.
    Kept {
        /// The meshes that stay.
        meshes: Vec<MeshId>,
        /// How many of their nodes run.
        nodes: u32,
    },
    /// Somebody gave a line at the prompt. Always manual; during a test it spoils its verdict.
    ByHand {
        /// The line, or the lines of what takes several.
        text: String,
    },
    /// The mesh that was kept is given up.
    KeepEnded {
        /// Who wanted it: `SIGINT`, `meshlab attach`.
        by: String,
    },
    /// What the run was asked to leave behind was looked for: processes, namespaces, sockets.
    Audited {
        /// What was looked for.
        checked: Vec<String>,
        /// What was still there. Must be empty.
        leftovers: Vec<String>,
    },
    /// The run is over. A record without this line is incomplete.
    RunFinished {
        /// Why it ended.
        reason: EndReason,
    },
}

/// How a workload went, as the node that drove it tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrafficMeasure {
    /// Who drove it.
    pub from: NodeId,
    /// Against whom.
    pub to: NodeId,
    /// `echo`, `request` or `bulk`.
    pub kind: String,
    /// Concurrent streams.
    pub streams: u32,
    /// Size of a message, or of the transfer, in bytes.
    pub bytes_each: u64,
    /// Completed round trips; of a bulk transfer, 1 when it arrived whole.
    pub round_trips: u64,
    /// Failures.
    pub errors: u64,
    /// The first few reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Payload bytes, there and back.
    pub bytes: u64,
    /// How long it took, in microseconds.
    pub took_micros: u64,
    /// Round-trip times in microseconds: HDR histogram, V2 with DEFLATE, base64.
    pub histogram: String,
}

/// Packets from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkCount {
    /// Sender.
    pub from: NodeId,
    /// Receiver.
    pub to: NodeId,
    /// Packets that arrived.
    pub packets: u64,
    /// Bytes of them, IP headers included.
    pub bytes: u64,
    /// Packets that did not, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
}

/// Packets of one node that were for nobody in the lab. None of them went anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StrayCount {
    /// Sender.
    pub node: NodeId,
    /// Packets to addresses outside the lab.
    pub outside: u64,
    /// The first few of those addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
    /// Packets with a source address that is not the node's.
    pub spoofed: u64,
    /// What was no IP packet.
    pub malformed: u64,
}

/// Whether a failed claim ends its test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// `expect`: the test stops here.
    Expect,
    /// `check`: the test goes on.
    Check,
}

/// How a test's body ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum TestOutcome {
    /// It reached its end.
    Completed,
    /// An `expect` failed and stopped it.
    Stopped,
    /// An error of the scenario or the harness ended it; the `problem` event before it says which.
    Errored,
    /// The run's hard stop or a signal ended it.
    Cancelled {
        /// Which of them.
        why: String,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeExit {
    /// Exit code, where it exited by itself.
    pub code: Option<i32>,
    /// Signal, where one ended it.
    pub signal: Option<i32>,
}

impl fmt::Display for NodeExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("an unknown status"),
        }
    }
}

/// A fault as it was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChaosFault {
    /// Microseconds from the drawing of the schedule to the fault.
    pub at_micros: u64,
    /// Its name in the catalogue.
    pub name: String,
    /// Whom it hurts; if that one is not fit when it is due, the next one of the list that is.
    pub target: NodeId,
    /// What became of it in the run that is replayed; then the time is the one at which it was
    /// applied there, and nobody else is hurt in the target's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realised: Option<Realised>,
}

/// What became of a fault of a schedule, in the run that is replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Realised {
    /// Whom it hurt, on the near side where it had two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<NodeId>,
    /// Whom it hurt on the far side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<NodeId>,
    /// Microseconds from the beginning of the schedule until a witness saw it act; `None` where
    /// none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset_micros: Option<u64>,
    /// Why it was not applied; `None` where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// The place of a fault in a schedule.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct ChaosPlace {
    /// Which schedule.
    pub chaos: ChaosId,
    /// Which of its faults, from 0.
    pub place: u32,
}

/// What came of the faults of a schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChaosTally {
    /// Drawn.
    pub planned: u64,
    /// Acted, and were noticed and healed as they must.
    pub detected: u64,
    /// Acted, and were not.
    pub missed: u64,
    /// Were not applied: nobody was fit, or this run cannot do them.
    pub skipped: u64,
    /// Acted, and could not be judged.
    pub inconclusive: u64,
    /// Could not be applied or taken back.
    pub broken: u64,
}

/// A stage in the life of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum FaultStage {
    /// A witness outside the script saw that it took effect.
    Acted {
        /// What the witness saw.
        witness: String,
        /// Why nobody has to notice; `None` if somebody has to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unnoticed: Option<String>,
    },
    /// A node that was not the target noticed.
    Noticed {
        /// Who.
        by: NodeId,
        /// By what: a span, or what the kernel said.
        evidence: String,
    },
    /// It was taken back.
    Undone {
        /// What was done.
        how: String,
    },
    /// After that, a node holds everybody to be there again that it held to be there before.
    Healed {
        /// Who.
        by: NodeId,
    },
}

/// What a verdict on a claim rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimEvidence {
    /// How much was found where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_node: Vec<Tally>,
    /// Sentences that name the culprit, nearest misses, log lines of that time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The claim counted from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<RunTime>,
}

/// How much was found at one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// Which node.
    pub node: NodeId,
    /// What was found.
    pub have: u64,
    /// What this node needs by itself; zero where only the sum counts.
    pub need: u64,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum EndReason {
    /// Every test was run.
    Completed,
    /// A signal asked for it.
    Interrupted {
        /// Its name: `SIGINT`.
        signal: String,
    },
    /// The scenario's timeout passed.
    TimedOut,
    /// A limit was broken, a ceiling, a floor or a trend; the claim says which.
    CeilingBroken,
    /// The scenario is wrong.
    ScriptError,
    /// The harness could not go on.
    HarnessFailed,
}

fn is_false(truth: &bool) -> bool {
    !truth
}

fn is_zero_micros(number: &u64) -> bool {
    *number == 0
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
