use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::{
    address::ROUTER,
    clock::SECOND,
    packet::{
        build::{Packet, address, is_right},
        parse,
    },
};

const PUBLIC: Public = Public {
    ipv4: std::net::Ipv4Addr::new(198, 19, 0, 1),
    ipv6: std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1),
};

struct Gate(Nat, NatCounters);

impl Gate {
    fn new(mapping: NatBehaviour, filtering: NatBehaviour) -> Self {
        let settings = NatSettings {
            udp_timeout: Duration::from_secs(30),
            ..NatSettings::new(mapping, filtering)
        };
        Self(Nat::new(Some(settings), PUBLIC, 7), NatCounters::default())
    }

    fn one_to_one() -> Self {
        Self(Nat::new(None, PUBLIC, 7), NatCounters::default())
    }

    /// Has the node send: the source that it comes out with.
    fn send(&mut self, own: u16, far: SocketAddr, now: Nanos) -> Result<SocketAddr, DropReason> {
        let mut packet = packet(far.is_ipv6(), inside(far.is_ipv6(), own), far);
        self.out(&mut packet, now)?;
        assert!(is_right(&packet));
        Ok(ends(&packet).0)
    }

    /// Has someone send to a public address: whom in the node it reaches.
    fn hear(&mut self, far: SocketAddr, to: SocketAddr, now: Nanos) -> Result<u16, DropReason> {
        let mut packet = packet(far.is_ipv6(), far, to);
        self.take(&mut packet, now)?;
        assert!(is_right(&packet));
        let (source, destination) = ends(&packet);
        assert_eq!((source, destination.ip()), (far, inside(far.is_ipv6(), 0).ip()));
        Ok(destination.port())
    }

    fn out(&mut self, packet: &mut [u8], now: Nanos) -> Result<(), DropReason> {
        let header = parse(packet).unwrap();
        self.0.outbound(packet, &header, now, &mut self.1)
    }

    fn take(&mut self, packet: &mut [u8], now: Nanos) -> Result<(), DropReason> {
        let header = parse(packet).unwrap();
        let inside = address(header.source.is_ipv6(), 1);
        self.0.inbound(packet, &header, inside, now, &mut self.1)
    }
}

fn inside(six: bool, port: u16) -> SocketAddr {
    SocketAddr::new(address(six, 1), port)
}

fn far(six: bool, node: u8, port: u16) -> SocketAddr {
    SocketAddr::new(address(six, node), port)
}

fn packet(six: bool, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let ports = (from.port(), to.port());
    Packet { six, tcp: false, ports, payload: 40 }.between(from.ip(), to.ip())
}

fn ends(packet: &[u8]) -> (SocketAddr, SocketAddr) {
    let header = parse(packet).unwrap();
    let ports = Transport::of(packet).unwrap().ports.unwrap();
    (SocketAddr::new(header.source, ports.0), SocketAddr::new(header.destination, ports.1))
}

use NatBehaviour::{
    AddressAndPortDependent as ByPort, AddressDependent as ByAddress, EndpointIndependent as Any,
};

#[test]
fn a_mapping_is_shared_as_its_behaviour_says() {
    for six in [false, true] {
        for (mapping, same) in
            [(Any, [true, true]), (ByAddress, [true, false]), (ByPort, [false, false])]
        {
            let mut gate = Gate::new(mapping, Any);
            let first = gate.send(7000, far(six, 2, 80), SECOND).unwrap();
            assert_eq!(first.ip(), PUBLIC.like(address(six, 1)));
            assert_eq!(gate.send(7000, far(six, 2, 80), SECOND), Ok(first), "it lasts");
            let others = [far(six, 2, 81), far(six, 3, 80)];
            let shared = others.map(|far| gate.send(7000, far, SECOND).unwrap() == first);
            assert_eq!(shared, same, "{mapping:?}");
            assert_ne!(gate.send(7001, far(six, 2, 80), SECOND), Ok(first), "one inside port each");
        }
    }
}

