//! The lab: places for nodes, and the switch between them.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    os::fd::OwnedFd,
    sync::atomic::{AtomicU32, Ordering},
};

use meshlab_model::NodeId;

use crate::{
    counters::{LinkCounters, StrayCounters},
    link::LinkState,
    place::{self, Failure},
    switch::Switch,
};

/// Addresses in 198.18.0.0/15 that this scheme can give out.
const PLACES_MAX: u32 = 250 * 250;

/// The network of a run. Dropping it stops the switch and closes every device that it holds.
pub struct Lab {
    switch: Switch,
    given_out: AtomicU32,
}

/// What a node needs to live in the lab.
#[derive(Debug)]
pub struct NodeNet {
    /// Its IPv4 address, in 198.18.0.0/15 (RFC 2544, for tests, never routed).
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address, in 2001:db8::/32 (RFC 3849); `None` if the kernel has no IPv6.
    pub ipv6: Option<Ipv6Addr>,
    /// Its network namespace.
    pub net_ns: OwnedFd,
    /// Its mount namespace.
    pub mount_ns: OwnedFd,
    /// 127.0.0.1:4318 inside its namespace: OTLP over http. No packet of it crosses the switch, so
    /// no fault touches it.
    pub otlp_http: TcpListener,
    /// 127.0.0.1:4317 inside its namespace: OTLP over gRPC.
    pub otlp_grpc: TcpListener,
}

/// Why the lab cannot do something. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The switch cannot be started.
    #[error("start the switch: {0}")]
    Switch(io::Error),
    /// A node's network cannot be made.
    #[error("make the network of {node}: {what}: {error}")]
    Place {
        /// Which node.
        node: NodeId,
        /// What could not be made.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The lab has no more addresses.
    #[error("make the network of {0}: all {PLACES_MAX} addresses are given out")]
    Full(NodeId),
    /// A loss that is no share.
    #[error("set the loss from {from} to {to}: {share} is no share, give 0.0 (none) to 1.0 (all)")]
    Loss {
        /// Sender.
        from: NodeId,
        /// Receiver.
        to: NodeId,
        /// What was asked for.
        share: f64,
    },
    /// A node that is not in the lab.
    #[error("change the link from {from} to {to}: one of them is not in the lab")]
    NoLink {
        /// Sender.
        from: NodeId,
        /// Receiver.
        to: NodeId,
    },
}

impl Lab {
    /// Makes an empty lab. What its lossy links lose depends on `seed`, the run's.
    ///
    /// # Errors
    /// The switch's thread or its descriptors cannot be made.
    pub fn new(seed: u64) -> Result<Self, LabError> {
        let switch = Switch::start(seed).map_err(LabError::Switch)?;
        Ok(Self { switch, given_out: AtomicU32::new(0) })
    }

    /// Makes a network for `node`: namespaces, a device with addresses, a port on the switch.
    ///
    /// # Errors
    /// The host refuses a part of it; [`crate::probe`] tells which and what to do.
    pub fn add_node(&self, node: &NodeId) -> Result<NodeNet, LabError> {
        let index = self.given_out.fetch_add(1, Ordering::Relaxed);
        if index >= PLACES_MAX {
            return Err(LabError::Full(node.clone()));
        }
        let ipv4 = Ipv4Addr::from(0xc612_0000 + (index / 250) * 256 + index % 250 + 1);
        let ipv6 = Ipv6Addr::from((0x2001_0db8_u128 << 96) + u128::from(index) + 1);
        let failed = |Failure { what, error }| LabError::Place { node: node.clone(), what, error };
        let place = place::make(ipv4, ipv6).map_err(failed)?;
        let ipv6 = place.has_ipv6.then_some(ipv6);
        let addresses = [Some(IpAddr::V4(ipv4)), ipv6.map(IpAddr::V6)];
        self.switch
            .plug(node, place.tun, addresses.into_iter().flatten().collect())
            .map_err(|error| failed(Failure { what: "a port on the switch", error }))?;
        Ok(NodeNet {
            ipv4,
            ipv6,
            net_ns: place.net,
            mount_ns: place.mount,
            otlp_http: place.otlp_http,
            otlp_grpc: place.otlp_grpc,
        })
    }

    /// Takes a node's port away. Its counters stay; its namespaces go with their last process.
    pub fn remove_node(&self, node: &NodeId) {
        self.switch.unplug(node);
    }

    /// Cuts or mends the link from one node to another, in this direction only, from the next
    /// packet on.
    ///
    /// # Errors
    /// One of the nodes is not in the lab.
    pub fn set_cut(&self, from: &NodeId, to: &NodeId, cut: bool) -> Result<(), LabError> {
        if self.switch.set_cut(from, to, cut) {
            Ok(())
        } else {
            Err(LabError::NoLink { from: from.clone(), to: to.clone() })
        }
    }

    /// Loses a share of the packets from one node to another, in this direction only, from the
    /// next packet on: 0.0 none, 1.0 all. Each packet is drawn by itself, from a stream that the
    /// lab's seed and the pair's names decide.
    ///
    /// # Errors
    /// The share is not within 0.0 to 1.0, or one of the nodes is not in the lab.
    pub fn set_loss(&self, from: &NodeId, to: &NodeId, share: f64) -> Result<(), LabError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(LabError::Loss { from: from.clone(), to: to.clone(), share });
        }
        if self.switch.set_loss(from, to, share) {
            Ok(())
        } else {
            Err(LabError::NoLink { from: from.clone(), to: to.clone() })
        }
    }

    /// What is set on the link from one node to another.
    ///
    /// # Errors
    /// One of the nodes is not in the lab.
    pub fn link(&self, from: &NodeId, to: &NodeId) -> Result<LinkState, LabError> {
        let state = self.switch.link(from, to);
        state.ok_or_else(|| LabError::NoLink { from: from.clone(), to: to.clone() })
    }

    /// Packets so far by directed pair; pairs that never sent are absent.
    pub fn counters(&self) -> BTreeMap<(NodeId, NodeId), LinkCounters> {
        self.switch.counters()
    }

    /// Packets so far that were for nobody in the lab, by sender.
    pub fn stray(&self) -> BTreeMap<NodeId, StrayCounters> {
        self.switch.stray()
    }
}

#[cfg(test)]
mod tests;
