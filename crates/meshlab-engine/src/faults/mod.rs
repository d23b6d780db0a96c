//! Applies faults, takes them back, and closes what is open at the end of a test.
//!
//! `aim.rs` says who a group is, `plan.rs` what may be done to whom and who has to notice
//! (`parted.rs`: whom a cut parts), `judge.rs` waits for them, `quiet.rs` watches that nobody takes
//! it for more than it is, `converge.rs` that those whom it leaves together find each other, and
//! `heal.rs` waits until the mesh is as it was.

mod aim;
mod converge;
mod heal;
mod judge;
mod parted;
mod plan;
mod quiet;
mod silenced;

use std::{sync::Arc, time::Duration};

use meshlab_faults::{
    Fault, FaultError, Hurts, Revive, Revived, Stir, Target, Undo, Victim, by_name, catalogue,
};
use meshlab_model::{
    FaultId, FaultStage, NodeId, RunEventKind, SourceLine, Verdict, format_duration,
};
use meshlab_mutants::{Mutant, on};
use tokio::{sync::watch, task::JoinHandle};

pub(crate) use self::heal::Healing;
use self::plan::Noticing;
pub(crate) use self::{aim::resolve, plan::collides};
use crate::{
    Engine, FaultCall, FaultStarted, HostError, captures,
    engine::lock,
    kinds,
    state::{Judging, OpenFault},
};

/// How long an undo may take: it may start a node.
const UNDO_WITHIN: Duration = Duration::from_secs(30);

impl Engine {
    pub(crate) async fn apply_fault(
        &self,
        call: FaultCall,
        at: SourceLine,
    ) -> Result<FaultStarted, HostError> {
        let kind = known(&call.name).ok_or_else(|| {
            let names = fault_names().join(", ");
            HostError::Misuse(format!("there is no fault `{}`; there is {names}", call.name))
        })?;
        let call = resolve(&self.shared.state(), call)?;
        let fault = self.plan_fault(kind, &call, at)?;
        let begun = self.begin_fault(kind, fault, call).await;
        if begun.is_err() {
            // What failed left nothing of itself behind, and keeps no other from acting.
            self.shared.state().faults.remove(&fault);
        }
        begun
    }

    /// Applies a fault that is planned, and has it judged from then on.
    async fn begin_fault(
        &self,
        kind: &dyn Fault,
        fault: FaultId,
        call: FaultCall,
    ) -> Result<FaultStarted, HostError> {
        let mut open = OpenFault::of(kind, &call, self.shared.clock.now());
        let lab = lock(&self.shared.lab).clone();
        if kind.hurts().needs_lab() && lab.is_none() {
            let why = format!(
                "`{}` is done in the lab's switch, and this run is on the host's network \
                 (`--network host`)",
                call.name
            );
            return Ok(self.skip_fault(fault, open, why));
        }
        let target = Target { lab, ..self.target(kind.hurts(), &call)? };
        if kind.hurts() == Hurts::LinksOfNode && target.far.is_empty() {
            let why = "there is no other node that a link of it leads to".to_owned();
            return Ok(self.skip_fault(fault, open, why));
        }
        captures::keep(&self.shared);
        let noticing = self.noticing(fault, kind, &call, open.applied)?;
        let hurt = call.targets.iter().chain(&call.against).collect();
        let healing = Healing::new(&self.shared, fault, &hurt, kind.heals_within());
        let applied = match self.shared.cancel.or(kind.apply(&target)).await? {
            Ok(applied) => applied,
            Err(FaultError::Unavailable { why, .. }) => {
                let why = format!("`{}` cannot be done here: {why}", call.name);
                return Ok(self.skip_fault(fault, open, why));
            }
            Err(error) => {
                let why = error.to_string();
                let broken = Verdict::Broken(why.clone());
                captures::around(&self.shared, fault, &broken).await;
                self.finish_fault(fault, broken);
                return Err(HostError::Harness(format!("failed to {why}")));
            }
        };
        let stage = FaultStage::Acted { witness: applied.witness, unnoticed: noticing.why.clone() };
        self.reached(fault, stage);
        self.start_judging(&mut open, noticing);
        open.healing = Some(healing);
        if applied.undo.is_none() {
            // It was over as soon as it acted.
            open.ending.send_replace(true);
            self.start_healing(&mut open);
        }
        open.undo = applied.undo;
        let (applied, ending) = (open.applied, open.ending.subscribe());
        self.shared.state().faults.insert(fault, open);
        let timer = call.hold.map(|hold| self.undo_later(fault, hold, ending));
        if let Some(open) = self.shared.state().faults.get_mut(&fault) {
            open.timer = timer;
        }
        Ok(FaultStarted { fault, applied, acted: true })
    }