#[test]
fn a_filter_lets_in_whom_its_behaviour_says() {
    for six in [false, true] {
        for (filtering, let_in) in [
            (Any, [true, true, true]),
            (ByAddress, [true, true, false]),
            (ByPort, [true, false, false]),
        ] {
            let mut gate = Gate::new(Any, filtering);
            let own = gate.send(7000, far(six, 2, 80), SECOND).unwrap();
            let others = [far(six, 2, 80), far(six, 2, 81), far(six, 3, 80)];
            let heard = others.map(|far| match gate.hear(far, own, SECOND) {
                Ok(port) => {
                    assert_eq!(port, 7000);
                    true
                }
                Err(reason) => {
                    assert_eq!(reason, DropReason::NatFiltered);
                    false
                }
            });
            assert_eq!(heard, let_in, "{filtering:?}");
        }
    }
}

#[test]
fn a_mapping_times_out_after_the_last_packet_out() {
    let mut gate = Gate::new(Any, Any);
    let peer = far(false, 2, 80);
    let own = gate.send(7000, peer, SECOND).unwrap();
    assert_eq!(gate.send(7000, peer, 20 * SECOND), Ok(own));
    assert_eq!(gate.hear(peer, own, 49 * SECOND), Ok(7000), "what comes in keeps nothing");
    assert_eq!(gate.hear(peer, own, 50 * SECOND), Err(DropReason::NatUnmapped));
    assert_ne!(gate.send(7000, peer, 50 * SECOND), Ok(own), "a new one");
    assert_eq!((gate.1.made, gate.1.expired, gate.0.state().mappings), (2, 1, 1));
}

#[test]
fn a_rebind_gives_another_port_or_address_and_the_old_one_leads_nowhere() {
    let other = Public { ipv4: std::net::Ipv4Addr::new(198, 19, 0, 9), ..PUBLIC };
    for to in [None, Some(other)] {
        let mut gate = Gate::new(Any, Any);
        let peer = far(false, 2, 80);
        let before = gate.send(7000, peer, SECOND).unwrap();
        gate.0.rebind(to, &mut gate.1);
        assert_eq!(gate.hear(peer, before, SECOND), Err(DropReason::NatUnmapped));
        let after = gate.send(7000, peer, SECOND).unwrap();
        assert_ne!(before.port(), after.port());
        assert_eq!(before.ip() == after.ip(), to.is_none());
        assert_eq!(gate.hear(peer, after, SECOND), Ok(7000));
        assert_eq!(gate.1.rebinds, 1);
    }
}

#[test]
fn nobody_reaches_the_address_behind_it() {
    let mut gate = Gate::new(Any, Any);
    let own = inside(false, 7000);
    gate.send(7000, far(false, 2, 80), SECOND).unwrap();
    assert_eq!(gate.hear(far(false, 2, 80), own, SECOND), Err(DropReason::NatInside));
    let unmapped = SocketAddr::new(PUBLIC.ipv4.into(), 1);
    assert_eq!(gate.hear(far(false, 2, 80), unmapped, SECOND), Err(DropReason::NatUnmapped));
}

#[test]
fn one_to_one_changes_the_address_only() {
    for six in [false, true] {
        let mut gate = Gate::one_to_one();
        let own = gate.send(7000, far(six, 2, 80), SECOND).unwrap();
        assert_eq!(own, SocketAddr::new(PUBLIC.like(address(six, 1)), 7000));
        let stranger = SocketAddr::new(own.ip(), 9);
        assert_eq!(gate.hear(far(six, 5, 5), stranger, SECOND), Ok(9), "everybody is let in");
    }
}

#[test]
fn errors_are_translated_in_both_directions() {
    for six in [false, true] {
        for mut gate in [Gate::new(ByPort, ByPort), Gate::one_to_one()] {
            let peer = far(six, 2, 80);
            let mut sent = packet(six, inside(six, 7000), peer);
            gate.out(&mut sent, SECOND).unwrap();
            let mut error = icmp::too_big(&sent, &parse(&sent).unwrap(), 1280, ROUTER).unwrap();
            gate.take(&mut error, SECOND).unwrap();
            assert!(is_right(&error));
            assert_eq!(parse(&error).unwrap().destination, address(six, 1));
            let at = Transport::of(&error).unwrap().at + icmp::QUOTE;
            assert!(is_right(&error[at..]), "the quote is whole here");
            assert_eq!(ends(&error[at..]), (inside(six, 7000), peer), "as the node sent it");

            let heard = packet(six, peer, inside(six, 7000));
            let mut error = icmp::too_big(&heard, &parse(&heard).unwrap(), 1280, ROUTER).unwrap();
            gate.out(&mut error, SECOND).unwrap();
            assert!(is_right(&error));
            assert_eq!(ends(&error[at..]), (peer, ends(&sent).0), "as the other sent it");
        }
    }
}

