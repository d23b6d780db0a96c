//! `expect.counts`: so many in every stretch of time of one length.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use meshlab_model::{NodeId, RunTime, Tally, format_duration};
use meshlab_mutants::{Mutant, on};
use meshlab_spans::Found;

use super::{Judged, Machine, TRAVEL};

/// How many are asked for, in how long a stretch.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) window: Duration,
    pub(super) at_least: Option<u64>,
    pub(super) at_most: Option<u64>,
}

impl Bounds {
    /// Why they can never be met; `None` if they can.
    pub(super) fn mistake(&self) -> Option<String> {
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) if least > most => {
                Some(format!("at least {least} and at most {most} cannot both be"))
            }
            (None, None) => Some("`expect.counts` needs `at_least`, `at_most` or both".to_owned()),
            _ if self.window.is_zero() => {
                Some("the window of `expect.counts` is more than \"0s\"".to_owned())
            }
            _ => None,
        }
    }

    pub(super) fn words(&self) -> String {
        let count = match (self.at_least, self.at_most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, most) => format!("at most {}", most.unwrap_or(u64::MAX)),
        };
        format!("in any {} {count}", format_duration(self.window))
    }
}

pub(super) struct Counts {
    bounds: Bounds,
    name: String,
    /// By node, or one for all of them under no name.
    lines: BTreeMap<Option<NodeId>, Line>,
    each: bool,
    ends: RunTime,
    by_node: BTreeMap<NodeId, u64>,
    broken: Option<String>,
}

/// The moments of one node's spans, as far back as they matter.
struct Line {
    times: VecDeque<RunTime>,
    /// The start of the next stretch that must hold enough: a stretch that begins right after a
    /// span is the one that holds least.
    anchor: RunTime,
}

impl Counts {
    pub(super) fn new(
        bounds: Bounds,
        name: String,
        senders: &[NodeId],
        each: bool,
        since: RunTime,
        ends: RunTime,
    ) -> Self {
        let line = || Line { times: VecDeque::new(), anchor: since };
        let keys: Vec<Option<NodeId>> =
            if each { senders.iter().cloned().map(Some).collect() } else { vec![None] };
        Self {
            bounds,
            name,
            lines: keys.into_iter().map(|key| (key, line())).collect(),
            each,
            ends,
            by_node: senders.iter().map(|node| (node.clone(), 0)).collect(),
            broken: None,
        }
    }

    /// The first stretch, over by `now`, that holds too few.
    fn too_few(&mut self, now: RunTime) -> Option<String> {
        let least = usize::try_from(self.bounds.at_least?).unwrap_or(usize::MAX);
        let window = self.bounds.window;
        for (node, line) in &mut self.lines {
            loop {
                let end = line.anchor.as_duration() + window;
                let after = line.times.partition_point(|time| *time <= line.anchor);
                let inside = line.times.partition_point(|time| time.as_duration() <= end) - after;
                // The next stretch begins right after the first span of this one.
                if let Some(first) = line.times.get(after).filter(|_| inside >= least) {
                    line.anchor = *first;
                    continue;
                }
                let over = end + TRAVEL < now.as_duration() && end <= self.ends.as_duration();
                if over {
                    let who = node.as_ref().map_or("all together", NodeId::as_str);
                    return Some(format!(
                        "{who}: {inside} `{}` in the {} from {}",
                        self.name,
                        format_duration(window),
                        line.anchor
                    ));
                }
                break;
            }
        }
        None
    }
}

impl Machine for Counts {
    fn take(&mut self, _: usize, found: &Found) {
        if found.happened > self.ends {
            return;
        }
        let node = &found.record.node;
        if let Some(count) = self.by_node.get_mut(node) {
            *count += 1;
        }
        let Some(line) = self.lines.get_mut(&self.each.then(|| node.clone())) else { return };
        // A span that comes late still finds those of its stretch.
        let reach = self.bounds.window + TRAVEL * 2;
        let done = |time: &RunTime| {
            found.happened.since(*time) > reach
                && (self.bounds.at_least.is_none() || *time < line.anchor)
        };
        let old = line.times.iter().take_while(|time| done(time)).count();
        line.times.drain(..old);
        let place = line.times.partition_point(|time| *time <= found.happened);
        line.times.insert(place, found.happened);
        let Some(most) = self.bounds.at_most else { return };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        // One more than allowed, from the first to the last of them.
        for first in place.saturating_sub(most)..=place {
            let (Some(from), Some(to)) = (line.times.get(first), line.times.get(first + most))
            else {
                break;
            };
            if to.since(*from) <= self.bounds.window && !on(Mutant::WindowUnheld) {
                let who = if self.each { node.as_str() } else { "all together" };
                let why = format!(
                    "{who}: {} `{}` in the {} from {from}",
                    most + 1,
                    self.name,
                    format_duration(to.since(*from)),
                );
                self.broken.get_or_insert(why);
                return;
            }
        }
    }

    fn judge(&mut self, now: RunTime) -> Option<Judged> {
        if let Some(why) = &self.broken {
            return Some(Judged::has(why.clone()));
        }
        if let Some(why) = self.too_few(now) {
            return Some(Judged::lacks(why));
        }
        None
    }

    fn end(&mut self, now: RunTime) -> Judged {
        if let Some(judged) = self.judge(now) {
            return judged;
        }
        let from = self.lines.values().map(|line| line.anchor).min().unwrap_or_default();
        let seen = self.by_node.values().any(|count| *count > 0);
        if self.bounds.at_least.is_some() && !seen && self.ends.since(from) < self.bounds.window {
            let window = format_duration(self.bounds.window);
            return Judged::undecided(format!("no stretch of {window} has passed yet"));
        }
        Judged::holds(true)
    }

    fn tallies(&self) -> Vec<Tally> {
        let tally = |(node, have): (&NodeId, &u64)| Tally {
            node: node.clone(),
            have: *have,
            need: u64::from(self.each && self.bounds.at_least.is_some()),
        };
        self.by_node.iter().map(tally).collect()
    }

    fn found(&self) -> String {
        let count: u64 = self.by_node.values().sum();
        format!(
            "{count} `{}` came, in every {} as asked",
            self.name,
            format_duration(self.bounds.window)
        )
    }
}
