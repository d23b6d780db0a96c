//! Rounds with two programs: each starts what it needs, measures, and leaves nothing running.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::{
    ComparisonId, FaultId, Measure, MeshId, NodeId, Round, RunEventKind, RunTime, SourceLine,
};

use crate::{ComparisonOptions, Engine, HostError, Measured};

/// A comparison of the test that is running.
#[derive(Debug)]
pub(crate) struct Comparing {
    pub(crate) options: ComparisonOptions,
    pub(crate) began: RunTime,
    /// By name, of each round that counts.
    pub(crate) measures: BTreeMap<String, BTreeMap<u32, Sides>>,
    /// What was there when the round that is going on began.
    before_round: Option<There>,
}

/// What a round measured with each program, as far as it was made.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    pub(crate) before: Option<Measure>,
    after: Option<Measure>,
}

/// What there is of a test.
#[derive(Debug, Default)]
struct There {
    meshes: BTreeSet<MeshId>,
    nodes: BTreeSet<NodeId>,
    faults: BTreeSet<FaultId>,
}

impl Comparing {
    /// The rounds that count and have both: before, after.
    pub(crate) fn pairs(&self, measure: &str) -> (Vec<f64>, Vec<f64>) {
        let rounds = self.measures.get(measure).into_iter().flat_map(BTreeMap::values);
        let both =
            |sides: &Sides| Some((sides.before.as_ref()?.value, sides.after.as_ref()?.value));
        rounds.filter_map(both).unzip()
    }

    fn add(&mut self, round: &Round, measures: &BTreeMap<String, Measure>) {
        for (name, measure) in measures {
            let rounds = self.measures.entry(name.clone()).or_default();
            let sides = rounds.entry(round.round).or_default();
            let side = match round.binary == self.options.before {
                true => &mut sides.before,
                false => &mut sides.after,
            };
            *side = Some(measure.clone());
        }
    }
}

impl Engine {
    pub(crate) fn compare(
        &self,
        options: ComparisonOptions,
        at: SourceLine,
    ) -> Result<ComparisonId, HostError> {
        let mut state = self.shared.state();
        let test = state.test.ok_or_else(|| {
            HostError::Misuse("`compare` can only be used inside a `test`".to_owned())
        })?;
        for name in [&options.before, &options.after] {
            if !self.shared.config.binaries.contains_key(name) {
                return Err(HostError::Misuse(format!(
                    "there is no program `{name}`: name it with `--binary {name}=PATH`"
                )));
            }
        }
        state.last_comparison += 1;
        let comparison = ComparisonId(state.last_comparison);
        let ComparisonOptions { before, after, rounds, warmup } = options.clone();
        let began = self.shared.clock.now();
        let comparing = Comparing { options, began, measures: BTreeMap::new(), before_round: None };
        state.comparisons.insert(comparison, comparing);
        drop(state);
        let event =
            RunEventKind::ComparisonStarted { comparison, test, before, after, rounds, warmup };
        self.shared.event_at(event, at);
        Ok(comparison)
    }

    pub(crate) fn open_round(
        &self,
        comparison: ComparisonId,
        round: &Round,
    ) -> Result<(), HostError> {
        let mut state = self.shared.state();
        let there = There {
            meshes: state.meshes.keys().cloned().collect(),
            nodes: state.nodes.keys().cloned().collect(),
            faults: state.faults.keys().copied().collect(),
        };
        comparing(&mut state, comparison)?.before_round = Some(there);
        drop(state);
        self.shared.event(RunEventKind::RoundStarted { comparison, round: round.clone() });
        Ok(())
    }

    pub(crate) async fn close_round(
        &self,
        comparison: ComparisonId,
        round: &Round,
        measured: Measured,
    ) -> Result<(), HostError> {
        let (faults, nodes, there) = {
            let mut state = self.shared.state();
            let there = comparing(&mut state, comparison)?.before_round.take().unwrap_or_default();
            let is_new = |fault: &&FaultId| !there.faults.contains(fault);
            let faults: Vec<FaultId> = state.faults.keys().filter(is_new).copied().collect();
            let is_new = |node: &&NodeId| !there.nodes.contains(*node);
            let nodes: Vec<NodeId> = state.nodes.keys().filter(is_new).cloned().collect();
            (faults, nodes, there)
        };
        let closed = self.close_these_faults(&faults).await;
        self.close_limits_of(&there.meshes, &nodes);
        self.end_nodes(&nodes).await;
        let mut state = self.shared.state();
        state.meshes.retain(|mesh, _| there.meshes.contains(mesh));
        let (measures, failed) = match measured {
            Ok(measures) => (measures, None),
            Err(why) => (BTreeMap::new(), Some(why)),
        };
        if !round.warmup {
            comparing(&mut state, comparison)?.add(round, &measures);
        }
        drop(state);
        let round = round.clone();
        self.shared.event(RunEventKind::RoundFinished { comparison, round, measures, failed });
        closed
    }
}

fn comparing(
    state: &mut crate::state::State,
    comparison: ComparisonId,
) -> Result<&mut Comparing, HostError> {
    state.comparisons.get_mut(&comparison).ok_or_else(|| {
        HostError::Misuse("this comparison belongs to a test that has ended".to_owned())
    })
}
