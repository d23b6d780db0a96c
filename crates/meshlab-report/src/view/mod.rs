//! The fold of the event stream: what is known of a run so far.

mod chaos;
mod comparison;
mod gap;
mod recovery;
mod replay;

use std::collections::BTreeMap;

use meshlab_model::{
    ChaosId, ChaosPlace, ClaimEvidence, ClaimId, ComparisonId, DeclaredTest, EndReason, FaultId,
    FaultStage, HeapSnapshot, HostSample, NodeExit, NodeId, Noise, RunEvent, RunEventKind, RunTime,
    SourceLine, StepId, TelemetryCount, TestId, TestOutcome, TrafficMeasure, Verdict,
};

pub use self::{
    chaos::{ChaosView, Fired},
    comparison::{ComparisonView, MeasureView, RoundView},
    gap::Gap,
    recovery::{Recovery, RecoveryTimes},
    replay::Deviation,
};
pub(crate) use self::{gap::interrupted, recovery::percentiles};

/// What is known of the run so far. The same fold serves live and afterwards.
#[derive(Debug, Clone, Default)]
pub struct RunView {
    /// By place in the file: declared tests, and any that ran without being declared.
    pub tests: BTreeMap<TestId, TestView>,
    /// In order of their start.
    pub claims: BTreeMap<ClaimId, ClaimView>,
    /// In order of their planning.
    pub faults: BTreeMap<FaultId, FaultView>,
    /// Schedules of faults.
    pub chaos: BTreeMap<ChaosId, ChaosView>,
    /// Rounds with two programs.
    pub comparisons: BTreeMap<ComparisonId, ComparisonView>,
    /// How fast faults acted, were noticed and healed.
    pub recovery: Recovery,
    /// The run whose schedules this one carries out again.
    pub replays: Option<String>,
    /// In order of their start.
    pub steps: BTreeMap<StepId, StepView>,
    /// By id.
    pub nodes: BTreeMap<NodeId, NodeView>,
    /// Lines of `print` and `record.note`.
    pub notes: Vec<(RunTime, String)>,
    /// Numbers of the scenario's own: time, name, value, unit.
    pub metrics: Vec<(RunTime, String, f64, String)>,
    /// What nodes were asked to do, in order.
    pub acts: Vec<ActView>,
    /// Profiles that were drawn, that of all nodes first.
    pub profiles: Vec<ProfileView>,
    /// What heaps held, in the order of the looks.
    pub heaps: Vec<(RunTime, HeapSnapshot)>,
    /// What the host did beside the run, a stretch each, in order.
    pub host: Vec<HostSample>,
    /// Workloads that were driven, in order.
    pub traffic: Vec<(RunTime, TrafficMeasure)>,
    /// What a person should know that decides nothing.
    pub warnings: Vec<(RunTime, String)>,
    /// What went wrong outside the claims.
    pub problems: Vec<ProblemView>,
    /// What the audit found left behind; `None` until it was made.
    pub leftovers: Option<Vec<String>>,
    /// Stretches of time of which nothing is known, because no harness ran.
    pub gaps: Vec<Gap>,
    /// Why the run ended; `None` while it runs, or if its record is incomplete.
    pub end: Option<EndReason>,
    /// Time of the last event.
    pub last: RunTime,
    /// When the mesh was kept for whoever attaches; what is manual counts from there.
    pub kept: Option<RunTime>,
    /// The run's folder.
    pub run: String,
    /// Lines that somebody gave at the prompt, and during which test.
    pub by_hand: Vec<(RunTime, Option<TestId>, String)>,
    /// What happened in somebody's hands, apart from all else: no verdict is made of it.
    pub hands: Option<Box<RunView>>,
    /// Events folded.
    pub events: u64,
    /// The test that runs now.
    pub(crate) running: Option<TestId>,
}

/// A profile that was drawn.
#[derive(Debug, Clone)]
pub struct ProfileView {
    /// Whose; `None` for that of all nodes.
    pub node: Option<NodeId>,
    /// What was counted.
    pub kind: String,
    /// The flamegraph, from the run's folder.
    pub file: String,
    /// Samples that it rests on.
    pub samples: u64,
    /// Samples in a second of CPU time.
    pub hz: u32,
    /// What took them.
    pub sampler: Option<String>,
    /// The claim that failed and that it was taken for.
    pub claim: Option<ClaimId>,
}

