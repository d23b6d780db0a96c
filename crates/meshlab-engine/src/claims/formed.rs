//! `expect.formed`: every live node holds every other live node to be there.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{MeshId, NodeId, RunTime, Tally, format_duration};
use meshlab_mutants::{Mutant, on};

use super::{Look, Looking, notes};
use crate::{Engine, HostError, Since, engine::lock};

pub(crate) struct FormedClaim {
    mesh: MeshId,
    since: RunTime,
    within: Duration,
    /// By peer, who does not hold it to be there; from the last look.
    missing: BTreeMap<NodeId, Vec<NodeId>>,
    live: Vec<NodeId>,
}

impl FormedClaim {
    pub(crate) fn new(
        engine: &Engine,
        mesh: MeshId,
        since: Since,
        within: Duration,
    ) -> Result<Self, HostError> {
        engine.shared.state().mesh(&mesh)?;
        let since = engine.since(since)?;
        Ok(Self { mesh, since, within, missing: BTreeMap::new(), live: Vec::new() })
    }
}

impl Looking for FormedClaim {
    fn call(&self) -> &'static str {
        "expect.formed"
    }

    fn text(&self) -> String {
        format!(
            "every live node of {} has heard every other one within {}",
            self.mesh,
            format_duration(self.within)
        )
    }

    fn since(&self) -> RunTime {
        self.since
    }

    fn within(&self) -> Duration {
        self.within
    }

    fn look(&mut self, engine: &Engine) -> Look {
        let (live, keys, started) = {
            let state = engine.shared.state();
            let live = state.live(&self.mesh);
            let keys: BTreeMap<NodeId, String> =
                live.iter().filter_map(|id| Some((id.clone(), state.key(id)?))).collect();
            let started = live
                .iter()
                .filter_map(|id| Some(state.nodes.get(id)?.life.as_ref()?.started))
                .max();
            (live, keys, started)
        };
        self.missing.clear();
        let mut by_node = Vec::new();
        let mut formed_at = started;
        let views = lock(&engine.shared.views);
        for observer in &live {
            let mut have = 0;
            for peer in live.iter().filter(|peer| *peer != observer) {
                let opinion = keys.get(peer).and_then(|key| views.opinion(observer, key));
                match opinion.filter(|opinion| opinion.present) {
                    Some(opinion) => {
                        have += 1;
                        formed_at = formed_at.max(Some(opinion.at));
                    }
                    None => self.missing.entry(peer.clone()).or_default().push(observer.clone()),
                }
            }
            let need = live.len().saturating_sub(1) as u64;
            by_node.push(Tally { node: observer.clone(), have, need });
        }
        let need = (live.len() * live.len().saturating_sub(1)) as u64;
        let have = by_node.iter().map(|tally| tally.have).sum();
        self.live = live;
        // A mesh of one node has nobody to hear: nothing was looked at, so it is not formed.
        let holds = need > 0 && (have == need || (have > 0 && on(Mutant::FormedByOne)));
        Look { holds, have, need, by_node, since_when: formed_at }
    }

    fn found(&self, look: &Look) -> String {
        match look.need {
            0 => format!("{} live node, at least 2 are needed", self.live.len()),
            need => format!("{} of {need} pairs have heard each other", look.have),
        }
    }

    fn notes(&self, engine: &Engine, look: &Look) -> Vec<String> {
        let mut found = Vec::new();
        for (peer, observers) in &self.missing {
            let who = if observers.len() + 1 == self.live.len() {
                "by nobody".to_owned()
            } else {
                format!("by all but {}", notes::names(observers))
            };
            found.push(format!("{peer} was heard {who}"));
        }
        let deaf = look.without_any();
        if !deaf.is_empty() {
            found.push(format!("{} heard nobody", notes::names(&deaf)));
        }
        found.extend(notes::about_nodes(engine, &deaf));
        found
    }
}
