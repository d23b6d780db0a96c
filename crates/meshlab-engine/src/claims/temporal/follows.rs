//! `expect.follows`: each span of one kind is followed by one of another.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use meshlab_model::{NodeId, RunTime, Tally, format_duration};
use meshlab_spans::Found;

use super::{Judged, Machine, TRAVEL, tie, told};

pub(super) struct Follows {
    first: String,
    then: String,
    by: Option<String>,
    within: Duration,
    /// What happens after it need not be followed.
    ends: RunTime,
    /// What is not followed yet, by node and tie, oldest first.
    pending: BTreeMap<(NodeId, String), VecDeque<Found>>,
    by_node: BTreeMap<NodeId, Tally>,
    slowest: Duration,
}

impl Follows {
    pub(super) fn new(
        (first, then): (String, String),
        by: Option<String>,
        within: Duration,
        ends: RunTime,
    ) -> Self {
        let (pending, by_node) = (BTreeMap::new(), BTreeMap::new());
        Self { first, then, by, within, ends, pending, by_node, slowest: Duration::ZERO }
    }

    fn tally(&mut self, node: &NodeId) -> &mut Tally {
        let new = || Tally { node: node.clone(), have: 0, need: 0 };
        self.by_node.entry(node.clone()).or_insert_with(new)
    }

    /// The oldest that nothing followed in time.
    fn overdue(&self, now: RunTime) -> Option<&Found> {
        let late = |found: &&Found| now.since(found.happened) > self.within + TRAVEL;
        let oldest = self.pending.values().filter_map(VecDeque::front).filter(late);
        oldest.min_by_key(|found| found.record.seq)
    }

    fn lacks(&self, found: &Found) -> Judged {
        let within = format_duration(self.within);
        Judged::lacks(format!("{}, and no `{}` followed within {within}", told(found), self.then))
    }
}

impl Machine for Follows {
    fn take(&mut self, part: usize, found: &Found) {
        let Some(tie) = tie(self.by.as_deref(), found) else { return };
        let key = (found.record.node.clone(), tie);
        if part == 1 {
            let Some(pending) = self.pending.get_mut(&key) else { return };
            let within = self.within;
            let before = pending.len();
            let mut slowest = Duration::ZERO;
            pending.retain(|first| {
                let took = found.happened.since(first.happened);
                let other = first.record.seq != found.record.seq;
                let followed = other && found.happened >= first.happened && took <= within;
                if followed {
                    slowest = slowest.max(took);
                }
                !followed
            });
            let followed = (before - pending.len()) as u64;
            self.slowest = self.slowest.max(slowest);
            self.tally(&found.record.node).have += followed;
        } else if found.happened <= self.ends {
            self.tally(&found.record.node).need += 1;
            self.pending.entry(key).or_default().push_back(found.clone());
        }
    }

    fn judge(&mut self, now: RunTime) -> Option<Judged> {
        if let Some(found) = self.overdue(now) {
            return Some(self.lacks(found));
        }
        let all_there = now > self.ends && now.since(self.ends) > TRAVEL;
        let seen = self.by_node.values().any(|tally| tally.need > 0);
        (all_there && seen && self.pending.values().all(VecDeque::is_empty))
            .then(|| Judged::holds(true))
    }

    fn end(&mut self, _: RunTime) -> Judged {
        match self.pending.values().filter_map(VecDeque::front).min_by_key(|f| f.record.seq) {
            Some(found) => self.lacks(found),
            None if self.by_node.values().all(|tally| tally.need == 0) => Judged::undecided(
                format!("no `{}` came, so there was nothing to follow", self.first),
            ),
            None => Judged::holds(true),
        }
    }

    fn tallies(&self) -> Vec<Tally> {
        self.by_node.values().cloned().collect()
    }

    fn found(&self) -> String {
        let followed: u64 = self.by_node.values().map(|tally| tally.have).sum();
        format!("{followed} were followed, after {} at most", format_duration(self.slowest))
    }
}
