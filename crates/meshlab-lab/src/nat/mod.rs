//! A NAT in front of a node: the others see it at a public address.
//!
//! `table.rs` has the mappings; here packets are rewritten by them.

mod table;

use std::{net::SocketAddr, time::Duration};

use self::table::Mappings;
use crate::{
    address::Public,
    clock::Nanos,
    counters::{DropReason, NatCounters},
    link::InvalidSetting,
    packet::{self, End, Header, Transport, checksum, icmp, rewrite},
};

/// How a NAT treats a node's packets, in the terms of RFC 4787.
///
/// UDP and TCP of IPv4 and IPv6 are translated, and the ICMP errors about them. Everything else is
/// dropped and counted: other protocols, ping included, and fragments. Ports are not preserved:
/// they are given out one after the other from a place that the seed decides, so that a new
/// mapping has a port that was not used lately. What a node sends to its own public address comes
/// back to it from there, if the filter lets it (hairpinning with the external source address, RFC
/// 4787 REQ-9).
///
/// The node's own device keeps its address. With a NAT in front, nobody else reaches that address
/// any more ([`DropReason::NatInside`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatSettings {
    /// What decides whether two packets from the same inside port share an outside port.
    pub mapping: NatBehaviour,
    /// What decides who is let in to a mapped port.
    pub filtering: NatBehaviour,
    /// How long a UDP mapping lasts after the last packet that went *out* by it, and how long its
    /// filter lets someone in after the last packet to them (RFC 4787 REQ-5: at least 2 minutes,
    /// 5 recommended, the default; many real ones have 30 s). More than zero.
    pub udp_timeout: Duration,
    /// The same for TCP (RFC 5382 REQ-5: at least 2 hours and 4 minutes, the default). The NAT
    /// does not look at TCP's flags. More than zero.
    pub tcp_timeout: Duration,
}

/// What a NAT's mapping or filter depends on (RFC 4787 sections 4.1 and 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NatBehaviour {
    /// Nothing: one mapping for all destinations; everybody is let in.
    #[default]
    EndpointIndependent,
    /// The other's address: a mapping each; whom the mapping has sent to is let in.
    AddressDependent,
    /// The other's address and port.
    AddressAndPortDependent,
}

impl Default for NatSettings {
    fn default() -> Self {
        Self {
            mapping: NatBehaviour::EndpointIndependent,
            filtering: NatBehaviour::EndpointIndependent,
            udp_timeout: Duration::from_secs(300),
            tcp_timeout: Duration::from_secs(7440),
        }
    }
}

impl NatSettings {
    /// A NAT with these two behaviours and the timeouts that the RFCs ask for.
    pub fn new(mapping: NatBehaviour, filtering: NatBehaviour) -> Self {
        Self { mapping, filtering, ..Self::default() }
    }

    /// Checks the timeouts.
    ///
    /// # Errors
    /// One of them is zero.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        if self.udp_timeout.is_zero() || self.tcp_timeout.is_zero() {
            let problem = "forgets every mapping at once, give more than zero";
            return Err(InvalidSetting::new("timeout of the NAT", "0 s", problem));
        }
        Ok(())
    }
}

/// What is in front of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatState {
    /// The NAT's settings; `None` if it translates the address only, one to one, as after
    /// [`roam`](crate::Lab::roam).
    pub settings: Option<NatSettings>,
    /// Where the others see the node.
    pub public: Public,
    /// Mappings that it holds, also those that have timed out and were not asked for since.
    pub mappings: usize,
}

/// How a NAT forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebind {
    /// It drops its mappings: the next packet out has another port.
    Port,
    /// It drops its mappings and takes another public address, as a line that redials does.
    Address,
}

#[derive(Debug)]
pub(crate) struct Nat {
    public: Public,
    /// `None` if only the address is another.
    mappings: Option<Mappings>,
}

impl Nat {
    /// A NAT; `None` for one that translates the address only. `root` decides its first port.
    pub(crate) fn new(settings: Option<NatSettings>, public: Public, root: u64) -> Self {
        Self { public, mappings: settings.map(|settings| Mappings::new(settings, root)) }
    }

    pub(crate) fn public(&self) -> Public {
        self.public
    }

    pub(crate) fn state(&self) -> NatState {
        NatState {
            settings: self.mappings.as_ref().map(Mappings::settings),
            public: self.public,
            mappings: self.mappings.as_ref().map_or(0, Mappings::len),
        }
    }

