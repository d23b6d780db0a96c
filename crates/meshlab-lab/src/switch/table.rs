//! What the switch knows: ports, links, addresses, and what is set on them.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use meshlab_model::NodeId;
use nix::sys::epoll::Epoll;

use super::{queue::Queue, settings::Mtu};
use crate::{
    address::Publics,
    capture::Tap,
    clock::{self, Nanos},
    counters::{DropReason, LinkCounters, NodeCounters, StrayCounters},
    error::LabError,
    firewall::Firewall,
    link::{Link, LinkState, Shaper, Side},
    nat::Nat,
    random::pair_root,
};

pub(crate) type PortId = usize;

#[derive(Default)]
pub(crate) struct Table {
    /// The run's seed: what is drawn depends on it.
    pub(super) seed: u64,
    pub(super) ports: Vec<Port>,
    /// What is set on each node, by port and side. Beside the ports, because a packet needs those
    /// of two nodes at once, which may be the same.
    pub(super) sends: Vec<Shaper>,
    pub(super) receives: Vec<Shaper>,
    pub(super) by_node: BTreeMap<NodeId, PortId>,
    pub(super) by_address: HashMap<IpAddr, PortId>,
    pub(super) links: Vec<Link>,
    pub(super) by_pair: HashMap<(PortId, PortId), usize>,
    pub(super) queue: Queue,
    pub(crate) tap: Tap,
    /// When the timer goes off.
    pub(super) armed: Option<Nanos>,
    pub(super) publics: Publics,
}

pub(super) struct Port {
    pub(super) node: Arc<NodeId>,
    /// `None` once the node's place was given back; its counters stay.
    pub(super) tun: Option<Arc<OwnedFd>>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) mtu: Option<Mtu>,
    pub(super) firewall: Option<Firewall>,
    pub(super) nat: Option<Nat>,
    /// Whether it ever had a public address: then packets may come to one that it has left.
    pub(super) moved: bool,
    pub(super) counters: NodeCounters,
    pub(super) stray: StrayCounters,
}

impl Table {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Adds a port; its number.
    pub(crate) fn add_port(
        &mut self,
        node: &NodeId,
        tun: Arc<OwnedFd>,
        addresses: Vec<IpAddr>,
    ) -> PortId {
        let id = self.ports.len();
        self.by_address.extend(addresses.iter().map(|address| (*address, id)));
        self.by_node.insert(node.clone(), id);
        self.ports.push(Port {
            node: Arc::new(node.clone()),
            tun: Some(tun),
            addresses,
            mtu: None,
            firewall: None,
            nat: None,
            moved: false,
            counters: NodeCounters::default(),
            stray: StrayCounters::default(),
        });
        self.sends.push(Shaper::default());
        self.receives.push(Shaper::default());
        id
    }

    pub(crate) fn unplug(&mut self, node: &NodeId, epoll: &Epoll) {
        if let Some(id) = self.by_node.remove(node) {
            self.close(id, epoll);
        }
    }

    /// Closes a port; its counters stay, and so do its addresses, so that packets to it are
    /// counted as dropped and not as stray.
    pub(super) fn close(&mut self, id: PortId, epoll: &Epoll) {
        if let Some(tun) = self.ports.get_mut(id).and_then(|port| port.tun.take()) {
            // It is in the set as long as its port is open; else there is nothing to remove.
            let _ = epoll.delete(tun.as_fd());
        }
        self.ground(DropReason::Unplugged, |link| link.from == id || link.to == id);
    }

    pub(super) fn port_id(&self, node: &NodeId) -> Result<PortId, LabError> {
        self.by_node.get(node).copied().ok_or_else(|| LabError::NoNode(node.clone()))
    }

    pub(super) fn port(&mut self, node: &NodeId) -> Result<&mut Port, LabError> {
        let id = self.port_id(node)?;
        self.ports.get_mut(id).ok_or_else(|| LabError::NoNode(node.clone()))
    }

    fn pair(&self, from: &NodeId, to: &NodeId) -> Result<(PortId, PortId), LabError> {
        let ids = self.by_node.get(from).copied().zip(self.by_node.get(to).copied());
        ids.ok_or_else(|| LabError::NoLink { from: from.clone(), to: to.clone() })
    }

    /// The link between two ports, made when it is used first; `None` if there is no such port.
    pub(super) fn link_id(&mut self, from: PortId, to: PortId) -> Option<usize> {
        if let Some(known) = self.by_pair.get(&(from, to)) {
            return Some(*known);
        }
        let root = pair_root(self.seed, &self.ports.get(from)?.node, &self.ports.get(to)?.node);
        let id = self.links.len();
        self.links.push(Link::new(from, to, root));
        self.by_pair.insert((from, to), id);
        Some(id)
    }

