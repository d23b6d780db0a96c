//! Which nodes a cut of links parts: those that no path of links joins any more.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::NodeId;

/// Two nodes, in both orders.
pub(super) type Pairs = BTreeSet<(NodeId, NodeId)>;

/// Numbers the parts into which `nodes` fall when all links of `cut` are gone and all others are
/// there: nodes of the same number are joined by a path.
pub(super) fn parts(nodes: &[NodeId], cut: &Pairs) -> BTreeMap<NodeId, usize> {
    let mut part: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (number, first) in nodes.iter().enumerate() {
        if part.contains_key(first) {
            continue;
        }
        let mut reached = vec![first.clone()];
        while let Some(node) = reached.pop() {
            if part.insert(node.clone(), number).is_some() {
                continue;
            }
            let joined = |other: &&NodeId| {
                !part.contains_key(*other) && !cut.contains(&(node.clone(), (*other).clone()))
            };
            reached.extend(nodes.iter().filter(joined).cloned());
        }
    }
    part
}

/// Each link in both directions.
pub(super) fn both_ways(links: impl IntoIterator<Item = (NodeId, NodeId)>) -> Pairs {
    links.into_iter().flat_map(|(a, b)| [(a.clone(), b.clone()), (b, a)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<NodeId> {
        names.iter().map(|name| NodeId::from(*name)).collect()
    }

    fn cut(links: &[(&str, &str)]) -> Pairs {
        both_ways(links.iter().map(|(a, b)| (NodeId::from(*a), NodeId::from(*b))))
    }

    #[test]
    fn two_sides_are_two_parts_and_a_bystander_joins_them() {
        let between = cut(&[("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]);
        let part = parts(&ids(&["a", "b", "c", "d"]), &between);
        let of = |name: &str| part[&NodeId::from(name)];
        assert_eq!((of("a"), of("b"), of("c"), of("d")), (0, 0, 2, 2));
        let part = parts(&ids(&["a", "b", "c", "d", "e"]), &between);
        assert!(part.values().all(|part| *part == 0), "{part:?}");
    }

    #[test]
    fn a_ring_is_one_part_and_two_alone_are_two() {
        let ring = cut(&[("a", "c"), ("b", "d")]);
        assert!(parts(&ids(&["a", "b", "c", "d"]), &ring).values().all(|part| *part == 0));
        let part = parts(&ids(&["a", "b"]), &cut(&[("a", "b")]));
        assert_ne!(part[&NodeId::from("a")], part[&NodeId::from("b")]);
        assert!(parts(&[], &Pairs::new()).is_empty());
    }
}
