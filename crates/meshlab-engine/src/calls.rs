//! The engine's answers to a scenario's calls.

use std::time::Duration;

use async_trait::async_trait;
use meshlab_model::{
    ChaosTally, ClaimEvidence, ClaimId, ComparisonId, FaultId, HeapSnapshot, MeshId, MeshMade,
    NodeId, Round, RunEventKind, RunTime, Severity, SourceLine, SpanRecord, StepId, TestId,
    TestOutcome, Verdict,
};

use tokio::sync::watch;

use crate::{
    Answered, ChaosOptions, Claim, ClaimOutcome, ComparisonOptions, CpuProfile, Draw, Engine,
    FaultCall, FaultStarted, Grant, Host, HostError, Measured, MeshOptions, MetricValue, NodeAct,
    NodeInfo, NodeOptions, NodeView, Since, SpanQuery, Usage,
    cancel::describe,
    claims,
    state::{Mesh, choose},
};

#[async_trait]
impl Host for Engine {
    async fn begin_test(&self, test: TestId, title: &str, at: SourceLine) -> Result<(), HostError> {
        let event = RunEventKind::TestStarted { test, title: title.to_owned() };
        let began = self.shared.event_at(event, at);
        let mut state = self.shared.state();
        state.test = Some(test);
        state.began = began;
        Ok(())
    }

    async fn end_test(&self, test: TestId, outcome: TestOutcome) -> Result<(), HostError> {
        self.explain_limits().await;
        let faults = self.close_faults().await;
        let keeps = self.keeps(test, faults.is_err() || outcome != TestOutcome::Completed);
        // While the nodes still run: what could not be sampled is missing, not over.
        for (claim, node) in self.close_limits() {
            self.explain(claim, &node).await;
        }
        let nodes: Vec<NodeId> = self.shared.state().nodes.keys().cloned().collect();
        self.take_heaps(&nodes).await;
        if !keeps {
            self.end_all_nodes().await;
            self.shared.state().test = None;
        }
        self.shared.state().comparisons.clear();
        if let Err(error) = &faults {
            self.problem(false, error.to_string(), None);
        }
        self.shared.event(RunEventKind::TestFinished { test, outcome });
        if keeps {
            self.keep();
        }
        faults
    }

    fn kept(&self) -> bool {
        self.is_kept()
    }

    fn by_hand(&self, text: &str) {
        self.shared.event(RunEventKind::ByHand { text: text.to_owned() });
    }

    fn meshes(&self) -> Vec<MeshId> {
        self.shared.state().meshes.keys().cloned().collect()
    }

    fn begin_step(&self, name: &str, at: SourceLine) -> StepId {
        let step = {
            let mut state = self.shared.state();
            state.last_step += 1;
            StepId(state.last_step)
        };
        self.shared.event_at(RunEventKind::StepStarted { step, name: name.to_owned() }, at);
        step
    }

    fn end_step(&self, step: StepId) {
        self.shared.event(RunEventKind::StepFinished { step });
    }

    async fn start_mesh(&self, options: MeshOptions, at: SourceLine) -> Result<(), HostError> {
        let name = options.name.clone();
        {
            let mut state = self.shared.state();
            if state.test.is_none() {
                return Err(HostError::Misuse("`mesh` can only be used inside a `test`".into()));
            }
            if state.meshes.contains_key(&name) {
                return Err(HostError::Misuse(format!(
                    "there is a mesh `{name}` already; give this one another `name`"
                )));
            }
            let mesh = Mesh { options: options.clone(), nodes: Vec::new(), relay: None };
            state.meshes.insert(name.clone(), mesh);
        }
        let digest_every_micros =
            u64::try_from(options.digest_every.as_micros()).unwrap_or(u64::MAX);
        self.shared.event_at(
            RunEventKind::MeshStarting {
                mesh: name.clone(),
                nodes: u32::try_from(options.roles.len()).unwrap_or(u32::MAX),
                digest_every_micros,
                digest_gated: options.digest_gated,
                made: Some(made(&options)),
            },
            at.clone(),
        );
        self.open_limits(&name, &at)?;
        self.start_all(options).await?;
        self.shared.event(RunEventKind::MeshReady { mesh: name.clone() });
        let nodes = self.shared.state().mesh(&name)?.nodes.clone();
        self.take_heaps(&nodes).await;
        Ok(())
    }

    async fn add_node(
        &self,
        mesh: &MeshId,
        options: NodeOptions,
        _at: SourceLine,
    ) -> Result<NodeId, HostError> {
        let role = {
            let state = self.shared.state();
            let mesh = state.mesh(mesh)?;
            let role = options.role.clone();
            role.or_else(|| mesh.options.roles.first().cloned()).unwrap_or_default()
        };
        let id = self.place_node(mesh, &role, options)?;
        self.start_life(&id).await?;
        Ok(id)
    }

    async fn start_node(&self, node: &NodeId, _at: SourceLine) -> Result<(), HostError> {
        self.start_again(node).await
    }

    async fn stop_node(&self, node: &NodeId, _at: SourceLine) -> Result<(), HostError> {
        let runs = self.shared.state().node(node)?.runs();
        if !runs {
            return Err(HostError::Misuse(format!("{node} does not run, so it cannot leave")));
        }
        self.end_life(node).await;
        Ok(())
    }

