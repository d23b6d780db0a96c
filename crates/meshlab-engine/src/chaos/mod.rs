//! Chaos: faults by a schedule that is drawn before the first of them (`plan.rs`).
//!
//! Each fault goes the whole way by itself: it acts, is noticed or its hold is over, is taken back,
//! and heals. Its verdict is in the record like any other's; what fails the test is the budget.
//! `replay.rs` carries out what a schedule of another run came to be.

mod plan;
mod replay;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use meshlab_faults::by_name;
use meshlab_model::{
    ChaosFault, ChaosId, ChaosPlace, ChaosTally, MeshId, NodeId, Percent, RunEventKind, Severity,
    SourceLine, Verdict, format_duration,
};
use meshlab_mutants::{Mutant, on};
use meshlab_stats::Proportion;
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use crate::{
    Aim, ChaosKind, ChaosOptions, Engine, FaultCall, HostError, captures,
    faults::{collides, resolve},
    resume::Carried,
    state::State,
};

/// How long a fault acts that nobody has to notice, where no hold was given.
const HOLD: Duration = Duration::from_secs(10);

/// How soon after the last fault the mesh must be whole.
const FORMED_WITHIN: Duration = Duration::from_secs(30);

/// A chaos that is going on.
struct Storm {
    engine: Engine,
    chaos: ChaosId,
    options: Arc<ChaosOptions>,
    at: SourceLine,
    acting: JoinSet<Result<Verdict, HostError>>,
    /// Whom each of them hurts. What the engine holds of a fault begins only when it has acted.
    hurting: Vec<(Id, Vec<NodeId>)>,
    tally: ChaosTally,
    /// What of it is over, where it is gone on with.
    carried: Carried,
    early: Option<String>,
}

/// Why a wait ended.
enum Woken {
    /// It is time.
    Due,
    /// A fault is over.
    Ended,
    /// The body is over.
    Over,
}

impl Engine {
    pub(crate) async fn run_chaos(
        &self,
        options: ChaosOptions,
        over: watch::Receiver<bool>,
        at: SourceLine,
    ) -> Result<ChaosTally, HostError> {
        let wanted = self.check_chaos(&options)?;
        let (chaos, test) = {
            let mut state = self.shared.state();
            let test = state.test.ok_or_else(|| {
                HostError::Misuse("`chaos` can only be used inside a `test`".to_owned())
            })?;
            state.last_chaos += 1;
            state.storms += 1;
            (ChaosId(state.last_chaos), test)
        };
        let mut seed = self.shared.config.seed;
        if on(Mutant::SeedIgnored) {
            seed ^= self.shared.clock.now().micros;
        }
        let replayed = self.replayed(chaos);
        let again = replayed.is_some();
        let carried = self.shared.carried.get(&chaos).cloned();
        let (length, whole) = match &carried {
            None => (wanted, wanted),
            Some(carried) => (carried.left(wanted), carried.length(wanted)),
        };
        let plan = carried.as_ref().map(|carried| carried.plan.clone()).or(replayed);
        let plan = plan.unwrap_or_else(|| plan::draw(seed, chaos, &options, length));
        let event = RunEventKind::ChaosPlanned {
            chaos,
            test,
            seed,
            on: options.on.clone(),
            plan: plan.clone(),
            length_micros: u64::try_from(whole.as_micros()).ok(),
        };
        self.shared.event_at(event, at.clone());
        let mut storm = Storm {
            engine: self.clone(),
            chaos,
            options: Arc::new(options),
            at,
            acting: JoinSet::new(),
            hurting: Vec::new(),
            tally: carried.as_ref().map_or_else(
                || ChaosTally { planned: plan.len() as u64, ..ChaosTally::default() },
                Carried::tally,
            ),
            carried: carried.unwrap_or_default(),
            early: None,
        };
        captures::keep(&self.shared);
        let raged = match again {
            true => storm.rage_again(&plan, length, over).await,
            false => storm.rage(&plan, length, over).await,
        };
        // Also when it was stopped: what acts goes its way to the end.
        let rest = storm.wait_for_all().await;
        let (tally, early) = (storm.tally, storm.early.clone());
        {
            let mut state = self.shared.state();
            state.storms = state.storms.saturating_sub(1);
        }
        self.shared.event(RunEventKind::ChaosFinished { chaos, tally, early });
        raged.and(rest)?;
        storm.judge().await?;
        Ok(tally)
    }