    fn skip_fault(&self, fault: FaultId, mut open: OpenFault, why: String) -> FaultStarted {
        open.judging = Judging::Known(Verdict::Skipped(why));
        let applied = open.applied;
        self.shared.state().faults.insert(fault, open);
        FaultStarted { fault, applied, acted: false }
    }

    /// Has somebody wait for those who must notice, and watch those who may not.
    fn start_judging(&self, open: &mut OpenFault, noticing: Noticing) {
        let Noticing { watch, quiet, converging, why, unavailable } = noticing;
        if let Some(why) = &unavailable {
            self.say_once(why);
        }
        if watch.is_none() && why.is_none() && unavailable.is_none() {
            let why = "no other node of its mesh was there to notice it".to_owned();
            open.judging = Judging::Known(Verdict::Skipped(why));
            return;
        }
        if watch.is_none() && quiet.is_none() && converging.is_none() {
            // Nobody could say it, so nobody's silence proves anything.
            let verdict = unavailable.map_or(Verdict::Passed, Verdict::Inconclusive);
            open.judging = Judging::Known(verdict);
            return;
        }
        let shared = Arc::clone(&self.shared);
        let (undone, ending) = (open.undone.subscribe(), open.ending.subscribe());
        let cut_ends = open.ending.subscribe();
        let (told, judged) = watch::channel(false);
        open.judged = watch.is_some().then_some(judged);
        let judging = async move {
            let noticed = async {
                let verdict = match watch {
                    Some(watch) => {
                        let fault = watch.fault;
                        let verdict = judge::judge(&shared, watch, undone).await;
                        // At once: when it is healed, what was missed is long past.
                        captures::around(&shared, fault, &verdict).await;
                        verdict
                    }
                    None => unavailable.map_or(Verdict::Passed, Verdict::Inconclusive),
                };
                told.send_replace(true);
                verdict
            };
            let quiet = async {
                match quiet {
                    Some(quiet) => quiet::stay_quiet(&shared, quiet, ending).await,
                    None => Verdict::Passed,
                }
            };
            let converged = async {
                match converging {
                    Some(converging) => converge::converge(&shared, converging, cut_ends).await,
                    None => Verdict::Passed,
                }
            };
            let (noticed, quiet, converged) = tokio::join!(noticed, quiet, converged);
            noticed.worse(quiet).worse(converged)
        };
        open.judging = Judging::Waiting(self.shared.runtime.spawn(judging));
    }

    fn target(&self, hurts: Hurts, call: &FaultCall) -> Result<Target, HostError> {
        let state = self.shared.state();
        let mut nodes = Vec::new();
        for id in &call.targets {
            let life = state.node(id)?.life.clone();
            let life = life.ok_or_else(|| HostError::Misuse(format!("{id} was never started")))?;
            if hurts == Hurts::Life {
                life.expect_end();
            }
            nodes.push(Victim {
                node: id.clone(),
                process: life.process,
                key: state.key(id),
                disk: state.node(id)?.place.disk.clone(),
            });
        }
        let far = match hurts {
            Hurts::LinksOfNode if call.against.is_empty() => {
                let others = state.nodes.iter().filter(|(id, _)| !call.targets.contains(id));
                // One that runs is the first: it is the one that is probed.
                let (live, gone): (Vec<_>, Vec<_>) = others.partition(|(_, node)| node.runs());
                live.into_iter().chain(gone).map(|(id, _)| id.clone()).collect()
            }
            Hurts::Life | Hurts::Process | Hurts::LinksOfNode | Hurts::LinksBetween => {
                call.against.clone()
            }
        };
        drop(state);
        let engine = self.clone();
        let revive: Revive = Arc::new(move |node| {
            let engine = engine.clone();
            Box::pin(async move { engine.revive(&node).await.map_err(|error| error.to_string()) })
        });
        let settings = call.settings;
        let everywhere = call.against.is_empty();
        let stir = self.stir();
        Ok(Target { nodes, far, everywhere, lab: None, settings, revive, stir })
    }

