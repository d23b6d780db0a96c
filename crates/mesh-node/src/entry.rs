//! How the node asks others to let it into a topic.
//!
//! It dials them itself and hands the connection to gossip. iroh-gossip 0.101 would dial too, and
//! never again after a dial that failed: the message that asked for it stays in the peer's queue,
//! and only an empty queue starts a dial (n0-computer/iroh-gossip, pull request 159). A partition
//! that outlasts one dial, half a minute, would not heal.

use std::time::Duration;

use iroh::PublicKey;
use iroh_gossip::{api::GossipSender, net::Gossip};

use crate::{control::Greeter, dial::Dialer};

/// Longest wait for gossip to take a connection or a command.
const COMMAND: Duration = Duration::from_secs(5);

/// The way into every topic of the node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) gossip: Gossip,
    pub(crate) dialer: Dialer,
    pub(crate) greeter: Greeter,
}

impl Entry {
    /// Asks each of `peers` by itself, beside whoever calls: one that is not there must not hold
    /// up the others, nor the loop. Who does not answer is asked again at the next try.
    pub(crate) fn ask(&self, topic: &GossipSender, peers: Vec<PublicKey>) {
        let (entry, topic) = (self.clone(), topic.clone());
        let task = self.dialer.counters.task();
        tokio::spawn(async move {
            entry.greeter.before_joining(&peers).await;
            n0_future::join_all(peers.into_iter().map(|peer| entry.ask_one(&topic, peer))).await;
            drop(task);
        });
    }

    async fn ask_one(&self, topic: &GossipSender, peer: PublicKey) {
        let connection = match self.dialer.dial(peer.into(), iroh_gossip::ALPN).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(peer = %peer.fmt_short(), error, "could not ask for entry");
                return;
            }
        };
        let joined = async {
            self.gossip.handle_connection(connection).await.map_err(|error| error.to_string())?;
            topic.join_peers(vec![peer]).await.map_err(|error| error.to_string())
        };
        match tokio::time::timeout(COMMAND, joined).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error, "gossip is gone"),
            Err(_) => tracing::warn!("gossip took no connection within {COMMAND:?}"),
        }
    }
}
