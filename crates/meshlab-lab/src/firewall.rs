//! A stateful firewall at a node: flows that the node opened pass, others do not come in.

use std::{net::SocketAddr, time::Duration};

use crate::{
    clock::{Nanos, nanos},
    counters::FirewallCounters,
    fading::{Fading, Kept},
    link::InvalidSetting,
    packet::{self, Header, Transport, icmp},
};

/// Flows that a firewall remembers: as many as a small router's.
const FLOWS_MAX: usize = 65_536;

/// A firewall that lets everything out, and in only what answers it.
///
/// A flow is a protocol with both addresses and ports (of UDP and TCP; other protocols have flows
/// by address). It is opened by any packet that the node sends, and kept open by packets in either
/// direction. ICMP errors come in if they quote a packet of an open flow. Fragments do not come in:
/// they have no ports. It sits between the node and its NAT, if there is one. When it is set on a
/// node that runs, it knows no flows yet: each opens with the next packet that the node sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirewallSettings {
    /// How long a flow is kept open after its last packet; more than zero. Three minutes by
    /// default, as Linux does for UDP streams.
    pub timeout: Duration,
}

impl Default for FirewallSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(180) }
    }
}

impl FirewallSettings {
    /// Checks the timeout.
    ///
    /// # Errors
    /// It is zero.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        if self.timeout.is_zero() {
            let problem = "lets in no answer at all, give more than zero (or cut the links)";
            return Err(InvalidSetting::new("timeout of the firewall", "0 s", problem));
        }
        Ok(())
    }
}

/// A flow as its node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Flow {
    protocol: u8,
    own: SocketAddr,
    far: SocketAddr,
}

#[derive(Debug)]
pub(crate) struct Firewall {
    settings: FirewallSettings,
    flows: Fading<Flow>,
}

impl Firewall {
    pub(crate) fn new(settings: FirewallSettings) -> Self {
        Self { settings, flows: Fading::new(FLOWS_MAX) }
    }

    pub(crate) fn settings(&self) -> FirewallSettings {
        self.settings
    }

    /// Takes note of a packet that the node sends.
    pub(crate) fn outbound(
        &mut self,
        packet: &[u8],
        header: &Header,
        now: Nanos,
        counters: &mut FirewallCounters,
    ) {
        let Some((protocol, own, far)) = Transport::of(packet).and_then(|t| ends(&t, header))
        else {
            return;
        };
        let until = now.saturating_add(nanos(self.settings.timeout));
        match self.flows.keep(Flow { protocol, own, far }, now, until) {
            Kept::Known => {}
            Kept::New => counters.flows += 1,
            Kept::Refused => counters.untracked += 1,
        }
    }

    /// Whether a packet to the node is let in.
    pub(crate) fn inbound(&mut self, packet: &[u8], header: &Header, now: Nanos) -> bool {
        let Some(transport) = Transport::of(packet) else { return false };
        let flow = if icmp::is_error(packet, &transport) {
            let quote = packet.get(transport.at + icmp::QUOTE..transport.end);
            // What is quoted was sent by the node.
            quote.and_then(|quote| ends(&Transport::quoted(quote)?, &packet::addresses(quote)?))
        } else {
            ends(&transport, header).map(|(protocol, far, own)| (protocol, own, far))
        };
        let Some((protocol, own, far)) = flow else { return false };
        let flow = Flow { protocol, own, far };
        let open = self.flows.holds(&flow, now);
        if open {
            self.flows.keep(flow, now, now.saturating_add(nanos(self.settings.timeout)));
        }
        open
    }
}

/// Protocol, source and destination; `None` for a fragment.
fn ends(transport: &Transport, header: &Header) -> Option<(u8, SocketAddr, SocketAddr)> {
    if transport.fragment {
        return None;
    }
    let (source, destination) = transport.ports.unwrap_or_default();
    let ends =
        (SocketAddr::new(header.source, source), SocketAddr::new(header.destination, destination));
    Some((transport.protocol, ends.0, ends.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::ROUTER,
        clock::SECOND,
        packet::{
            build::{Packet, address},
            parse,
        },
    };

    struct Gate(Firewall, FirewallCounters);

    impl Gate {
        fn new() -> Self {
            let settings = FirewallSettings { timeout: Duration::from_secs(10) };
            Self(Firewall::new(settings), FirewallCounters::default())
        }

        fn out(&mut self, packet: &[u8], now: Nanos) {
            self.0.outbound(packet, &parse(packet).unwrap(), now, &mut self.1);
        }

        fn passes(&mut self, packet: &[u8], now: Nanos) -> bool {
            self.0.inbound(packet, &parse(packet).unwrap(), now)
        }
    }

    fn packet(six: bool, ports: (u16, u16), from: u8, to: u8) -> Vec<u8> {
        let packet = Packet { six, tcp: false, ports, payload: 1400 };
        packet.between(address(six, from), address(six, to))
    }

    #[test]
    fn answers_pass_until_the_flow_times_out_and_nothing_else_does() {
        for six in [false, true] {
            let mut gate = Gate::new();
            let answer = packet(six, (53, 4000), 2, 1);
            assert!(!gate.passes(&answer, SECOND), "nobody asked");
            gate.out(&packet(six, (4000, 53), 1, 2), SECOND);
            assert!(gate.passes(&answer, 10 * SECOND), "kept open by this");
            assert!(gate.passes(&answer, 19 * SECOND));
            for other in [((54, 4000), 2), ((53, 4001), 2), ((53, 4000), 3)] {
                assert!(!gate.passes(&packet(six, other.0, other.1, 1), 19 * SECOND));
            }
            assert!(!gate.passes(&answer, 29 * SECOND), "timed out");
            assert_eq!((gate.1.flows, gate.1.untracked), (1, 0));
        }
    }

    #[test]
    fn errors_pass_if_they_quote_an_open_flow() {
        for six in [false, true] {
            let mut gate = Gate::new();
            let sent = packet(six, (4000, 53), 1, 2);
            let error = icmp::too_big(&sent, &parse(&sent).unwrap(), 1280, ROUTER).unwrap();
            assert!(!gate.passes(&error, SECOND));
            gate.out(&sent, SECOND);
            assert!(gate.passes(&error, SECOND));
        }
    }

    #[test]
    fn too_many_flows_go_out_untracked() {
        let mut gate = Gate::new();
        for port in 0..=u16::MAX {
            gate.out(&packet(false, (port, 1), 1, 2), SECOND);
        }
        gate.out(&packet(false, (1, 2), 1, 2), SECOND);
        assert_eq!((gate.1.flows, gate.1.untracked), (65_536, 1));
        assert!(!gate.passes(&packet(false, (2, 1), 2, 1), SECOND));
        gate.out(&packet(false, (1, 2), 1, 2), 12 * SECOND);
        assert!(gate.passes(&packet(false, (2, 1), 2, 1), 12 * SECOND));
    }
}
