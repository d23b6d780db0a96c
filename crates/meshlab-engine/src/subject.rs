//! How our own programs are told what to be: their environment.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::NodeId;
use meshlab_wire::{Ready, env};

use crate::{
    HostError,
    state::{Node, State},
};

/// A joining node needs one seed that answers; a second covers for a dead one.
const SEEDS_MAX: usize = 2;

/// Nodes of each other mesh that a node joins the backbone by.
const BACKBONE_SEEDS_MAX: usize = 2;

/// Whom a node joins by.
pub(crate) const SEEDS: &str = "MESH_NODE_SEEDS";

type Environment = BTreeMap<String, String>;

/// The environment of a node. What the scenario set for the mesh or the node goes over it.
pub(crate) fn node_environment(
    state: &State,
    id: &NodeId,
    given: &Environment,
) -> Result<Environment, HostError> {
    let node = state.node(id)?;
    let mesh = state.mesh(&node.mesh)?;
    let options = &mesh.options;
    let mut environment = common(node);
    let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
    set("MESH_NODE_MESH", options.name.to_string());
    set("MESH_NODE_ROLE", node.role.clone());
    set("MESH_NODE_DATA", node.data.display().to_string());
    set("MESH_NODE_BIND", node.place.bind.join(","));
    set("MESH_NODE_DIGEST_EVERY", whole(options.digest_every));
    set("MESH_NODE_DIGEST_GATED", options.digest_gated.to_string());
    let seeds: Vec<String> = ready_of(state, &mesh.nodes, id).take(SEEDS_MAX).collect();
    if !seeds.is_empty() {
        set(SEEDS, seeds.join(";"));
    }
    if options.backbone {
        set("MESH_NODE_BACKBONE", "true".to_owned());
        let backbone = backbone_seeds(state, id);
        if !backbone.is_empty() {
            set("MESH_NODE_BACKBONE_SEEDS", backbone.join(";"));
        }
    }
    if let Some(operator) = state.operator.as_ref().filter(|_| options.operator) {
        set("MESH_NODE_OPERATOR", operator.clone());
    }
    let relay = mesh.relay.as_ref().and_then(|relay| state.nodes.get(relay)?.ready());
    if let Some(address) = relay.and_then(|ready| ready.addresses.first()) {
        set("MESH_NODE_RELAY", format!("http://{address}"));
    }
    environment.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(environment)
}

/// The environment of a relay.
pub(crate) fn relay_environment(node: &Node, given: &Environment) -> Environment {
    let mut environment = common(node);
    // The first address is the IPv4 one; a relay has a network of its own and so its own port.
    let bind = node.place.bind.first().cloned().unwrap_or_default();
    environment.insert("MESH_RELAY_BIND".to_owned(), bind);
    environment.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    environment
}

fn common(node: &Node) -> Environment {
    Environment::from([
        (env::OTLP_ENDPOINT.to_owned(), node.place.otlp.clone()),
        ("HOME".to_owned(), node.data.display().to_string()),
    ])
}

/// These nodes as seeds, as they were when they ran last.
pub(crate) fn seeds(state: &State, nodes: &[NodeId]) -> Result<String, HostError> {
    let one = |id: &NodeId| {
        let ready = state.node(id)?.ready();
        ready.map(seed).ok_or_else(|| {
            HostError::Misuse(format!("{id} was never ready, so nobody knows where it will be"))
        })
    };
    let seeds: Result<Vec<String>, HostError> = nodes.iter().map(one).collect();
    Ok(seeds?.join(";"))
}

/// Live nodes of a list but `but`, as seeds.
fn ready_of<'a>(
    state: &'a State,
    nodes: &'a [NodeId],
    but: &'a NodeId,
) -> impl Iterator<Item = String> + 'a {
    nodes
        .iter()
        .filter(move |other| *other != but)
        .filter_map(|other| state.nodes.get(other))
        .filter(|other| other.runs())
        .filter_map(|other| other.ready().map(seed))
}

/// Nodes of every mesh on the backbone, the own one last.
fn backbone_seeds(state: &State, id: &NodeId) -> Vec<String> {
    let own = state.nodes.get(id).map(|node| &node.mesh);
    let mut meshes: Vec<_> = state.meshes.iter().filter(|(_, m)| m.options.backbone).collect();
    meshes.sort_by_key(|(name, _)| Some(*name) == own);
    let of = |nodes| ready_of(state, nodes, id).take(BACKBONE_SEEDS_MAX).collect::<Vec<_>>();
    meshes.into_iter().flat_map(|(_, mesh)| of(&mesh.nodes)).collect()
}

fn seed(ready: &Ready) -> String {
    format!("{}@{}", ready.public_key, ready.addresses.join(","))
}

/// A length of time as the node reads it: whole milliseconds.
fn whole(length: Duration) -> String {
    format!("{}ms", length.as_millis())
}
