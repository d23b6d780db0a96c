//! Sentences for the evidence of a claim that does not hold.

use std::collections::BTreeMap;

use meshlab_fleet::log_tail;
use meshlab_model::NodeId;

use super::said;
use crate::Engine;

/// More lines than this hide the culprit again.
const NODES_TOLD_MAX: usize = 5;

/// Names in a row: "node-1, node-2 and node-3", the long rest as a number.
pub(crate) fn names(nodes: &[NodeId]) -> String {
    match nodes {
        [] => "no node".to_owned(),
        [one] => one.to_string(),
        [most @ .., last] if nodes.len() <= 8 => {
            let most: Vec<&str> = most.iter().map(NodeId::as_str).collect();
            format!("{} and {last}", most.join(", "))
        }
        [first, .., last] => format!("{} nodes ({first} to {last})", nodes.len()),
    }
}

/// Attributes of a span, as a scenario would write them.
pub(crate) fn attributes(attributes: &BTreeMap<String, serde_json::Value>) -> String {
    let pairs: Vec<String> =
        attributes.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// What is known of these nodes themselves: dead, or the worst thing they logged.
pub(crate) fn about_nodes(engine: &Engine, nodes: &[NodeId]) -> Vec<String> {
    nodes.iter().take(NODES_TOLD_MAX).filter_map(|node| about_node(engine, node)).collect()
}

fn about_node(engine: &Engine, id: &NodeId) -> Option<String> {
    let (exit, log) = {
        let state = engine.shared.state();
        let node = state.nodes.get(id)?;
        (node.life.as_ref().and_then(|life| life.process.exit()), node.log.clone())
    };
    if let Some(exit) = exit {
        return Some(format!("{id} does not run: it ended with {exit}"));
    }
    let garbage = engine.shared.store.problems(id).malformed;
    if garbage > 0 {
        return Some(format!("{id} sent {garbage} malformed requests to its telemetry port"));
    }
    let said = said::worst(&log_tail(&log, said::LINES).ok()?)?;
    let place = said.line.map(|line| format!(":{line}")).unwrap_or_default();
    let times = match said.times {
        1 => String::new(),
        times => format!(" {times} times, the last"),
    };
    Some(format!("{id} logged \"{}\"{times} at logs/{id}.log{place}", said.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_readable() {
        let nodes =
            |count: usize| (1..=count).map(|n| NodeId(format!("node-{n}"))).collect::<Vec<_>>();
        assert_eq!(names(&nodes(0)), "no node");
        assert_eq!(names(&nodes(1)), "node-1");
        assert_eq!(names(&nodes(3)), "node-1, node-2 and node-3");
        assert_eq!(names(&nodes(18)), "18 nodes (node-1 to node-18)");
    }
}
