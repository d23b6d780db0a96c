//! What nodes count themselves, of which there are limits: the value of each holds until the next.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::{CounterName, CounterSample, NodeId};

/// The numbers of a node by name, as of a sample.
pub(super) type Counted = BTreeMap<CounterName, f64>;

/// The numbers of all nodes.
#[derive(Debug, Default)]
pub(super) struct Held {
    nodes: BTreeMap<NodeId, Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    pid: Option<u32>,
    values: Counted,
    /// What came since the last sample: it may be of a process that the sample shows first.
    fresh: Counted,
}

impl Held {
    /// Takes in what changed, of the names that there are limits of.
    pub(super) fn take(&mut self, changed: &[CounterSample], wanted: &BTreeSet<CounterName>) {
        for sample in changed {
            for name in wanted {
                let Some(value) = sample.values.get(name.as_str()) else { continue };
                let node = self.nodes.entry(sample.node.clone()).or_default();
                node.fresh.insert(*name, *value);
            }
        }
    }

    /// The numbers of a node at a sample of this process. Those of another process before it are
    /// gone with that.
    pub(super) fn of(&mut self, node: &NodeId, pid: u32) -> Counted {
        let Some(numbers) = self.nodes.get_mut(node) else { return Counted::new() };
        if numbers.pid.replace(pid) != Some(pid) {
            numbers.values.clear();
        }
        numbers.values.append(&mut numbers.fresh);
        numbers.values.clone()
    }
}

#[cfg(test)]
mod tests {
    use meshlab_model::RunTime;

    use super::*;

    #[test]
    fn a_number_holds_until_the_next_and_ends_with_its_process() {
        let (tasks, node) = (CounterName::new("tasks"), NodeId::from("node-1"));
        let wanted = BTreeSet::from([tasks]);
        let changed = |name: &str, value: f64| CounterSample {
            at: RunTime::default(),
            node: node.clone(),
            values: BTreeMap::from([(name.to_owned(), value)]),
        };
        let mut held = Held::default();
        assert!(held.of(&node, 7).is_empty());
        held.take(&[changed("tasks", 3.0), changed("dials", 9.0)], &wanted);
        assert_eq!(held.of(&node, 7), Counted::from([(tasks, 3.0)]), "dials have no limit");
        assert_eq!(held.of(&node, 7), Counted::from([(tasks, 3.0)]), "it holds");
        held.take(&[changed("tasks", 1.0)], &wanted);
        assert_eq!(held.of(&node, 8), Counted::from([(tasks, 1.0)]), "the first of a new process");
        assert!(held.of(&node, 9).is_empty(), "another one has not said yet");
    }
}
