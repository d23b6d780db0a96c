//! ICMP errors: which packets are some, and the one that a switch sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Header, ICMP, ICMPV6, Transport, checksum};

/// Most of a packet with an error, in bytes: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4.
const FOUR_BYTES_MAX: usize = 576;
const SIX_BYTES_MAX: usize = 1280;

/// Where the quoted packet starts behind the ICMP header.
pub(crate) const QUOTE: usize = 8;

/// Whether a packet is an ICMP error, which quotes a packet and must not be answered by another.
pub(crate) fn is_error(packet: &[u8], transport: &Transport) -> bool {
    if transport.fragment || transport.at >= transport.end {
        return false;
    }
    let Some(kind) = packet.get(transport.at) else { return false };
    match transport.protocol {
        // Unreachable, quench, redirect, time exceeded, parameter problem (RFC 792).
        ICMP if !transport.six => matches!(kind, 3 | 4 | 5 | 11 | 12),
        // All errors are below 128 (RFC 4443).
        ICMPV6 if transport.six => *kind < 128,
        _ => false,
    }
}

/// What a router answers to a packet that is larger than the next line takes: "fragmentation
/// needed" (RFC 792 and RFC 1191) or "packet too big" (RFC 4443). `None` to an ICMP error.
pub(crate) fn too_big(packet: &[u8], header: &Header, mtu: u16, router: Router) -> Option<Vec<u8>> {
    if Transport::of(packet).is_some_and(|transport| is_error(packet, &transport)) {
        return None;
    }
    let [high, low] = mtu.to_be_bytes();
    let mut answer;
    match header.source {
        IpAddr::V4(source) => {
            let quote = packet.len().min(FOUR_BYTES_MAX - 28);
            let total = u16::try_from(28 + quote).ok()?.to_be_bytes();
            answer = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, ICMP, 0, 0];
            answer.extend(router.four.octets());
            answer.extend(source.octets());
            let sum = checksum::of(&answer);
            answer.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
            answer.extend([3, 4, 0, 0, 0, 0, high, low]);
            answer.extend(packet.get(..quote)?);
        }
        IpAddr::V6(source) => {
            let quote = packet.len().min(SIX_BYTES_MAX - 48);
            let payload = u16::try_from(8 + quote).ok()?.to_be_bytes();
            answer = vec![0x60, 0, 0, 0, payload[0], payload[1], ICMPV6, 64];
            answer.extend(router.six.octets());
            answer.extend(source.octets());
            answer.extend([2, 0, 0, 0, 0, 0, high, low]);
            answer.extend(packet.get(..quote)?);
        }
    }
    let transport = Transport::of(&answer)?;
    checksum::fix(&mut answer, &transport);
    Some(answer)
}

/// Whom errors come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Router {
    pub(crate) four: Ipv4Addr,
    pub(crate) six: Ipv6Addr,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::ROUTER,
        packet::{
            build::{Packet, is_right},
            parse,
        },
    };

    #[test]
    fn the_answer_quotes_the_packet_and_names_the_mtu() {
        for (six, bytes) in [(false, 576), (true, 1280)] {
            let packet = Packet::udp(six, 1400).bytes();
            let header = parse(&packet).unwrap();
            let answer = too_big(&packet, &header, 1300, ROUTER).unwrap();
            assert_eq!(answer.len(), bytes);
            assert!(is_right(&answer));
            assert_eq!(parse(&answer).unwrap().destination, header.source);
            let transport = Transport::of(&answer).unwrap();
            assert!(is_error(&answer, &transport));
            assert_eq!(answer[transport.at + 6..transport.at + 8], 1300_u16.to_be_bytes());
            assert!(packet.starts_with(&answer[transport.at + QUOTE..]));
            let header = parse(&answer).unwrap();
            assert!(too_big(&answer, &header, 1300, ROUTER).is_none(), "no answer to an answer");
        }
    }
}
