//! Applies faults, watches for others to notice, takes faults back, judges them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use meshlab_faults::{Evidence, Fault, Revive, Target, Undo, by_name, catalogue};
use meshlab_model::{
    FaultId, FaultStage, NodeId, RunEventKind, RunTime, SourceLine, Verdict, format_duration,
};
use meshlab_spans::Selector;
use meshlab_wire::attr;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::{Engine, FaultCall, HostError, cancel::describe, engine::Shared, state::OpenFault};

/// How long an undo may take: it may start a node.
const UNDO_WITHIN: Duration = Duration::from_secs(30);

/// Who must notice, and until when.
struct Watch {
    fault: FaultId,
    evidence: Evidence,
    target_key: String,
    applied: RunTime,
    within: Duration,
    observers: Vec<NodeId>,
}

impl Engine {
    pub(crate) async fn apply_fault(
        &self,
        call: FaultCall,
        at: SourceLine,
    ) -> Result<FaultId, HostError> {
        let fault = by_name(&call.name).ok_or_else(|| {
            let names: Vec<&str> = catalogue().iter().map(|fault| fault.name()).collect();
            HostError::Misuse(format!(
                "there is no fault `{}`; there is {}",
                call.name,
                names.join(", ")
            ))
        })?;
        let [node] = call.targets.as_slice() else {
            return Err(HostError::Misuse(format!("`fault.{}` takes one node", call.name)));
        };
        let id = self.plan_fault(&call, at)?;
        let target = self.target(node)?;
        let observers = self.observers(node)?;
        let applying = self.shared.clock.now();
        let applied = match self.shared.cancel.or(fault.apply(&target)).await? {
            Ok(applied) => applied,
            Err(error) => {
                let why = error.to_string();
                self.finish_fault(id, Verdict::Broken(why.clone()));
                return Err(HostError::Harness(format!("failed to {why}")));
            }
        };
        self.reached(id, FaultStage::Acted { witness: applied.witness });
        let undone = watch::Sender::new(false);
        let judge = self.watch(id, fault, node, observers, applying).map(|watch| {
            let (shared, undone) = (Arc::clone(&self.shared), undone.subscribe());
            self.shared.runtime.spawn(async move { judge(&shared, watch, undone).await })
        });
        let undo = Some(applied.undo);
        let open = OpenFault { applied: applying, undo, undone, judge, timer: None };
        self.shared.state().faults.insert(id, open);
        let timer = call.hold.map(|hold| self.undo_later(id, hold));
        if let Some(open) = self.shared.state().faults.get_mut(&id) {
            open.timer = timer;
        }
        Ok(id)
    }

    /// Journals the fault before it is applied.
    fn plan_fault(&self, call: &FaultCall, at: SourceLine) -> Result<FaultId, HostError> {
        let mut state = self.shared.state();
        for node in &call.targets {
            if !state.node(node)?.runs() {
                return Err(HostError::Misuse(format!(
                    "`fault.{}` needs a node that runs, and {node} does not; `mesh:live()` has \
                     those that do",
                    call.name
                )));
            }
        }
        let test = state.test.ok_or_else(|| {
            HostError::Misuse("a fault can only be applied inside a `test`".to_owned())
        })?;
        state.last_fault += 1;
        let fault = FaultId(state.last_fault);
        drop(state);
        let (name, targets) = (call.name.clone(), call.targets.clone());
        self.shared.event_at(RunEventKind::FaultPlanned { fault, test, name, targets }, at);
        Ok(fault)
    }

    fn target(&self, node: &NodeId) -> Result<Target, HostError> {
        let state = self.shared.state();
        let life = state.node(node)?.life.clone();
        let life = life.ok_or_else(|| HostError::Misuse(format!("{node} was never started")))?;
        // Whatever a fault does to a node, an exit that follows was asked for.
        life.expect_end();
        let engine = self.clone();
        let revive: Revive = Arc::new(move |node| {
            let engine = engine.clone();
            Box::pin(
                async move { engine.start_life(&node).await.map_err(|error| error.to_string()) },
            )
        });
        Ok(Target { node: node.clone(), process: life.process, revive })
    }

    /// Nodes that could notice: every other live node of the target's mesh.
    fn observers(&self, target: &NodeId) -> Result<Vec<NodeId>, HostError> {
        let state = self.shared.state();
        let mesh = state.node(target)?.mesh.clone();
        Ok(state.live(&mesh).into_iter().filter(|node| node != target).collect())
    }

    fn watch(
        &self,
        fault: FaultId,
        kind: &dyn Fault,
        target: &NodeId,
        observers: Vec<NodeId>,
        applied: RunTime,
    ) -> Option<Watch> {
        let state = self.shared.state();
        let evidence = kind.evidence();
        let slowest = observers
            .iter()
            .filter_map(|node| Some(state.nodes.get(node)?.ready()?.dead_after_ms))
            .max()?;
        let within = Duration::from_millis(slowest) + evidence.slack;
        let target_key = state.key(target)?;
        Some(Watch { fault, evidence, target_key, applied, within, observers })
    }

    fn undo_later(&self, fault: FaultId, hold: Duration) -> JoinHandle<()> {
        let engine = self.clone();
        self.shared.runtime.spawn(async move {
            if engine.shared.cancel.or(tokio::time::sleep(hold)).await.is_ok()
                && let Err(error) = engine.undo_fault(fault).await
            {
                engine.problem(false, error.to_string(), None);
            }
        })
    }

