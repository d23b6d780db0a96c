//! Witnesses of links: what the switch counts.

use std::time::Duration;

use meshlab_lab::{DropReason, Lab};
use meshlab_model::NodeId;
use tokio::time::Instant;

/// Counters move by whole packets; looking costs a copy of the table.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Sender and receiver.
pub(crate) type Pair = (NodeId, NodeId);

/// Every pair from one of `from` to one of `to`.
pub(crate) fn pairs(from: &[NodeId], to: &[NodeId]) -> Vec<Pair> {
    from.iter().flat_map(|from| to.iter().map(|to| (from.clone(), to.clone()))).collect()
}

/// Packets of these links that were dropped so far for that reason.
pub(crate) fn dropped(lab: &Lab, links: &[Pair], reason: DropReason) -> u64 {
    let counters = lab.counters();
    links.iter().filter_map(|link| counters.get(link)?.dropped.get(&reason)).sum()
}

/// Looks until `seen` has an answer; `None` if it never does within `within`.
pub(crate) async fn look_until<T>(
    within: Duration,
    mut seen: impl FnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = seen() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Names in a row: "a, b and c".
pub(crate) fn names(nodes: &[NodeId]) -> String {
    match nodes {
        [most @ .., last] if !most.is_empty() => {
            let most: Vec<&str> = most.iter().map(NodeId::as_str).collect();
            format!("{} and {last}", most.join(", "))
        }
        _ => nodes.first().map(NodeId::to_string).unwrap_or_default(),
    }
}
