//! What happens to a packet between two devices.

use std::{
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use nix::errno::Errno;

use super::{
    queue::Flying,
    settings::Mtu,
    table::{Port, PortId, Table},
};
use crate::{
    address::ROUTER,
    capture::Record,
    clock::Nanos,
    counters::DropReason,
    link::{self, Link, Passage},
    packet::{self, Header, icmp},
};

/// Most that one pair may have in flight: 16 MB for ten seconds is a fast line between continents.
const IN_FLIGHT_PACKETS_MAX: u64 = 16_384;
const IN_FLIGHT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most that all pairs may, in packets: 200 MB of buffers.
const QUEUED_MAX: usize = 131_072;

impl Table {
    /// Takes a packet that a node sends now.
    pub(crate) fn forward(&mut self, from: PortId, packet: &mut [u8], now: Nanos) {
        let Some(port) = self.ports.get_mut(from) else { return };
        port.counters.packets += 1;
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
            self.tell_stray(from, packet, now, "dropped: spoofed");
            return;
        }
        let Some(to) = self.by_address.get(&header.destination).copied() else {
            port.stray.outside(header.destination);
            self.tell_stray(from, packet, now, "dropped: outside");
            return;
        };
        let Some(id) = self.link_id(from, to) else { return };
        if let Some(link) = self.links.get_mut(id) {
            link.counters.sent_packets += 1;
            link.counters.sent_bytes += packet.len() as u64;
        }
        // A capture shows what was sent, which a NAT is about to change.
        let sent = self.tap.is_on().then(|| packet.to_vec());
        let decided = self.decide(id, packet, &header, now);
        if let Some(sent) = sent {
            self.tell_sent(id, sent, now, decided);
        }
        match decided {
            Ok(passage) => self.launch(id, packet, passage, now),
            Err(reason) => self.drop_one(id, reason),
        }
    }

    /// Decides about a packet, and makes of it what leaves its sender's end: NAT, flipped bits.
    fn decide(
        &mut self,
        id: usize,
        packet: &mut [u8],
        header: &Header,
        now: Nanos,
    ) -> Result<Passage, DropReason> {
        // Ports and links are never removed, so what is missing here never was.
        let link = self.links.get_mut(id).ok_or(DropReason::Unplugged)?;
        let (from, to) = (link.from, link.to);
        let far_mtu = self.ports.get(to).and_then(|port| port.mtu);
        let sender = self.ports.get_mut(from).ok_or(DropReason::Unplugged)?;
        sender.fits(packet, header, far_mtu)?;
        if let Some(firewall) = &mut sender.firewall {
            firewall.outbound(packet, header, now, &mut sender.counters.firewall);
        }
        if let Some(nat) = &mut sender.nat {
            let counters = &mut sender.counters.nat;
            let translated = nat.outbound(packet, header, now, counters);
            translated.inspect_err(|reason| {
                *counters.dropped.entry(*reason).or_default() += 1;
            })?;
        }
        let sends = self.sends.get_mut(from).ok_or(DropReason::Unplugged)?;
        let receives = self.receives.get_mut(to).ok_or(DropReason::Unplugged)?;
        let bytes = packet.len() as u64;
        let passage = link.pass(sends, receives, now, bytes)?;
        if waits(link, &passage, now) && !has_room(link, bytes, self.queue.len()) {
            return Err(DropReason::DelayQueue);
        }
        link.counters.reordered += u64::from(passage.reordered);
        let mut flipped = false;
        for flip in passage.flips.into_iter().flatten() {
            flipped |= link::flip(packet, flip);
        }
        link.counters.corrupted += u64::from(flipped);
        Ok(passage)
    }

    /// Hands a packet on, now or later, and its copies right behind it.
    fn launch(&mut self, id: usize, packet: &mut [u8], passage: Passage, now: Nanos) {
        let Some(link) = self.links.get_mut(id) else { return };
        link.counters.duplicated += u64::from(passage.copies);
        if waits(link, &passage, now) {
            for _ in 0..=passage.copies {
                self.fly(id, packet, now, passage.due);
            }
            return;
        }
        // The receiver's NAT writes into what it is handed.
        let copy = (passage.copies > 0).then(|| packet.to_vec());
        self.deliver(id, packet, now, now);
        for mut copy in (0..passage.copies).filter_map(|_| copy.clone()) {
            self.deliver(id, &mut copy, now, now);
        }
    }

    fn fly(&mut self, id: usize, packet: &[u8], now: Nanos, due: Nanos) {
        let Some(link) = self.links.get_mut(id) else { return };
        let bytes = packet.len() as u64;
        // The first has been looked at; a copy may be one too many.
        if !has_room(link, bytes, self.queue.len()) {
            link.counters.drop_packets(DropReason::DelayQueue, 1);
            return;
        }
        link.counters.in_flight += 1;
        link.counters.delayed += 1;
        link.in_flight_bytes += bytes;
        self.queue.push(id, packet, now, due);
    }

    /// Hands on what has arrived, at most so many packets.
    pub(crate) fn fire(&mut self, now: Nanos, packets_max: usize) {
        for _ in 0..packets_max {
            let Some(mut flying) = self.queue.pop_due(now) else { return };
            self.landed(&flying);
            self.deliver(flying.link, &mut flying.packet, flying.sent, now);
            self.queue.recycle(flying.packet);
        }
    }

    /// Takes a packet off the count of those in flight.
    pub(super) fn landed(&mut self, flying: &Flying) {
        if let Some(link) = self.links.get_mut(flying.link) {
            link.counters.in_flight -= 1;
            link.in_flight_bytes -= flying.packet.len() as u64;
        }
    }

    /// Gives a packet to its receiver's end: NAT, firewall, device.
    fn deliver(&mut self, id: usize, packet: &mut [u8], sent: Nanos, now: Nanos) {
        let Some(link) = self.links.get_mut(id) else { return };
        let received = match self.ports.get_mut(link.to) {
            Some(port) => port.receive(packet, now),
            None => Err(DropReason::Unplugged),
        };
        match received {
            Ok(()) => {
                link.counters.forwarded_packets += 1;
                link.counters.forwarded_bytes += packet.len() as u64;
            }
            Err(reason) => link.counters.drop_packets(reason, 1),
        }
        self.tell_arrived(id, packet, sent, now, received);
    }

    fn drop_one(&mut self, id: usize, reason: DropReason) {
        if let Some(link) = self.links.get_mut(id) {
            link.counters.drop_packets(reason, 1);
        }
    }

    fn tell_stray(&mut self, from: PortId, packet: &[u8], now: Nanos, comment: &str) {
        let Some(port) = self.ports.get(from).filter(|_| self.tap.is_on()) else { return };
        self.tap.offer(Record {
            at: now,
            node: Arc::clone(&port.node),
            peer: None,
            packet: packet.to_vec(),
            comment: comment.to_owned(),
            outbound: true,
        });
    }

    fn tell_sent(
        &mut self,
        id: usize,
        packet: Vec<u8>,
        now: Nanos,
        decided: Result<Passage, DropReason>,
    ) {
        let Some((from, to)) = self.names(id) else { return };
        let mut did = Vec::new();
        match decided {
            Err(reason) => did.push(format!("dropped: {}", reason.as_str())),
            Ok(passage) => {
                if passage.due > now {
                    did.push(format!("delayed {}", millis(passage.due - now)));
                }
                for (done, word) in [
                    (passage.copies > 0, "duplicated"),
                    (passage.reordered, "reordered"),
                    (passage.flips.iter().any(Option::is_some), "corrupted"),
                ] {
                    did.extend(done.then(|| word.to_owned()));
                }
                if did.is_empty() {
                    did.push("forwarded".to_owned());
                }
            }
        }
        let comment = format!("to {to}: {}", did.join(", "));
        let peer = Some(to);
        self.tap.offer(Record { at: now, node: from, peer, packet, comment, outbound: true });
    }

    pub(super) fn tell_arrived(
        &mut self,
        id: usize,
        packet: &[u8],
        sent: Nanos,
        now: Nanos,
        received: Result<(), DropReason>,
    ) {
        if !self.tap.is_on() {
            return;
        }
        let Some((from, to)) = self.names(id) else { return };
        let comment = match received {
            Err(reason) => format!("from {from}: dropped: {}", reason.as_str()),
            Ok(()) if now > sent => format!("from {from}: arrived after {}", millis(now - sent)),
            Ok(()) => format!("from {from}: arrived"),
        };
        let (peer, packet) = (Some(from), packet.to_vec());
        self.tap.offer(Record { at: now, node: to, peer, packet, comment, outbound: false });
    }

    fn names(&self, id: usize) -> Option<(Arc<meshlab_model::NodeId>, Arc<meshlab_model::NodeId>)> {
        let link = self.links.get(id)?;
        let name = |port: PortId| Some(Arc::clone(&self.ports.get(port)?.node));
        Some((name(link.from)?, name(link.to)?))
    }
}

