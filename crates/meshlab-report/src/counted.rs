//! What nodes count themselves: a fold over their numbers that keeps curves of a few families and
//! the last and greatest value of every name.

use std::{collections::BTreeMap, time::Duration};

use meshlab_engine::results::RunRecord;
use meshlab_model::{CounterMinute, CounterSample, NodeId, RunTime, Spread};

use crate::measured::Curve;

/// Lines of a run's numbers that are read whole; of more than these the minutes are read.
const SAMPLES_WHOLE: u64 = 150_000;

const MINUTE: Duration = Duration::from_secs(60);

/// Names that are listed; a node has at most 256.
const NAMES_MAX: usize = 64;

/// A curve: its title, what it is, and what is taken away from that.
pub(crate) type Family = (&'static str, &'static str, Option<&'static str>);

/// What says something of most nodes. Names that a program does not have make no curve.
pub(crate) const FAMILIES: &[Family] = &[
    ("Connections open", "connections.opened", Some("connections.closed")),
    ("Gossip connections", "gossip.connections", None),
    ("Handshakes completed", "connections.opened", None),
    ("Tasks running", "tasks.spawned", Some("tasks.finished")),
    ("Directory entries", "directory.entries", None),
    ("Gossip neighbors", "gossip.neighbors", None),
];

/// Everything that reports show of nodes' own numbers.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Curves by node, in the order of [`FAMILIES`]; empty where no node has such a number.
    curves: Vec<BTreeMap<String, Curve>>,
    /// By name, then by node.
    pub(crate) values: BTreeMap<String, BTreeMap<NodeId, Value>>,
    /// When each node was heard last, in seconds.
    heard: BTreeMap<NodeId, f64>,
    /// Names that are not in `values`.
    pub(crate) left_out: usize,
    /// Length of the run in seconds, and into how many stretches a curve divides it.
    end: f64,
    stretches: usize,
}

/// A number over the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    pub(crate) last: f64,
    pub(crate) max: f64,
}

impl Counted {
    /// Reads the numbers of all nodes, once. `until` is when each node was last seen, in seconds,
    /// and `end` the length of the run: a number holds until its node is gone.
    pub(crate) fn of(
        record: &RunRecord,
        until: &BTreeMap<String, f64>,
        end: f64,
        stretches: usize,
    ) -> Self {
        let curves = FAMILIES.iter().map(|_| BTreeMap::new()).collect();
        let mut counted = Self { curves, end, stretches, ..Self::default() };
        if record.counters.len() > SAMPLES_WHOLE && !record.counter_minutes.is_empty() {
            for sample in record.counter_minutes.iter().flat_map(both_ends) {
                counted.add(sample);
            }
        } else {
            for sample in &record.counters {
                counted.add(sample);
            }
        }
        let heard = std::mem::take(&mut counted.heard);
        for (node, heard) in heard {
            let gone = until.get(node.as_str()).copied().unwrap_or(end).max(heard);
            for place in 0..FAMILIES.len() {
                counted.draw(place, &node, gone);
            }
        }
        counted.left_out = counted.values.len().saturating_sub(NAMES_MAX);
        while counted.values.len() > NAMES_MAX {
            counted.values.pop_last();
        }
        counted
    }

    /// The curves that there are, with their titles.
    pub(crate) fn curves(&self) -> impl Iterator<Item = (&'static str, &BTreeMap<String, Curve>)> {
        let with_title = FAMILIES.iter().map(|family| family.0).zip(&self.curves);
        with_title.filter(|(_, curves)| !curves.is_empty())
    }

    fn add(&mut self, sample: CounterSample) {
        let CounterSample { at, node, values } = sample;
        let moved: Vec<usize> = (0..FAMILIES.len())
            .filter(|place| {
                let (_, plus, minus) = FAMILIES[*place];
                values.contains_key(plus) || minus.is_some_and(|name| values.contains_key(name))
            })
            .collect();
        self.heard.insert(node.clone(), at.as_secs_f64());
        for (name, value) in values {
            let of_name = self.values.entry(name).or_default();
            let known = of_name.entry(node.clone()).or_insert(Value { last: value, max: value });
            *known = Value { last: value, max: known.max.max(value) };
        }
        for place in moved {
            self.draw(place, &node, at.as_secs_f64());
        }
    }

    /// Draws on from what a family is now.
    fn draw(&mut self, place: usize, node: &NodeId, at: f64) {
        let last = |name: &str| Some(self.values.get(name)?.get(node)?.last);
        let (_, plus, minus) = FAMILIES[place];
        let Some(value) = last(plus) else { return };
        let value = value - minus.and_then(last).unwrap_or(0.0);
        let (end, stretches) = (self.end, self.stretches);
        let curve = self.curves[place].entry(node.as_str().to_owned());
        curve.or_insert_with(|| Curve::new(end, stretches)).add(at, value);
    }
}

/// A minute as its least values at its beginning and its greatest at its end, which is exact for
/// what only grows, and loses no peak of the rest.
fn both_ends(minute: CounterMinute) -> [CounterSample; 2] {
    let CounterMinute { at, node, values } = minute;
    let of = |end: fn(&Spread) -> f64| {
        values.iter().map(|(name, spread)| (name.clone(), end(spread))).collect()
    };
    let later = RunTime::from_duration(at.as_duration() + MINUTE);
    [
        CounterSample { at, node: node.clone(), values: of(|spread| spread.min) },
        CounterSample { at: later, node, values: of(|spread| spread.max) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, values: &[(&str, f64)]) -> CounterSample {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value));
        CounterSample {
            at: meshlab_model::RunTime { micros: second * 1_000_000 },
            node: "a".into(),
            values: values.collect(),
        }
    }

    #[test]
    fn what_is_open_is_what_was_opened_less_what_was_closed_until_the_node_is_gone() {
        let mut record = crate::fixture::run("x".as_ref());
        record.counters = vec![
            sample(1, &[("connections.opened", 3.0), ("connections.closed", 1.0)]),
            sample(5, &[("connections.closed", 3.0), ("other", 9.0)]),
            sample(7, &[("other", 4.0)]),
        ]
        .into();
        let until = BTreeMap::from([("a".to_owned(), 20.0)]);
        let counted = Counted::of(&record, &until, 30.0, 100);
        let curves: BTreeMap<&str, Vec<(f64, f64)>> =
            counted.curves().map(|(title, curves)| (title, curves["a"].points())).collect();
        let open = vec![(1.0, 2.0), (5.0, 0.0), (20.0, 0.0)];
        let handshakes = vec![(1.0, 3.0), (20.0, 3.0)];
        let wanted =
            BTreeMap::from([("Connections open", open), ("Handshakes completed", handshakes)]);
        assert_eq!(curves, wanted);
        let other = counted.values["other"][&"a".into()];
        assert_eq!((other.last, other.max), (4.0, 9.0));
    }

    #[test]
    fn a_minute_is_what_it_began_and_what_it_ended_with() {
        let spread = Spread { min: 2.0, mean: 3.0, max: 9.0 };
        let at = RunTime { micros: 60_000_000 };
        let values = BTreeMap::from([("tasks.spawned".to_owned(), spread)]);
        let [first, last] = both_ends(CounterMinute { at, node: "a".into(), values });
        assert_eq!((first.at, first.values["tasks.spawned"]), (at, 2.0));
        assert_eq!((last.at.micros, last.values["tasks.spawned"]), (120_000_000, 9.0));
    }
}