    /// What asks a node whatever its kind says that it answers.
    fn stir(&self) -> Stir {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |node| {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let asker = {
                    let state = shared.state();
                    let mesh = state.nodes.get(&node).map(|node| node.mesh.clone());
                    let others = mesh.map(|mesh| state.live(&mesh)).unwrap_or_default();
                    others.into_iter().find(|other| *other != node)
                };
                // Whether it answers is for a claim to say.
                let _ = kinds::ask(&shared, asker.as_ref().unwrap_or(&node), &node).await;
            })
        })
    }

    async fn revive(&self, node: &NodeId) -> Result<Revived, HostError> {
        self.start_again(node).await?;
        let state = self.shared.state();
        let life = state.node(node)?.life.as_ref();
        let pid = life.map(|life| life.process.pid());
        let key = state.key(node);
        pid.zip(key)
            .map(|(pid, key)| Revived { pid, key })
            .ok_or_else(|| HostError::Node(format!("{node} ended as soon as it was ready")))
    }

    /// Takes a fault back after its hold, unless it ends before.
    fn undo_later(
        &self,
        fault: FaultId,
        hold: Duration,
        mut ending: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let engine = self.clone();
        self.shared.runtime.spawn(async move {
            let held = tokio::select! {
                biased;
                _ = ending.wait_for(|ending| *ending) => return,
                held = engine.shared.cancel.or(tokio::time::sleep(hold)) => held,
            };
            if held.is_ok()
                && let Err(error) = engine.undo_fault(fault).await
            {
                engine.problem(false, error.to_string(), None);
            }
        })
    }

    /// Takes a fault back; one that was taken back already, or has nothing to be taken back, is
    /// left alone.
    pub(crate) async fn undo_fault(&self, fault: FaultId) -> Result<(), HostError> {
        let undo = {
            let mut state = self.shared.state();
            let open = state.faults.get_mut(&fault).ok_or_else(|| {
                HostError::Misuse("this fault belongs to a test that has ended".to_owned())
            })?;
            let Some(undo) = open.undo.take() else { return Ok(()) };
            open.undone.send_replace(true);
            open.ending.send_replace(true);
            undo
        };
        let how = undo.how().to_owned();
        let done = tokio::time::timeout(UNDO_WITHIN, undo.carry_out()).await;
        if let Some(open) = self.shared.state().faults.get_mut(&fault) {
            open.taken_back = Some(self.shared.clock.now());
        }
        match done {
            Ok(Ok(())) => {
                self.reached(fault, FaultStage::Undone { how });
                if let Some(open) = self.shared.state().faults.get_mut(&fault) {
                    self.start_healing(open);
                }
                Ok(())
            }
            Ok(Err(error)) => Err(HostError::Harness(format!("failed to {error}"))),
            Err(_) => Err(HostError::Harness(format!(
                "failed to undo a fault ({how}): not done within {}",
                format_duration(UNDO_WITHIN)
            ))),
        }
    }

    /// Waits until others noticed a fault, or had their time to; false if nobody has to.
    pub(crate) async fn noticed(&self, fault: FaultId) -> Result<bool, HostError> {
        let judged = {
            let state = self.shared.state();
            state.faults.get(&fault).and_then(|open| open.judged.clone())
        };
        let Some(mut judged) = judged else { return Ok(false) };
        // A judge that broke says so when it is asked for its verdict.
        let _ = self.shared.cancel.or(judged.wait_for(|judged| *judged)).await?;
        Ok(true)
    }

    /// Waits, beside everything else, until the mesh is as it was before the fault.
    fn start_healing(&self, open: &mut OpenFault) {
        let Some(healing) = open.healing.take() else { return };
        let shared = Arc::clone(&self.shared);
        open.heals = Some(self.shared.runtime.spawn(async move {
            let fault = healing.fault;
            let verdict = healing.wait(&shared).await;
            captures::around(&shared, fault, &verdict).await;
            verdict
        }));
    }

    /// At the end of a test: waits for the judgement of each fault, takes back what must be, and
    /// waits until what was taken back is healed.
    pub(crate) async fn close_faults(&self) -> Result<(), HostError> {
        let open: Vec<FaultId> = self.shared.state().faults.keys().copied().collect();
        let outcome = self.close_these_faults(&open).await;
        captures::forget(&self.shared);
        outcome
    }

    /// The same for some of them.
    pub(crate) async fn close_these_faults(&self, open: &[FaultId]) -> Result<(), HostError> {
        let mut outcome = Ok(());
        for fault in open {
            outcome = outcome.and(self.settle_fault(*fault).await.map(drop));
        }
        // Only now: until then, each is asked when others were taken back.
        self.shared.state().faults.retain(|fault, _| !open.contains(fault));
        outcome
    }

    /// Waits for the judgement of a fault, takes it back if it must be, and records the verdict on
    /// all of it. One that was settled before is left alone.
    pub(crate) async fn settle_fault(&self, fault: FaultId) -> Result<Verdict, HostError> {
        let gone = || Verdict::Broken("this fault belongs to a test that has ended".to_owned());
        let (judging, needed, timer) = {
            let mut state = self.shared.state();
            let Some(open) = state.faults.get_mut(&fault) else { return Ok(gone()) };
            let needed =
                open.undo.as_ref().is_some_and(Undo::is_needed) && !on(Mutant::UndoLeftOut);
            // The test is over before the hold is: what must be taken back is, below.
            open.ending.send_replace(true);
            (std::mem::replace(&mut open.judging, Judging::Done), needed, open.timer.take())
        };
        let noticed = match judging {
            Judging::Waiting(judge) => finished(judge).await,
            Judging::Known(verdict) => verdict,
            Judging::Done => return Ok(gone()),
        };
        if let Some(timer) = timer {
            // It may be in the middle of taking it back, which is in the record before the verdict.
            let _ = timer.await;
        }
        let undone = if needed { self.undo_fault(fault).await } else { Ok(()) };
        let heals = self.shared.state().faults.get_mut(&fault).and_then(|open| open.heals.take());
        let verdict = match heals {
            Some(heals) => noticed.worse(finished(heals).await),
            None => noticed,
        };
        captures::around(&self.shared, fault, &verdict).await;
        self.finish_fault(fault, verdict.clone());
        if let Some(open) = self.shared.state().faults.get_mut(&fault) {
            open.settled = true;
        }
        undone.map(|()| verdict)
    }

    fn reached(&self, fault: FaultId, stage: FaultStage) {
        self.shared.event(RunEventKind::FaultReached { fault, stage });
    }

    fn finish_fault(&self, fault: FaultId, verdict: Verdict) {
        {
            let mut state = self.shared.state();
            let drawn = state.faults.get(&fault).is_some_and(|open| open.drawn);
            let other = drawn || self.shared.hands.gave(fault);
            state.red |= !other && matches!(verdict, Verdict::Failed(_) | Verdict::Broken(_));
        }
        self.shared.event(RunEventKind::FaultFinished { fault, verdict });
    }
}

/// The names of all faults that there are.
pub fn fault_names() -> Vec<&'static str> {
    catalogue().iter().map(|fault| fault.name()).collect()
}

/// The fault of that name.
fn known(name: &str) -> Option<&'static dyn Fault> {
    #[cfg(test)]
    if let Some(hollow) = tests::HOLLOWS.iter().find(|hollow| hollow.name() == name) {
        return Some(hollow);
    }
    by_name(name)
}

async fn finished(judge: JoinHandle<Verdict>) -> Verdict {
    judge.await.unwrap_or_else(|error| Verdict::Broken(format!("its judge broke: {error}")))
}

#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod tests;