    /// Whether there is anything to draw, and for how long.
    fn check_chaos(&self, options: &ChaosOptions) -> Result<Duration, HostError> {
        let misuse = |text: String| Err(HostError::Misuse(text));
        if options.on.is_empty() {
            return misuse("`chaos` has nobody to hurt: `on` is empty".to_owned());
        }
        if !options.kinds.iter().any(|kind| kind.weight > 0.0) {
            return misuse("`chaos` has no fault to draw: no weight is more than 0".to_owned());
        }
        let length = options.duration.unwrap_or(self.shared.config.timeout);
        let turns = plan::count(options, length);
        if turns > plan::FAULTS_MAX {
            return misuse(format!(
                "`chaos` would draw {turns} faults, and {} are possible; give a longer `every` or \
                 a shorter `duration`",
                plan::FAULTS_MAX
            ));
        }
        // Of one that is gone on with, little may be left.
        if turns == 0 && options.duration.is_some() && self.shared.carried.is_empty() {
            return misuse(format!(
                "`chaos` over {} draws no fault at one each {}",
                format_duration(length),
                format_duration(options.every)
            ));
        }
        let state = self.shared.state();
        for node in &options.on {
            state.node(node)?;
        }
        Ok(length)
    }
}

impl Storm {
    /// Applies each fault when it is due and a place is free, until the end, the end of the body,
    /// or a budget that cannot be met any more.
    async fn rage(
        &mut self,
        plan: &[ChaosFault],
        length: Duration,
        mut ends: watch::Receiver<bool>,
    ) -> Result<(), HostError> {
        let started = Instant::now();
        let over =
            |place: usize| u32::try_from(place).is_ok_and(|p| self.carried.over.contains_key(&p));
        let to_come: Vec<usize> = match self.carried.ended {
            true => Vec::new(),
            false => (0..plan.len()).filter(|place| !over(*place)).collect(),
        };
        for (turn, place) in to_come.iter().copied().enumerate() {
            let Some(planned) = plan.get(place) else { break };
            // What was due before the gap and is not over yet is due at once.
            let at = Duration::from_micros(planned.at_micros).saturating_sub(self.carried.spent);
            let due = started + at;
            if matches!(self.wait_until(due, &mut ends).await?, Woken::Over) {
                return Ok(());
            }
            while self.acting.len() >= self.options.at_once {
                self.wait_for_one().await?;
            }
            if *ends.borrow() {
                return Ok(());
            }
            if self.budget_is_gone(to_come.len() - turn) {
                return Ok(());
            }
            self.begin(place, planned);
        }
        // With a body, its end is the end; without one, the time is.
        self.wait_until(started + length, &mut ends).await.map(drop)
    }

    async fn wait_until(
        &mut self,
        due: Instant,
        over: &mut watch::Receiver<bool>,
    ) -> Result<Woken, HostError> {
        loop {
            match self.wait(due, over).await? {
                Woken::Ended => {}
                woken => return Ok(woken),
            }
        }
    }

    async fn wait(
        &mut self,
        due: Instant,
        over: &mut watch::Receiver<bool>,
    ) -> Result<Woken, HostError> {
        let engine = self.engine.clone();
        tokio::select! {
            () = tokio::time::sleep_until(due) => Ok(Woken::Due),
            () = ended(over) => Ok(Woken::Over),
            Some(done) = self.acting.join_next_with_id() => self.count(done).map(|()| Woken::Ended),
            reason = engine.shared.cancel.stopped() => {
                Err(HostError::Cancelled(crate::cancel::describe(&reason)))
            }
        }
    }

    async fn wait_for_one(&mut self) -> Result<(), HostError> {
        match self.acting.join_next_with_id().await {
            Some(done) => self.count(done),
            None => Ok(()),
        }
    }

    async fn wait_for_all(&mut self) -> Result<(), HostError> {
        let mut outcome = Ok(());
        while let Some(done) = self.acting.join_next_with_id().await {
            outcome = outcome.and(self.count(done));
        }
        outcome
    }

    fn count(
        &mut self,
        done: Result<(Id, Result<Verdict, HostError>), JoinError>,
    ) -> Result<(), HostError> {
        let ended = done.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        self.hurting.retain(|(id, _)| *id != ended);
        let verdict = done.map(|(_, verdict)| verdict).map_err(|error| {
            HostError::Harness(format!("failed to carry a fault through: {error}"))
        })?;
        match &verdict {
            Ok(Verdict::Passed) => self.tally.detected += 1,
            Ok(Verdict::Failed(_)) => self.tally.missed += 1,
            Ok(Verdict::Skipped(_)) if on(Mutant::SkipsDetected) => self.tally.detected += 1,
            Ok(Verdict::Skipped(_)) => self.tally.skipped += 1,
            Ok(Verdict::Inconclusive(_)) => self.tally.inconclusive += 1,
            Ok(Verdict::Broken(_)) | Err(_) => self.tally.broken += 1,
        }
        verdict.map(drop)
    }

