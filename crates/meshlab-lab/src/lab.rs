//! The lab: places for nodes, and the switch between them.
//!
//! `links.rs` changes links, `nodes.rs` what is in front of a node, `captures.rs` watches,
//! `prober.rs` sends packets of its own, `visits.rs` asks programs from outside.

mod captures;
mod links;
mod nodes;
mod prober;
mod visits;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use meshlab_model::NodeId;

pub use self::prober::{ProbeReport, Prober, Probes};
use crate::{
    address,
    counters::{LinkCounters, NodeCounters, StrayCounters},
    disk::{Disk, DiskSettings},
    error::LabError,
    place::{self, Failure},
    switch::Switch,
};

/// The network of a run. Dropping it stops the switch and closes every device that it holds.
pub struct Lab {
    switch: Switch,
    given_out: AtomicU32,
    /// The network of each node, for probes of our own, and its address.
    places: Mutex<BTreeMap<NodeId, (Arc<OwnedFd>, IpAddr)>>,
}

/// What a node needs to live in the lab.
#[derive(Debug)]
pub struct NodeNet {
    /// Its IPv4 address, in 198.18.0.0/16 (RFC 2544, for tests, never routed).
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
    /// Its disk, if it was given one.
    pub disk: Option<Disk>,
}

impl Lab {
    /// Makes an empty lab. What its links lose, delay, corrupt and so on depends on `seed`, the
    /// run's.
    ///
    /// # Errors
    /// The switch's thread or its descriptors cannot be made.
    pub fn new(seed: u64) -> Result<Self, LabError> {
        let switch = Switch::start(seed).map_err(LabError::Switch)?;
        Ok(Self { switch, given_out: AtomicU32::new(0), places: Mutex::default() })
    }

    /// Makes a network for `node`: namespaces, a device with addresses, a port on the switch.
    ///
    /// # Errors
    /// The host refuses a part of it; [`crate::probe`] tells which and what to do.
    pub fn add_node(&self, node: &NodeId) -> Result<NodeNet, LabError> {
        self.make_place(node, None)
    }

    /// The same, with a disk of the node's own, which only the node and the harness see. It holds
    /// what is on it as long as the place lives, so over restarts of the node too.
    ///
    /// # Errors
    /// As [`Lab::add_node`]; or the directory is missing, or the host refuses the mount.
    pub fn add_node_with_disk(
        &self,
        node: &NodeId,
        disk: &DiskSettings,
    ) -> Result<NodeNet, LabError> {
        self.make_place(node, Some(disk))
    }

    fn make_place(&self, node: &NodeId, disk: Option<&DiskSettings>) -> Result<NodeNet, LabError> {
        let index = self.given_out.fetch_add(1, Ordering::Relaxed);
        let (ipv4, ipv6) = address::of_node(index).ok_or_else(|| LabError::Full(node.clone()))?;
        let failed = |Failure { what, error }| LabError::Place { node: node.clone(), what, error };
        let place = place::make(ipv4, ipv6, disk).map_err(failed)?;
        let ipv6 = place.has_ipv6.then_some(ipv6);
        let addresses = [Some(IpAddr::V4(ipv4)), ipv6.map(IpAddr::V6)];
        self.switch
            .plug(node, place.tun, addresses.into_iter().flatten().collect())
            .map_err(|error| failed(Failure { what: "a port on the switch", error }))?;
        let again = place
            .net
            .try_clone()
            .map_err(|error| failed(Failure { what: "a second hold on its network", error }))?;
        self.places().insert(node.clone(), (Arc::new(again), ipv4.into()));
        Ok(NodeNet {
            ipv4,
            ipv6,
            net_ns: place.net,
            mount_ns: place.mount,
            otlp_http: place.otlp_http,
            otlp_grpc: place.otlp_grpc,
            disk: place.disk,
        })
    }

    /// Takes a node's port away. Its counters stay; its namespaces go with their last process.
    pub fn remove_node(&self, node: &NodeId) {
        self.places().remove(node);
        self.switch.unplug(node);
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<NodeId, (Arc<OwnedFd>, IpAddr)>> {
        // Nothing in there is left half done by a thread that breaks.
        self.places.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Has the switch take what a node has sent already, before what it counted is asked for.
    pub fn drain(&self, node: &NodeId) {
        self.switch.drain(node);
    }

    /// Packets so far by directed pair; pairs that never sent are absent.
    pub fn counters(&self) -> BTreeMap<(NodeId, NodeId), LinkCounters> {
        self.switch.table().counters()
    }

    /// What each node's end of the lab did so far: its NAT, its firewall, answers to packets that
    /// were too large. Of nodes of the same name, the last.
    pub fn node_counters(&self) -> BTreeMap<NodeId, NodeCounters> {
        self.switch.table().node_counters()
    }

    /// The time that the switch has been on a CPU; `None` where the system does not tell.
    pub fn switch_cpu_time(&self) -> Option<Duration> {
        self.switch.cpu_time()
    }

    /// Packets so far that were for nobody in the lab, by sender.
    pub fn stray(&self) -> BTreeMap<NodeId, StrayCounters> {
        self.switch.table().stray()
    }
}

#[cfg(test)]
mod tests;
