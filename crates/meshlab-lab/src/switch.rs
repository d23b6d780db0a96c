//! The switch: reads every node's packets and hands each to the node that it is for.
//!
//! One thread, asleep in `epoll` while nobody sends. The table of ports and links is behind one
//! lock that is taken once for each batch of packets, so a change to a link takes effect between
//! two packets.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use meshlab_model::NodeId;
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
    },
};

use crate::{
    counters::{DropReason, LinkCounters, StrayCounters},
    link::{LinkState, Loss},
    packet,
};

/// Packets read from one node before the next has its turn.
const BATCH: usize = 64;
/// Larger than any packet of a device with this lab's MTU.
const PACKET_BYTES_MAX: usize = 64 * 1024;
/// What epoll says when the switch is to stop; ports count from zero.
const STOP: u64 = u64::MAX;

type PortId = usize;

/// The switch, from the outside.
pub(crate) struct Switch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    epoll: Epoll,
    stop: EventFd,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// The run's seed: what a lossy link loses depends on it.
    seed: u64,
    ports: Vec<Port>,
    by_node: BTreeMap<NodeId, PortId>,
    by_address: HashMap<IpAddr, PortId>,
    links: BTreeMap<(PortId, PortId), Link>,
}

struct Port {
    node: NodeId,
    /// `None` once the node's place was given back; its counters stay.
    tun: Option<Arc<OwnedFd>>,
    addresses: Vec<IpAddr>,
    stray: StrayCounters,
}

struct Link {
    cut: bool,
    loss: Loss,
    counters: LinkCounters,
}

impl Switch {
    pub(crate) fn start(seed: u64) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        let shared =
            Arc::new(Shared { epoll, stop, table: Mutex::new(Table { seed, ..Table::default() }) });
        let inside = Arc::clone(&shared);
        let thread = thread::Builder::new().name("switch".into()).spawn(move || inside.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn plug(
        &self,
        node: &NodeId,
        tun: OwnedFd,
        addresses: Vec<IpAddr>,
    ) -> io::Result<()> {
        let tun = Arc::new(tun);
        let mut table = self.shared.table();
        let id = table.ports.len();
        self.shared.epoll.add(tun.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, id as u64))?;
        table.by_address.extend(addresses.iter().map(|address| (*address, id)));
        table.by_node.insert(node.clone(), id);
        let stray = StrayCounters::default();
        table.ports.push(Port { node: node.clone(), tun: Some(tun), addresses, stray });
        Ok(())
    }

    pub(crate) fn unplug(&self, node: &NodeId) {
        let mut table = self.shared.table();
        if let Some(id) = table.by_node.remove(node) {
            table.close(id, &self.shared.epoll);
        }
    }

    /// Sets a link's cut; `false` if one of the nodes has no port.
    pub(crate) fn set_cut(&self, from: &NodeId, to: &NodeId, cut: bool) -> bool {
        self.change(from, to, |link| link.cut = cut)
    }

    /// Sets a link's loss; `false` if one of the nodes has no port.
    pub(crate) fn set_loss(&self, from: &NodeId, to: &NodeId, share: f64) -> bool {
        self.change(from, to, |link| link.loss.share = share)
    }

    fn change(&self, from: &NodeId, to: &NodeId, change: impl FnOnce(&mut Link)) -> bool {
        let mut table = self.shared.table();
        let Some((from, to)) = table.pair(from, to) else { return false };
        table.link(from, to).is_some_and(|link| {
            change(link);
            true
        })
    }

    /// What is set on a link; `None` if one of the nodes has no port.
    pub(crate) fn link(&self, from: &NodeId, to: &NodeId) -> Option<LinkState> {
        let table = self.shared.table();
        let pair = table.pair(from, to)?;
        let link = table.links.get(&pair);
        Some(link.map_or_else(LinkState::default, |link| LinkState {
            cut: link.cut,
            loss: link.loss.share,
        }))
    }

    pub(crate) fn counters(&self) -> BTreeMap<(NodeId, NodeId), LinkCounters> {
        let table = self.shared.table();
        let name = |id: PortId| table.ports.get(id).map(|port| port.node.clone());
        table
            .links
            .iter()
            .filter_map(|((from, to), link)| {
                Some(((name(*from)?, name(*to)?), link.counters.clone()))
            })
            .collect()
    }

    pub(crate) fn stray(&self) -> BTreeMap<NodeId, StrayCounters> {
        let table = self.shared.table();
        table.ports.iter().map(|port| (port.node.clone(), port.stray.clone())).collect()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // Adding one to a fresh counter does not block and does not fail.
        let _ = self.shared.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // Counters and maps of a switch that broke are still worth reading.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut events = [EpollEvent::empty(); 64];
        let mut packet = vec![0_u8; PACKET_BYTES_MAX];
        loop {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                // The set belongs to this switch; without it there is nothing left to do.
                Err(_) => return,
            };
            for event in events.iter().take(ready) {
                if event.data() == STOP {
                    return;
                }
                // One lock a batch: whoever changes a link waits for 64 packets at most.
                if let Ok(id) = usize::try_from(event.data()) {
                    self.table().serve(id, &mut packet, &self.epoll);
                }
            }
        }
    }
}

impl Table {
    fn pair(&self, from: &NodeId, to: &NodeId) -> Option<(PortId, PortId)> {
        Some((*self.by_node.get(from)?, *self.by_node.get(to)?))
    }