    /// Whether more were missed already than may be if all that are left are noticed.
    fn budget_is_gone(&mut self, left: usize) -> bool {
        let ChaosTally { detected, missed, .. } = self.tally;
        let most = (detected + missed + left as u64) as f64 * self.options.flake_budget.0;
        let gone = missed as f64 > most && !on(Mutant::BudgetEndless);
        if gone {
            self.early = Some(format!(
                "{missed} faults went unnoticed or did not heal, and the budget of {} cannot be \
                 met any more",
                self.options.flake_budget
            ));
        }
        gone
    }

    fn begin(&mut self, place: usize, planned: &ChaosFault) {
        let place = self.place(place);
        if let Some(why) = planned.realised.as_ref().and_then(|was| was.skipped.as_ref()) {
            return self.skip(place, format!("as in the run that is replayed: {why}"));
        }
        let kind = self.options.kinds.iter().find(|kind| kind.fault == planned.name).cloned();
        let call = |kind: ChaosKind| match &planned.realised {
            None => self.call(&kind, planned, place).map(|call| (kind, call)),
            Some(realised) => self.call_again(&kind, realised, place).map(|call| (kind, call)),
        };
        let call = kind.and_then(call);
        let Some((kind, call)) = call else {
            let why = match &planned.realised {
                None => "nobody whom it may hurt runs and is free of other faults".to_owned(),
                Some(_) => format!(
                    "{} was hurt by it in the run that is replayed, and is not fit for it now",
                    planned.target
                ),
            };
            return self.skip(place, why);
        };
        let (engine, at) = (self.engine.clone(), self.at.clone());
        let targets = call.targets.clone();
        let task = self.acting.spawn(async move { engine.carry_through(call, &kind, at).await });
        self.hurting.push((task.id(), targets));
    }

    fn place(&self, place: usize) -> ChaosPlace {
        ChaosPlace { chaos: self.chaos, place: u32::try_from(place).unwrap_or(u32::MAX) }
    }

    fn skip(&mut self, place: ChaosPlace, why: String) {
        self.tally.skipped += 1;
        self.engine.shared.event_at(RunEventKind::ChaosSkipped { place, why }, self.at.clone());
    }

    /// Whom faults hurt that are not over.
    fn hurt<'a>(&'a self, state: &'a State) -> BTreeSet<&'a NodeId> {
        let open = state.faults.values().filter(|open| !open.settled);
        let begun = self.hurting.iter().flat_map(|(_, targets)| targets);
        open.flat_map(|open| &open.targets).chain(begun).collect()
    }

    /// The fault on the node that was drawn, or on the next of the list that is fit for it.
    fn call(&self, kind: &ChaosKind, planned: &ChaosFault, place: ChaosPlace) -> Option<FaultCall> {
        let on = &self.options.on;
        let first = on.iter().position(|node| *node == planned.target)?;
        let state = self.engine.shared.state();
        let hurt = self.hurt(&state);
        let fit = |node: &&NodeId| is_ready(&state, node) && !hurt.contains(*node);
        let fit: Vec<&NodeId> = on.iter().cycle().skip(first).take(on.len()).filter(fit).collect();
        // Two that would undo each other do not act at once.
        let fault = by_name(&kind.fault)?;
        let free = |call: &FaultCall| !state.faults.values().any(|o| collides(o, fault, call));
        let aimed = |first: usize| self.aimed(kind, fit.get(first..)?, place, &state);
        (0..fit.len())
            .filter_map(aimed)
            // A group that there is not parts nobody.
            .filter_map(|call| resolve(&state, call).ok())
            .find(free)
    }

    /// The fault on the first of these nodes, and on whom else it hurts; `None` if they are not
    /// there.
    fn aimed(
        &self,
        kind: &ChaosKind,
        fit: &[&NodeId],
        place: ChaosPlace,
        state: &State,
    ) -> Option<FaultCall> {
        let target = *fit.first()?;
        let mesh = &state.nodes.get(target)?.mesh;
        let live = state.live(mesh);
        let first = live.iter().position(|node| node == target)?;
        let from_here: Vec<NodeId> =
            live.iter().cycle().skip(first).take(live.len()).cloned().collect();
        let others = from_here.get(1..)?.to_vec();
        let one = vec![target.clone()];
        let (targets, against, group) = match &kind.aim {
            Aim::Node => (one, Vec::new(), None),
            Aim::Several(count) => {
                let several = fit.get(..*count)?.iter().map(|node| (*node).clone()).collect();
                (several, Vec::new(), None)
            }
            Aim::Pair => (one, vec![others.first()?.clone()], None),
            Aim::Rest => (one, Some(others).filter(|others| !others.is_empty())?, None),
            Aim::Group(group) => (from_here, Vec::new(), Some(group.clone())),
            Aim::Relay => {
                let relay = state.meshes.get(mesh)?.relay.clone();
                (vec![relay.filter(|relay| state.runs(relay))?], Vec::new(), None)
            }
        };
        Some(FaultCall {
            name: kind.fault.clone(),
            targets,
            against,
            group,
            settings: kind.settings,
            // The chaos takes it back itself, when it is time.
            hold: None,
            detect_within: Some(self.options.detect_within),
            chaos: Some(place),
        })
    }

