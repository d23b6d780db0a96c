//! The host of a rehearsal: answers every call at once, judges no measurement, refuses what no run
//! could do.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use meshlab_engine::{
    Answered, ChaosOptions, Claim, ClaimOutcome, ComparisonOptions, CpuProfile, Draw, FaultCall,
    FaultStarted, Grant, Host, HostError, Measured, MeshOptions, MetricValue, NodeAct, NodeInfo,
    NodeOptions, NodeView, Since, SpanQuery, Temporal, Usage,
};
use meshlab_model::{
    ByteSize, ChaosTally, ClaimId, ComparisonId, FaultId, HeapSnapshot, MeshId, NodeId, Round,
    RunTime, Severity, SourceLine, SpanRecord, StepId, TestId, TestOutcome, Verdict,
    format_duration,
};
use tokio::sync::watch;

use super::{
    answers,
    checks::{check_chaos, check_fault},
    clock::Clock,
    remarks::{Remark, unknown_span},
    world::{Life, World},
};
use crate::{context::Context, locate::Line};

/// What an answer of the host takes on the clock, so that lengths of time are more than nothing.
const ANSWER: Duration = Duration::from_millis(1);
/// How often the condition of an `eventually` is asked at most: what is false that often stays so
/// as long as no node is there to change it.
const ASKED_MAX: u32 = 20;
/// Lua that goes on for so long, in real time, while no time passes in the scenario, is taken for
/// an endless loop, if it did some work meanwhile: on a machine that is busy with something else
/// real time alone says nothing of a scenario.
const STOOD_MAX: Duration = Duration::from_millis(800);
/// That work, in instructions of Lua. A scenario computes little between two waits.
const WORK_MAX: u64 = 1_000_000;
/// What a look of the watchdog stands for: it looks that often.
const LOOK: u64 = 10_000;
/// What a call of the host stands for: as long as that many instructions at the least.
const CALL: u64 = 100;
/// However little work it did: calls that each take long are an endless loop too.
const STOOD_IDLE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Stage {
    context: Arc<Context>,
    clock: Clock,
    world: Mutex<World>,
    ends: Mutex<Ends>,
    remarks: Mutex<Vec<Remark>>,
}

/// When the test that runs is over, whatever it does.
struct Ends {
    began: std::time::Instant,
    /// On the clock.
    from: Duration,
    timeout: Duration,
    patience: Duration,
    /// Claims that the script asks itself: how long.
    open: Vec<(ClaimId, Duration)>,
    /// Time on the clock that claims took which only real nodes can decide.
    undecided: Duration,
    last_claim: u32,
}

