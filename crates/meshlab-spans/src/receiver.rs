//! One node's doors. The sender is known by the socket that it came to, not by what it says.

use std::{io, net::TcpListener as StdListener};

use meshlab_model::NodeId;
use tokio::{net::TcpListener, runtime::Handle, task::JoinHandle};

use crate::{
    SpanStore, grpc,
    http::{self, Patience},
};

/// Receives one node's spans, metrics and log lines; dropping it closes the doors and every
/// connection.
#[derive(Debug)]
pub struct Receiver {
    tasks: [JoinHandle<()>; 2],
}

/// Why spans cannot be received. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
#[error("listen for the spans of {node}: {error}")]
pub struct ReceiverError {
    node: NodeId,
    error: io::Error,
}

impl Receiver {
    /// Opens both doors of `node`: http/protobuf and gRPC. The listeners may live in another
    /// network namespace: a socket stays in the one that it was made in.
    ///
    /// # Errors
    /// A listener cannot be watched by the runtime.
    pub fn spawn(
        runtime: &Handle,
        node: NodeId,
        http: StdListener,
        grpc: StdListener,
        store: SpanStore,
    ) -> Result<Self, ReceiverError> {
        Self::spawn_with(runtime, node, [http, grpc], store, Patience::default())
    }

    fn spawn_with(
        runtime: &Handle,
        node: NodeId,
        [http, grpc]: [StdListener; 2],
        store: SpanStore,
        patience: Patience,
    ) -> Result<Self, ReceiverError> {
        let _entered = runtime.enter();
        let adopt = |listener: StdListener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let failed = |error| ReceiverError { node: node.clone(), error };
        let http = adopt(http).map_err(failed)?;
        let grpc = adopt(grpc).map_err(failed)?;
        let tasks = [
            runtime.spawn(http::serve(http, node.clone(), store.clone(), patience)),
            runtime.spawn(grpc::serve(grpc, node.clone(), store)),
        ];
        Ok(Self { tasks })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
