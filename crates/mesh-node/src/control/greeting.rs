//! The greeting: said once, before a new process joins anything.
//!
//! Whoever is greeted closes the gossip connections to the former process. That must not hit those
//! of the new one, so both topics wait for it before they join, and it is not said again while any
//! gossip connection of this process lives.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::PublicKey;
use tokio::sync::watch;

use super::send::greet;
use crate::{connections::Connections, dial::Dialer};

/// Longest wait for all greetings together. A seed that is not there must not hold up the others;
/// but one that is slow to answer must not hear the greeting after the join that it was to go
/// before. So it is as long as a dial and an exchange may take.
const GREETED_WITHIN: Duration = Duration::from_secs(3);

/// Shortest time between two greetings: what the last one was for may still be on its way.
const AGAIN: Duration = Duration::from_secs(10);

/// Whether the first greeting is over. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Greeter {
    dialer: Dialer,
    connections: Connections,
    incarnation: u64,
    /// When the last greeting was over; `None` until the first one is.
    last: Arc<watch::Sender<Option<Instant>>>,
}

impl Greeter {
    pub(crate) fn new(dialer: Dialer, connections: Connections, incarnation: u64) -> Self {
        let last = Arc::new(watch::Sender::new(None));
        Self { dialer, connections, incarnation, last }
    }

    /// Says the first greeting, to everybody that this process will ask for entry.
    pub(crate) async fn greet_first(self, peers: Vec<PublicKey>) {
        self.greet(&peers).await;
    }

    /// Waits for the first greeting; says another one if nothing of this process is left that it
    /// could hit.
    pub(crate) async fn before_joining(&self, peers: &[PublicKey]) {
        let last = *self.last.borrow();
        match last {
            // Ends at the latest with the greeting's own deadline.
            None => drop(self.last.subscribe().wait_for(Option::is_some).await),
            Some(last) if last.elapsed() >= AGAIN && self.connections.gossip().is_empty() => {
                self.greet(peers).await;
            }
            Some(_) => {}
        }
    }

    async fn greet(&self, peers: &[PublicKey]) {
        let greetings = peers.iter().map(|peer| greet(&self.dialer, *peer, self.incarnation));
        let all = n0_future::join_all(greetings);
        let _ = tokio::time::timeout(GREETED_WITHIN, all).await;
        self.last.send_replace(Some(Instant::now()));
    }
}
