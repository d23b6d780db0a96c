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

#[derive(Default)]
struct Link {
    cut: bool,
    counters: LinkCounters,
}

impl Switch {
    pub(crate) fn start() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        let shared = Arc::new(Shared { epoll, stop, table: Mutex::default() });
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
        let mut table = self.shared.table();
        let ports = (table.by_node.get(from).copied(), table.by_node.get(to).copied());
        let (Some(from), Some(to)) = ports else { return false };
        table.links.entry((from, to)).or_default().cut = cut;
        true
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
        let link = self.links.entry((from, to)).or_default();
        let dropped = match tun {
            _ if link.cut => Some(DropReason::Cut),
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