/// Something that a node was asked to do.
#[derive(Debug, Clone)]
pub struct ActView {
    /// When the answer came.
    pub at: RunTime,
    /// Which node.
    pub node: NodeId,
    /// What it was asked to do.
    pub act: String,
    /// What came of it.
    pub outcome: String,
    /// Whether it was done.
    pub done: bool,
    /// From the question to the answer, in microseconds.
    pub took_micros: u64,
}

/// A problem, and the test during which it arose.
#[derive(Debug, Clone)]
pub struct ProblemView {
    /// When.
    pub at: RunTime,
    /// During which test, if any.
    pub test: Option<TestId>,
    /// Whether the scenario is at fault.
    pub script: bool,
    /// What failed.
    pub text: String,
    /// The line that caused it.
    pub source: Option<SourceLine>,
}

/// A test.
#[derive(Debug, Clone)]
pub struct TestView {
    /// Its claim, as written.
    pub title: String,
    /// Where it stands.
    pub source: Option<SourceLine>,
    /// When it began.
    pub started: Option<RunTime>,
    /// When it ended, and how its body did.
    pub finished: Option<(RunTime, TestOutcome)>,
}

/// One evaluation of a claim.
#[derive(Debug, Clone)]
pub struct ClaimView {
    /// Its test.
    pub test: TestId,
    /// The call, `expect.spans`.
    pub call: String,
    /// What must hold.
    pub text: String,
    /// Where it stands.
    pub source: Option<SourceLine>,
    /// When its evaluation began.
    pub started: RunTime,
    /// How much there was of how much, last told.
    pub progress: Option<(u64, u64)>,
    /// How it came out; `None` until it was judged.
    pub verdict: Option<Verdict>,
    /// From start to verdict, in microseconds.
    pub took_micros: u64,
    /// What the verdict rests on.
    pub evidence: ClaimEvidence,
    /// When its harness was killed, if it had not been judged by then.
    pub interrupted: Option<RunTime>,
    /// Whether somebody had acted by hand in its test before it was judged.
    pub after_hand: bool,
}

/// An injected fault.
#[derive(Debug, Clone)]
pub struct FaultView {
    /// Its test.
    pub test: TestId,
    /// Its name in the catalogue.
    pub name: String,
    /// Whom it hurts.
    pub targets: Vec<NodeId>,
    /// Its place in the schedule that drew it.
    pub chaos: Option<ChaosPlace>,
    /// Where it stands.
    pub source: Option<SourceLine>,
    /// When it was planned.
    pub planned: RunTime,
    /// When a witness saw it act, and what the witness saw.
    pub acted: Option<(RunTime, String)>,
    /// How many of the targets, the last ones, are on the far side.
    pub against: u32,
    /// What it was told.
    pub told: String,
    /// Why nobody has to notice; `None` if somebody has to.
    pub unnoticed: Option<String>,
    /// Who noticed, when, by what.
    pub noticed: Vec<(RunTime, NodeId, String)>,
    /// When it was undone, and how.
    pub undone: Option<(RunTime, String)>,
    /// Who held everybody to be there again after that, and when.
    pub healed: Vec<(RunTime, NodeId)>,
    /// How it came out, and when it was judged.
    pub verdict: Option<(RunTime, Verdict)>,
    /// The packets before it went wrong: a file in the run's folder, and how many.
    pub capture: Option<(String, u64)>,
    /// When its harness was killed, if it had not been judged by then.
    pub interrupted: Option<RunTime>,
}

impl FaultView {
    /// From when it was taken back, or acted if there was nothing to take back, until the last of
    /// those who told it so was whole again, in microseconds.
    pub fn healed_after(&self) -> Option<u64> {
        let last = self.healed.iter().map(|(at, _)| *at).max()?;
        let from = self.undone.as_ref().or(self.acted.as_ref())?.0;
        Some(u64::try_from(last.since(from).as_micros()).unwrap_or(u64::MAX))
    }
}

