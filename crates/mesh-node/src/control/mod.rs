//! Orders and greetings between nodes: a connection each, one exchange, closed.
//!
//! A greeting goes before every try of a node to get in, and says which start of the node this is.
//! Whoever is greeted closes what it still has open to a former process, so that gossip does not
//! take the new one for the old.
//!
//! An order is carried out only if its chain of capabilities roots in the operator's key; see
//! `authority.rs`. `send.rs` is the sending side,
//! `greeting.rs` says when to greet.

mod greeting;
mod send;

pub(crate) use greeting::Greeter;
pub(crate) use send::Orders;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use iroh::{
    PublicKey,
    endpoint::{Connection, RecvStream, SendStream},
    protocol::{AcceptError, ProtocolHandler},
};
use meshlab_wire::State;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tracing::info_span;

use crate::{
    authority::{self, Acts, Capability, Denial, Seen},
    connections::Connections,
    counters::{Counter, Counters},
    frame::{self, FrameError},
    identity::hex,
    view::SharedView,
};

/// Name of this protocol in the handshake; its end is its version.
pub(crate) const ALPN: &[u8] = b"mesh-node/control/1";

/// Longest time for one exchange.
const EXCHANGE: Duration = Duration::from_millis(1500);

/// Instructions that may wait for the node's loop.
pub(crate) const WAITING_MAX: usize = 32;

/// What one node says to another on this protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// "I am about to join; this is my start number so-and-so."
    Hello {
        /// The sender's incarnation, as its digests have it.
        incarnation: u64,
    },
    /// "Do this."
    Order(Order),
}

/// An order, with what entitles its sender to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// `traceparent` of the sender's span.
    pub trace: Option<String>,
    /// Whom it is for.
    pub to: [u8; 32],
    /// Its place among all orders of the sender.
    pub serial: authority::Serial,
    /// What to do.
    pub act: Act,
    /// Encoded tokens, the operator's first.
    pub chain: Vec<Vec<u8>>,
}

/// What can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Leave and exit.
    Shutdown,
    /// Enter a state.
    SetState(State),
}

impl Act {
    fn acts(self) -> Acts {
        match self {
            Self::Shutdown => Acts::SHUTDOWN,
            Self::SetState(_) => Acts::SET_STATE,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::SetState(_) => "set-state",
        }
    }
}

/// The answer to either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Heard; it is or will be done.
    Ok,
    /// Refused, and why in a word.
    Refused(String),
}

/// What the node's loop is told to do.
#[derive(Debug)]
pub(crate) enum Instruction {
    /// Leave and exit.
    Shutdown,
    /// Enter a state and say whether that was possible.
    SetState(State, oneshot::Sender<Result<(), String>>),
}

/// Enters a state by way of the node's loop.
pub(crate) async fn set_state(
    instructions: &mpsc::Sender<Instruction>,
    state: State,
) -> Result<(), String> {
    let (reply, entered) = oneshot::channel();
    let gone = || "the node is leaving".to_owned();
    instructions.send(Instruction::SetState(state, reply)).await.map_err(|_| gone())?;
    entered.await.map_err(|_| gone())?
}

/// The receiving side.
#[derive(Debug, Clone)]
pub(crate) struct ControlProtocol {
    pub(crate) mesh: String,
    pub(crate) own: PublicKey,
    pub(crate) operator: Option<PublicKey>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) view: Arc<SharedView>,
    pub(crate) connections: Connections,
    pub(crate) instructions: mpsc::Sender<Instruction>,
    pub(crate) counters: Counters,
}

impl ProtocolHandler for ControlProtocol {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let _task = self.counters.task();
        let exchange = async {
            let (mut send, mut recv) = connection.accept_bi().await.ok()?;
            self.exchange(&connection, &mut send, &mut recv).await;
            // The sender closes once it has read the answer.
            connection.closed().await;
            Some(())
        };
        // Whoever opens a connection and says nothing is not waited for.
        let _ = tokio::time::timeout(EXCHANGE, exchange).await;
        connection.close(0_u32.into(), b"done");
        Ok(())
    }
}

impl ControlProtocol {
    async fn exchange(&self, from: &Connection, send: &mut SendStream, recv: &mut RecvStream) {
        let answer = match frame::read_message::<Request>(recv).await {
            Ok(Request::Hello { incarnation }) => {
                self.greeted(from, incarnation);
                Answer::Ok
            }
            Ok(Request::Order(order)) => self.ordered(from.remote_id(), order).await,
            Err(error) => {
                refused_frame(&self.counters, &from.remote_id(), &error);
                Answer::Refused(error.as_str().to_owned())
            }
        };
        // A sender that is gone does not read it; what it ordered is done all the same.
        let _ = frame::write_message(send, &answer).await;
        let _ = send.finish();
    }

    /// A peer is about to join: what is left of its former process, or of a former attempt, goes.
    fn greeted(&self, from: &Connection, incarnation: u64) {
        let peer = from.remote_id();
        let new = self.view.incarnation(&peer).is_some_and(|known| known < incarnation);
        let closed = self.connections.close_former(&peer, from.stable_id(), new);
        if closed > 0 {
            tracing::info!(peer = hex(&peer), closed, "closed what was left of a former life");
        }
    }

    async fn ordered(&self, sender: PublicKey, order: Order) -> Answer {
        let (id, act) = (hex(&sender), order.act.as_str());
        let verdict = self.check(sender, &order);
        let span = match verdict {
            Ok(()) => info_span!(parent: None, "order.accepted", peer.id = id, order = act),
            Err(denial) => {
                self.counters.one(Counter::OrdersRefused);
                let reason = denial.as_str();
                info_span!(parent: None, "order.refused", peer.id = id, order = act, reason)
            }
        };
        if let Some(trace) = &order.trace {
            meshlab_agent::adopt(&span, trace);
        }
        span.in_scope(|| ());
        drop(span);
        if let Err(denial) = verdict {
            return Answer::Refused(denial.as_str().to_owned());
        }
        self.counters.one(Counter::OrdersAccepted);
        let done = match order.act {
            Act::Shutdown => {
                let sent = self.instructions.try_send(Instruction::Shutdown);
                sent.map_err(|_| "the node is leaving".to_owned())
            }
            Act::SetState(state) => set_state(&self.instructions, state).await,
        };
        done.map_or_else(Answer::Refused, |()| Answer::Ok)
    }

    fn check(&self, sender: PublicKey, order: &Order) -> Result<(), Denial> {
        if order.to != *self.own.as_bytes() {
            return Err(Denial::NotForMe);
        }
        let wanted = Capability { mesh: Some(self.mesh.clone()), acts: order.act.acts() };
        let now = meshlab_agent::wall_clock();
        authority::check(self.operator.as_ref(), &sender, &wanted, &order.chain, now)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.note(sender, order.serial)
    }
}

/// Counts and tells of a frame that a peer should not have sent.
pub(crate) fn refused_frame(counters: &Counters, peer: &PublicKey, error: &FrameError) {
    if error.is_refusal() {
        counters.one(Counter::FramesRefused);
        info_span!(
            parent: None, "frame.refused", peer.id = hex(peer), reason = error.as_str()
        )
        .in_scope(|| ());
    }
}
