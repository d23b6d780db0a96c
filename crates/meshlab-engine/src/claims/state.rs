//! `expect.state`: observers hold a node to be in a state.

use std::time::Duration;

use meshlab_model::{NodeId, RunTime, Tally, format_duration};
use meshlab_mutants::{Mutant, on};
use meshlab_wire::State;

use super::{Look, Looking, notes};
use crate::{Engine, HostError, Since, Via, engine::lock};

/// Who looks at which node, and what counts.
pub(crate) struct Seeing {
    pub(crate) node: NodeId,
    pub(crate) key: String,
    pub(crate) observers: Vec<NodeId>,
    pub(crate) via: Option<Via>,
    pub(crate) since: RunTime,
}

pub(crate) struct StateClaim {
    seeing: Seeing,
    state: State,
    within: Duration,
}

impl Seeing {
    pub(crate) fn new(
        engine: &Engine,
        node: NodeId,
        seen_by: Option<Vec<NodeId>>,
        via: Option<Via>,
        since: Since,
    ) -> Result<Self, HostError> {
        let since = engine.since(since)?;
        let run = engine.shared.state();
        let key = run.key(&node).ok_or_else(|| {
            HostError::Misuse(format!("{node} was never ready, so nobody can know it"))
        })?;
        let others = |run: &crate::state::State| -> Result<Vec<NodeId>, HostError> {
            let mesh = run.node(&node)?.mesh.clone();
            Ok(run.live(&mesh).into_iter().filter(|other| *other != node).collect())
        };
        let observers = match seen_by {
            Some(nodes) => nodes,
            None => others(&run)?,
        };
        if observers.is_empty() {
            return Err(HostError::Misuse(format!("there is nobody to see the state of {node}")));
        }
        drop(run);
        Ok(Self { node, key, observers, via, since })
    }

    pub(crate) fn via_words(&self) -> &'static str {
        match self.via {
            Some(Via::Message) => ", told by itself,",
            Some(Via::Inference) => ", by their own inference,",
            None => "",
        }
    }
}

impl StateClaim {
    pub(crate) fn new(seeing: Seeing, state: &str, within: Duration) -> Result<Self, HostError> {
        let state = State::from_name(state)
            .ok_or_else(|| HostError::Misuse(format!("there is no state `{state}`")))?;
        Ok(Self { seeing, state, within })
    }
}

impl Looking for StateClaim {
    fn call(&self) -> &'static str {
        "expect.state"
    }

    fn text(&self) -> String {
        format!(
            "{} hold {} to be {}{} within {}",
            notes::names(&self.seeing.observers),
            self.seeing.node,
            self.state,
            self.seeing.via_words(),
            format_duration(self.within)
        )
    }

    fn since(&self) -> RunTime {
        self.seeing.since
    }

    fn within(&self) -> Duration {
        self.within
    }

    fn look(&mut self, engine: &Engine) -> Look {
        let views = lock(&engine.shared.views);
        let mut by_node = Vec::new();
        let mut last = None;
        for observer in &self.seeing.observers {
            let opinion = views.opinion(observer, &self.seeing.key).filter(|opinion| {
                opinion.state == self.state
                    && opinion.at >= self.seeing.since
                    && (on(Mutant::HearsayInferred)
                        || self.seeing.via.is_none_or(|via| via == opinion.via))
            });
            last = last.max(opinion.map(|opinion| opinion.at));
            by_node.push(Tally {
                node: observer.clone(),
                have: u64::from(opinion.is_some()),
                need: 1,
            });
        }
        let have = by_node.iter().map(|tally| tally.have).sum();
        let need = by_node.len() as u64;
        Look { holds: have == need && need > 0, have, need, by_node, since_when: last }
    }

    fn found(&self, look: &Look) -> String {
        format!(
            "{} of {} observers hold {} to be {}",
            look.have, look.need, self.seeing.node, self.state
        )
    }

    fn notes(&self, engine: &Engine, look: &Look) -> Vec<String> {
        let without = look.without_any();
        let mut found = Vec::new();
        {
            let views = lock(&engine.shared.views);
            for observer in &without {
                found.push(match views.opinion(observer, &self.seeing.key) {
                    None => format!("{observer} has never heard of {}", self.seeing.node),
                    Some(opinion) => {
                        let via = match opinion.via {
                            Via::Message => "heard",
                            Via::Inference => "inferred",
                        };
                        format!(
                            "{observer} holds {} to be {} ({via} at {})",
                            self.seeing.node, opinion.state, opinion.at
                        )
                    }
                });
            }
        }
        found.extend(notes::about_nodes(engine, &without));
        found
    }
}