impl Port {
    /// Whether a packet of this node is small enough for its own line and then the receiver's. If
    /// it is not, the node hears of it.
    fn fits(&mut self, packet: &[u8], header: &Header, far: Option<Mtu>) -> Result<(), DropReason> {
        let small = [self.mtu, far].into_iter().flatten();
        let Some(small) = small.into_iter().find(|mtu| packet.len() > usize::from(mtu.bytes))
        else {
            return Ok(());
        };
        if !small.black_hole
            && let Some(answer) = icmp::too_big(packet, header, small.bytes, ROUTER)
            && self.tun.as_ref().is_some_and(|tun| write(tun, &answer).is_ok())
        {
            self.counters.too_big_answers += 1;
        }
        Err(DropReason::Mtu)
    }

    /// Takes a packet in: by the NAT, past the firewall, into the device.
    fn receive(&mut self, packet: &mut [u8], now: Nanos) -> Result<(), DropReason> {
        let Some(tun) = &self.tun else { return Err(DropReason::Unplugged) };
        if (self.moved || self.firewall.is_some())
            && let Some(header) = packet::parse(packet)
        {
            let header = self.translate(packet, header, now).inspect_err(|reason| {
                *self.counters.nat.dropped.entry(*reason).or_default() += 1;
            })?;
            if let Some(firewall) = &mut self.firewall {
                let counters = &mut self.counters.firewall;
                if !firewall.inbound(packet, &header, now) {
                    counters.dropped += 1;
                    return Err(DropReason::Firewall);
                }
                counters.passed += 1;
            }
            return self.tun.as_ref().map_or(Err(DropReason::Unplugged), |tun| write(tun, packet));
        }
        write(tun, packet)
    }

