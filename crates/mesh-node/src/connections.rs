//! The node's live connections, by peer, and the end of those to the dead.
//!
//! Gossip notices a dead peer only when QUIC gives its connection up, after half a minute. Until
//! then it keeps the peer as a neighbour and a request to it as pending, and a peer that comes
//! back meanwhile gets no answer: it hears the mesh and is heard by nobody. So when this node
//! infers that a peer is dead, it closes what it still has open to it, and gossip forgets it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use iroh::{
    PublicKey,
    endpoint::{AfterHandshakeOutcome, Connection, EndpointHooks, WeakConnectionHandle},
};

/// Live connections in both directions. Cheap to clone; it keeps none of them alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<BTreeMap<PublicKey, Vec<WeakConnectionHandle>>>>);

impl Connections {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PublicKey, Vec<WeakConnectionHandle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, connection: &Connection) {
        let mut peers = self.lock();
        // Who is gone is removed here: a new connection is the only way for the map to grow.
        for handles in peers.values_mut() {
            handles.retain(|handle| is_open(handle).is_some());
        }
        peers.retain(|_, handles| !handles.is_empty());
        peers.entry(connection.remote_id()).or_default().push(connection.weak_handle());
    }

    /// Closes every connection to `peer`; says how many there were.
    pub(crate) fn close(&self, peer: &PublicKey) -> usize {
        let handles = self.lock().remove(peer).unwrap_or_default();
        let open: Vec<Connection> = handles.iter().filter_map(is_open).collect();
        for connection in &open {
            connection.close(0_u32.into(), b"held to be dead");
        }
        open.len()
    }
}

fn is_open(handle: &WeakConnectionHandle) -> Option<Connection> {
    handle.upgrade().filter(|connection| connection.close_reason().is_none())
}

impl EndpointHooks for Connections {
    async fn after_handshake<'a>(&'a self, connection: &'a Connection) -> AfterHandshakeOutcome {
        self.opened(connection);
        AfterHandshakeOutcome::accept()
    }
}
