//! Which addresses the lab gives out.
//!
//! Nodes: 198.18.0.1 to 198.18.249.250 and 2001:db8::1 on. Public addresses of nodes behind a NAT:
//! 198.19.0.1 to 198.19.249.250 and 2001:db8:1::1 on. Routers: 198.18.255.254 and 2001:db8:2::1.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::packet::icmp::Router;

/// Addresses that this scheme can give out in each range.
pub(crate) const PLACES_MAX: u32 = 250 * 250;

/// Whom the switch's own ICMP errors come from.
pub(crate) const ROUTER: Router = Router {
    four: Ipv4Addr::new(198, 18, 255, 254),
    six: Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1),
};

/// A node's own addresses, by its number; `None` past the last.
pub(crate) fn of_node(index: u32) -> Option<(Ipv4Addr, Ipv6Addr)> {
    nth(0xc612_0000, 0, index)
}

fn nth(four: u32, network: u16, index: u32) -> Option<(Ipv4Addr, Ipv6Addr)> {
    if index >= PLACES_MAX {
        return None;
    }
    let four = Ipv4Addr::from(four + (index / 250) * 256 + index % 250 + 1);
    let six = (0x2001_0db8_u128 << 96) + (u128::from(network) << 80) + u128::from(index) + 1;
    Some((four, six.into()))
}

/// The address that the others see a node at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Public {
    /// In 198.19.0.0/16.
    pub ipv4: Ipv4Addr,
    /// In 2001:db8:1::/48.
    pub ipv6: Ipv6Addr,
}

impl Public {
    pub(crate) fn like(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(_) => self.ipv4.into(),
            IpAddr::V6(_) => self.ipv6.into(),
        }
    }

    pub(crate) fn both(&self) -> [IpAddr; 2] {
        [self.ipv4.into(), self.ipv6.into()]
    }
}

/// Public addresses. One that a node has left stays with it as long as there are fresh ones, so
/// that what is still sent there is known to be for a node that moved.
#[derive(Debug, Default)]
pub(crate) struct Publics {
    given_out: u32,
    left: VecDeque<Public>,
}

impl Publics {
    /// A fresh address, or else the one that was left longest ago. `None` if every one is in use.
    pub(crate) fn take(&mut self) -> Option<Public> {
        if let Some((ipv4, ipv6)) = nth(0xc613_0000, 1, self.given_out) {
            self.given_out += 1;
            return Some(Public { ipv4, ipv6 });
        }
        self.left.pop_front()
    }

    pub(crate) fn leave(&mut self, public: Public) {
        self.left.push_back(public);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_do_not_meet() {
        let four = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        assert_eq!(of_node(0).unwrap().0, four("198.18.0.1"));
        assert_eq!(of_node(250).unwrap().0, four("198.18.1.1"));
        assert_eq!(of_node(PLACES_MAX - 1).unwrap().0, four("198.18.249.250"));
        assert_eq!(of_node(PLACES_MAX), None);
        let mut publics = Publics::default();
        let first = publics.take().unwrap();
        assert_eq!(first.ipv4, four("198.19.0.1"));
        assert_eq!(first.ipv6, "2001:db8:1::1".parse::<Ipv6Addr>().unwrap());
        let last = std::iter::from_fn(|| publics.take()).last().unwrap();
        assert_eq!(last.ipv4, four("198.19.249.250"));
        assert_eq!(publics.take(), None);
        publics.leave(first);
        publics.leave(last);
        assert_eq!(publics.take(), Some(first), "the one that was left longest ago");
    }
}