impl Stage {
    pub(super) fn new(context: Arc<Context>, timeout: Duration, patience: Duration) -> Self {
        let ends = Ends {
            began: std::time::Instant::now(),
            from: Duration::ZERO,
            timeout,
            patience,
            open: Vec::new(),
            undecided: Duration::ZERO,
            last_claim: 0,
        };
        Self {
            context,
            clock: Clock::new(),
            world: Mutex::default(),
            ends: Mutex::new(ends),
            remarks: Mutex::default(),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_remarks(&self) -> Vec<Remark> {
        std::mem::take(&mut *self.remarks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nothing has come of it for so long that nothing will: the one end of a rehearsal
    /// that is a mistake of the scenario.
    pub(super) fn stands(&self) -> bool {
        let stood = self.clock.stood_for();
        stood > STOOD_IDLE_MAX || (stood > STOOD_MAX && self.clock.work() > WORK_MAX)
    }

    fn remark(&self, remark: Remark) {
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }

    fn known_span(&self, query: &SpanQuery, line: Line) {
        if let Some(remark) = unknown_span(&query.name, line) {
            self.remark(remark);
        }
    }

    /// A query that somebody reads the answer of.
    fn asked(&self, query: &SpanQuery) -> Vec<SpanRecord> {
        self.clock.add_work(CALL);
        self.known_span(query, self.context.last_line());
        let now = self.clock.now();
        let mut world = self.world();
        world.invented = true;
        world.find(query, now)
    }

    /// Whether there is anybody to look at. A list that was made of what nodes told may be empty
    /// here and not in a run.
    fn some(&self, nodes: Option<&Vec<NodeId>>, why: &str) -> Result<(), HostError> {
        let empty = nodes.is_some_and(Vec::is_empty);
        match empty && !self.world().invented {
            true => Err(HostError::Misuse(why.to_owned())),
            false => Ok(()),
        }
    }

    async fn rehearse_temporal(&self, claim: &Temporal) -> Result<(), HostError> {
        claim.check()?;
        for query in claim.queries() {
            self.known_span(query, self.context.last_line());
            self.some(query.from.as_ref(), NOBODY)?;
        }
        self.wait(claim.watches()).await
    }

    fn answered(&self) -> Result<ClaimOutcome, HostError> {
        self.clock.add_work(CALL);
        self.clock.pass(ANSWER);
        Ok(ClaimOutcome { passed: true, took: ANSWER })
    }

    async fn wait(&self, length: Duration) -> Result<(), HostError> {
        match self.cancelled() {
            Some(why) => Err(HostError::Cancelled(why)),
            None => {
                self.clock.wait(length).await;
                Ok(())
            }
        }
    }
}

const NOBODY: &str = "no node to look at: the list given as `from` or `from_each` is empty";

#[async_trait]
impl Host for Stage {
    fn rehearses(&self) -> bool {
        true
    }

    async fn begin_test(&self, _: TestId, _: &str, _: SourceLine) -> Result<(), HostError> {
        self.world().clear();
        self.clock.begin();
        let mut ends = self.ends();
        ends.began = std::time::Instant::now();
        ends.open.clear();
        (ends.from, ends.undecided) = (self.clock.now(), Duration::ZERO);
        Ok(())
    }

    async fn end_test(&self, _: TestId, _: TestOutcome) -> Result<(), HostError> {
        Ok(())
    }

    fn begin_step(&self, _: &str, _: SourceLine) -> StepId {
        StepId(1)
    }

    fn end_step(&self, _: StepId) {}

    async fn start_mesh(&self, options: MeshOptions, _: SourceLine) -> Result<(), HostError> {
        self.clock.pass(ANSWER);
        self.world().start_mesh(options, self.clock.now())
    }

    async fn add_node(
        &self,
        mesh: &MeshId,
        options: NodeOptions,
        _: SourceLine,
    ) -> Result<NodeId, HostError> {
        self.clock.pass(ANSWER);
        self.world().add(mesh, options, self.clock.now())
    }

    async fn start_node(&self, node: &NodeId, _: SourceLine) -> Result<(), HostError> {
        self.clock.pass(ANSWER);
        self.world().start(node, self.clock.now())
    }

    async fn stop_node(&self, node: &NodeId, _: SourceLine) -> Result<(), HostError> {
        let mut world = self.world();
        world.must_run(node, "leave", self.clock.now())?;
        world.set_life(node, Life::Ended);
        Ok(())
    }

    async fn act(&self, node: &NodeId, act: NodeAct, _: SourceLine) -> Result<Answered, HostError> {
        self.clock.add_work(CALL);
        let length = answers::length(&act);
        self.world().must_run(node, "be asked", self.clock.now())?;
        self.wait(length).await?;
        self.clock.pass(ANSWER);
        answers::act(&mut self.world(), node, act, self.clock.now())
    }

    async fn grant(&self, node: &NodeId, grant: Grant, _: SourceLine) -> Result<(), HostError> {
        let now = self.clock.now();
        let mut world = self.world();
        world.life(node, now)?;
        if let Some(mesh) = grant.mesh.as_ref().filter(|mesh| !world.meshes.contains_key(mesh)) {
            return Err(HostError::Misuse(format!("there is no mesh `{mesh}`")));
        }
        world.grants.entry(node.clone()).or_default().push((grant, now));
        Ok(())
    }

    async fn node_view(&self, node: &NodeId) -> Result<NodeView, HostError> {
        let now = self.clock.now();
        let mut world = self.world();
        world.must_run(node, "be asked", now)?;
        world.invented = true;
        let others = world.others(node, now).len() as u64;
        Ok(NodeView { peers: others, neighbors: others.min(5), connections: others.min(5) })
    }

    fn relay(&self, mesh: &MeshId) -> Option<NodeInfo> {
        let world = self.world();
        world.relays.get(mesh).and_then(|relay| world.info(relay, self.clock.now()))
    }

    fn nodes(&self, mesh: &MeshId) -> Vec<NodeInfo> {
        self.clock.add_work(CALL);
        self.world().members(mesh, self.clock.now())
    }

    fn choose(&self, _: &Draw, _: usize) -> usize {
        0
    }

    async fn claim(
        &self,
        claim: Claim,
        _: Severity,
        _: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        match &claim {
            Claim::Spans { query, .. } => {
                self.known_span(query, self.context.last_line());
                self.some(query.from.as_ref(), NOBODY)?;
            }
            Claim::Temporal(claim) => self.rehearse_temporal(claim).await?,
            Claim::NoSpans { query, during, .. } => {
                self.known_span(query, self.context.last_line());
                let why = "no node to look at: nothing that is not looked at can pass";
                self.some(query.from.as_ref(), why)?;
                self.wait(during.unwrap_or_default()).await?;
            }
            Claim::State { node, seen_by, .. } | Claim::States { node, seen_by, .. } => {
                let others = self.world().others(node, self.clock.now());
                let why = format!("there is nobody to see the state of {node}");
                self.some(Some(seen_by.as_ref().unwrap_or(&others)), &why)?;
            }
            Claim::Conserved(conserved) => {
                let why = "no node to look at: nothing that is not looked at can pass";
                self.some(Some(&conserved.nodes), why)?;
            }
            Claim::Answers { nodes, .. } | Claim::File { nodes, .. } => {
                let why = "no node to look at: nothing that is not looked at can pass";
                self.some(Some(nodes), why)?;
            }
            Claim::Formed { .. }
            | Claim::Agreed { .. }
            | Claim::Changed(_)
            | Claim::Compared { .. } => {}
        }
        self.answered()
    }

    fn open_claim(
        &self,
        _: &'static str,
        _: String,
        within: Duration,
        _: Severity,
        _: SourceLine,
    ) -> Result<ClaimId, HostError> {
        let mut ends = self.ends();
        ends.last_claim += 1;
        let claim = ClaimId(ends.last_claim);
        ends.open.push((claim, within));
        Ok(claim)
    }

    fn close_claim(
        &self,
        claim: ClaimId,
        _: Verdict,
        _: Severity,
        took: Duration,
    ) -> Result<ClaimOutcome, HostError> {
        let mut ends = self.ends();
        ends.open.retain(|(open, _)| *open != claim);
        ends.undecided += took;
        // What only nodes can make true is not decided without them.
        Ok(ClaimOutcome { passed: true, took: took.max(ANSWER) })
    }

    fn withdraw_claim(&self, claim: ClaimId) {
        self.ends().open.retain(|(open, _)| *open != claim);
    }

    fn usage(&self, nodes: &[NodeId], _: Since) -> Result<Vec<Usage>, HostError> {
        self.clock.add_work(CALL);
        for node in nodes {
            self.world().life(node, self.clock.now())?;
        }
        let (cpu, cpu_time) = (0.01, ANSWER);
        let rss = ByteSize(20 << 20);
        let one = Usage { cpu, cpu_time, rss, open_files: 20.0, threads: 4.0 };
        Ok(vec![one; nodes.len()])
    }

    async fn cpu_profile(&self, node: &NodeId, length: Duration) -> Result<CpuProfile, HostError> {
        self.world().life(node, self.clock.now())?;
        self.clock.pass(length);
        let hottest = vec![("main".to_owned(), 1.0)];
        Ok(CpuProfile { samples: 1, sampler: "perf", file: None, hottest })
    }

    async fn heap(&self, node: &NodeId) -> Result<HeapSnapshot, HostError> {
        self.world().life(node, self.clock.now())?;
        self.clock.pass(ANSWER);
        Ok(answers::heap(node))
    }

    fn count_spans(&self, query: &SpanQuery) -> Result<u64, HostError> {
        Ok(self.asked(query).len() as u64)
    }

    fn list_spans(&self, query: &SpanQuery, limit: usize) -> Result<Vec<SpanRecord>, HostError> {
        let mut found = self.asked(query);
        let more = found.len().saturating_sub(limit);
        found.drain(..more);
        Ok(found)
    }

    async fn fault(&self, call: FaultCall, _: SourceLine) -> Result<FaultStarted, HostError> {
        self.clock.pass(ANSWER);
        let now = self.clock.now();
        let mut world = self.world();
        check_fault(&world, &call, now)?;
        world.needs.fault(&call.name);
        world.faults += 1;
        let fault = FaultId(world.faults);
        if matches!(call.name.as_str(), "kill_node" | "burst_kill" | "relay_down") {
            let life = call.hold.map_or(Life::Ended, |hold| Life::Until(now + hold));
            for node in &call.targets {
                world.set_life(node, life);
            }
            world.fallen.insert(fault, call.targets);
        }
        Ok(FaultStarted { fault, applied: RunTime::from_duration(now), acted: true })
    }

    async fn undo(&self, fault: FaultId) -> Result<(), HostError> {
        let mut world = self.world();
        for node in world.fallen.remove(&fault).unwrap_or_default() {
            world.set_life(&node, Life::Runs);
        }
        Ok(())
    }

    async fn chaos(
        &self,
        options: ChaosOptions,
        mut over: watch::Receiver<bool>,
        _: SourceLine,
    ) -> Result<ChaosTally, HostError> {
        let timeout = self.ends().timeout;
        {
            let mut world = self.world();
            check_chaos(&world, &options, timeout)?;
            for kind in &options.kinds {
                world.needs.fault(&kind.fault);
            }
            world.invented = true;
        }
        match options.duration {
            None => drop(over.wait_for(|over| *over).await),
            Some(length) => tokio::select! {
                waited = self.wait(length) => waited?,
                // An error says that the body is gone, and with it what would end the chaos early.
                Ok(_) = over.wait_for(|over| *over) => {}
            },
        }
        Ok(ChaosTally { planned: 1, detected: 1, ..ChaosTally::default() })
    }

    fn begin_comparison(
        &self,
        _: ComparisonOptions,
        _: SourceLine,
    ) -> Result<ComparisonId, HostError> {
        Ok(ComparisonId(1))
    }

    fn begin_round(&self, _: ComparisonId, _: &Round) -> Result<(), HostError> {
        self.world().begin_round();
        Ok(())
    }

    async fn end_round(&self, _: ComparisonId, _: &Round, _: Measured) -> Result<(), HostError> {
        self.world().end_round();
        Ok(())
    }

    fn end_comparison(&self, _: ComparisonId) {
        // What the rounds measured is made up.
        self.world().invented = true;
    }

    async fn sleep(&self, length: Duration) -> Result<(), HostError> {
        let asked = self.ends().open.iter().map(|(_, within)| *within / ASKED_MAX).max();
        self.wait(length.max(asked.unwrap_or_default())).await
    }

    fn note(&self, _: &str, _: SourceLine) {}

    fn metric(&self, _: &str, _: MetricValue, _: SourceLine) {}

    fn now(&self) -> RunTime {
        RunTime::from_duration(self.clock.now())
    }

    fn cancelled(&self) -> Option<String> {
        self.clock.add_work(LOOK);
        if self.stands() {
            return Some("nothing waits here".to_owned());
        }
        let ends = self.ends();
        let spent = self.clock.now().saturating_sub(ends.from).saturating_sub(ends.undecided);
        if spent > ends.timeout {
            return Some(format!(
                "after {} of the scenario's time, which is its timeout",
                format_duration(ends.timeout)
            ));
        }
        (ends.began.elapsed() > ends.patience)
            .then(|| format!("{} of the scenario's time took too long", format_duration(spent)))
    }
}
