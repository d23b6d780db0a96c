//! What may have been lost: why finding nothing proves nothing.

use meshlab_model::{NodeId, RunTime};
use meshlab_spans::SpanStore;

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
    senders.iter().find_map(|node| {
        let lost = store.problems(node);
        let requests = lost.malformed + lost.too_large + lost.refused;
        (requests > 0).then(|| {
            format!("spans of {node} may be lost: its telemetry port refused requests ({requests})")
        })
    })
}
