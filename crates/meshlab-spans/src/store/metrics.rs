//! The latest value of each metric, by node and name.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::PoisonError,
};

use meshlab_model::NodeId;

use super::SpanStore;
use crate::metrics::{Decoded, METRIC_NAMES_MAX, MetricValue};

impl SpanStore {
    /// The latest value of each metric that a node sent, by its name. A metric with attributes has
    /// a name for each set of them, such as `requests{kind=echo}`.
    pub fn metrics(&self, node: &NodeId) -> BTreeMap<String, MetricValue> {
        let metrics = self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.get(node).cloned().unwrap_or_default()
    }

    /// Takes in metrics of one node. A node keeps the names that it sent first; values of further
    /// ones are refused and counted.
    pub(crate) fn add_metrics(&self, node: &NodeId, decoded: Decoded) {
        let arrived = self.shared.clock.now();
        let mut refused = decoded.refused;
        let mut metrics = self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = metrics.entry(node.clone()).or_default();
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
