//! Which links, and what the switch counts on them.

use std::{collections::BTreeMap, time::Duration};

use meshlab_lab::{DropReason, LinkCounters};
use meshlab_model::NodeId;
use tokio::time::Instant;

/// Counters move by whole packets; looking costs a copy of the table.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Sender and receiver.
pub(crate) type Pair = (NodeId, NodeId);

/// What the switch has counted, by link.
pub(crate) type Counters = BTreeMap<Pair, LinkCounters>;

/// Every pair from one of `from` to one of `to`.
pub(crate) fn pairs(from: &[NodeId], to: &[NodeId]) -> Vec<Pair> {
    from.iter().flat_map(|from| to.iter().map(|to| (from.clone(), to.clone()))).collect()
}

/// The links that a cut between these nodes cuts, each once: every one from a node of the left side
/// to one of the right; without a right side, every one of the left but those of a ring in which
/// each node keeps so many on either side that it still reaches a majority, itself included.
///
/// The ring is what Kingsbury's Jepsen calls a majorities ring: each node sees a majority, and no
/// two see the same one.
pub fn cut_links(left: &[NodeId], right: &[NodeId]) -> Vec<(NodeId, NodeId)> {
    if !right.is_empty() {
        return pairs(left, right);
    }
    let nodes = left.len();
    let kept = (nodes / 2).div_ceil(2);
    let place = |place: usize| left.iter().enumerate().skip(place + 1);
    left.iter()
        .enumerate()
        .flat_map(|(a, from)| place(a).map(move |(b, to)| (a, from, b, to)))
        .filter(|(a, _, b, _)| (b - a).min(nodes - (b - a)) > kept)
        .map(|(_, from, _, to)| (from.clone(), to.clone()))
        .collect()
}

/// Packets of this link that were dropped so far for that reason.
pub(crate) fn dropped(counters: &Counters, link: &Pair, reason: DropReason) -> u64 {
    counters.get(link).and_then(|link| link.dropped.get(&reason)).copied().unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_ring_each_node_reaches_a_majority_and_no_two_the_same() {
        for nodes in 4..=20_usize {
            let names: Vec<NodeId> = (0..nodes).map(|n| NodeId(format!("{n}"))).collect();
            let cut = cut_links(&names, &[]);
            let mut seen = std::collections::BTreeSet::new();
            for node in &names {
                let gone = |other: &&NodeId| {
                    cut.iter().any(|(a, b)| (a, b) == (node, *other) || (a, b) == (*other, node))
                };
                let reached: Vec<&NodeId> = names.iter().filter(|other| !gone(other)).collect();
                assert!(2 * reached.len() > nodes, "{nodes}: {node} reaches {reached:?}");
                assert!(reached.len() < nodes, "{nodes}: {node} reaches all");
                assert!(seen.insert(reached), "{nodes}: another reaches what {node} does");
            }
        }
    }

    #[test]
    fn two_sides_are_cut_whole() {
        let ids = |names: &[&str]| names.iter().map(|name| NodeId::from(*name)).collect::<Vec<_>>();
        let cut = cut_links(&ids(&["a", "b"]), &ids(&["c"]));
        assert_eq!(cut, [("a".into(), "c".into()), ("b".into(), "c".into())]);
        assert!(cut_links(&ids(&["a", "b"]), &[]).is_empty(), "two are a ring already");
    }
}
