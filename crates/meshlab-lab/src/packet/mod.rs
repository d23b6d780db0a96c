//! Reading and rewriting of IP packets. They come from programs under test: hostile.

pub(crate) mod checksum;
pub(crate) mod icmp;
mod rewrite;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) use rewrite::{End, rewrite};

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// Extension headers that are walked. A packet with more has no transport that the switch knows.
const EXTENSIONS_MAX: usize = 8;

/// Where a packet comes from and goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

/// Reads the fixed part of an IPv4 (RFC 791) or IPv6 (RFC 8200) header; `None` if it is not there
/// whole, or its length does not fit the packet.
pub(crate) fn parse(packet: &[u8]) -> Option<Header> {
    let header = addresses(packet)?;
    let (header_bytes, total) = match header.source {
        IpAddr::V4(_) => (usize::from(packet.first()? & 0x0f) * 4, usize::from(word(packet, 2)?)),
        IpAddr::V6(_) => (40, 40 + usize::from(word(packet, 4)?)),
    };
    let least = if header.source.is_ipv4() { 20 } else { 40 };
    (header_bytes >= least && total >= header_bytes && total <= packet.len()).then_some(header)
}

/// Where a packet, or the quoted beginning of one, comes from and goes to.
pub(crate) fn addresses(packet: &[u8]) -> Option<Header> {
    match packet.first()? >> 4 {
        4 => {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
                Some(Ipv4Addr::from(bytes).into())
            };
            Some(Header { source: address(12)?, destination: address(16)? })
        }
        6 => {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                Some(Ipv6Addr::from(bytes).into())
            };
            Some(Header { source: address(8)?, destination: address(24)? })
        }
        _ => None,
    }
}

fn word(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
}

/// What a packet carries behind its IP headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transport {
    pub(crate) six: bool,
    /// The protocol's number behind the last extension header (IANA).
    pub(crate) protocol: u8,
    /// Where its header starts.
    pub(crate) at: usize,
    /// Where what it carries starts.
    pub(crate) payload: usize,
    /// Where the packet ends, by its own length.
    pub(crate) end: usize,
    /// Source and destination port, of UDP and TCP only.
    pub(crate) ports: Option<(u16, u16)>,
    /// Whether it is a part of a packet only. Then nothing behind the IP header is looked at.
    pub(crate) fragment: bool,
}

