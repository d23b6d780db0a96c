//! What is left of a run whose harness was killed, out of its record, so that another one goes on.
//!
//! Tests that ended keep their verdict. The one that was interrupted is run again from its top, on
//! nodes that are started anew, for what is left of its duration; of its schedules, faults that
//! were judged or skipped are not fired again. What was claimed before counts as it came out.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use meshlab_model::{
    ChaosFault, ChaosId, ChaosPlace, ChaosTally, FaultId, Manifest, NodeId, RunEvent, RunEventKind,
    RunTime, Sample, TestId, Verdict, format_duration,
};
use meshlab_spans::RunClock;

use crate::{
    results::{Filter, OpenMinutes, Reopened, ResultsError, RunFolder, RunRecord, file, read_run},
    state::State,
};

/// A run that is gone on with.
#[derive(Debug)]
pub struct Resume {
    pub(crate) reopened: Reopened,
    pub(crate) folder: RunFolder,
    pub(crate) left: Left,
    pub(crate) last_seq: u64,
    /// The last moment of which anything is in the record.
    pub(crate) from: RunTime,
    pub(crate) started_unix_nanos: u64,
    /// Number of the last span.
    pub(crate) last_span: u64,
    /// Samples and numbers whose minute was not over.
    pub(crate) open_minutes: OpenMinutes,
    /// Samples of the test that was interrupted.
    record: RunRecord,
}

/// What a run has done so far, and what is left of it.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Which part comes next, from 2.
    pub(crate) part: u32,
    /// The first test that has not ended; the number of tests if all have.
    pub(crate) next: u32,
    /// The test that was interrupted, when it began first, and how long it ran.
    pub(crate) interrupted: Option<(TestId, RunTime, Duration)>,
    /// How long the run has been running, without gaps.
    pub(crate) ran: Duration,
    /// Schedules of the test that was interrupted.
    pub(crate) chaos: BTreeMap<ChaosId, Carried>,
    last_claim: u32,
    last_fault: u32,
    last_step: u32,
    /// Counted without the test that was interrupted, for it names the same again.
    last_chaos: u32,
    last_comparison: u32,
    nodes_named: u32,
}

/// A schedule of the test that was interrupted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Carried {
    /// All of it.
    pub(crate) plan: Vec<ChaosFault>,
    length: Option<Duration>,
    /// How long it has been going on.
    pub(crate) spent: Duration,
    /// What came of the faults that are over, by their places.
    pub(crate) over: BTreeMap<u32, Verdict>,
    /// Whether it came to its end.
    pub(crate) ended: bool,
}

/// Why a run cannot be gone on with. Completes "failed to go on with ...".
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// It cannot be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// It is being written.
    #[error("{}: {error}; `meshlab attach` looks at one that is kept, `kill` ends it",
        .folder.display())]
    Running {
        /// Its folder.
        folder: PathBuf,
        /// What holds it.
        error: io::Error,
    },
    /// Its events cannot be opened.
    #[error("{}: its events cannot be written: {error}", .folder.display())]
    Io {
        /// Its folder.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It has an end.
    #[error(
        "{run}: it has ended, so nothing of it is left; `meshlab run {script} --seed {seed}` \
        runs it again"
    )]
    Ended {
        /// The run.
        run: String,
        /// Its scenario.
        script: String,
        /// Its seed.
        seed: u64,
    },
    /// It says too little of itself.
    #[error("{run}: {why}; `meshlab run {script} --seed {seed}` runs it again from its start")]
    Unfit {
        /// The run.
        run: String,
        /// Why not.
        why: String,
        /// Its scenario.
        script: String,
        /// Its seed.
        seed: u64,
    },
}

impl Resume {
    /// Locks the run in `folder` and works out what is left of it.
    ///
    /// # Errors
    /// It has ended, is being written, is damaged, or had not begun.
    pub fn of(folder: &Path) -> Result<Self, ResumeError> {
        // What is no run is told as that. Only under the lock is it sure what the record says.
        read_run(folder)?;
        let reopened = Reopened::open(folder).map_err(|error| {
            let folder = folder.to_owned();
            match error.kind() {
                io::ErrorKind::WouldBlock => ResumeError::Running { folder, error },
                _ => ResumeError::Io { folder, error },
            }
        })?;
        let record = read_run(folder)?;
        let manifest = &record.manifest;
        let Manifest { run, script_path, seed, .. } = manifest.clone();
        let unfit = |why: String| {
            let (run, script) = (run.clone(), script_path.clone());
            ResumeError::Unfit { run, why, script, seed }
        };
        let Some(last) = record.events.last() else {
            return Err(unfit("nothing had begun".to_owned()));
        };
        if matches!(last.kind, RunEventKind::RunFinished { .. }) {
            return Err(ResumeError::Ended { run, script: script_path, seed });
        }
        if manifest.schema == 1 {
            return Err(unfit("its record is of schema 1, which is not written any more".into()));
        }
        if let Some(damage) = record.damage.iter().find(|damage| damage.starts_with(file::EVENTS)) {
            return Err(unfit(format!("its record is damaged: {damage}")));
        }
        let (last_seq, from) = (last.seq, end_of(&record));
        let left = left(&record.events, from);
        let timeout = Duration::from_secs_f64(manifest.timeout_secs.clamp(0.0, 1e9));
        if left.ran >= timeout {
            let (ran, timeout) = (format_duration(left.ran), format_duration(timeout));
            return Err(unfit(format!("it ran for {ran}, and its timeout is {timeout}")));
        }
        let folder = RunFolder::of(folder, &manifest.run).map_err(|error| {
            let folder = folder.to_owned();
            ResumeError::Io { folder, error }
        })?;
        let started_unix_nanos = manifest.started_unix_nanos;
        let open_minutes = OpenMinutes::of(&record);
        let last_span = last_span(&record);
        Ok(Self {
            reopened,
            folder,
            left,
            last_seq,
            from,
            started_unix_nanos,
            last_span,
            open_minutes,
            record,
        })
    }

