//! A host that records what it is asked and answers as it is told.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test support: each test file uses its part"
)]

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use meshlab_engine::{
    Answered, ChaosKind, ChaosOptions, Claim, ClaimOutcome, ComparisonOptions, CpuProfile, Draw,
    FaultCall, FaultStarted, Grant, Host, HostError, Measured, MeshOptions, MetricValue, NodeAct,
    NodeInfo, NodeOptions, NodeView, Since, SpanQuery, Usage,
};
use meshlab_model::{
    ByteSize, ChaosTally, ClaimId, ComparisonId, FaultId, HeapAmount, HeapGain, HeapGrowth,
    HeapSnapshot, MeshId, NodeId, Round, RunTime, Severity, SourceLine, SpanRecord, StepId, TestId,
    TestOutcome, Verdict,
};
use meshlab_script::{Overrides, RunOutcome, Script, ScriptError};
use meshlab_wire::{Outcome, TrafficKind, TrafficResult};
use tokio::sync::watch;

/// A thousand round trips of 1 to 1000 ms.
const HISTOGRAM: &str = concat!(
    "HISTFAAAAJ14nO2NPQrCMBiGv7xRIohkcFQnZ08g4uZlPIG4egPxAE7iORyl9BTd26lr0yZQ+ksptNA2",
    "eb6f5E2+vNvHc00k/qQXN53FZf+70NnXgivhSLwW8ATeMwTcxAcIWUl8Ge641eQVR8Upqe36ARvsFGnt",
    "/yyxwlKlJt2Vq2O9F5gncNOzNFft/PDnOShHQaii8cMu/rTm1nwa5hG32Tzp",
);

#[derive(Default)]
pub struct Fake {
    pub calls: Mutex<Vec<String>>,
    pub nodes: Mutex<Vec<NodeInfo>>,
    /// Claims whose text form contains this fail.
    pub failing: Option<&'static str>,
    /// Every fault is skipped.
    pub skips_faults: bool,
    /// How long a sleep really takes; it is polled all the time meanwhile.
    pub busy_for: Duration,
    pub cancelled: Mutex<Option<String>>,
    /// The only clock there is: it goes on while the script sleeps.
    pub slept: Mutex<Duration>,
    /// When each of those who sleep wakes, and a number that tells them apart.
    pub sleepers: Mutex<BTreeSet<(Duration, u64)>>,
    pub sleeps: AtomicU64,
    /// The mesh of the last test is kept.
    pub keeps: bool,
    /// The run is stopped once so many sleeps have begun.
    pub stops_after: Mutex<Option<u64>>,
}

/// Who sleeps; gone when it wakes, or when it is cancelled.
struct Sleeper<'a> {
    fake: &'a Fake,
    wakes: (Duration, u64),
}

impl<'a> Sleeper<'a> {
    fn new(fake: &'a Fake, length: Duration) -> Self {
        let mut sleepers = fake.sleepers.lock().unwrap();
        let number = fake.sleeps.fetch_add(1, Ordering::SeqCst);
        let wakes = (*fake.slept.lock().unwrap() + length, number);
        sleepers.insert(wakes);
        drop(sleepers);
        Self { fake, wakes }
    }

    /// Whether it is the first to wake; then it is its time.
    fn is_first(&self) -> bool {
        self.fake.sleepers.lock().unwrap().first() == Some(&self.wakes)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.fake.sleepers.lock().unwrap().remove(&self.wakes);
    }
}

impl Fake {
    fn say(&self, text: String) {
        self.calls.lock().unwrap().push(text);
    }

    pub fn said(&self) -> String {
        self.calls.lock().unwrap().join("\n")
    }
}

/// Loads a scenario text under the name `x.lua`.
pub fn load(text: &str) -> Result<Script, Box<ScriptError>> {
    load_with(text, Overrides::default())
}

pub fn load_with(text: &str, overrides: Overrides) -> Result<Script, Box<ScriptError>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.lua");
    std::fs::write(&path, text).unwrap();
    Script::load_with(&path, overrides)
}

pub fn load_at(path: &Path) -> Result<Script, Box<ScriptError>> {
    Script::load(path)
}

/// Runs a scenario text to its end against `fake`.
pub fn run_on(fake: &Arc<Fake>, text: &str) -> RunOutcome {
    run_with(fake, text, Overrides::default())
}

pub fn run_with(fake: &Arc<Fake>, text: &str, overrides: Overrides) -> RunOutcome {
    let script =
        load_with(text, overrides).unwrap_or_else(|error| panic!("{}", error.render(false)));
    script.run(Arc::clone(fake) as Arc<dyn Host>, &|_| {})
}