    /// Takes a fault back; one that was taken back already is left alone.
    pub(crate) async fn undo_fault(&self, fault: FaultId) -> Result<(), HostError> {
        let undo = {
            let mut state = self.shared.state();
            let open = state.faults.get_mut(&fault).ok_or_else(|| {
                HostError::Misuse("this fault belongs to a test that has ended".to_owned())
            })?;
            let undo = open.undo.take();
            open.undone.send_replace(true);
            undo
        };
        let Some(undo) = undo else { return Ok(()) };
        let how = undo.how().to_owned();
        let done = tokio::time::timeout(UNDO_WITHIN, undo.carry_out()).await;
        match done {
            Ok(Ok(())) => {
                self.reached(fault, FaultStage::Undone { how });
                Ok(())
            }
            Ok(Err(error)) => Err(HostError::Harness(format!("failed to {error}"))),
            Err(_) => Err(HostError::Harness(format!(
                "failed to undo a fault ({how}): not done within {}",
                format_duration(UNDO_WITHIN)
            ))),
        }
    }

    /// At the end of a test: waits for the judgement of each fault, then takes back what must be.
    pub(crate) async fn close_faults(&self) -> Result<(), HostError> {
        let mut outcome = Ok(());
        let open: Vec<FaultId> = self.shared.state().faults.keys().copied().collect();
        for fault in open {
            let (judge, needed) = {
                let mut state = self.shared.state();
                let Some(open) = state.faults.get_mut(&fault) else { continue };
                let needed = open.undo.as_ref().is_some_and(Undo::is_needed);
                // The test is over before the hold is: what must be taken back is, below.
                if let Some(timer) = open.timer.take() {
                    timer.abort();
                }
                (open.judge.take(), needed)
            };
            let verdict = match judge {
                Some(judge) => judge
                    .await
                    .unwrap_or_else(|error| Verdict::Broken(format!("its judge broke: {error}"))),
                None => {
                    Verdict::Skipped("no other node of its mesh was there to notice it".to_owned())
                }
            };
            self.finish_fault(fault, verdict);
            if needed {
                outcome = outcome.and(self.undo_fault(fault).await);
            }
            self.shared.state().faults.remove(&fault);
        }
        outcome
    }

    fn reached(&self, fault: FaultId, stage: FaultStage) {
        self.shared.event(RunEventKind::FaultReached { fault, stage });
    }

    fn finish_fault(&self, fault: FaultId, verdict: Verdict) {
        self.shared.event(RunEventKind::FaultFinished { fault, verdict });
    }
}

/// Waits until every observer that still lives has noticed. Its evidence is the observers' spans
/// and nothing else.
async fn judge(shared: &Shared, watch: Watch, mut undone: watch::Receiver<bool>) -> Verdict {
    let deadline = Instant::now() + watch.within;
    let mut noticed = BTreeSet::new();
    let missing = |noticed: &BTreeSet<NodeId>| -> Vec<NodeId> {
        let state = shared.state();
        let lives = |node: &&NodeId| state.nodes.get(*node).is_some_and(crate::state::Node::runs);
        watch
            .observers
            .iter()
            .filter(lives)
            .filter(|node| !noticed.contains(*node))
            .cloned()
            .collect()
    };
    let all_noticed = shared.store.wait_for(deadline, |_| {
        notice(shared, &watch, &mut noticed);
        missing(&noticed).is_empty().then_some(())
    });
    let ended = tokio::select! {
        all = all_noticed => if all.is_some() { None } else { Some(Ended::Deadline) },
        _ = undone.wait_for(|undone| *undone) => Some(Ended::Undone),
        reason = shared.cancel.stopped() => Some(Ended::Stopped(describe(&reason))),
    };
    notice(shared, &watch, &mut noticed);
    let missing = missing(&noticed);
    let names = missing.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ");
    match ended {
        _ if noticed.is_empty() && missing.is_empty() => {
            Verdict::Inconclusive("no observer outlived it".to_owned())
        }
        _ if missing.is_empty() => Verdict::Passed,
        Some(Ended::Stopped(why)) => Verdict::Inconclusive(why),
        Some(Ended::Undone) => Verdict::Inconclusive(format!(
            "taken back before {names} noticed, who had {}",
            format_duration(watch.within)
        )),
        _ => Verdict::Failed(format!(
            "not noticed by {names} within {} (no `{}` span with state {})",
            format_duration(watch.within),
            watch.evidence.span,
            watch.evidence.state
        )),
    }
}

enum Ended {
    Deadline,
    Undone,
    Stopped(String),
}

/// Records who has noticed since the last look.
fn notice(shared: &Shared, watch: &Watch, noticed: &mut BTreeSet<NodeId>) {
    let selector = Selector {
        name: watch.evidence.span.to_owned(),
        nodes: Some(watch.observers.iter().cloned().collect()),
        attributes: BTreeMap::from([
            (attr::PEER_ID.to_owned(), watch.target_key.clone().into()),
            (attr::STATE.to_owned(), watch.evidence.state.into()),
        ]),
        since: watch.applied,
    };
    for by in shared.store.count_by_node(&selector).into_keys() {
        if noticed.insert(by.clone()) {
            let evidence =
                format!("{} {{ state = {} }}", watch.evidence.span, watch.evidence.state);
            let stage = FaultStage::Noticed { by, evidence };
            shared.event(RunEventKind::FaultReached { fault: watch.fault, stage });
        }
    }
}