    /// What was decided before the run began.
    pub fn manifest(&self) -> &Manifest {
        &self.record.manifest
    }

    /// What has happened so far.
    pub fn events(&self) -> &[RunEvent] {
        &self.record.events
    }

    /// The first test that has not ended, from 0; the number of tests if all have.
    pub fn next_test(&self) -> u32 {
        self.left.next
    }

    /// How long the test that was interrupted ran, if one was: that much of its plan is done.
    pub fn spent(&self) -> Option<Duration> {
        self.left.interrupted.map(|(_, _, spent)| spent)
    }

    /// How long the run has been running, without gaps.
    pub fn ran(&self) -> Duration {
        self.left.ran
    }

    /// The run's clock, which goes on over the gap, by the wall clock of the host. Where that was
    /// set back, it goes on from the last moment that is known.
    pub(crate) fn clock(&self) -> RunClock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix = u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX);
        let since = Duration::from_nanos(unix.saturating_sub(self.started_unix_nanos));
        let since = since.max(self.from.as_duration() + Duration::from_micros(1));
        let now = Instant::now();
        let started = now.checked_sub(since).unwrap_or(now);
        RunClock { started, started_unix_nanos: self.started_unix_nanos }
    }

    /// Samples of nodes from the test that was interrupted, in all of its parts.
    pub(crate) fn samples_of_test(&self) -> impl Iterator<Item = Sample> {
        let since = self.left.interrupted.map(|(_, began, _)| began);
        let filter =
            Filter { since: since.or(Some(RunTime { micros: u64::MAX })), ..Filter::default() };
        self.record.samples.select(filter)
    }

    /// What the engine begins with, so that no id is used for two things.
    pub(crate) fn state(&self) -> State {
        let left = &self.left;
        State {
            last_claim: left.last_claim,
            last_fault: left.last_fault,
            last_step: left.last_step,
            last_chaos: left.last_chaos,
            last_comparison: left.last_comparison,
            nodes_named: left.nodes_named,
            ..State::default()
        }
    }
}

impl Carried {
    /// How much of the schedule is left, where the script gives it `length`.
    pub(crate) fn left(&self, length: Duration) -> Duration {
        match self.ended {
            true => Duration::ZERO,
            false => self.length.unwrap_or(length).saturating_sub(self.spent),
        }
    }

    /// The length of all of it.
    pub(crate) fn length(&self, length: Duration) -> Duration {
        self.length.unwrap_or(length)
    }

    /// What came of the faults that are over.
    pub(crate) fn tally(&self) -> ChaosTally {
        let planned = self.plan.len() as u64;
        let mut tally = ChaosTally { planned, ..ChaosTally::default() };
        for verdict in self.over.values() {
            match verdict {
                Verdict::Passed => tally.detected += 1,
                Verdict::Failed(_) => tally.missed += 1,
                Verdict::Skipped(_) => tally.skipped += 1,
                Verdict::Inconclusive(_) => tally.inconclusive += 1,
                Verdict::Broken(_) => tally.broken += 1,
            }
        }
        tally
    }
}

/// The last moment of which anything is in the record.
fn end_of(record: &RunRecord) -> RunTime {
    let events = record.events.iter().map(|event| event.at);
    let spans = record.spans.last().map(|(at, _)| at);
    let samples = record.samples.last().map(|(at, _)| at);
    events.chain(spans).chain(samples).max().unwrap_or_default()
}

/// Number of the last span: they are numbered in order of arrival.
fn last_span(record: &RunRecord) -> u64 {
    let since = record.spans.last().map(|(at, _)| at);
    let last = record.spans.select(Filter { since, ..Filter::default() });
    last.map(|span| span.seq).max().unwrap_or(0)
}

