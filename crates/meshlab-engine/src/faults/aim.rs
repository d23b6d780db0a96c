//! Whom a fault hurts, where a scenario names a group instead of nodes.

use meshlab_model::NodeId;

use crate::{FaultCall, Group, HostError, state::State};

/// Puts the nodes of a group on the left side and the others on the right. The first node of the
/// call is where the group begins: who draws it draws the group.
pub(crate) fn resolve(state: &State, call: FaultCall) -> Result<FaultCall, HostError> {
    let Some(group) = &call.group else { return Ok(call) };
    let misuse = |text: String| HostError::Misuse(format!("`fault.{}`: {text}", call.name));
    let all = &call.targets;
    let split = |in_group: &dyn Fn(usize, &NodeId) -> bool| -> (Vec<NodeId>, Vec<NodeId>) {
        let (left, right): (Vec<_>, Vec<_>) =
            all.iter().enumerate().partition(|(place, node)| in_group(*place, node));
        let names =
            |side: Vec<(usize, &NodeId)>| side.into_iter().map(|(_, n)| n.clone()).collect();
        (names(left), names(right))
    };
    let (targets, against) = match group {
        Group::One => split(&|place, _| place == 0),
        Group::Majority => split(&|place, _| place <= all.len() / 2),
        Group::Role(role) => {
            split(&|_, node| state.nodes.get(node).is_some_and(|node| node.role == *role))
        }
        Group::Mesh => {
            let others = state.meshes.keys().flat_map(|mesh| state.live(mesh));
            (all.clone(), others.filter(|node| !all.contains(node)).collect())
        }
        Group::Ring => {
            if meshlab_faults::cut_links(all, &[]).is_empty() {
                return Err(misuse(format!(
                    "a ring of {} cuts nothing, it takes at least 4 nodes",
                    all.len()
                )));
            }
            (all.clone(), Vec::new())
        }
    };
    let empty = match group {
        Group::Role(role) if targets.is_empty() => Some(format!("no node has the role `{role}`")),
        Group::Role(role) if against.is_empty() => {
            Some(format!("every node has the role `{role}`"))
        }
        Group::Mesh if against.is_empty() => Some("there is no other mesh".to_owned()),
        Group::Ring => None,
        _ if against.is_empty() => Some("there is nobody to be parted from".to_owned()),
        _ => None,
    };
    match empty {
        Some(why) => Err(misuse(why)),
        None => Ok(FaultCall { targets, against, group: None, ..call }),
    }
}

#[cfg(test)]
mod tests {
    use meshlab_model::NetworkMode;

    use super::*;
    use crate::fixture::Bench;

    fn ids(names: &[&str]) -> Vec<NodeId> {
        names.iter().map(|name| NodeId::from(*name)).collect()
    }

    #[tokio::test]
    async fn a_group_is_who_it_says_and_begins_where_it_was_drawn() {
        let bench = Bench::start(NetworkMode::Host, 5).await;
        let drawn = ids(&["node-3", "node-4", "node-5", "node-1", "node-2"]);
        let sides = |group| {
            let call = FaultCall { group: Some(group), ..bench.call("partition_subset", &drawn) };
            let call = resolve(&bench.engine.shared.state(), call).map_err(|e| e.to_string())?;
            Ok::<_, String>((call.targets, call.against))
        };
        let (one, rest) = sides(Group::One).unwrap();
        assert_eq!((one, rest.len()), (ids(&["node-3"]), 4));
        let (most, rest) = sides(Group::Majority).unwrap();
        assert_eq!(most, ids(&["node-3", "node-4", "node-5"]));
        assert_eq!(rest, ids(&["node-1", "node-2"]));
        assert_eq!(sides(Group::Ring).unwrap(), (drawn.clone(), Vec::new()));
        let refused = [
            (Group::Role("broker".to_owned()), "every node has the role `broker`"),
            (Group::Role("bridge".to_owned()), "no node has the role `bridge`"),
            (Group::Mesh, "there is no other mesh"),
        ];
        for (group, why) in refused {
            let error = sides(group).unwrap_err();
            assert_eq!(error, format!("`fault.partition_subset`: {why}"));
        }
        bench.finish().await;
    }
}