    /// The link between two ports, made when it is used first; `None` if there is no such port.
    fn link(&mut self, from: PortId, to: PortId) -> Option<&mut Link> {
        let names = (&self.ports.get(from)?.node, &self.ports.get(to)?.node);
        let seed = self.seed;
        Some(self.links.entry((from, to)).or_insert_with(|| Link {
            cut: false,
            loss: Loss::new(seed, names.0, names.1),
            counters: LinkCounters::default(),
        }))
    }

    /// Takes a batch of packets from a port. What is left is told by epoll again.
    fn serve(&mut self, id: PortId, buffer: &mut [u8], epoll: &Epoll) {
        let Some(tun) = self.ports.get(id).and_then(|port| port.tun.clone()) else { return };
        for _ in 0..BATCH {
            match nix::unistd::read(tun.as_fd(), buffer) {
                Ok(0) | Err(Errno::EAGAIN | Errno::EINTR) => return,
                Ok(bytes) => self.forward(id, &buffer[..bytes]),
                Err(_) => {
                    // The node has taken its own device away. Epoll would tell of it for ever.
                    self.close(id, epoll);
                    return;
                }
            }
        }
    }

    /// Closes a port; its counters stay, and so do its addresses, so that packets to it are
    /// counted as dropped and not as stray.
    fn close(&mut self, id: PortId, epoll: &Epoll) {
        if let Some(tun) = self.ports.get_mut(id).and_then(|port| port.tun.take()) {
            // It is in the set as long as its port is open; else there is nothing to remove.
            let _ = epoll.delete(tun.as_fd());
        }
    }

    fn forward(&mut self, from: PortId, packet: &[u8]) {
        let Some(port) = self.ports.get_mut(from) else { return };
        let Some(header) = packet::parse(packet) else {
            port.stray.malformed += 1;
            return;
        };
        if is_multicast(header.destination) {
            port.stray.multicast += 1;
            return;
        }
        if !port.addresses.contains(&header.source) {
            port.stray.spoofed += 1;
            return;
        }
        let Some(to) = self.by_address.get(&header.destination).copied() else {
            port.stray.outside(header.destination);
            return;
        };
        let tun = self.ports.get(to).and_then(|port| port.tun.clone());
        let Some(link) = self.link(from, to) else { return };
        let dropped = match tun {
            _ if link.cut => Some(DropReason::Cut),
            _ if link.loss.takes() => Some(DropReason::Loss),
            None => Some(DropReason::Unplugged),
            Some(tun) => match nix::unistd::write(tun.as_fd(), packet) {
                Ok(_) => None,
                Err(Errno::EAGAIN | Errno::ENOBUFS) => Some(DropReason::QueueFull),
                Err(_) => Some(DropReason::Unplugged),
            },
        };
        match dropped {
            Some(reason) => *link.counters.dropped.entry(reason).or_default() += 1,
            None => {
                link.counters.forwarded_packets += 1;
                link.counters.forwarded_bytes += packet.len() as u64;
            }
        }
    }
}

/// What a kernel sends by itself to find routers and neighbours.
fn is_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_multicast() || four.is_broadcast(),
        IpAddr::V6(six) => six.is_multicast() || six.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, net::Ipv4Addr};

    use super::*;

    const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2)];

    /// A table with two nodes whose devices take everything.
    fn table(seed: u64) -> Table {
        let mut table = Table { seed, ..Table::default() };
        for (id, address) in ADDRESSES.into_iter().enumerate() {
            let node = NodeId(format!("node-{}", id + 1));
            let sink = File::options().write(true).open("/dev/null").unwrap();
            table.by_address.insert(address.into(), id);
            table.by_node.insert(node.clone(), id);
            table.ports.push(Port {
                node,
                tun: Some(Arc::new(sink.into())),
                addresses: vec![address.into()],
                stray: StrayCounters::default(),
            });
        }
        table
    }

    /// An IPv4 header without anything after it.
    fn packet(from: PortId, to: PortId) -> [u8; 20] {
        let mut packet = [0; 20];
        (packet[0], packet[3]) = (0x45, 20);
        packet[12..16].copy_from_slice(&ADDRESSES[from].octets());
        packet[16..20].copy_from_slice(&ADDRESSES[to].octets());
        packet
    }

    fn lost(seed: u64) -> u64 {
        let mut table = table(seed);
        table.link(0, 1).unwrap().loss.share = 0.1;
        for _ in 0..2000 {
            table.forward(0, &packet(0, 1));
            table.forward(1, &packet(1, 0));
        }
        let (there, back) = (&table.links[&(0, 1)].counters, &table.links[&(1, 0)].counters);
        let lost = there.dropped[&DropReason::Loss];
        assert_eq!(there.forwarded_packets + lost, 2000, "nothing goes uncounted");
        assert_eq!((back.forwarded_packets, back.dropped.len()), (2000, 0), "one direction only");
        lost
    }

    #[test]
    fn a_tenth_is_lost_and_the_same_for_the_same_seed() {
        let first = lost(42);
        // Four standard deviations of 2000 draws at 10 % are 54.
        assert!((146..=254).contains(&first), "{first} of 2000");
        assert_eq!(first, lost(42));
        assert!((0..8).any(|seed| lost(seed) != first), "the seed decides");
    }

    #[test]
    fn a_cut_comes_before_the_loss() {
        let mut table = table(1);
        let link = table.link(0, 1).unwrap();
        (link.cut, link.loss.share) = (true, 1.0);
        table.forward(0, &packet(0, 1));
        assert_eq!(table.links[&(0, 1)].counters.dropped, [(DropReason::Cut, 1)].into());
    }
}
