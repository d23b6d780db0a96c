//! Dials of the node's own protocols: to whom, with which addresses, and until when.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use iroh::{
    Endpoint, EndpointAddr, PublicKey, RelayUrl, TransportAddr,
    address_lookup::memory::MemoryLookup, endpoint::Connection,
};
use meshlab_wire::Contact;

use crate::{
    counters::{Counter, Counters},
    defects,
};

/// Longest wait for a connection. Without a deadline of its own a dial to a dead peer is held
/// for as long as the transport pleases.
pub(crate) const DIAL_WITHIN: Duration = Duration::from_millis(1500);

/// Known addresses, shared with the endpoint. Addresses of those who are gone are kept for the
/// latest few only.
#[derive(Debug, Clone)]
pub(crate) struct AddressBook {
    known: MemoryLookup,
    departed: Arc<Mutex<VecDeque<PublicKey>>>,
    /// Peers that are gone and whose addresses are kept, to find them again.
    departed_max: usize,
    relay: Option<RelayUrl>,
}

impl AddressBook {
    pub(crate) fn new(relay: Option<RelayUrl>, departed_max: usize) -> Self {
        Self { known: MemoryLookup::new(), departed: Arc::default(), departed_max, relay }
    }

    pub(crate) fn lookup(&self) -> MemoryLookup {
        self.known.clone()
    }

    /// Where a node can be reached. All nodes of a mesh share one relay.
    pub(crate) fn address(&self, key: PublicKey, addresses: &[SocketAddr]) -> EndpointAddr {
        let direct = addresses.iter().copied().map(TransportAddr::Ip);
        let relay = self.relay.iter().cloned().map(TransportAddr::Relay);
        EndpointAddr::from_parts(key, direct.chain(relay))
    }

    /// The node is there, at these addresses.
    pub(crate) fn arrived(&self, key: PublicKey, addresses: &[SocketAddr]) {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner).retain(|gone| *gone != key);
        self.known.set_endpoint_info(self.address(key, addresses));
    }

    /// How many are gone whose addresses are kept.
    pub(crate) fn kept(&self) -> usize {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The node is gone; its addresses are kept until many others went after it.
    pub(crate) fn departed(&self, key: PublicKey) {
        let mut departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
        departed.push_back(key);
        if defects::forgets_addresses()
            && departed.len() > self.departed_max
            && let Some(oldest) = departed.pop_front()
        {
            self.known.remove_endpoint_info(oldest);
        }
    }
}

/// Opens connections.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    pub(crate) book: AddressBook,
    pub(crate) counters: Counters,
}

impl Dialer {
    /// Opens a connection within [`DIAL_WITHIN`].
    pub(crate) async fn dial(
        &self,
        to: EndpointAddr,
        alpn: &'static [u8],
    ) -> Result<Connection, String> {
        self.counters.one(Counter::Dials);
        let dialled = tokio::time::timeout(DIAL_WITHIN, self.endpoint.connect(to, alpn)).await;
        let why = match dialled {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => format!("could not connect: {error:#}"),
            Err(_) => format!("could not connect within {DIAL_WITHIN:?}"),
        };
        self.counters.one(Counter::DialsFailed);
        Err(why)
    }

    /// Opens a connection to a node that somebody described.
    pub(crate) async fn dial_contact(
        &self,
        to: &Contact,
        alpn: &'static [u8],
    ) -> Result<Connection, String> {
        let (key, addresses) = parse_contact(to)?;
        self.dial(self.book.address(key, &addresses), alpn).await
    }
}

/// The key and the addresses of a contact.
pub(crate) fn parse_contact(contact: &Contact) -> Result<(PublicKey, Vec<SocketAddr>), String> {
    let key = contact
        .public_key
        .parse()
        .map_err(|error| format!("`{}` is no public key: {error}", contact.public_key))?;
    let addresses = contact
        .addresses
        .iter()
        .map(|address| address.parse().map_err(|_| format!("`{address}` is no socket address")))
        .collect::<Result<_, _>>()?;
    Ok((key, addresses))
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::*;

    #[test]
    fn of_those_who_are_gone_the_latest_are_kept_and_who_comes_back_is_not_gone() {
        let book = AddressBook::new(None, 2);
        let key = |seed| SecretKey::from_bytes(&[seed; 32]).public();
        let address = SocketAddr::from(([127, 0, 0, 1], 4000));
        for seed in 1..=5 {
            book.arrived(key(seed), &[address]);
        }
        for seed in 1..=4 {
            book.departed(key(seed));
        }
        let known = |seed| book.known.get_endpoint_info(key(seed)).is_some();
        assert_eq!([1, 2, 3, 4, 5].map(known), [false, false, true, true, true]);
        assert_eq!(book.kept(), 2);
        book.arrived(key(4), &[address]);
        assert_eq!(book.kept(), 1);
    }
}
