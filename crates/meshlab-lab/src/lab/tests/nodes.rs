//! What is in front of a node, as programs see it.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{FirewallSettings, Mtu, NatBehaviour, NatSettings, Rebind};

/// Where what one sends seems to come from.
fn seen(from: &UdpSocket, to: &UdpSocket) -> SocketAddr {
    crosses(from, to, to.local_addr().unwrap(), 8, TRIES).expect("it arrives")
}

/// Whether what is sent to an address reaches a socket.
fn hears(at: &UdpSocket, from: &UdpSocket, to: SocketAddr) -> bool {
    crosses(from, at, to, 8, TRIES).is_some()
}

/// Whether what is sent to an address, once, does not reach a socket.
fn deaf(at: &UdpSocket, from: &UdpSocket, to: SocketAddr) -> bool {
    crosses(from, at, to, 8, 1).is_none()
}

#[test]
fn a_nat_translates_both_versions_filters_and_rebinds() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (_, net_b)] = pair(&lab);
    let c = NodeId::from("c");
    let net_c = lab.add_node(&c).unwrap();
    let by_address = NatBehaviour::AddressDependent;
    let settings = NatSettings::new(NatBehaviour::EndpointIndependent, by_address);
    let public = lab.set_nat(&a, settings).unwrap();
    let mut addresses = vec![[net_a.ipv4, net_b.ipv4, net_c.ipv4].map(IpAddr::from)];
    if let (Some(six_a), Some(six_b), Some(six_c)) = (net_a.ipv6, net_b.ipv6, net_c.ipv6) {
        addresses.push([six_a, six_b, six_c].map(IpAddr::from));
    }
    for ([four_a, four_b, four_c], filtered) in addresses.iter().copied().zip(1..) {
        let (at_a, at_b) = (socket(&net_a, four_a), socket(&net_b, four_b));
        let at_c = socket(&net_c, four_c);
        let outside = seen(&at_a, &at_b);
        assert!([IpAddr::from(public.ipv4), public.ipv6.into()].contains(&outside.ip()));
        assert_ne!(outside.port(), 7777, "ports are not preserved");
        assert!(hears(&at_a, &at_b, outside), "an answer");
        assert!(deaf(&at_a, &at_c, outside), "a stranger");
        // By the mapping that was asked for, not by the one that comes next.
        until_dropped(&lab, &(c.clone(), a.clone()), DropReason::NatFiltered, filtered);
        assert!(deaf(&at_a, &at_b, at_a.local_addr().unwrap()), "the address behind it");
        lab.rebind(&a, Rebind::Port).unwrap();
        assert!(deaf(&at_a, &at_b, outside), "the old mapping is gone");
        let moved = seen(&at_a, &at_b);
        assert!(moved.ip() == outside.ip() && moved.port() != outside.port());
        assert!(hears(&at_a, &at_b, moved));
    }
    until_dropped(&lab, &(c, a.clone()), DropReason::NatFiltered, addresses.len() as u64);
    let nat = &lab.node_counters()[&a].nat;
    assert_eq!(nat.rebinds, addresses.len() as u64);
    assert!(lab.rebind(&"b".into(), Rebind::Port).is_err(), "it has none");
}

#[test]
fn tcp_crosses_a_nat() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (_, net_b)] = pair(&lab);
    let public = lab.set_nat(&a, NatSettings::default()).unwrap();
    let listener = inside(&net_b, || TcpListener::bind((net_b.ipv4, 80)).unwrap());
    let mut client = inside(&net_a, || TcpStream::connect((net_b.ipv4, 80)).unwrap());
    let (mut server, from) = listener.accept().unwrap();
    assert_eq!(from.ip(), public.ipv4);
    let text = vec![7; 100_000];
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| client.write_all(&text).unwrap());
        let mut heard = vec![0; text.len()];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(heard, text);
    });
}

#[test]
fn a_node_roams_and_comes_home() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (_, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    let home = at_a.local_addr().unwrap();
    assert_eq!(seen(&at_a, &at_b), home);
    let first = lab.roam(&a).unwrap();
    assert_eq!(seen(&at_a, &at_b), SocketAddr::new(first.ipv4.into(), 7777), "the same port");
    let second = lab.roam(&a).unwrap();
    let there = seen(&at_a, &at_b);
    assert_eq!(there.ip(), second.ipv4);
    assert!(hears(&at_a, &at_b, there) && deaf(&at_a, &at_b, home));
    assert!(deaf(&at_a, &at_b, SocketAddr::new(first.ipv4.into(), 7777)));
    lab.remove_nat(&a).unwrap();
    assert_eq!(seen(&at_a, &at_b), home);
    assert!(hears(&at_a, &at_b, home) && lab.nat(&a).unwrap().is_none());
}

#[test]
fn a_firewall_lets_in_answers_only() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    assert!(reaches(&at_b, &at_a, TRIES));
    lab.set_firewall(&a, Some(FirewallSettings::default())).unwrap();
    assert!(!reaches(&at_b, &at_a, 2), "a new flow");
    until_dropped(&lab, &(b, a.clone()), DropReason::Firewall, 2);
    assert!(reaches(&at_a, &at_b, TRIES) && reaches(&at_b, &at_a, TRIES), "its own flow");
    let firewall = &lab.node_counters()[&a].firewall;
    assert_eq!((firewall.flows, firewall.dropped), (1, 2));
    assert!(firewall.passed >= 1);
    lab.set_firewall(&a, Some(FirewallSettings::default())).unwrap();
    assert!(!reaches(&at_b, &at_a, 2), "a new firewall knows no flows");
    lab.set_firewall(&a, None).unwrap();
    assert!(reaches(&at_b, &at_a, TRIES));
    let zero = FirewallSettings { timeout: Duration::ZERO };
    let error = lab.set_firewall(&a, Some(zero)).unwrap_err().to_string();
    assert!(error.contains("timeout of the firewall"), "{error}");
}

fn large_reaches(from: &UdpSocket, to: &UdpSocket, tries: u32) -> bool {
    crosses(from, to, to.local_addr().unwrap(), 1400, tries).is_some()
}

#[test]
fn a_small_mtu_is_heard_of_by_icmp_unless_it_is_a_black_hole() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let mut addresses = vec![(IpAddr::from(net_a.ipv4), IpAddr::from(net_b.ipv4))];
    addresses.extend(net_a.ipv6.zip(net_b.ipv6).map(|(a, b)| (a.into(), b.into())));
    for (at_a, at_b) in addresses {
        let (at_a, at_b) = (socket(&net_a, at_a), socket(&net_b, at_b));
        assert!(large_reaches(&at_a, &at_b, TRIES));
        let mtu = |black_hole| Some(Mtu { bytes: 1300, black_hole });
        lab.set_mtu(&b, mtu(true)).unwrap();
        let answers = || lab.node_counters()[&a].too_big_answers;
        let before = answers();
        assert!(!large_reaches(&at_a, &at_b, 3), "it vanishes");
        assert_eq!(answers(), before);
        assert!(reaches(&at_a, &at_b, TRIES), "small ones cross");
        lab.set_mtu(&b, mtu(false)).unwrap();
        assert!(large_reaches(&at_a, &at_b, TRIES), "the sender's kernel sends smaller ones");
        assert!(answers() > before);
        lab.set_mtu(&b, None).unwrap();
    }
    assert!(lab.counters()[&(a.clone(), b)].dropped[&DropReason::Mtu] >= 4);
    assert!(lab.set_mtu(&a, Some(Mtu { bytes: 67, black_hole: false })).is_err());
}