    /// Finds whom a packet is for behind the NAT; the header that it has then.
    fn translate(
        &mut self,
        packet: &mut [u8],
        header: Header,
        now: Nanos,
    ) -> Result<Header, DropReason> {
        let Some(nat) = &mut self.nat else {
            // A public address that was left together with the NAT.
            let own = self.addresses.contains(&header.destination);
            return if own { Ok(header) } else { Err(DropReason::NatUnmapped) };
        };
        let inside = self.addresses.iter().find(|one| one.is_ipv4() == header.source.is_ipv4());
        let inside = *inside.ok_or(DropReason::NatUnmapped)?;
        nat.inbound(packet, &header, inside, now, &mut self.counters.nat)?;
        Ok(Header { destination: inside, ..header })
    }
}

/// Whether a packet has to wait: for its time, or for those before it.
fn waits(link: &Link, passage: &Passage, now: Nanos) -> bool {
    passage.due > now || (link.counters.in_flight > 0 && !passage.reordered)
}

fn has_room(link: &Link, bytes: u64, queued: usize) -> bool {
    link.counters.in_flight < IN_FLIGHT_PACKETS_MAX
        && link.in_flight_bytes + bytes <= IN_FLIGHT_BYTES_MAX
        && queued < QUEUED_MAX
}

fn write(tun: &OwnedFd, packet: &[u8]) -> Result<(), DropReason> {
    match nix::unistd::write(tun.as_fd(), packet) {
        Ok(_) => Ok(()),
        Err(Errno::EAGAIN | Errno::ENOBUFS) => Err(DropReason::QueueFull),
        Err(_) => Err(DropReason::Unplugged),
    }
}

/// What a kernel sends by itself to find routers and neighbours.
fn is_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_multicast() || four.is_broadcast(),
        IpAddr::V6(six) => six.is_multicast() || six.is_unicast_link_local(),
    }
}

/// A time in milliseconds, without digits that say nothing.
fn millis(nanos: Nanos) -> String {
    let text = format!("{:.3}", nanos as f64 / 1e6);
    format!("{} ms", text.trim_end_matches('0').trim_end_matches('.'))
}
