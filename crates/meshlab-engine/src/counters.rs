//! What nodes count themselves, beside the samples of their processes, and what came through their
//! doors and could not be kept.

use std::collections::BTreeSet;

use meshlab_model::{CounterSample, NodeId, RunTime};
use meshlab_spans::{METRIC_NAMES_MAX, ReceiverCounters};

use crate::engine::{Shared, lock};

/// Records what changed since the last round. A node that counts more than is kept is told once.
pub(crate) fn record(shared: &Shared, at: RunTime) {
    let changed = shared.store.take_changed_metrics();
    let samples: Vec<CounterSample> =
        changed.into_iter().map(|(node, values)| CounterSample { at, node, values }).collect();
    shared.recorder.counters(&samples);
    if let Some(watcher) = shared.watcher.get() {
        watcher.counters(&samples);
    }
    lock(&shared.gates).count(&samples);
    for sample in &samples {
        if shared.store.problems(&sample.node).metrics_refused > 0 {
            warn_once(shared, &sample.node);
        }
    }
}

fn warn_once(shared: &Shared, node: &NodeId) {
    let told: &mut BTreeSet<NodeId> = &mut lock(&shared.told_counters);
    if told.insert(node.clone()) {
        shared.warn(format!(
            "{node} counts more than is kept: the first {METRIC_NAMES_MAX} numbers by name are, \
             the others are not recorded; a metric with fewer attributes has fewer names"
        ));
    }
}

/// Tells, node by node, what came to its doors and was not kept: the run is over.
pub(crate) fn tell_refused(shared: &Shared) {
    for (node, counters) in shared.store.all_problems() {
        if let Some(told) = refused(&counters) {
            shared.warn(format!("what {node} sent was not all kept: {told}"));
        }
    }
    shared.logs.lost().into_iter().for_each(|told| shared.warn(told));
}

/// What is missing of a node's telemetry; `None` if nothing is. What was merely not understood
/// (`ignored`, histograms) is no loss: nothing asks for it.
fn refused(counters: &ReceiverCounters) -> Option<String> {
    let parts = [
        (counters.malformed, "malformed requests"),
        (counters.too_large, "requests over the size limit"),
        (counters.refused, "connections over the limit"),
        (counters.flooded, "spans over 10,000 a second"),
        (counters.truncated, "spans or numbers cut to a limit"),
        (counters.metrics_refused, "numbers over a limit"),
    ];
    let parts = parts.iter().filter(|part| part.0 > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    let first = counters.first_problem.as_ref();
    let first = first.map(|first| format!("; the first: {first}")).unwrap_or_default();
    (!parts.is_empty()).then(|| parts.join(", ") + &first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_told_and_what_nothing_asks_for_is_not() {
        let counters = ReceiverCounters {
            malformed: 2,
            truncated: 7,
            first_problem: Some("no OTLP trace request".to_owned()),
            ..ReceiverCounters::default()
        };
        let told = "2 malformed requests, 7 spans or numbers cut to a limit; the first: no OTLP \
            trace request";
        assert_eq!(refused(&counters).as_deref(), Some(told));
        let ignored = ReceiverCounters { ignored: 9, metrics_unknown: 3, ..Default::default() };
        assert_eq!(refused(&ignored), None);
    }
}
