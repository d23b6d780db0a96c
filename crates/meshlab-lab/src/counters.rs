//! What the switch counts: packets by directed pair, and those that wanted to go elsewhere.

use std::{collections::BTreeMap, net::IpAddr};

/// Destinations outside the lab that are kept by name; the rest is only counted.
const DESTINATIONS_MAX: usize = 16;

/// Packets from one node to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets handed to the receiver's device.
    pub forwarded_packets: u64,
    /// Bytes of them, IP headers included.
    pub forwarded_bytes: u64,
    /// Packets that were not, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
}

/// Why the switch did not hand a packet on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The link is cut in this direction.
    Cut,
    /// The link is lossy in this direction, and this packet was drawn.
    Loss,
    /// The receiver's device took no more.
    QueueFull,
    /// The receiver is no longer in the lab, or has taken its device away.
    Unplugged,
}

impl DropReason {
    /// The reason in a word, as records have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Loss => "loss",
            Self::QueueFull => "queue_full",
            Self::Unplugged => "unplugged",
        }
    }
}

/// Packets of one node that were for nobody in the lab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StrayCounters {
    /// To unicast addresses outside the lab.
    pub outside: u64,
    /// The first few of those addresses, with how often.
    pub destinations: BTreeMap<IpAddr, u64>,
    /// To multicast and link-local addresses: neighbour and router discovery, mostly.
    pub multicast: u64,
    /// With a source address that is not the node's.
    pub spoofed: u64,
    /// No IP packet, or one that is cut short.
    pub malformed: u64,
}

impl StrayCounters {
    pub(crate) fn outside(&mut self, destination: IpAddr) {
        self.outside += 1;
        if self.destinations.len() < DESTINATIONS_MAX
            || self.destinations.contains_key(&destination)
        {
            *self.destinations.entry(destination).or_default() += 1;
        }
    }
}