    /// The claims that a chaos makes.
    async fn judge(&self) -> Result<(), HostError> {
        let ChaosTally { planned, detected, missed, skipped, inconclusive, broken } = self.tally;
        let judged = detected + missed;
        let drawn = judged + skipped + inconclusive + broken;
        let budget = self.options.flake_budget;
        let held = missed as f64 <= judged as f64 * budget.0 || on(Mutant::BudgetEndless);
        self.compare(
            held,
            format!("at most {budget} of the judged faults go unnoticed or do not heal"),
            rate(missed, judged, "of the judged faults"),
        )?;
        let (left, limit) = (skipped + inconclusive, self.options.skip_budget);
        self.compare(
            left as f64 <= drawn as f64 * limit.0,
            format!("at most {limit} of the drawn faults are skipped or undecided"),
            rate(left, drawn, "of the drawn faults"),
        )?;
        // Who allows every fault to be undecided has nodes that cannot say what they notice.
        let blind = limit.0 >= 1.0 && self.meshes().iter().all(|mesh| self.engine.is_blind(mesh));
        let (acted, text) = match blind {
            false => (judged, "at least one fault acts and is judged"),
            true => {
                (judged + inconclusive, "at least one fault acts; who noticed is not available")
            }
        };
        let found = format!("{acted} of {planned} planned ones");
        self.compare(acted > 0, text.to_owned(), found)?;
        for mesh in self.meshes() {
            let Some(claim) = self.engine.whole(mesh, FORMED_WITHIN) else { continue };
            self.engine.judge_claim(claim, Severity::Check, self.at.clone()).await?;
        }
        Ok(())
    }

    fn compare(&self, holds: bool, text: String, found: String) -> Result<(), HostError> {
        let (severity, at) = (Severity::Check, self.at.clone());
        self.engine.judge_compared("chaos", holds, text, found, severity, at).map(drop)
    }

    /// Meshes with at least two nodes that run: a node alone has nobody to form with.
    fn meshes(&self) -> Vec<MeshId> {
        let state = self.engine.shared.state();
        let meshes: BTreeSet<MeshId> = self
            .options
            .on
            .iter()
            .filter_map(|node| Some(state.nodes.get(node)?.mesh.clone()))
            .collect();
        meshes.into_iter().filter(|mesh| state.live(mesh).len() > 1).collect()
    }
}

impl Engine {
    /// One fault, from its application to its verdict.
    async fn carry_through(
        &self,
        call: FaultCall,
        kind: &ChaosKind,
        at: SourceLine,
    ) -> Result<Verdict, HostError> {
        let started = self.apply_fault(call, at).await?;
        if started.acted {
            match kind.hold {
                Some(hold) => self.shared.cancel.or(tokio::time::sleep(hold)).await?,
                None if self.noticed(started.fault).await? => {}
                // Nobody has to notice it.
                None => self.shared.cancel.or(tokio::time::sleep(HOLD)).await?,
            }
            self.undo_fault(started.fault).await?;
        }
        self.settle_fault(started.fault).await
    }
}

fn is_ready(state: &State, node: &NodeId) -> bool {
    state.nodes.get(node).is_some_and(|found| found.runs() && found.ready().is_some())
}

/// Waits for the end of the body; for ever, if nobody is left who could tell of it.
async fn ended(over: &mut watch::Receiver<bool>) {
    if over.wait_for(|over| *over).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn rate(count: u64, of: u64, what: &str) -> String {
    match Proportion::new(count, of) {
        None => format!("{count} of {of} {what}"),
        Some(proportion) => {
            let (low, high) = proportion.interval();
            format!(
                "{count} of {of} {what}: {}, 95 % interval {} to {}",
                Percent(proportion.share()),
                Percent(low),
                Percent(high)
            )
        }
    }
}

#[cfg(test)]
mod tests;
