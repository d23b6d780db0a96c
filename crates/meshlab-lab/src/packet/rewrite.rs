//! Another address and port in a packet, with its checksums.

use std::net::{IpAddr, SocketAddr};

use super::{ICMP, Transport, UDP, checksum};

/// Which end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

/// Puts another address, and for UDP and TCP another port, into a packet or the quoted beginning
/// of one. Checksums follow by the difference, so that one that was wrong stays as wrong as it
/// was. An address of another version changes nothing.
pub(crate) fn rewrite(packet: &mut [u8], transport: &Transport, end: End, to: SocketAddr) {
    match (to.ip(), transport.six) {
        (IpAddr::V4(address), false) => {
            let at = if end == End::Source { 12 } else { 16 };
            let old = put(packet, at, &address.octets());
            update(packet, 10, &old, &address.octets());
            if transport.protocol != ICMP {
                transport_sum(packet, transport, &old, &address.octets());
            }
        }
        (IpAddr::V6(address), true) => {
            let at = if end == End::Source { 8 } else { 24 };
            let old = put(packet, at, &address.octets());
            transport_sum(packet, transport, &old, &address.octets());
        }
        _ => return,
    }
    if transport.ports.is_some() {
        let at = transport.at + if end == End::Source { 0 } else { 2 };
        let old = put(packet, at, &to.port().to_be_bytes());
        transport_sum(packet, transport, &old, &to.port().to_be_bytes());
    }
}

/// Overwrites bytes; what was there.
fn put<const N: usize>(packet: &mut [u8], at: usize, new: &[u8; N]) -> [u8; N] {
    match packet.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut()) {
        Some(bytes) => std::mem::replace(bytes, *new),
        // Nothing was there, and so nothing changes.
        None => *new,
    }
}

fn update(packet: &mut [u8], at: usize, old: &[u8], new: &[u8]) {
    if let Some(field) = packet.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut::<2>()) {
        *field = checksum::replace(u16::from_be_bytes(*field), old, new).to_be_bytes();
    }
}

fn transport_sum(packet: &mut [u8], transport: &Transport, old: &[u8], new: &[u8]) {
    let Some(at) = transport.checksum_at() else { return };
    // A quote may end before it.
    if transport.fragment || at + 2 > transport.end {
        return;
    }
    let Some(field) = packet.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut::<2>()) else {
        return;
    };
    let before = u16::from_be_bytes(*field);
    if transport.protocol == UDP && before == 0 {
        return;
    }
    let after = checksum::never_none(checksum::replace(before, old, new), transport);
    *field = after.to_be_bytes();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::build::{Packet, is_right};

    fn address(six: bool) -> BoxedStrategy<IpAddr> {
        if six {
            any::<[u8; 16]>().prop_map(IpAddr::from).boxed()
        } else {
            any::<[u8; 4]>().prop_map(IpAddr::from).boxed()
        }
    }

    proptest! {
        #[test]
        fn checksums_are_right_after_any_rewrite(
            (six, address) in any::<bool>().prop_flat_map(|six| (Just(six), address(six))),
            tcp: bool, ports: (u16, u16), payload in 0..100_usize, port: u16, source: bool,
        ) {
            let mut packet = Packet { six, tcp, ports, payload }.bytes();
            prop_assert!(is_right(&packet));
            let transport = Transport::of(&packet).unwrap();
            let end = if source { End::Source } else { End::Destination };
            rewrite(&mut packet, &transport, end, SocketAddr::new(address, port));
            prop_assert!(is_right(&packet));
            let read = crate::packet::parse(&packet).unwrap();
            let after = Transport::of(&packet).unwrap().ports.unwrap();
            if source {
                prop_assert_eq!((read.source, after), (address, (port, ports.1)));
            } else {
                prop_assert_eq!((read.destination, after), (address, (ports.0, port)));
            }
        }
    }

    #[test]
    fn a_udp_checksum_of_zero_is_sent_as_its_other_zero() {
        for six in [false, true] {
            let mut packet = Packet::udp(six, 3).bytes();
            let transport = Transport::of(&packet).unwrap();
            let at = transport.at + 6;
            let to = crate::packet::build::address(six, 9);
            // One port of all gives zero, by the difference as by the whole.
            let mut zeroes = 0;
            for port in 0..=u16::MAX {
                rewrite(&mut packet, &transport, End::Source, SocketAddr::new(to, port));
                let by_difference = [packet[at], packet[at + 1]];
                checksum::fix(&mut packet, &transport);
                assert_eq!(by_difference, [packet[at], packet[at + 1]]);
                assert_ne!(by_difference, [0, 0]);
                zeroes += u32::from(by_difference == [0xff, 0xff]);
            }
            assert_eq!(zeroes, 1);
        }
    }

    #[test]
    fn what_was_wrong_or_absent_stays_so() {
        let mut packet = Packet::udp(false, 30).bytes();
        let transport = Transport::of(&packet).unwrap();
        let to = "198.19.0.1:9".parse().unwrap();
        packet[30] ^= 0x40;
        rewrite(&mut packet, &transport, End::Source, to);
        assert!(!is_right(&packet), "a broken packet is not mended");
        packet[26..28].fill(0);
        rewrite(&mut packet, &transport, End::Source, "198.19.0.7:1".parse().unwrap());
        assert_eq!(packet[26..28], [0, 0], "no checksum stays none");
        let before = packet.clone();
        rewrite(&mut packet, &transport, End::Source, "[2001:db8::1]:9".parse().unwrap());
        assert_eq!(packet, before, "another version changes nothing");
    }
}
