//! How our own node is told what to be: its environment.

use std::{collections::BTreeMap, path::Path, time::Duration};

use meshlab_wire::{Ready, env};

use crate::{MeshOptions, state::Place};

/// What `mesh-node` needs to know at its start.
pub(crate) struct Subject<'a> {
    pub(crate) options: &'a MeshOptions,
    pub(crate) role: &'a str,
    pub(crate) data: &'a Path,
    pub(crate) place: &'a Place,
    pub(crate) seeds: &'a [Ready],
}

impl Subject<'_> {
    /// The node's environment. What the scenario set for the mesh or the node goes over it.
    pub(crate) fn environment(&self, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let seeds: Vec<String> = self
            .seeds
            .iter()
            .map(|seed| format!("{}@{}", seed.public_key, seed.addresses.join(",")))
            .collect();
        let mut environment: BTreeMap<String, String> = [
            ("MESH_NODE_MESH", self.options.name.to_string()),
            ("MESH_NODE_ROLE", self.role.to_owned()),
            ("MESH_NODE_DATA", self.data.display().to_string()),
            ("MESH_NODE_BIND", self.place.bind.join(",")),
            ("MESH_NODE_SEEDS", seeds.join(";")),
            ("MESH_NODE_DIGEST_EVERY", whole(self.options.digest_every)),
            ("MESH_NODE_DIGEST_GATED", self.options.digest_gated.to_string()),
            (env::OTLP_ENDPOINT, self.place.otlp.clone()),
            ("HOME", self.data.display().to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        if self.seeds.is_empty() {
            environment.remove("MESH_NODE_SEEDS");
        }
        environment.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
        environment
    }
}

/// A length of time as the node reads it: whole milliseconds.
fn whole(length: Duration) -> String {
    format!("{}ms", length.as_millis())
}