/// A named part of a test.
#[derive(Debug, Clone)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// When it began.
    pub started: RunTime,
    /// When it ended.
    pub finished: Option<RunTime>,
}

/// A node over all its starts.
#[derive(Debug, Clone, Default)]
pub struct NodeView {
    /// Its mesh.
    pub mesh: String,
    /// Its role.
    pub role: String,
    /// Its own name.
    pub name: String,
    /// Its public key, hex.
    pub public_key: String,
    /// The address that other nodes reach it at.
    pub address: String,
    /// Its processes, in order.
    pub lives: Vec<Life>,
    /// Counts of its telemetry: when, and what.
    pub telemetry: Vec<(RunTime, TelemetryCount)>,
}

impl NodeView {
    /// Whether its last process still runs, as far as the record tells.
    pub fn alive(&self) -> bool {
        self.lives.last().is_some_and(|life| life.exited.is_none())
    }
}

/// One process of a node.
#[derive(Debug, Clone)]
pub struct Life {
    /// The process.
    pub pid: u32,
    /// During which test it was started.
    pub test: Option<TestId>,
    /// When it was started.
    pub spawned: RunTime,
    /// From spawn to ready, in microseconds, by the harness's clock.
    pub ready_micros: Option<u64>,
    /// When and how it ended, and whether the harness made it end.
    pub exited: Option<(RunTime, NodeExit, bool)>,
    /// Whether it was in somebody's hands after the tests: its end says nothing of them. A crash
    /// during a test is one, whoever started the node.
    pub manual: bool,
}

impl RunView {
    /// How noisy the host was over the run; `None` in a record that does not say.
    pub fn noise(&self) -> Option<Noise> {
        (!self.host.is_empty()).then(|| Noise::of(&self.host))
    }

    /// Whether a place is in the scenario itself: a line of a library is not one of its text.
    pub fn in_scenario(&self, place: &SourceLine) -> bool {
        let mut declared = self.tests.values().filter_map(|test| test.source.as_ref());
        declared.all(|test| test.file == place.file)
    }

    /// A run of which nothing happened yet.
    pub fn new(tests: &[DeclaredTest]) -> Self {
        let tests = (0_u32..).zip(tests).map(|(place, test)| {
            let source = Some(test.source.clone());
            let title = test.title.clone();
            (TestId(place), TestView { title, source, started: None, finished: None })
        });
        Self { tests: tests.collect(), ..Self::default() }
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: &RunEvent) {
        use RunEventKind as K;
        self.events += 1;
        self.last = self.last.max(event.at);
        if event.manual {
            self.apply_manual(event);
            return;
        }
        let at = event.at;
        match &event.kind {
            K::TestStarted { test, title } => {
                self.running = Some(*test);
                let view = self.tests.entry(*test).or_insert_with(|| TestView {
                    title: title.clone(),
                    source: event.source.clone(),
                    started: None,
                    finished: None,
                });
                // One that was interrupted begins once more; it began when it did first.
                view.started.get_or_insert(at);
            }
            K::TestFinished { test, outcome } => {
                self.running = None;
                if let Some(view) = self.tests.get_mut(test) {
                    view.finished = Some((at, outcome.clone()));
                }
            }
            K::StepStarted { step, name } => {
                let view = StepView { name: name.clone(), started: at, finished: None };
                self.steps.insert(*step, view);
            }
            K::StepFinished { step } => {
                if let Some(view) = self.steps.get_mut(step) {
                    view.finished = Some(at);
                }
            }
            K::Note { text } => self.notes.push((at, text.clone())),
            K::NodeActed { node, act, outcome, done, took_micros } => self.acts.push(ActView {
                at,
                node: node.clone(),
                act: act.clone(),
                outcome: outcome.clone(),
                done: *done,
                took_micros: *took_micros,
            }),
            K::HostSampled(sample) => self.host.push(sample.clone()),
            K::TrafficMeasured(measure) => self.traffic.push((at, measure.clone())),
            K::Metric { name, value, unit } => {
                self.metrics.push((at, name.clone(), *value, unit.clone()));
            }
            K::Warning { text } => self.warnings.push((at, text.clone())),
            K::Problem { script, text } => self.problems.push(ProblemView {
                at,
                test: self.running,
                script: *script,
                text: text.clone(),
                source: event.source.clone(),
            }),
            K::Audited { leftovers, .. } => self.leftovers = Some(leftovers.clone()),
            K::RunFinished { reason } => self.end = Some(reason.clone()),
            K::RunStarted { run, replays, .. } => {
                self.run.clone_from(run);
                self.replays.clone_from(replays);
            }
            K::RunResumed { .. } => self.apply_gap(event),
            K::Kept { .. } => self.kept = Some(at),
            K::MeshStarting { .. } | K::MeshReady { .. } => {}
            _ => {
                self.apply_node(event);
                self.apply_claim(event);
                self.apply_fault(event);
                self.apply_chaos(event);
                self.apply_comparison(event);
            }
        }
    }