    /// Forgets every mapping, and moves if there is another address.
    pub(crate) fn rebind(&mut self, public: Option<Public>, counters: &mut NatCounters) {
        if let Some(mappings) = &mut self.mappings {
            mappings.clear();
        }
        self.public = public.unwrap_or(self.public);
        counters.rebinds += 1;
    }

    /// Gives a packet of the node its public source.
    pub(crate) fn outbound(
        &mut self,
        packet: &mut [u8],
        header: &Header,
        now: Nanos,
        counters: &mut NatCounters,
    ) -> Result<(), DropReason> {
        let transport = translatable(packet)?;
        let public = self.public.like(header.source);
        let own = |port| SocketAddr::new(public, port);
        if icmp::is_error(packet, &transport) {
            // What it quotes came in, to the node.
            let (quote, quoted, ends) = quote(packet, &transport)?;
            let (far_port, inside_port) = quote.ports.unwrap_or_default();
            let inside = SocketAddr::new(ends.destination, inside_port);
            let far = SocketAddr::new(ends.source, far_port);
            let port = match &self.mappings {
                None => inside_port,
                Some(mappings) => mappings.outside_of(quote.protocol, inside, far, now)?,
            };
            rewrite(quoted, &quote, End::Destination, own(port));
            rewrite(packet, &transport, End::Source, own(0));
            checksum::fix(packet, &transport);
        } else {
            let port = match (&mut self.mappings, transport.ports) {
                (None, ports) => ports.unwrap_or_default().0,
                (Some(mappings), Some((source, destination))) => {
                    let inside = SocketAddr::new(header.source, source);
                    let far = SocketAddr::new(header.destination, destination);
                    mappings.outbound(transport.protocol, inside, far, now, counters)?
                }
                (Some(_), None) => return Err(DropReason::NatProtocol),
            };
            rewrite(packet, &transport, End::Source, own(port));
        }
        counters.outbound += 1;
        Ok(())
    }

    /// Gives a packet to the public address the node's own as its destination. `inside` is the
    /// node's address of the packet's version.
    pub(crate) fn inbound(
        &mut self,
        packet: &mut [u8],
        header: &Header,
        inside: std::net::IpAddr,
        now: Nanos,
        counters: &mut NatCounters,
    ) -> Result<(), DropReason> {
        if header.destination == inside {
            return Err(DropReason::NatInside);
        }
        if header.destination != self.public.like(header.destination) {
            return Err(DropReason::NatUnmapped);
        }
        let transport = translatable(packet)?;
        if icmp::is_error(packet, &transport) {
            // What it quotes went out, from the node. The filter has no say (RFC 4787 REQ-10).
            let (quote, quoted, _) = quote(packet, &transport)?;
            let port = quote.ports.unwrap_or_default().0;
            let own = match &self.mappings {
                None => SocketAddr::new(inside, port),
                Some(mappings) => mappings.inside_of(quote.protocol, quote.six, port, now)?,
            };
            rewrite(quoted, &quote, End::Source, own);
            rewrite(packet, &transport, End::Destination, own);
            checksum::fix(packet, &transport);
        } else {
            let own = match (&self.mappings, transport.ports) {
                (None, ports) => SocketAddr::new(inside, ports.unwrap_or_default().1),
                (Some(mappings), Some((source, destination))) => {
                    let far = SocketAddr::new(header.source, source);
                    mappings.inbound(transport.protocol, destination, far, now)?
                }
                (Some(_), None) => return Err(DropReason::NatProtocol),
            };
            rewrite(packet, &transport, End::Destination, own);
        }
        counters.inbound += 1;
        Ok(())
    }
}

fn translatable(packet: &[u8]) -> Result<Transport, DropReason> {
    let transport = Transport::of(packet).filter(|transport| !transport.fragment);
    transport.ok_or(DropReason::NatProtocol)
}

/// The packet that an ICMP error quotes.
fn quote<'a>(
    packet: &'a mut [u8],
    transport: &Transport,
) -> Result<(Transport, &'a mut [u8], Header), DropReason> {
    let quoted = packet.get_mut(transport.at + icmp::QUOTE..transport.end);
    let quoted = quoted.ok_or(DropReason::NatProtocol)?;
    let read = Transport::quoted(quoted).zip(packet::addresses(quoted));
    let (quote, ends) = read.ok_or(DropReason::NatProtocol)?;
    if quote.fragment || quote.six != transport.six {
        return Err(DropReason::NatProtocol);
    }
    Ok((quote, quoted, ends))
}

#[cfg(test)]
mod tests;
