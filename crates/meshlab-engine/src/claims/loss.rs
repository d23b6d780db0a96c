//! What may have been lost: why finding nothing proves nothing.

use meshlab_model::{NodeId, RunTime};
use meshlab_mutants::{Mutant, on};
use meshlab_spans::{ReceiverCounters, SPANS_A_SECOND_MAX, SpanStore};

/// Spans since that moment that are no longer in memory; `None` if all are.
pub(super) fn in_memory(store: &SpanStore, since: RunTime) -> Option<String> {
    let began = store.began();
    if since < began {
        return Some(format!(
            "the harness was killed, and the run gone on with at {began}: spans from before that \
             are not in memory, and none came while it was gone; look at a shorter time, with \
             `since`"
        ));
    }
    (!store.is_whole_since(since)).then(|| {
        format!(
            "{} older spans are no longer in memory: look at a shorter time, with `since`",
            store.evicted()
        )
    })
}

/// Spans of these nodes that their telemetry doors refused; `None` if there were none.
pub(super) fn at_doors(store: &SpanStore, senders: &[NodeId]) -> Option<String> {
    senders.iter().find_map(|node| refused(node, &store.problems(node)))
}

fn refused(node: &NodeId, lost: &ReceiverCounters) -> Option<String> {
    if on(Mutant::LossUnseen) {
        return None;
    }
    if lost.flooded > 0 {
        return Some(format!(
            "spans of {node} are lost: it sent more than {SPANS_A_SECOND_MAX} a second, and {} \
             were refused",
            lost.flooded
        ));
    }
    let requests = lost.malformed + lost.too_large + lost.refused;
    (requests > 0).then(|| {
        format!("spans of {node} may be lost: its telemetry port refused requests ({requests})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_door_refused_is_told_with_the_node() {
        let node = "node-3".into();
        let none = ReceiverCounters { truncated: 9, ..ReceiverCounters::default() };
        assert_eq!(refused(&node, &none), None);
        let broken = ReceiverCounters { malformed: 1, refused: 2, ..none.clone() };
        let told = "spans of node-3 may be lost: its telemetry port refused requests (3)";
        assert_eq!(refused(&node, &broken).as_deref(), Some(told));
        let flood = ReceiverCounters { flooded: 512, ..broken };
        let told =
            "spans of node-3 are lost: it sent more than 10000 a second, and 512 were refused";
        assert_eq!(refused(&node, &flood).as_deref(), Some(told));
    }
}