    /// Takes in what somebody did by hand, and what came of it: beside the rest, because claims,
    /// faults and problems among it are nobody's verdict. Only who lives is known here as well.
    fn apply_manual(&mut self, event: &RunEvent) {
        if let RunEventKind::ByHand { text } = &event.kind {
            self.by_hand.push((event.at, self.running, text.clone()));
        }
        self.apply_node(event);
        let mut aside = event.clone();
        aside.manual = false;
        self.hands.get_or_insert_default().apply(&aside);
    }

    /// A claim, of the tests or by hand.
    pub fn claim(&self, claim: ClaimId) -> Option<&ClaimView> {
        self.claims.get(&claim).or_else(|| self.hands.as_ref()?.claims.get(&claim))
    }

    /// A fault, of the tests or by hand.
    pub fn fault(&self, fault: FaultId) -> Option<&FaultView> {
        self.faults.get(&fault).or_else(|| self.hands.as_ref()?.faults.get(&fault))
    }

    fn apply_node(&mut self, event: &RunEvent) {
        use RunEventKind as K;
        match &event.kind {
            K::NodeSpawned { node, mesh, role, pid, address, .. } => {
                let test = self.running;
                let view = self.nodes.entry(node.clone()).or_default();
                mesh.as_str().clone_into(&mut view.mesh);
                role.clone_into(&mut view.role);
                address.clone_into(&mut view.address);
                let (spawned, pid) = (event.at, *pid);
                view.lives.push(Life {
                    pid,
                    test,
                    spawned,
                    ready_micros: None,
                    exited: None,
                    manual: event.manual && self.kept.is_some(),
                });
            }
            K::NodeReady { node, name, public_key, took_micros } => {
                let view = self.nodes.entry(node.clone()).or_default();
                name.clone_into(&mut view.name);
                public_key.clone_into(&mut view.public_key);
                if let Some(life) = view.lives.last_mut() {
                    life.ready_micros = Some(*took_micros);
                }
            }
            K::NodeExited { node, pid, exit, asked_for } => {
                let test = self.running;
                let view = self.nodes.entry(node.clone()).or_default();
                let exited = Some((event.at, *exit, *asked_for));
                match view.lives.iter_mut().rev().find(|life| life.pid == *pid) {
                    Some(life) => {
                        life.exited = exited;
                        life.manual |= event.manual && self.kept.is_some();
                    }
                    // An exit without a start is still an exit: it must not go unseen.
                    None => view.lives.push(Life {
                        pid: *pid,
                        test,
                        spawned: event.at,
                        ready_micros: None,
                        exited,
                        manual: event.manual && self.kept.is_some(),
                    }),
                }
            }
            K::TelemetryCounted { node, count } => {
                let view = self.nodes.entry(node.clone()).or_default();
                view.telemetry.push((event.at, *count));
                if let Some(lost) = count.lost().filter(|lost| *lost > 0) {
                    let ended = count.ended.unwrap_or_default();
                    let text = format!(
                        "{node} ended {ended} spans, of which {lost} never arrived ({} dropped by \
                         the node itself): counts of its spans are too low",
                        count.dropped
                    );
                    self.warnings.push((event.at, text));
                }
            }
            _ => {}
        }
    }