impl Transport {
    /// Reads a whole packet; `None` if it is not whole or its UDP or TCP header is cut short.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let transport = Self::locate(packet)?;
        if transport.end > packet.len() {
            return None;
        }
        transport.read(packet)
    }

    /// Reads the beginning of a packet, as an ICMP error quotes it: the first 8 bytes of its
    /// transport are enough (RFC 792).
    pub(crate) fn quoted(packet: &[u8]) -> Option<Self> {
        let mut transport = Self::locate(packet)?;
        transport.end = transport.end.min(packet.len());
        if !transport.fragment && matches!(transport.protocol, UDP | TCP) {
            transport.ports = Some(transport.read_ports(packet)?);
        }
        Some(transport)
    }

    fn locate(packet: &[u8]) -> Option<Self> {
        let (six, mut protocol, mut at, end, mut fragment) = match packet.first()? >> 4 {
            4 => {
                let header: &[u8; 20] = packet.first_chunk()?;
                let end = usize::from(u16::from_be_bytes([header[2], header[3]]));
                // More of it follows, or it does not start at the beginning.
                let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
                (false, header[9], usize::from(header[0] & 0x0f) * 4, end, fragment)
            }
            6 => {
                let header: &[u8; 40] = packet.first_chunk()?;
                let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
                (true, header[6], 40, 40 + payload, false)
            }
            _ => return None,
        };
        if six {
            for _ in 0..EXTENSIONS_MAX {
                match protocol {
                    // Hop-by-hop, routing, destination options (RFC 8200).
                    0 | 43 | 60 => {
                        let extension: &[u8; 2] = packet.get(at..at + 2)?.first_chunk()?;
                        protocol = extension[0];
                        at += (usize::from(extension[1]) + 1) * 8;
                    }
                    44 => {
                        fragment = true;
                        break;
                    }
                    _ => break,
                }
            }
        }
        // A header of IPv4 that says that it is shorter than it must be is none.
        if at > end || at < 20 {
            return None;
        }
        Some(Self { six, protocol, at, payload: at, end, ports: None, fragment })
    }

    fn read(mut self, packet: &[u8]) -> Option<Self> {
        if self.fragment {
            return Some(self);
        }
        let header_bytes = match self.protocol {
            UDP => 8,
            TCP => usize::from(packet.get(self.at + 12)? >> 4) * 4,
            _ => return Some(self),
        };
        self.payload = self.at + header_bytes;
        let least = if self.protocol == TCP { 20 } else { 8 };
        if header_bytes < least || self.payload > self.end {
            return None;
        }
        self.ports = Some(self.read_ports(packet)?);
        Some(self)
    }

    fn read_ports(&self, packet: &[u8]) -> Option<(u16, u16)> {
        Some((word(packet, self.at)?, word(packet, self.at + 2)?))
    }

    /// Where its checksum is, if it is of a kind that has one.
    pub(crate) fn checksum_at(&self) -> Option<usize> {
        match self.protocol {
            UDP => Some(self.at + 6),
            TCP => Some(self.at + 16),
            ICMP if !self.six => Some(self.at + 2),
            ICMPV6 if self.six => Some(self.at + 2),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod build;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_versions_are_read() {
        let mut four = [0_u8; 28];
        four[0] = 0x45;
        four[3] = 28;
        four[12..16].copy_from_slice(&[198, 18, 0, 1]);
        four[16..20].copy_from_slice(&[198, 18, 0, 2]);
        let header = parse(&four).unwrap();
        assert_eq!(header.source, "198.18.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(header.destination, "198.18.0.2".parse::<IpAddr>().unwrap());
        assert_eq!(parse(&four[..27]), None, "shorter than it says");
        let mut six = [0_u8; 48];
        six[0] = 0x60;
        six[5] = 8;
        six[39] = 7;
        assert_eq!(parse(&six).unwrap().destination, "::7".parse::<IpAddr>().unwrap());
        assert_eq!(parse(&six[..47]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
            let _ = (Transport::of(&bytes), Transport::quoted(&bytes));
        }

        #[test]
        fn what_was_built_is_read(
            six: bool, tcp: bool, ports: (u16, u16), payload in 0..200_usize, cut in 1..60_usize,
        ) {
            let packet = build::Packet { six, tcp, ports, payload }.bytes();
            let transport = Transport::of(&packet).unwrap();
            prop_assert_eq!(transport.ports, Some(ports));
            prop_assert_eq!(transport.end - transport.payload, payload);
            let short = &packet[..packet.len().saturating_sub(cut)];
            prop_assert_eq!(Transport::of(short), None, "not whole");
            if transport.end.saturating_sub(cut) >= transport.at + 8 {
                prop_assert_eq!(Transport::quoted(short).unwrap().ports, Some(ports));
            }
        }
    }

    #[test]
    fn extension_headers_are_walked_and_fragments_seen() {
        let mut packet = build::Packet::udp(true, 20).bytes();
        // A hop-by-hop header of eight bytes in front.
        packet.splice(40..40, [packet[6], 0, 0, 0, 0, 0, 0, 0]);
        (packet[6], packet[5]) = (0, packet[5] + 8);
        let transport = Transport::of(&packet).unwrap();
        assert_eq!((transport.protocol, transport.at), (UDP, 48));
        packet[40] = 44;
        assert!(Transport::of(&packet).unwrap().fragment);
        let mut endless = build::Packet::udp(true, 4000).bytes();
        endless[6] = 0;
        endless[40..].fill(0);
        assert!(Transport::of(&endless).unwrap().ports.is_none());
        let mut four = build::Packet::udp(false, 20).bytes();
        four[6] = 0x20;
        let transport = Transport::of(&four).unwrap();
        assert!(transport.fragment && transport.ports.is_none());
    }
}