/// A fold over the events of a run without an end.
#[derive(Default)]
struct Fold {
    left: Left,
    /// When this part of the run began.
    part_began: RunTime,
    running: Option<(TestId, RunTime)>,
    /// When a test began first, and how long it ran in earlier parts.
    earlier: BTreeMap<TestId, (RunTime, Duration)>,
    /// When a schedule began in this part.
    raging: BTreeMap<ChaosId, RunTime>,
    /// Ids by the test that they are of.
    chaos: BTreeMap<ChaosId, TestId>,
    comparisons: BTreeMap<u32, TestId>,
    nodes: BTreeMap<NodeId, TestId>,
    places: BTreeMap<FaultId, ChaosPlace>,
}

/// What is left of a run, of which nothing is known after `end`.
fn left(events: &[RunEvent], end: RunTime) -> Left {
    let mut fold = Fold::default();
    fold.left.part = 2;
    for event in events {
        fold.take(event);
    }
    fold.break_off(end);
    let Fold { mut left, earlier, chaos, comparisons, nodes, .. } = fold;
    // Tests run one after the other, so only the next one can have begun already.
    let next = TestId(left.next);
    left.interrupted = earlier.get(&next).map(|(began, spent)| (next, *began, *spent));
    let test = left.interrupted.map(|(test, ..)| test);
    let own = |of: &TestId| Some(*of) == test;
    left.chaos.retain(|id, _| chaos.get(id).is_some_and(own));
    let others = |of: &&TestId| !own(of);
    left.last_chaos = chaos.values().filter(others).count() as u32;
    left.last_comparison = comparisons.values().filter(others).count() as u32;
    left.nodes_named = nodes.values().filter(others).count() as u32;
    left
}

impl Fold {
    fn take(&mut self, event: &RunEvent) {
        use RunEventKind as K;
        let left = &mut self.left;
        match &event.kind {
            K::TestStarted { test, .. } => {
                self.running = Some((*test, event.at));
                self.earlier.entry(*test).or_insert((event.at, Duration::ZERO));
            }
            K::TestFinished { test, .. } => {
                self.running = None;
                left.next = left.next.max(test.0 + 1);
            }
            K::RunResumed { part, from, .. } => {
                left.part = part.saturating_add(1);
                self.break_off(*from);
                (self.part_began, self.running) = (event.at, None);
            }
            K::ClaimStarted { claim, .. } => left.last_claim = left.last_claim.max(claim.0),
            K::StepStarted { step, .. } => left.last_step = left.last_step.max(step.0),
            K::ComparisonStarted { comparison, test, .. } => {
                self.comparisons.insert(comparison.0, *test);
            }
            K::NodeSpawned { node, role, .. } if role != "relay" => {
                if let Some((test, _)) = self.running {
                    self.nodes.insert(node.clone(), test);
                }
            }
            _ => self.take_fault(event),
        }
    }

    fn take_fault(&mut self, event: &RunEvent) {
        use RunEventKind as K;
        let left = &mut self.left;
        match &event.kind {
            K::FaultPlanned { fault, chaos, .. } => {
                left.last_fault = left.last_fault.max(fault.0);
                self.places.extend(chaos.map(|place| (*fault, place)));
            }
            K::ChaosPlanned { chaos, test, plan, length_micros, .. } => {
                self.chaos.insert(*chaos, *test);
                self.raging.insert(*chaos, event.at);
                let carried = left.chaos.entry(*chaos).or_default();
                carried.plan.clone_from(plan);
                carried.length = length_micros.map(Duration::from_micros);
            }
            K::ChaosSkipped { place, why } => {
                if let Some(carried) = left.chaos.get_mut(&place.chaos) {
                    carried.over.insert(place.place, Verdict::Skipped(why.clone()));
                }
            }
            K::FaultFinished { fault, verdict } => {
                let Some(place) = self.places.get(fault) else { return };
                if let Some(carried) = left.chaos.get_mut(&place.chaos) {
                    carried.over.insert(place.place, verdict.clone());
                }
            }
            K::ChaosFinished { chaos, .. } => {
                let began = self.raging.remove(chaos);
                if let Some(carried) = left.chaos.get_mut(chaos) {
                    carried.ended = true;
                    carried.spent += began.map(|began| event.at.since(began)).unwrap_or_default();
                }
            }
            _ => {}
        }
    }

    /// The harness ended: counts how long what was going on had been going on.
    fn break_off(&mut self, end: RunTime) {
        self.left.ran += end.since(self.part_began);
        if let Some((test, began)) = self.running
            && let Some((_, spent)) = self.earlier.get_mut(&test)
        {
            *spent += end.since(began);
        }
        for (chaos, began) in std::mem::take(&mut self.raging) {
            if let Some(carried) = self.left.chaos.get_mut(&chaos) {
                carried.spent += end.since(began);
            }
        }
    }
}

#[cfg(test)]
mod tests;
