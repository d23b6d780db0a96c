//! The latest value of each metric, by node and name.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{MutexGuard, PoisonError},
};

use meshlab_model::NodeId;

use super::SpanStore;
use crate::metrics::{Decoded, METRIC_NAMES_MAX, MetricNumber, MetricValue};

/// What nodes count.
#[derive(Default)]
pub(super) struct Metrics {
    latest: BTreeMap<NodeId, BTreeMap<String, MetricValue>>,
    /// Nodes that sent since somebody took what changed.
    fresh: BTreeSet<NodeId>,
    /// What was taken last.
    taken: BTreeMap<NodeId, BTreeMap<String, MetricNumber>>,
}

impl SpanStore {
    fn numbers(&self) -> MutexGuard<'_, Metrics> {
        self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest value of each metric that a node sent, by its name. A metric with attributes has
    /// a name for each set of them, such as `requests{kind=echo}`.
    pub fn metrics(&self, node: &NodeId) -> BTreeMap<String, MetricValue> {
        self.numbers().latest.get(node).cloned().unwrap_or_default()
    }

    /// The finite values that are others than when this was asked before, by node and name. Of
    /// several that came since then, the last one.
    pub fn take_changed_metrics(&self) -> BTreeMap<NodeId, BTreeMap<String, f64>> {
        let mut metrics = self.numbers();
        let Metrics { latest, fresh, taken } = &mut *metrics;
        let mut changed = BTreeMap::new();
        for node in std::mem::take(fresh) {
            let before = taken.entry(node.clone()).or_default();
            let mut of_node = BTreeMap::new();
            for (name, value) in latest.get(&node).into_iter().flatten() {
                let number = value.number.as_f64();
                if !number.is_finite() || before.get(name) == Some(&value.number) {
                    continue;
                }
                before.insert(name.clone(), value.number);
                of_node.insert(name.clone(), number);
            }
            if !of_node.is_empty() {
                changed.insert(node, of_node);
            }
        }
        changed
    }

    /// Takes in metrics of one node. A node keeps the names that it sent first; values of further
    /// ones are refused and counted.
    pub(crate) fn add_metrics(&self, node: &NodeId, decoded: Decoded) {
        let arrived = self.shared.clock.now();
        let mut refused = decoded.refused;
        let mut metrics = self.numbers();
        metrics.fresh.insert(node.clone());
        let kept = metrics.latest.entry(node.clone()).or_default();
        for point in decoded.points {
            let value = MetricValue {
                number: point.number,
                kind: point.kind,
                at_unix_nanos: point.at_unix_nanos,
                arrived,
            };
            let names = kept.len();
            match kept.entry(point.name) {
                Entry::Occupied(mut known) => *known.get_mut() = value,
                Entry::Vacant(new) if names < METRIC_NAMES_MAX => {
                    new.insert(value);
                }
                Entry::Vacant(_) => refused += 1,
            }
        }
        drop(metrics);
        if decoded.truncated + decoded.unknown + refused > 0 {
            self.note(node, |counters| {
                counters.truncated += decoded.truncated;
                counters.metrics_unknown += decoded.unknown;
                counters.metrics_refused += refused;
            });
        }
        self.shared.version.send_modify(|version| *version += 1);
    }
}