/// The first error of a scenario text, at its top level or in a test, with the folder taken out.
pub fn error_of(text: &str) -> String {
    let rendered = match load(text) {
        Err(error) => error.render(false),
        Ok(script) => {
            let outcome = script.run(Arc::new(Fake::default()), &|_| {});
            let first = outcome.errors.first().map(|error| error.render(false));
            first.unwrap_or_else(|| "no error".to_owned())
        }
    };
    rendered
        .lines()
        .map(|line| match (line.find("--> "), line.find("x.lua")) {
            (Some(arrow), Some(file)) => format!("{}{}", &line[..arrow + 4], &line[file..]),
            _ => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[async_trait]
impl Host for Fake {
    async fn begin_test(&self, _: TestId, title: &str, _: SourceLine) -> Result<(), HostError> {
        self.say(format!("begin {title}"));
        Ok(())
    }
    async fn end_test(&self, _: TestId, outcome: TestOutcome) -> Result<(), HostError> {
        self.say(format!("end {outcome:?}"));
        Ok(())
    }
    fn kept(&self) -> bool {
        self.keeps
    }
    fn by_hand(&self, text: &str) {
        self.say(format!("by hand {text}"));
    }
    fn meshes(&self) -> Vec<MeshId> {
        let nodes = self.nodes.lock().unwrap();
        let meshes: BTreeSet<MeshId> = nodes.iter().map(|node| node.mesh.clone()).collect();
        meshes.into_iter().collect()
    }
    fn begin_step(&self, name: &str, _: SourceLine) -> StepId {
        self.say(format!("step {name}"));
        StepId(1)
    }
    fn end_step(&self, _: StepId) {
        self.say("step ends".to_owned());
    }
    async fn start_mesh(&self, options: MeshOptions, at: SourceLine) -> Result<(), HostError> {
        self.say(format!(
            "mesh {} {:?} {:?} gated={} at {}:{}",
            options.name,
            options.roles,
            options.digest_every,
            options.digest_gated,
            at.line,
            at.column
        ));
        if let Some(binary) = &options.binary {
            self.say(format!("  of {binary}"));
        }
        *self.nodes.lock().unwrap() = (1..)
            .zip(options.roles)
            .map(|(n, role)| NodeInfo {
                id: NodeId(format!("node-{n}")),
                mesh: options.name.clone(),
                role,
                live: true,
                name: Some(format!("mesh1.broker.{n:06}")),
                binary: options.binary.clone().unwrap_or_else(|| "mesh-node".into()),
                public_key: Some(format!("{n:064x}")),
            })
            .collect();
        Ok(())
    }
    async fn add_node(
        &self,
        _: &MeshId,
        options: NodeOptions,
        _: SourceLine,
    ) -> Result<NodeId, HostError> {
        self.say(format!("add {options:?}"));
        let mut nodes = self.nodes.lock().unwrap();
        let id = options.id.unwrap_or(NodeId("added".into()));
        let role = options.role.unwrap_or_default();
        let binary = options.binary.unwrap_or_else(|| "mesh-node".into());
        let mesh = "mesh1".into();
        let (name, public_key) = (None, None);
        nodes.push(NodeInfo { id: id.clone(), mesh, role, live: true, name, binary, public_key });
        Ok(id)
    }
    async fn start_node(&self, node: &NodeId, _: SourceLine) -> Result<(), HostError> {
        self.say(format!("start {node}"));
        Ok(())
    }
    async fn stop_node(&self, node: &NodeId, _: SourceLine) -> Result<(), HostError> {
        self.say(format!("stop {node}"));
        Ok(())
    }
    fn nodes(&self, _: &MeshId) -> Vec<NodeInfo> {
        self.nodes.lock().unwrap().clone()
    }
    fn choose(&self, draw: &Draw, bound: usize) -> usize {
        if !draw.task.is_empty() {
            self.say(format!("draw {:?} {}", draw.task, draw.number));
        }
        bound - 1
    }
    async fn claim(
        &self,
        claim: Claim,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        let text = format!("{severity:?} {claim:?} at {}:{}", at.line, at.column);
        let fails = self.failing.is_some_and(|part| text.contains(part));
        self.say(text);
        let passed = !fails && !matches!(claim, Claim::Compared { holds: false, .. });
        match (passed, severity) {
            (false, Severity::Expect) => Err(HostError::ClaimFailed("0 of 1".to_owned())),
            _ => Ok(ClaimOutcome { passed, took: Duration::from_millis(1500) }),
        }
    }
    fn open_claim(
        &self,
        call: &'static str,
        text: String,
        _: Duration,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimId, HostError> {
        self.say(format!("{severity:?} opens {call} \"{text}\" at {}:{}", at.line, at.column));
        Ok(ClaimId(1))
    }
    fn close_claim(
        &self,
        _: ClaimId,
        verdict: Verdict,
        severity: Severity,
        took: Duration,
    ) -> Result<ClaimOutcome, HostError> {
        self.say(format!("closes {verdict}"));
        match (verdict.is_passed(), severity) {
            (false, Severity::Expect) => Err(HostError::ClaimFailed(verdict.to_string())),
            (passed, _) => Ok(ClaimOutcome { passed, took }),
        }
    }
    fn withdraw_claim(&self, _: ClaimId) {
        self.say("withdrawn".to_owned());
    }
    fn usage(&self, nodes: &[NodeId], since: Since) -> Result<Vec<Usage>, HostError> {
        self.say(format!("usage {nodes:?} {since:?}"));
        let (cpu, cpu_time) = (0.0125, Duration::from_millis(250));
        let rss = ByteSize(40 * 1024 * 1024);
        let one = Usage { cpu, cpu_time, rss, open_files: 20.4, threads: 3.0 };
        Ok(vec![one; nodes.len()])
    }
    async fn cpu_profile(&self, node: &NodeId, length: Duration) -> Result<CpuProfile, HostError> {
        self.say(format!("cpu_profile {node} {length:?}"));
        let hottest = vec![("main".to_owned(), 0.75)];
        Ok(CpuProfile { samples: 12, sampler: "perf", file: None, hottest })
    }
    async fn heap(&self, node: &NodeId) -> Result<HeapSnapshot, HostError> {
        self.say(format!("heap {node}"));
        let amount = |bucket: &str, site: Option<&str>, bytes| HeapAmount {
            bucket: bucket.to_owned(),
            site: site.map(str::to_owned),
            bytes,
            blocks: 2,
        };
        let gain = |bucket: &str, site: Option<&str>, bytes| HeapGain {
            bucket: bucket.to_owned(),
            site: site.map(str::to_owned),
            bytes,
        };
        Ok(HeapSnapshot {
            node: node.clone(),
            number: 2,
            pid: 7,
            taken: RunTime { micros: 0 },
            file: "x.dhat.json".to_owned(),
            bytes: 4096,
            blocks: 4,
            rule: 1,
            recorder: "each".to_owned(),
            buckets: vec![amount("quic", None, 3072), amount("other", None, 1024)],
            sites: vec![amount("quic", Some("noq::f (a.rs:1)"), 3072)],
            since: Some(HeapGrowth {
                micros: 1_000_000,
                churn: 4,
                buckets: vec![gain("quic", None, 2048)],
                sites: vec![gain("quic", Some("noq::f (a.rs:1)"), 2048)],
            }),
            claim: None,
        })
    }
    async fn act(&self, node: &NodeId, act: NodeAct, _: SourceLine) -> Result<Answered, HostError> {
        self.say(format!("{node} {act:?}"));
        Ok(match act {
            NodeAct::SetState(_) => Ok(Outcome::Done),
            NodeAct::Order { .. } => {
                Ok(Outcome::Ordered { accepted: false, reason: Some("unrooted".into()) })
            }
            NodeAct::Deliver { .. } => Ok(Outcome::Delivered {
                trace: "ab".repeat(16),
                via: "direct".into(),
                took_micros: 1500,
            }),
            NodeAct::Resolve { .. } => Err("mesh `x` is not known on the backbone".into()),
            NodeAct::Traffic(call) => Ok(Outcome::Traffic(TrafficResult {
                round_trips: 1000,
                errors: u64::from(call.kind == TrafficKind::Bulk),
                reasons: vec!["the receiver was silent".into()],
                bytes: 2048,
                took_micros: 2_000_000,
                histogram: HISTOGRAM.into(),
            })),
            NodeAct::Share { .. } => Ok(Outcome::Shared { hash: "cd".repeat(32), bytes: 9 }),
            NodeAct::Fetch { .. } => {
                Ok(Outcome::Fetched { files: 2, bytes: 4096, took_micros: 3000 })
            }
            NodeAct::Counters => Ok(Outcome::Counters {
                counters: [("digests.sent".to_owned(), 4)].into(),
                gauges: [("directory.entries".to_owned(), 3)].into(),
            }),
        })
    }
    async fn grant(&self, node: &NodeId, grant: Grant, _: SourceLine) -> Result<(), HostError> {
        self.say(format!("grant {node} {grant:?}"));
        Ok(())
    }
    async fn node_view(&self, _: &NodeId) -> Result<NodeView, HostError> {
        Ok(NodeView { peers: 3, neighbors: 2, connections: 2 })
    }
    fn relay(&self, _: &MeshId) -> Option<NodeInfo> {
        None
    }
    fn list_spans(&self, _: &SpanQuery, _: usize) -> Result<Vec<SpanRecord>, HostError> {
        Ok(vec![SpanRecord {
            seq: 1,
            arrived: RunTime::ZERO,
            node: "node-1".into(),
            name: "cross.delivered".into(),
            trace_id: "ab".repeat(16),
            span_id: "01".repeat(8),
            parent_id: "02".repeat(8),
            start_unix_nanos: 1_000_000_000,
            end_unix_nanos: 1_002_000_000,
            attributes: [("via".to_owned(), "direct".into())].into(),
        }])
    }
    fn count_spans(&self, _: &SpanQuery) -> Result<u64, HostError> {
        Ok(7)
    }
    async fn fault(&self, call: FaultCall, _: SourceLine) -> Result<FaultStarted, HostError> {
        let hold = call.hold.map(|hold| format!(" hold={hold:?}")).unwrap_or_default();
        let (name, settings) = (&call.name, call.settings.to_string());
        let (targets, against) = (&call.targets, &call.against);
        let group = call.group.as_ref().map(|group| format!(" {group:?}")).unwrap_or_default();
        self.say(
            format!("fault {name} {targets:?} {against:?}{group}{hold} {settings}").trim().into(),
        );
        Ok(FaultStarted { fault: FaultId(1), applied: self.now(), acted: !self.skips_faults })
    }
    async fn chaos(
        &self,
        options: ChaosOptions,
        mut over: watch::Receiver<bool>,
        _: SourceLine,
    ) -> Result<ChaosTally, HostError> {
        let ChaosOptions { on, kinds, every, jitter, duration, .. } = &options;
        self.say(format!("chaos {on:?} every {every:?} jitter {jitter:?} duration {duration:?}"));
        let ChaosOptions { at_once, detect_within, flake_budget, skip_budget, .. } = &options;
        self.say(format!(
            "  at_once {at_once} detect_within {detect_within:?} flake_budget {flake_budget} \
             skip_budget {skip_budget}"
        ));
        for ChaosKind { fault, weight, aim, settings, hold } in kinds {
            self.say(
                format!("  {fault} {aim:?} weight {weight} hold {hold:?} {settings}")
                    .trim_end()
                    .into(),
            );
        }
        if options.duration.is_none() {
            let _ = over.wait_for(|over| *over).await;
        }
        self.say("chaos ends".to_owned());
        Ok(ChaosTally { planned: 9, detected: 6, missed: 1, skipped: 2, ..ChaosTally::default() })
    }
    async fn undo(&self, fault: FaultId) -> Result<(), HostError> {
        self.say(format!("undo {fault}"));
        Ok(())
    }
    fn begin_comparison(
        &self,
        options: ComparisonOptions,
        _: SourceLine,
    ) -> Result<ComparisonId, HostError> {
        self.say(format!("{options:?}"));
        Ok(ComparisonId(1))
    }
    fn begin_round(&self, _: ComparisonId, round: &Round) -> Result<(), HostError> {
        self.say(format!("{round} begins, warm-up {}", round.warmup));
        Ok(())
    }
    async fn end_round(
        &self,
        _: ComparisonId,
        round: &Round,
        measured: Measured,
    ) -> Result<(), HostError> {
        self.say(format!("{round} ends: {measured:?}"));
        Ok(())
    }
    fn end_comparison(&self, _: ComparisonId) {
        self.say("comparison ends".to_owned());
    }
    async fn sleep(&self, length: Duration) -> Result<(), HostError> {
        self.say(format!("sleep {length:?}"));
        let sleeper = Sleeper::new(self, length);
        if self.stops_after.lock().unwrap().is_some_and(|after| sleeper.wakes.1 >= after) {
            *self.cancelled.lock().unwrap() = Some("enough".to_owned());
        }
        // Whoever else is awake gets to say for how long it sleeps, before the clock goes on to
        // the first who wakes.
        let mut quiet = 0;
        while quiet < 20 {
            quiet = if sleeper.is_first() { quiet + 1 } else { 0 };
            tokio::task::yield_now().await;
        }
        *self.slept.lock().unwrap() = sleeper.wakes.0;
        drop(sleeper);
        let began = std::time::Instant::now();
        while began.elapsed() < self.busy_for {
            tokio::task::yield_now().await;
        }
        match &*self.cancelled.lock().unwrap() {
            Some(why) => Err(HostError::Cancelled(why.clone())),
            None => Ok(()),
        }
    }
    fn note(&self, text: &str, _: SourceLine) {
        self.say(format!("note {text}"));
    }
    fn metric(&self, name: &str, value: MetricValue, _: SourceLine) {
        self.say(format!("metric {name} {}{}", value.value, value.unit));
    }
    fn now(&self) -> RunTime {
        RunTime::from_duration(*self.slept.lock().unwrap())
    }
    fn cancelled(&self) -> Option<String> {
        self.cancelled.lock().unwrap().clone()
    }
}