#[test]
fn what_has_no_ports_is_dropped_and_counted_as_such() {
    let mut gate = Gate::new(Any, Any);
    let mut ping = packet(false, inside(false, 1), far(false, 2, 1));
    ping[9] = packet::ICMP;
    ping[20] = 8;
    assert_eq!(gate.out(&mut ping.clone(), SECOND), Err(DropReason::NatProtocol));
    assert_eq!(Gate::one_to_one().out(&mut ping, SECOND), Ok(()), "an address it does have");
    let mut fragment = packet(false, inside(false, 1), far(false, 2, 1));
    fragment[6] |= 0x20;
    assert_eq!(gate.out(&mut fragment, SECOND), Err(DropReason::NatProtocol));
}

#[test]
fn the_table_is_bounded_and_has_room_again_in_time() {
    let mut gate = Gate::new(Any, ByPort);
    let peer = far(false, 2, 80);
    let open = |gate: &mut Gate, now| {
        (0..=u16::MAX).filter(|port| gate.send(*port, peer, now).is_ok()).count()
    };
    assert_eq!(open(&mut gate, SECOND), 16_384);
    assert_eq!(gate.send(65_000, peer, SECOND), Err(DropReason::NatFull));
    assert!(gate.send(65_000, peer, 40 * SECOND).is_ok());
    assert_eq!(gate.0.state().mappings, 1, "the others timed out");
}

proptest! {
    /// Against a model: every answer to the last mapped source reaches the port that sent, and no
    /// two inside ports share an outside port.
    #[test]
    fn answers_find_their_way_and_ports_are_not_shared(
        steps in proptest::collection::vec((1..40_u16, 2..6_u8, 1..4_u16, 0..4_u64), 1..200),
        mapping in prop_oneof![Just(Any), Just(ByAddress), Just(ByPort)],
        filtering in prop_oneof![Just(Any), Just(ByAddress), Just(ByPort)],
        six: bool,
    ) {
        let mut gate = Gate::new(mapping, filtering);
        let mut owner = std::collections::HashMap::new();
        let mut now = SECOND;
        for (own, node, port, wait) in steps {
            now += wait * SECOND;
            let peer = far(six, node, port);
            let outside = gate.send(own, peer, now).unwrap();
            prop_assert_eq!(gate.hear(peer, outside, now), Ok(own));
            if let Some((last, until)) = owner.insert(outside.port(), (own, now + 30 * SECOND)) {
                prop_assert!(last == own || until <= now, "port shared while it was mapped");
            }
        }
    }

    #[test]
    fn hostile_packets_are_translated_or_dropped(
        mut bytes in proptest::collection::vec(any::<u8>(), 20..120),
        first in prop_oneof![Just(0x45_u8), Just(0x60)],
        protocol in prop_oneof![Just(1_u8), Just(6), Just(17), Just(44), Just(58), any::<u8>()],
        kind in prop_oneof![Just(1_u8), Just(3), Just(11)],
        one: bool,
    ) {
        bytes[0] = first;
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        if first == 0x45 {
            bytes[2..4].copy_from_slice(&length);
            (bytes[6], bytes[7], bytes[9]) = (0, 0, protocol);
            if let Some(at) = bytes.get_mut(20) { *at = kind; }
        } else {
            bytes.resize(bytes.len() + 40, 0x45);
            bytes[4..6].copy_from_slice(&length);
            (bytes[6], bytes[40]) = (protocol, kind);
        }
        let mut gate = if one { Gate::one_to_one() } else { Gate::new(Any, Any) };
        if let Some(header) = parse(&bytes) {
            let _ = gate.0.outbound(&mut bytes, &header, SECOND, &mut gate.1);
            if let Some(header) = parse(&bytes) {
                let to = Header { destination: PUBLIC.like(header.source), ..header };
                let inside: IpAddr = address(header.source.is_ipv6(), 1);
                let _ = gate.0.inbound(&mut bytes, &to, inside, SECOND, &mut gate.1);
            }
        }
    }
}
