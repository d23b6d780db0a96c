//! The relay of a mesh: a program in a place of its own, as a node is.

use std::collections::BTreeMap;

use meshlab_model::{MeshId, NodeId};

use crate::{Engine, HostError, NodeInfo, RELAY_BINARY, places::Program, state::Kind};

impl Engine {
    /// Starts a relay for a mesh and waits until it serves.
    pub(crate) async fn start_relay(&self, mesh: &MeshId) -> Result<(), HostError> {
        let id = {
            let state = self.shared.state();
            let place = (1..).find(|n| {
                let id = NodeId(format!("relay-{n}"));
                !state.pids.iter().any(|(node, _)| *node == id)
            });
            NodeId(format!("relay-{}", place.unwrap_or(1)))
        };
        let environment = BTreeMap::new();
        let program = Program { binary: RELAY_BINARY, environment, stranger: None };
        self.place(Kind::Relay, mesh, &id, "relay", program)?;
        self.start_life(&id).await?;
        if let Some(mesh) = self.shared.state().meshes.get_mut(mesh) {
            mesh.relay = Some(id);
        }
        Ok(())
    }

    pub(crate) fn relay_of(&self, mesh: &MeshId) -> Option<NodeInfo> {
        let state = self.shared.state();
        let id = state.meshes.get(mesh)?.relay.as_ref()?;
        Some(state.nodes.get(id)?.info(id))
    }
}
