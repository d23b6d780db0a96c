//! `expect.sequence`: spans in this order, others may lie between.

use std::collections::BTreeMap;

use meshlab_model::{NodeId, RunTime, Tally, format_duration};
use meshlab_spans::Found;

use super::{Judged, Machine, tie};

pub(super) struct Sequence {
    names: Vec<String>,
    nodes: BTreeMap<NodeId, Reached>,
    each: bool,
    by: Option<String>,
}

/// How far one node has come.
#[derive(Default)]
struct Reached {
    /// Steps done and when the first was, by the value of the attribute that ties them.
    by_tie: BTreeMap<String, (usize, RunTime)>,
    furthest: usize,
    /// How long it took from the first step to the last.
    took: Option<std::time::Duration>,
}

impl Sequence {
    pub(super) fn new(
        names: Vec<String>,
        senders: &[NodeId],
        each: bool,
        by: Option<String>,
    ) -> Self {
        let nodes = senders.iter().map(|node| (node.clone(), Reached::default())).collect();
        Self { names, nodes, each, by }
    }

    fn wanted(&self) -> usize {
        if self.each { self.nodes.len() } else { 1 }
    }

    fn complete(&self) -> usize {
        self.nodes.values().filter(|reached| reached.took.is_some()).count()
    }
}

impl Machine for Sequence {
    fn take(&mut self, part: usize, found: &Found) {
        let Some(tie) = tie(self.by.as_deref(), found) else { return };
        let Some(reached) = self.nodes.get_mut(&found.record.node) else { return };
        let (done, began) = reached.by_tie.entry(tie).or_insert((0, found.happened));
        if *done != part {
            return;
        }
        if part == 0 {
            *began = found.happened;
        }
        *done += 1;
        reached.furthest = reached.furthest.max(*done);
        if *done == self.names.len() {
            reached.took.get_or_insert(found.happened.since(*began));
        }
    }

    fn judge(&mut self, _: RunTime) -> Option<Judged> {
        (self.complete() >= self.wanted()).then(|| Judged::holds(false))
    }

    fn end(&mut self, _: RunTime) -> Judged {
        let shown = |count: usize| {
            let done = count.checked_sub(1).and_then(|last| self.names.get(last));
            let next = self.names.get(count).map_or("", String::as_str);
            match done {
                Some(done) => format!("got as far as `{done}`, and no `{next}` came after it"),
                None => format!("sent no `{next}`"),
            }
        };
        let mut short: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, reached)| reached.took.is_none())
            .map(|(node, reached)| format!("{node} {}", shown(reached.furthest)))
            .collect();
        let more = short.len().saturating_sub(3);
        short.truncate(3);
        if more > 0 {
            short.push(format!("and {more} more"));
        }
        let (complete, wanted) = (self.complete(), self.wanted());
        Judged::lacks(format!("{complete} of {wanted} nodes showed it: {}", short.join("; ")))
    }

    fn tallies(&self) -> Vec<Tally> {
        let need = self.names.len() as u64;
        let tally = |(node, reached): (&NodeId, &Reached)| {
            let have = if reached.took.is_some() { need } else { reached.furthest as u64 };
            Tally { node: node.clone(), have, need: if self.each { need } else { 0 } }
        };
        self.nodes.iter().map(tally).collect()
    }

    fn found(&self) -> String {
        let slowest = self.nodes.values().filter_map(|reached| reached.took).max();
        format!(
            "{} nodes showed it, in {} at most",
            self.complete(),
            format_duration(slowest.unwrap_or_default())
        )
    }
}