    fn apply_claim(&mut self, event: &RunEvent) {
        use RunEventKind as K;
        match &event.kind {
            K::ClaimStarted { claim, test, call, text, .. } => {
                let view = ClaimView {
                    test: *test,
                    call: call.clone(),
                    text: text.clone(),
                    source: event.source.clone(),
                    started: event.at,
                    progress: None,
                    verdict: None,
                    took_micros: 0,
                    evidence: ClaimEvidence::default(),
                    interrupted: None,
                    after_hand: false,
                };
                self.claims.insert(*claim, view);
            }
            K::ClaimProgress { claim, have, need } => {
                if let Some(view) = self.claims.get_mut(claim) {
                    view.progress = Some((*have, *need));
                }
            }
            K::ClaimFinished { claim, verdict, took_micros, evidence } => {
                match self.claims.get_mut(claim) {
                    Some(view) => {
                        view.verdict = Some(verdict.clone());
                        view.took_micros = *took_micros;
                        view.evidence = evidence.clone();
                        view.after_hand = after_hand(&self.by_hand, view.test);
                    }
                    None => self.orphan(event, format!("claim {claim} ended without a start")),
                }
            }
            K::ClaimWithdrawn { claim } => {
                let begun = self.claims.remove(claim);
                if begun.is_none() {
                    self.orphan(event, format!("claim {claim} was withdrawn without a start"));
                }
            }
            _ => {}
        }
    }

    fn apply_fault(&mut self, event: &RunEvent) {
        use RunEventKind as K;
        match &event.kind {
            K::FaultPlanned { fault, test, name, targets, against, told, chaos } => {
                let view = FaultView {
                    test: *test,
                    name: name.clone(),
                    targets: targets.clone(),
                    against: *against,
                    told: told.clone(),
                    unnoticed: None,
                    chaos: *chaos,
                    source: event.source.clone(),
                    planned: event.at,
                    acted: None,
                    noticed: Vec::new(),
                    undone: None,
                    healed: Vec::new(),
                    verdict: None,
                    capture: None,
                    interrupted: None,
                };
                self.faults.insert(*fault, view);
            }
            K::FaultReached { fault, stage } => {
                let Some(view) = self.faults.get_mut(fault) else {
                    self.orphan(event, format!("fault {fault} acted without a plan"));
                    return;
                };
                let at = event.at;
                self.recovery.reached(view, stage, at);
                match stage {
                    FaultStage::Acted { witness, unnoticed } => {
                        view.acted = Some((at, witness.clone()));
                        view.unnoticed.clone_from(unnoticed);
                    }
                    FaultStage::Noticed { by, evidence } => {
                        view.noticed.push((at, by.clone(), evidence.clone()));
                    }
                    FaultStage::Undone { how } => view.undone = Some((at, how.clone())),
                    FaultStage::Healed { by } => view.healed.push((at, by.clone())),
                }
            }
            K::HeapTaken(snapshot) => self.heaps.push((event.at, snapshot.clone())),
            K::ProfileTaken { node, kind, file, samples, hz, sampler, claim } => {
                self.profiles.push(ProfileView {
                    node: node.clone(),
                    kind: kind.clone(),
                    file: file.clone(),
                    samples: *samples,
                    hz: *hz,
                    sampler: sampler.clone(),
                    claim: *claim,
                });
            }
            K::FaultCaptured { fault, file, packets, .. } => match self.faults.get_mut(fault) {
                Some(view) => view.capture = Some((file.clone(), *packets)),
                None => self.orphan(event, format!("fault {fault} was captured without a plan")),
            },
            K::FaultFinished { fault, verdict } => match self.faults.get_mut(fault) {
                Some(view) => view.verdict = Some((event.at, verdict.clone())),
                None => self.orphan(event, format!("fault {fault} ended without a plan")),
            },
            _ => {}
        }
    }

    /// Something in the stream that has no beginning: the record is damaged.
    fn orphan(&mut self, event: &RunEvent, text: String) {
        self.problems.push(ProblemView {
            at: event.at,
            test: self.running,
            script: false,
            text: format!("the record is damaged: {text}"),
            source: None,
        });
    }
}

/// Whether somebody has acted by hand in that test so far.
fn after_hand(by_hand: &[(RunTime, Option<TestId>, String)], test: TestId) -> bool {
    by_hand.iter().any(|(_, of, _)| *of == Some(test))
}
