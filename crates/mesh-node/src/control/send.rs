//! The sending side of orders and greetings.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use iroh::{EndpointAddr, PublicKey, endpoint::Connection};
use meshlab_wire::{Contact, Order as Wanted, Outcome};
use tracing::{Instrument, info_span};

use super::{ALPN, Act, Answer, EXCHANGE, Order, Request};
use crate::{
    authority,
    dial::{Dialer, parse_contact},
    frame,
};

/// Sends orders in the node's name, with what it was granted.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    dialer: Dialer,
    incarnation: u64,
    sent: Arc<AtomicU64>,
    chain: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Orders {
    pub(crate) fn new(dialer: Dialer, incarnation: u64) -> Self {
        Self { dialer, incarnation, sent: Arc::default(), chain: Arc::default() }
    }

    /// Keeps a capability for the orders to come.
    pub(crate) fn grant(&self, token: &str) -> Result<(), String> {
        let chain = authority::from_text(token)?;
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(())
    }

    /// Sends an order and waits for the word of whom it is for.
    pub(crate) async fn send(&self, to: &Contact, wanted: Wanted) -> Result<Outcome, String> {
        let act = match wanted {
            Wanted::Shutdown => Act::Shutdown,
            Wanted::SetState { state } => Act::SetState(state),
        };
        let (key, addresses) = parse_contact(to)?;
        let span = info_span!(
            parent: None, "order.sent", peer.id = to.public_key, peer.name = to.name,
            order = act.as_str()
        );
        let order = Order {
            trace: meshlab_agent::trace_context(&span),
            to: *key.as_bytes(),
            serial: (self.incarnation, self.sent.fetch_add(1, Ordering::Relaxed) + 1),
            act,
            chain: self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let to = self.dialer.book.address(key, &addresses);
        let answer = exchange(&self.dialer, to, &Request::Order(order)).instrument(span).await?;
        Ok(match answer {
            Answer::Ok => Outcome::Ordered { accepted: true, reason: None },
            Answer::Refused(reason) => Outcome::Ordered { accepted: false, reason: Some(reason) },
        })
    }
}

/// Tells a peer that this node is about to join. Whether it worked is of no interest: the try
/// that follows tells.
pub(super) async fn greet(dialer: &Dialer, peer: PublicKey, incarnation: u64) {
    let hello = Request::Hello { incarnation };
    if let Err(error) = exchange(dialer, peer.into(), &hello).await {
        tracing::debug!(peer = %peer.fmt_short(), error, "a greeting was not answered");
    }
}

async fn exchange(dialer: &Dialer, to: EndpointAddr, request: &Request) -> Result<Answer, String> {
    let connection = dialer.dial(to, ALPN).await?;
    let answered = tokio::time::timeout(EXCHANGE, converse(&connection, request)).await;
    connection.close(0_u32.into(), b"done");
    answered.map_err(|_| format!("no answer within {EXCHANGE:?}"))?
}

async fn converse(connection: &Connection, request: &Request) -> Result<Answer, String> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(|error| error.to_string())?;
    let failed = |error: frame::FrameError| error.to_string();
    frame::write_message(&mut send, request).await.map_err(failed)?;
    send.finish().map_err(|error| error.to_string())?;
    frame::read_message(&mut recv).await.map_err(failed)
}
