//! Source and destination of an IP packet. Packets come from programs under test: hostile.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a packet comes from and goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

/// Reads the fixed part of an IPv4 (RFC 791) or IPv6 (RFC 8200) header; `None` if it is not there
/// whole, or its length does not fit the packet.
pub(crate) fn parse(packet: &[u8]) -> Option<Header> {
    match packet.first()? >> 4 {
        4 => {
            let header: &[u8; 20] = packet.first_chunk()?;
            let header_bytes = usize::from(header[0] & 0x0f) * 4;
            let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
            if header_bytes < 20 || total < header_bytes || total > packet.len() {
                return None;
            }
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 4] = header.get(at..at + 4)?.try_into().ok()?;
                Some(Ipv4Addr::from(bytes).into())
            };
            Some(Header { source: address(12)?, destination: address(16)? })
        }
        6 => {
            let header: &[u8; 40] = packet.first_chunk()?;
            let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
            if 40 + payload > packet.len() {
                return None;
            }
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
                Some(Ipv6Addr::from(bytes).into())
            };
            Some(Header { source: address(8)?, destination: address(24)? })
        }
        _ => None,
    }
}

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
        }
    }
}
