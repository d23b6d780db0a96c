//! `expect.no_spans` with `before`: none of one kind before the first of another.

use std::collections::BTreeMap;

use meshlab_model::{NodeId, RunTime, Tally};
use meshlab_spans::Found;

use super::{Judged, Machine, told};
use crate::claims::notes;

pub(super) struct Until {
    name: String,
    until: String,
    /// Whether the watch of a node has ended.
    over: BTreeMap<NodeId, bool>,
    early: Option<Found>,
}

impl Until {
    pub(super) fn new(name: String, until: String, senders: &[NodeId]) -> Self {
        let over = senders.iter().map(|node| (node.clone(), false)).collect();
        Self { name, until, over, early: None }
    }
}

impl Machine for Until {
    fn take(&mut self, part: usize, found: &Found) {
        let Some(over) = self.over.get_mut(&found.record.node) else { return };
        match part {
            1 => *over = true,
            _ if !*over => {
                self.early.get_or_insert_with(|| found.clone());
            }
            _ => {}
        }
    }

    fn judge(&mut self, _: RunTime) -> Option<Judged> {
        if let Some(early) = &self.early {
            return Some(Judged::lacks(format!("{}, before any `{}`", told(early), self.until)));
        }
        self.over.values().all(|over| *over).then(|| Judged::holds(true))
    }

    fn end(&mut self, _: RunTime) -> Judged {
        let waiting = self.over.iter().filter(|(_, over)| !**over).map(|(node, _)| node.clone());
        let waiting = notes::names(&waiting.collect::<Vec<_>>());
        Judged::lacks(format!("{waiting} sent no `{}`", self.until))
    }

    fn tallies(&self) -> Vec<Tally> {
        let tally = |(node, over): (&NodeId, &bool)| Tally {
            node: node.clone(),
            have: u64::from(*over),
            need: 1,
        };
        self.over.iter().map(tally).collect()
    }

    fn found(&self) -> String {
        format!("no `{}` came before `{}`", self.name, self.until)
    }
}
