//! What the switch counts: packets by directed pair, by node, and those that wanted to go
//! elsewhere.

use std::{collections::BTreeMap, net::IpAddr};

/// Destinations outside the lab that are kept by name; the rest is only counted.
const DESTINATIONS_MAX: usize = 16;

/// Packets from one node to another.
///
/// Nothing goes uncounted: `sent_packets + duplicated` is always `forwarded_packets`, all of
/// `dropped` and `in_flight` together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets that the sender's device gave to the switch.
    pub sent_packets: u64,
    /// Bytes of them, IP headers included.
    pub sent_bytes: u64,
    /// Packets handed to the receiver's device.
    pub forwarded_packets: u64,
    /// Bytes of them, IP headers included.
    pub forwarded_bytes: u64,
    /// Packets that were not, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Packets that are on their way now, because of a delay or a rate.
    pub in_flight: u64,
    /// Packets that were put on their way instead of being handed on at once, copies included.
    pub delayed: u64,
    /// Copies that the switch made.
    pub duplicated: u64,
    /// Packets drawn to leave their place in the order.
    pub reordered: u64,
    /// Packets in which bits were flipped.
    pub corrupted: u64,
}

impl LinkCounters {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            sent_packets,
            sent_bytes,
            forwarded_packets,
            forwarded_bytes,
            dropped,
            in_flight,
            delayed,
            duplicated,
            reordered,
            corrupted,
        } = self;
        *sent_packets += other.sent_packets;
        *sent_bytes += other.sent_bytes;
        *forwarded_packets += other.forwarded_packets;
        *forwarded_bytes += other.forwarded_bytes;
        for (reason, packets) in &other.dropped {
            *dropped.entry(*reason).or_default() += packets;
        }
        *in_flight += other.in_flight;
        *delayed += other.delayed;
        *duplicated += other.duplicated;
        *reordered += other.reordered;
        *corrupted += other.corrupted;
    }

    pub(crate) fn drop_packets(&mut self, reason: DropReason, packets: u64) {
        *self.dropped.entry(reason).or_default() += packets;
    }
}

/// Why the switch did not hand a packet on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The link is cut in this direction, or was while the packet was in flight.
    Cut,
    /// The link is lossy in this direction, and this packet was drawn.
    Loss,
    /// The link loses in bursts, and this packet was in one.
    LossBurst,
    /// A rate is set, and its queue was full.
    RateQueue,
    /// More was in flight than the switch keeps.
    DelayQueue,
    /// The packet is larger than the MTU of one of the two nodes.
    Mtu,
    /// It was for a public address of the receiver, and no mapping leads from there to it: there
    /// never was one, it timed out, or it was dropped by a rebind.
    NatUnmapped,
    /// There is a mapping, but the NAT's filter lets nothing in from this sender.
    NatFiltered,
    /// It was for the address behind the receiver's NAT, where nobody outside can reach it.
    NatInside,
    /// The NAT has no room for another mapping.
    NatFull,
    /// A NAT does not translate it: a fragment, or neither UDP nor TCP nor an ICMP error.
    NatProtocol,
    /// The receiver's firewall lets in no new flow.
    Firewall,
    /// The receiver's device took no more.
    QueueFull,
    /// The receiver is no longer in the lab, or has taken its device away; or one of the two did
    /// while the packet was in flight.
    Unplugged,
}

impl DropReason {
    /// The reason in a word, as records have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Loss => "loss",
            Self::LossBurst => "loss_burst",
            Self::RateQueue => "rate_queue",
            Self::DelayQueue => "delay_queue",
            Self::Mtu => "mtu",
            Self::NatUnmapped => "nat_unmapped",
            Self::NatFiltered => "nat_filtered",
            Self::NatInside => "nat_inside",
            Self::NatFull => "nat_full",
            Self::NatProtocol => "nat_protocol",
            Self::Firewall => "firewall",
            Self::QueueFull => "queue_full",
            Self::Unplugged => "unplugged",
        }
    }
}

/// What one node's end of the lab did, over all its links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeCounters {
    /// Packets that its device gave to the switch: those of its links and those gone astray.
    pub packets: u64,
    /// Answers to packets that were larger than an MTU, given to this node.
    pub too_big_answers: u64,
    /// Its NAT's.
    pub nat: NatCounters,
    /// Its firewall's.
    pub firewall: FirewallCounters,
}

/// What a node's NATs did so far; they outlive the NAT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NatCounters {
    /// Packets that went out with another source.
    pub outbound: u64,
    /// Packets that came in with another destination.
    pub inbound: u64,
    /// Mappings made.
    pub made: u64,
    /// Mappings that timed out and were forgotten.
    pub expired: u64,
    /// Times that it was told to drop its mappings or to take another address.
    pub rebinds: u64,
    /// Packets that it dropped, in either direction, by reason. They are in the links' too.
    pub dropped: BTreeMap<DropReason, u64>,
}

/// What a node's firewalls did so far; they outlive the firewall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirewallCounters {
    /// Flows that the node opened.
    pub flows: u64,
    /// Packets that the node sent when no more flows fitted. They went out; answers will not come
    /// in.
    pub untracked: u64,
    /// Packets let in: answers to the node's own flows.
    pub passed: u64,
    /// Packets dropped: new flows from outside. They are in the links' too.
    pub dropped: u64,
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
