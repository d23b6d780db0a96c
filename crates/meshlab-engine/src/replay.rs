//! What the schedules of a run came to be, out of its record, so that another run can carry them
//! out again.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::{
    ChaosFault, ChaosId, ChaosPlace, FaultId, FaultStage, Manifest, Realised, RunEvent,
    RunEventKind, RunTime,
};

use crate::results::{RunRecord, file};

/// The schedules of a run, with what became of each of their faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The run that they are of.
    pub run: String,
    /// Its schedules, by their ids, which count the schedules of a run in their order. Times are
    /// those at which the faults were applied, from the beginning of their schedule.
    pub schedules: BTreeMap<ChaosId, Vec<ChaosFault>>,
}

/// Why a run cannot be replayed. Completes "failed to replay ...".
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The record does not tell what became of every fault.
    #[error(
        "{run}: its record is incomplete: {what}; `meshlab run` with its seed draws the same \
        schedule"
    )]
    Incomplete {
        /// The run.
        run: String,
        /// What is missing.
        what: String,
    },
    /// It had no schedule.
    #[error(
        "{run}: it had no `chaos`, so there is no schedule to carry out again; `meshlab run \
        {script} --seed {seed}` runs it again"
    )]
    NoSchedule {
        /// The run.
        run: String,
        /// Its scenario.
        script: String,
        /// Its seed.
        seed: u64,
    },
}

/// A schedule while its record is read.
struct Schedule {
    began: RunTime,
    plan: Vec<ChaosFault>,
    fired: BTreeMap<u32, ChaosFault>,
    ended: bool,
}

impl Replay {
    /// What the record says of the run's schedules.
    ///
    /// # Errors
    /// There was none, or the record does not tell what became of each of their faults.
    pub fn of(record: &RunRecord) -> Result<Self, ReplayError> {
        let run = record.manifest.run.clone();
        let incomplete = |what: String| ReplayError::Incomplete { run: run.clone(), what };
        if let Some(damage) = record.damage.iter().find(|damage| damage.starts_with(file::EVENTS)) {
            return Err(incomplete(damage.clone()));
        }
        let last = record.events.last();
        if !last.is_some_and(|last| matches!(last.kind, RunEventKind::RunFinished { .. })) {
            let events = record.events.len();
            return Err(incomplete(format!("the run's end is not among its {events} events")));
        }
        let resumed = |event: &&RunEvent| matches!(event.kind, RunEventKind::RunResumed { .. });
        if let Some(gap) = record.events.iter().find(resumed) {
            let at = gap.at;
            return Err(incomplete(format!(
                "its harness was killed, and it was gone on with at {at}"
            )));
        }
        let schedules = schedules(record).map_err(incomplete)?;
        if schedules.is_empty() {
            let Manifest { script_path, seed, .. } = &record.manifest;
            let (script, seed) = (script_path.clone(), *seed);
            return Err(ReplayError::NoSchedule { run, script, seed });
        }
        Ok(Self { run, schedules })
    }
}

fn schedules(record: &RunRecord) -> Result<BTreeMap<ChaosId, Vec<ChaosFault>>, String> {
    use RunEventKind as K;
    let mut schedules: BTreeMap<ChaosId, Schedule> = BTreeMap::new();
    let mut places: BTreeMap<FaultId, ChaosPlace> = BTreeMap::new();
    let mut unjudged: BTreeSet<FaultId> = BTreeSet::new();
    // What was drawn by hand no scenario asks for again.
    for event in record.events.iter().filter(|event| !event.manual) {
        match &event.kind {
            K::ChaosPlanned { chaos, plan, .. } => {
                let (began, plan) = (event.at, plan.clone());
                let schedule = Schedule { began, plan, fired: BTreeMap::new(), ended: false };
                schedules.insert(*chaos, schedule);
            }
            K::FaultPlanned { fault, name, targets, against, chaos: Some(place), .. } => {
                let near = targets.len().saturating_sub(*against as usize);
                let (targets, against) = targets.split_at(near);
                let (targets, against) = (targets.to_vec(), against.to_vec());
                let target = targets.first().cloned();
                let target = target.ok_or_else(|| format!("fault {fault} has no target"))?;
                let realised = Realised { targets, against, ..Realised::default() };
                schedule(&mut schedules, *place)?.fire(*place, event.at, (name, &target), realised);
                places.insert(*fault, *place);
                unjudged.insert(*fault);
            }
            K::ChaosSkipped { place, why } => {
                let schedule = schedule(&mut schedules, *place)?;
                let planned = schedule.plan.get(place.place as usize).cloned();
                let number = place.place;
                let planned =
                    planned.ok_or_else(|| format!("skipped number {number} is not in its plan"))?;
                let realised = Realised { skipped: Some(why.clone()), ..Realised::default() };
                schedule.fire(*place, event.at, (&planned.name, &planned.target), realised);
            }
            K::FaultReached { fault, stage: FaultStage::Acted { .. } } => {
                let Some(place) = places.get(fault) else { continue };
                let schedule = schedule(&mut schedules, *place)?;
                let onset = event.at.micros.saturating_sub(schedule.began.micros);
                let fired = schedule.fired.get_mut(&place.place);
                if let Some(realised) = fired.and_then(|fired| fired.realised.as_mut()) {
                    realised.onset_micros = Some(onset);
                }
            }
            K::FaultFinished { fault, .. } => drop(unjudged.remove(fault)),
            K::ChaosFinished { chaos, .. } => {
                schedules
                    .get_mut(chaos)
                    .ok_or(format!("schedule {chaos} has no beginning"))?
                    .ended = true;
            }
            _ => {}
        }
    }
    if let Some(fault) = unjudged.first() {
        return Err(format!("fault {fault} was begun and never judged"));
    }
    let open = schedules.iter().find(|(_, schedule)| !schedule.ended);
    if let Some((chaos, _)) = open {
        return Err(format!("schedule {chaos} was begun and never ended"));
    }
    let fired =
        |(chaos, schedule): (ChaosId, Schedule)| (chaos, schedule.fired.into_values().collect());
    Ok(schedules.into_iter().map(fired).collect())
}

fn schedule(
    schedules: &mut BTreeMap<ChaosId, Schedule>,
    place: ChaosPlace,
) -> Result<&mut Schedule, String> {
    let missing = || format!("schedule {} has no beginning", place.chaos);
    schedules.get_mut(&place.chaos).ok_or_else(missing)
}

impl Schedule {
    fn fire(
        &mut self,
        place: ChaosPlace,
        at: RunTime,
        (name, target): (&str, &meshlab_model::NodeId),
        realised: Realised,
    ) {
        let fault = ChaosFault {
            at_micros: at.micros.saturating_sub(self.began.micros),
            name: name.to_owned(),
            target: target.clone(),
            realised: Some(realised),
        };
        self.fired.insert(place.place, fault);
    }
}

#[cfg(test)]
mod tests;
