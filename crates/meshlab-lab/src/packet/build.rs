//! Whole packets for tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Transport, checksum};

/// A packet from 198.18.0.1 to 198.18.0.2, or 2001:db8::1 to 2001:db8::2, with right checksums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) six: bool,
    pub(crate) tcp: bool,
    pub(crate) ports: (u16, u16),
    pub(crate) payload: usize,
}

/// The address of the node with this number.
pub(crate) fn address(six: bool, node: u8) -> IpAddr {
    if six {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, node.into()).into()
    } else {
        Ipv4Addr::new(198, 18, 0, node).into()
    }
}

impl Packet {
    pub(crate) fn udp(six: bool, payload: usize) -> Self {
        Self { six, tcp: false, ports: (7777, 7777), payload }
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.between(address(self.six, 1), address(self.six, 2))
    }

    /// The same from and to other addresses of its version.
    pub(crate) fn between(self, from: IpAddr, to: IpAddr) -> Vec<u8> {
        let header = if self.six { 40 } else { 20 };
        let own = if self.tcp { 20 } else { 8 };
        let mut bytes = vec![0_u8; header + own + self.payload];
        let protocol = if self.tcp { super::TCP } else { super::UDP };
        let [high, low] = u16::try_from(own + self.payload).unwrap().to_be_bytes();
        if self.six {
            (bytes[0], bytes[4], bytes[5], bytes[6], bytes[7]) = (0x60, high, low, protocol, 64);
        } else {
            let [high, low] = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            (bytes[0], bytes[2], bytes[3], bytes[6], bytes[8]) = (0x45, high, low, 0x40, 64);
            bytes[9] = protocol;
        }
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                bytes[12..16].copy_from_slice(&from.octets());
                bytes[16..20].copy_from_slice(&to.octets());
                let sum = checksum::of(&bytes[..20]);
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                bytes[8..24].copy_from_slice(&from.octets());
                bytes[24..40].copy_from_slice(&to.octets());
            }
            _ => panic!("addresses of two versions"),
        }
        bytes[header..header + 2].copy_from_slice(&self.ports.0.to_be_bytes());
        bytes[header + 2..header + 4].copy_from_slice(&self.ports.1.to_be_bytes());
        if self.tcp {
            bytes[header + 12] = 0x50;
        } else {
            (bytes[header + 4], bytes[header + 5]) = (high, low);
            // Any number but zero, which means that there is no checksum.
            bytes[header + 6] = 1;
        }
        for (at, byte) in (0_u8..=255).cycle().zip(&mut bytes[header + own..]) {
            *byte = at;
        }
        let transport = Transport::of(&bytes).unwrap();
        checksum::fix(&mut bytes, &transport);
        bytes
    }
}

/// Whether every checksum of a packet is right, by computing it from nothing.
pub(crate) fn is_right(packet: &[u8]) -> bool {
    let transport = Transport::of(packet).unwrap();
    let header = transport.six || checksum::of(&packet[..usize::from(packet[0] & 15) * 4]) == 0;
    let mut again = packet.to_vec();
    checksum::fix(&mut again, &transport);
    header && again == packet
}