    async fn act(
        &self,
        node: &NodeId,
        act: NodeAct,
        at: SourceLine,
    ) -> Result<Answered, HostError> {
        self.act_on(node, act, at).await
    }

    async fn grant(&self, node: &NodeId, grant: Grant, at: SourceLine) -> Result<(), HostError> {
        self.grant_to(node, grant, at).await
    }

    async fn node_view(&self, node: &NodeId) -> Result<NodeView, HostError> {
        self.view_of(node).await
    }

    fn relay(&self, mesh: &MeshId) -> Option<NodeInfo> {
        self.relay_of(mesh)
    }

    fn nodes(&self, mesh: &MeshId) -> Vec<NodeInfo> {
        let state = self.shared.state();
        let Ok(mesh) = state.mesh(mesh) else { return Vec::new() };
        mesh.nodes.iter().filter_map(|id| Some(state.nodes.get(id)?.info(id))).collect()
    }

    fn choose(&self, draw: &Draw, bound: usize) -> usize {
        choose(self.shared.config.seed, draw, bound)
    }

    async fn claim(
        &self,
        claim: Claim,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        self.judge_claim(claim, severity, at).await
    }

    fn open_claim(
        &self,
        call: &'static str,
        text: String,
        within: Duration,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimId, HostError> {
        self.start_claim(call, text, severity, within, at)
    }

    fn close_claim(
        &self,
        claim: ClaimId,
        verdict: Verdict,
        severity: Severity,
        took: Duration,
    ) -> Result<ClaimOutcome, HostError> {
        self.finish_claim(claim, verdict, took, ClaimEvidence::default(), severity, took)
    }

    fn withdraw_claim(&self, claim: ClaimId) {
        self.shared.event(RunEventKind::ClaimWithdrawn { claim });
    }

    fn usage(&self, nodes: &[NodeId], since: Since) -> Result<Vec<Usage>, HostError> {
        self.average_usage(nodes, since)
    }

    async fn cpu_profile(&self, node: &NodeId, length: Duration) -> Result<CpuProfile, HostError> {
        self.cpu_of(node, length, None).await
    }

    async fn heap(&self, node: &NodeId) -> Result<HeapSnapshot, HostError> {
        self.heap_of(node, None).await
    }

    fn list_spans(&self, query: &SpanQuery, limit: usize) -> Result<Vec<SpanRecord>, HostError> {
        Ok(self.shared.store.find(&claims::selector(self, query)?, limit))
    }

    fn count_spans(&self, query: &SpanQuery) -> Result<u64, HostError> {
        Ok(self.shared.store.count(&claims::selector(self, query)?))
    }

    async fn fault(&self, call: FaultCall, at: SourceLine) -> Result<FaultStarted, HostError> {
        self.apply_fault(call, at).await
    }

    async fn undo(&self, fault: FaultId) -> Result<(), HostError> {
        self.undo_fault(fault).await
    }

    async fn chaos(
        &self,
        options: ChaosOptions,
        over: watch::Receiver<bool>,
        at: SourceLine,
    ) -> Result<ChaosTally, HostError> {
        self.run_chaos(options, over, at).await
    }

    fn begin_comparison(
        &self,
        options: ComparisonOptions,
        at: SourceLine,
    ) -> Result<ComparisonId, HostError> {
        self.compare(options, at)
    }

    fn begin_round(&self, comparison: ComparisonId, round: &Round) -> Result<(), HostError> {
        self.open_round(comparison, round)
    }

    async fn end_round(
        &self,
        comparison: ComparisonId,
        round: &Round,
        measured: Measured,
    ) -> Result<(), HostError> {
        self.close_round(comparison, round, measured).await
    }

    fn end_comparison(&self, comparison: ComparisonId) {
        self.shared.event(RunEventKind::ComparisonFinished { comparison });
    }

    async fn sleep(&self, length: Duration) -> Result<(), HostError> {
        self.shared.cancel.or(tokio::time::sleep(length)).await
    }

    fn note(&self, text: &str, at: SourceLine) {
        self.shared.event_at(RunEventKind::Note { text: text.to_owned() }, at);
    }

    fn metric(&self, name: &str, value: MetricValue, at: SourceLine) {
        let (name, unit) = (name.to_owned(), value.unit.to_owned());
        self.shared.event_at(RunEventKind::Metric { name, value: value.value, unit }, at);
    }

    fn now(&self) -> RunTime {
        self.shared.clock.now()
    }

    fn cancelled(&self) -> Option<String> {
        self.shared.cancel.reason().as_ref().map(describe)
    }
}

/// What a mesh is like, for its record.
fn made(options: &MeshOptions) -> MeshMade {
    MeshMade {
        roles: options.roles.clone(),
        operator: options.operator,
        relay: options.relay,
        backbone: options.backbone,
        disk_bytes: options.disk.map(|disk| disk.0),
        env: options.env.clone(),
        binary: options.binary.clone(),
        kind: options.kind.as_ref().map(|kind| kind.name.clone()),
    }
}