    /// Changes what is set on links, all of them between two packets. A pair that is not in the
    /// lab does not keep the others from being changed; nothing is changed if a state is invalid.
    pub(crate) fn change_links<'a>(
        &mut self,
        now: Nanos,
        pairs: impl IntoIterator<Item = (&'a NodeId, &'a NodeId)>,
        change: impl Fn(&mut LinkState),
    ) -> Result<(), LabError> {
        let mut outcome = Ok(());
        let mut changed = Vec::new();
        for (from, to) in pairs {
            let ids = match self.pair(from, to) {
                Ok(ids) => ids,
                Err(error) => {
                    outcome = outcome.and(Err(error));
                    continue;
                }
            };
            let Some(id) = self.link_id(ids.0, ids.1) else { continue };
            let mut state = self.links.get(id).map(|link| *link.pair.state()).unwrap_or_default();
            change(&mut state);
            state.check().map_err(|why| {
                let on = format!("the link from {from} to {to}");
                LabError::Invalid { on, why }
            })?;
            changed.push((id, state));
        }
        let mut cut = false;
        let mut hurried = Vec::new();
        for (id, state) in changed {
            let Some(link) = self.links.get_mut(id) else { continue };
            let change = link.pair.set(state, now);
            cut |= change.cut;
            hurried.extend(change.times.then_some(id));
        }
        if cut {
            self.ground(DropReason::Cut, |link| link.pair.state().cut);
        }
        self.hurry(hurried, now);
        outcome
    }

    pub(crate) fn link_state(&self, from: &NodeId, to: &NodeId) -> Result<LinkState, LabError> {
        let link = self.by_pair.get(&self.pair(from, to)?).and_then(|id| self.links.get(*id));
        Ok(link.map(|link| *link.pair.state()).unwrap_or_default())
    }

    fn shapers(&mut self, side: Side) -> &mut Vec<Shaper> {
        match side {
            Side::Sends => &mut self.sends,
            Side::Receives => &mut self.receives,
        }
    }

    pub(crate) fn change_node(
        &mut self,
        now: Nanos,
        node: &NodeId,
        side: Side,
        change: impl FnOnce(&mut LinkState),
    ) -> Result<(), LabError> {
        let id = self.port_id(node)?;
        let Some(shaper) = self.shapers(side).get_mut(id) else { return Ok(()) };
        let mut state = *shaper.state();
        change(&mut state);
        let on =
            || format!("what {node} {}", if side == Side::Sends { "sends" } else { "receives" });
        state.check().map_err(|why| LabError::Invalid { on: on(), why })?;
        let concerns = |link: &Link| match side {
            Side::Sends => link.from == id,
            Side::Receives => link.to == id,
        };
        let change = shaper.set(state, now);
        if change.cut {
            self.ground(DropReason::Cut, concerns);
        }
        if change.times {
            let links = self.links.iter().enumerate().filter(|(_, link)| concerns(link));
            let links: Vec<usize> = links.map(|(id, _)| id).collect();
            self.hurry(links, now);
        }
        Ok(())
    }

    pub(crate) fn node_state(&mut self, node: &NodeId, side: Side) -> Result<LinkState, LabError> {
        let id = self.port_id(node)?;
        Ok(self.shapers(side).get(id).map(|shaper| *shaper.state()).unwrap_or_default())
    }

    /// Has nothing on these links arrive later than what would be sent now.
    pub(super) fn hurry(&mut self, links: impl IntoIterator<Item = usize>, now: Nanos) {
        let mut latest = HashMap::new();
        for id in links {
            let Some(link) = self.links.get_mut(id) else { continue };
            let ends = self.sends.get(link.from).zip(self.receives.get(link.to));
            let Some((sends, receives)) = ends else { continue };
            let at = link.hurry(sends, receives, now);
            if link.counters.in_flight > 0 {
                latest.insert(id, at);
            }
        }
        if !latest.is_empty() {
            self.queue.bring_forward(&latest);
        }
    }

    /// Drops the packets in flight on these links.
    pub(super) fn ground(&mut self, reason: DropReason, which: impl Fn(&Link) -> bool) {
        if self.queue.len() == 0 {
            return;
        }
        let links = &self.links;
        let grounded = self.queue.take(|flying| links.get(flying.link).is_some_and(&which));
        let now = if self.tap.is_on() { clock::now() } else { 0 };
        for flying in grounded {
            self.landed(&flying);
            self.tell_arrived(flying.link, &flying.packet, flying.sent, now, Err(reason));
            if let Some(link) = self.links.get_mut(flying.link) {
                link.counters.drop_packets(reason, 1);
                link.ground();
            }
            self.queue.recycle(flying.packet);
        }
    }

    /// Counters by names. A node that left and came back under its name is counted as one.
    pub(crate) fn counters(&self) -> BTreeMap<(NodeId, NodeId), LinkCounters> {
        let name = |id: PortId| self.ports.get(id).map(|port| NodeId::clone(&port.node));
        let mut all = BTreeMap::<_, LinkCounters>::new();
        for link in &self.links {
            let Some(pair) = name(link.from).zip(name(link.to)) else { continue };
            if link.counters.sent_packets > 0 {
                all.entry(pair).or_default().add(&link.counters);
            }
        }
        all
    }

    pub(crate) fn stray(&self) -> BTreeMap<NodeId, StrayCounters> {
        let port = |port: &Port| (NodeId::clone(&port.node), port.stray.clone());
        self.ports.iter().map(port).collect()
    }

    pub(crate) fn node_counters(&self) -> BTreeMap<NodeId, NodeCounters> {
        let port = |port: &Port| (NodeId::clone(&port.node), port.counters.clone());
        self.ports.iter().map(port).collect()
    }

    /// Puts a device into a set to be waited for, under its port's number.
    pub(super) fn plug(
        &mut self,
        node: &NodeId,
        tun: OwnedFd,
        addresses: Vec<IpAddr>,
        listen: impl FnOnce(&OwnedFd, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        listen(&tun, self.ports.len() as u64)?;
        self.add_port(node, Arc::new(tun), addresses);
        Ok(())
    }
}
