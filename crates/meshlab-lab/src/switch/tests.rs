//! The way of a packet, without a kernel: devices are files, the clock is a number.

use std::{
    fs::File,
    io::{Read, Seek},
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{
    Bursts, CaptureFilter, Checksum, Corruption, DropReason, FirewallSettings, Jitter,
    LinkCounters, LinkState, NatBehaviour, NatSettings, Rate, Rebind, Reorder, Reordering, Side,
    capture::{Capture, pcapng::read},
    packet::{
        self, Transport,
        build::{Packet, address, is_right},
    },
};

const MILLISECOND: Nanos = 1_000_000;

fn node(number: usize) -> NodeId {
    NodeId(format!("node-{number}"))
}

fn nothing() -> LinkState {
    LinkState::default()
}

/// Three nodes, 1 to 3, whose devices are files.
struct Bed {
    table: Table,
    devices: Vec<File>,
}

impl Bed {
    fn new(seed: u64) -> Self {
        let mut table = Table::new(seed);
        let mut devices = Vec::new();
        for number in 1..=3 {
            let device = tempfile();
            devices.push(device.try_clone().unwrap());
            let addresses = [false, true].map(|six| address(six, number)).to_vec();
            table.add_port(&node(number.into()), Arc::new(device.into()), addresses);
        }
        Self { table, devices }
    }

    fn set(&mut self, from: usize, to: usize, state: LinkState) {
        self.table.change_links(0, [(&node(from), &node(to))], |link| *link = state).unwrap();
    }

    fn send(&mut self, from: u8, to: u8, now: Nanos) {
        let packet = Packet::udp(false, 100).between(address(false, from), address(false, to));
        self.send_bytes(from, &packet, now);
    }

    fn send_bytes(&mut self, from: u8, packet: &[u8], now: Nanos) {
        self.table.forward(usize::from(from) - 1, &mut packet.to_vec(), now);
    }

    /// What a node's device was given since it was asked last.
    fn heard(&mut self, number: u8) -> Vec<Vec<u8>> {
        let device = &mut self.devices[usize::from(number) - 1];
        let mut all = Vec::new();
        device.rewind().unwrap();
        device.read_to_end(&mut all).unwrap();
        device.set_len(0).unwrap();
        device.rewind().unwrap();
        let mut packets = Vec::new();
        while !all.is_empty() {
            let end = Transport::of(&all).unwrap().end;
            packets.push(all.drain(..end).collect());
        }
        packets
    }

    fn fire(&mut self, now: Nanos) {
        self.table.fire(now, usize::MAX);
    }

    fn counters(&self, from: usize, to: usize) -> LinkCounters {
        self.table.counters().get(&(node(from), node(to))).cloned().unwrap_or_default()
    }

    fn dropped(&self, from: usize, to: usize) -> Vec<(DropReason, u64)> {
        self.counters(from, to).dropped.into_iter().collect()
    }
}

/// A file without a name. Its offset is shared with the copy that reads it back.
fn tempfile() -> File {
    let name = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    nix::sys::memfd::memfd_create(c"device", name).unwrap().into()
}

fn ends(packet: &[u8]) -> (SocketAddr, SocketAddr) {
    let header = packet::parse(packet).unwrap();
    let (source, destination) = Transport::of(packet).unwrap().ports.unwrap();
    (SocketAddr::new(header.source, source), SocketAddr::new(header.destination, destination))
}

fn balanced(counters: &LinkCounters) -> bool {
    let dropped: u64 = counters.dropped.values().sum();
    counters.sent_packets + counters.duplicated
        == counters.forwarded_packets + dropped + counters.in_flight
}

fn lost(seed: u64) -> u64 {
    let mut bed = Bed::new(seed);
    bed.set(1, 2, LinkState { loss: 0.1, ..nothing() });
    for now in 0..2000 {
        bed.send(1, 2, now);
        bed.send(2, 1, now);
    }
    let (there, back) = (bed.counters(1, 2), bed.counters(2, 1));
    assert!(balanced(&there), "nothing goes uncounted");
    assert_eq!((back.forwarded_packets, back.dropped.len()), (2000, 0), "one direction only");
    there.dropped[&DropReason::Loss]
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
    let mut bed = Bed::new(1);
    bed.set(1, 2, LinkState { cut: true, loss: 1.0, ..nothing() });
    bed.send(1, 2, 1);
    assert_eq!(bed.dropped(1, 2), [(DropReason::Cut, 1)]);
}

#[test]
fn a_delayed_packet_arrives_when_it_is_due_and_not_before() {
    let mut bed = Bed::new(1);
    bed.set(1, 2, LinkState { delay: Duration::from_millis(100), ..nothing() });
    bed.send(1, 2, 0);
    bed.send(1, 3, 0);
    assert_eq!((bed.heard(2).len(), bed.heard(3).len()), (0, 1), "one pair only");
    assert_eq!(bed.table.queue.next_due(), Some(100 * MILLISECOND));
    bed.fire(100 * MILLISECOND - 1);
    assert_eq!((bed.heard(2).len(), bed.counters(1, 2).in_flight), (0, 1));
    bed.fire(100 * MILLISECOND);
    assert_eq!((bed.heard(2).len(), bed.counters(1, 2).in_flight), (1, 0));
    assert_eq!((bed.counters(1, 2).delayed, bed.table.queue.next_due()), (1, None));
}

#[test]
fn what_is_in_flight_when_a_delay_or_rate_changes_keeps_its_order_and_holds_up_nobody() {
    let slow = Some(Rate { bytes_per_second: 100, queue_bytes: 1 << 20 });
    for before in [
        LinkState { delay: Duration::from_millis(900), ..nothing() },
        LinkState { rate: slow, ..nothing() },
    ] {
        let mut bed = Bed::new(1);
        let change = |bed: &mut Bed, now, state: LinkState| {
            let pair = (&node(1), &node(2));
            bed.table.change_links(now, [pair], |link| *link = state).unwrap();
        };
        let sized = |bytes| Packet::udp(false, bytes).bytes();
        change(&mut bed, 0, before);
        bed.send_bytes(1, &sized(1), 0);
        bed.send_bytes(1, &sized(2), 0);
        // A shorter delay: everything arrives within it, in order.
        let short = LinkState { delay: Duration::from_millis(5), ..nothing() };
        change(&mut bed, 20 * MILLISECOND, short);
        bed.send_bytes(1, &sized(3), 20 * MILLISECOND);
        bed.fire(25 * MILLISECOND - 1);
        assert_eq!(bed.heard(2).len(), 0);
        bed.fire(25 * MILLISECOND);
        let lengths: Vec<usize> = bed.heard(2).iter().map(Vec::len).collect();
        assert_eq!(lengths, [29, 30, 31]);
        // None at all: what is sent next does not overtake, and after that nothing waits.
        bed.send_bytes(1, &sized(4), 30 * MILLISECOND);
        change(&mut bed, 31 * MILLISECOND, nothing());
        bed.send_bytes(1, &sized(5), 31 * MILLISECOND);
        bed.fire(31 * MILLISECOND);
        let lengths: Vec<usize> = bed.heard(2).iter().map(Vec::len).collect();
        assert_eq!(lengths, [32, 33]);
        bed.send_bytes(1, &sized(6), 32 * MILLISECOND);
        assert_eq!(bed.heard(2).len(), 1);
    }
}

#[test]
fn a_cut_and_an_unplugged_node_drop_what_is_in_flight() {
    let slow = LinkState { delay: Duration::from_secs(1), ..nothing() };
    type Cut = fn(&mut Bed);
    let cuts: [(DropReason, Cut); 4] = [
        (DropReason::Cut, |bed| bed.set(1, 2, LinkState { cut: true, ..nothing() })),
        (DropReason::Cut, |bed| {
            bed.table.change_node(1, &node(1), Side::Sends, |link| link.cut = true).unwrap();
        }),
        (DropReason::Cut, |bed| {
            bed.table.change_node(1, &node(2), Side::Receives, |link| link.cut = true).unwrap();
        }),
        (DropReason::Unplugged, |bed| {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
            bed.table.unplug(&node(2), &epoll);
        }),
    ];
    for (reason, cut) in cuts {
        let mut bed = Bed::new(1);
        bed.set(1, 2, slow);
        bed.set(3, 1, slow);
        for _ in 0..5 {
            bed.send(1, 2, 0);
            bed.send(3, 1, 0);
        }
        cut(&mut bed);
        assert_eq!(bed.dropped(1, 2), [(reason, 5)]);
        assert_eq!((bed.counters(1, 2).in_flight, bed.counters(3, 1).in_flight), (0, 5));
        bed.fire(Nanos::MAX);
        assert_eq!((bed.heard(2).len(), bed.heard(1).len()), (0, 5));
        assert!(balanced(&bed.counters(1, 2)));
    }
}

#[test]
fn what_is_in_flight_is_bounded() {
    let mut bed = Bed::new(1);
    let (delay, duplicate) = (Duration::from_secs(1), 1.0);
    bed.set(1, 2, LinkState { delay, duplicate, ..nothing() });
    for _ in 0..10_000 {
        bed.send(1, 2, 0);
    }
    let counters = bed.counters(1, 2);
    assert_eq!((counters.in_flight, counters.duplicated), (16_384, 8192));
    assert_eq!(bed.dropped(1, 2), [(DropReason::DelayQueue, 10_000 - 8192)]);
    assert!(balanced(&counters));
}

#[test]
fn a_packet_larger_than_the_mtu_is_answered_unless_it_is_a_black_hole() {
    for (six, black_hole) in [(false, false), (true, false), (false, true), (true, true)] {
        for slow in [1, 2] {
            let mut bed = Bed::new(1);
            bed.table.set_mtu(&node(slow), Some(Mtu { bytes: 1300, black_hole })).unwrap();
            let sized = |bytes: usize| Packet::udp(six, bytes).bytes();
            let headers = if six { 48 } else { 28 };
            bed.send_bytes(1, &sized(1300 - headers), 0);
            assert_eq!(bed.heard(2).len(), 1, "as large as it may be");
            bed.send_bytes(1, &sized(1301 - headers), 0);
            assert_eq!(bed.dropped(1, 2), [(DropReason::Mtu, 1)]);
            let (answers, heard) = (bed.heard(1), bed.heard(2));
            assert_eq!((answers.len(), heard.len()), (usize::from(!black_hole), 0));
            assert!(answers.iter().all(|answer| is_right(answer)));
            let counted = bed.table.node_counters()[&node(1)].too_big_answers;
            assert_eq!(counted, u64::from(!black_hole));
        }
    }
}

#[test]
fn a_natted_node_is_seen_at_its_public_address_only() {
    let mut bed = Bed::new(1);
    let settings = NatSettings::new(
        NatBehaviour::AddressAndPortDependent,
        NatBehaviour::AddressAndPortDependent,
    );
    let public = bed.table.set_nat(&node(1), Some(settings)).unwrap();
    bed.send(1, 2, 1);
    let heard = bed.heard(2).remove(0);
    assert!(is_right(&heard));
    let (source, destination) = ends(&heard);
    assert_eq!(source.ip(), public.ipv4);
    let answer = |from: SocketAddr, to: SocketAddr| {
        let ports = (from.port(), to.port());
        Packet { ports, ..Packet::udp(false, 9) }.between(from.ip(), to.ip())
    };
    bed.send_bytes(2, &answer(destination, source), 2);
    let back = bed.heard(1).remove(0);
    assert_eq!(ends(&back).1, SocketAddr::new(address(false, 1), 7777));
    bed.send_bytes(3, &answer(SocketAddr::new(address(false, 3), 1), source), 3);
    bed.send(3, 1, 4);
    assert_eq!(bed.dropped(3, 1), [(DropReason::NatFiltered, 1), (DropReason::NatInside, 1)]);
    let moved = bed.table.rebind(&node(1), Rebind::Address).unwrap();
    assert_ne!(moved, public);
    bed.send_bytes(2, &answer(destination, source), 5);
    bed.table.remove_nat(&node(1)).unwrap();
    bed.send_bytes(2, &answer(destination, SocketAddr::new(moved.ipv4.into(), 7777)), 6);
    assert_eq!(bed.dropped(2, 1), [(DropReason::NatUnmapped, 2)], "what it left leads nowhere");
    bed.send(2, 1, 7);
    assert_eq!(bed.heard(1).len(), 1, "at home again");
    let nat = &bed.table.node_counters()[&node(1)].nat;
    assert_eq!((nat.outbound, nat.inbound, nat.made, nat.rebinds), (1, 1, 1, 1));
    assert_eq!(nat.dropped.values().sum::<u64>(), 4);
}

#[test]
fn what_a_node_sends_to_its_public_address_comes_back() {
    let mut bed = Bed::new(1);
    let public = bed.table.set_nat(&node(1), Some(NatSettings::default())).unwrap();
    bed.send(1, 2, 1);
    let (outside, _) = ends(&bed.heard(2)[0]);
    let ports = (9999, outside.port());
    let hairpin = Packet { ports, ..Packet::udp(false, 9) };
    bed.send_bytes(1, &hairpin.between(address(false, 1), outside.ip()), 2);
    let (source, destination) = ends(&bed.heard(1)[0]);
    assert_eq!(source.ip(), public.ipv4);
    assert_eq!(destination, SocketAddr::new(address(false, 1), 7777));
}

#[test]
fn a_reset_leaves_nothing() {
    let mut bed = Bed::new(1);
    bed.set(1, 2, LinkState { loss: 1.0, ..nothing() });
    bed.table.change_node(1, &node(1), Side::Sends, |link| link.cut = true).unwrap();
    bed.table.set_mtu(&node(1), Some(Mtu { bytes: 68, black_hole: true })).unwrap();
    bed.table.set_nat(&node(1), None).unwrap();
    bed.table.set_firewall(&node(2), Some(FirewallSettings::default())).unwrap();
    bed.send(1, 2, 1);
    assert_eq!(bed.heard(2).len(), 0);
    bed.table.reset(2);
    bed.send(1, 2, 2);
    assert_eq!(ends(&bed.heard(2)[0]).0, SocketAddr::new(address(false, 1), 7777));
    assert!(bed.table.link_state(&node(1), &node(2)).unwrap().is_nothing());
    assert!(bed.table.node_state(&node(1), Side::Sends).unwrap().is_nothing());
    assert_eq!(bed.table.nat(&node(1)).unwrap(), None);
    assert_eq!(bed.table.firewall(&node(2)).unwrap(), None);
}

#[test]
fn an_invalid_change_changes_nothing_and_a_missing_node_keeps_no_other_back() {
    let mut bed = Bed::new(1);
    let (one, two, gone) = (node(1), node(2), node(9));
    let pairs = [(&one, &gone), (&one, &two)];
    assert!(bed.table.change_links(1, pairs, |link| link.loss = 2.0).is_err());
    assert!(bed.table.link_state(&one, &two).unwrap().is_nothing());
    let error = bed.table.change_links(1, pairs, |link| link.loss = 0.5).unwrap_err();
    assert!(error.to_string().contains("is not in the lab"), "{error}");
    assert_eq!(bed.table.link_state(&one, &two).unwrap().loss, 0.5);
}

/// A buffer that can be read while someone else owns a clone of it.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shelf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_capture_shows_what_was_sent_what_arrived_and_what_the_switch_did() {
    let mut bed = Bed::new(1);
    let shelf = Shelf::default();
    let filter = CaptureFilter { nodes: [node(2)].into(), bytes_max: None };
    let (capture, sink) = Capture::start(Box::new(shelf.clone()), filter, |_| {}).unwrap();
    bed.table.tap.attach(sink);
    bed.table.set_nat(&node(1), None).unwrap();
    bed.set(1, 2, LinkState { delay: Duration::from_millis(100), ..nothing() });
    bed.set(2, 3, LinkState { loss: 1.0, ..nothing() });
    bed.table.set_firewall(&node(2), Some(FirewallSettings::default())).unwrap();
    bed.send(2, 3, 1);
    bed.send(1, 3, 2);
    bed.send(1, 2, MILLISECOND);
    bed.fire(101_060_000);
    // The table's end of the capture goes with it.
    drop(bed);
    let report = capture.finish().unwrap();
    let file = shelf.0.lock().unwrap().clone();
    assert_eq!((report.packets, report.lost, report.bytes), (3, 0, file.len() as u64));
    let packets = read::packets(&file);
    let said: Vec<(&str, &str, bool)> =
        packets.iter().map(|one| (&*one.node, &*one.comment, one.outbound)).collect();
    assert_eq!(
        said,
        [
            ("node-2", "to node-3: dropped: loss", true),
            ("node-1", "to node-2: delayed 100 ms", true),
            ("node-2", "from node-1: dropped: firewall", false),
        ]
    );
    assert_eq!(packets[2].at - packets[1].at, 100_060_000);
    let source = |at: usize| ends(&packets[at].bytes).0.to_string();
    assert_eq!(source(1), "198.18.0.1:7777", "as it was sent");
    assert_eq!(source(2), "198.19.0.1:7777", "as it arrived");
}

#[test]
fn a_capture_keeps_its_limit() {
    let mut bed = Bed::new(1);
    let shelf = Shelf::default();
    let filter = CaptureFilter { bytes_max: Some(1000), ..CaptureFilter::default() };
    let (capture, sink) = Capture::start(Box::new(shelf.clone()), filter, |_| {}).unwrap();
    bed.table.tap.attach(sink);
    (0..10).for_each(|now| bed.send(1, 2, now));
    drop(bed);
    let report = capture.finish().unwrap();
    assert_eq!(report.packets + report.beyond_limit, 20);
    assert!(report.packets > 0 && report.bytes <= 1000, "{report:?}");
    assert_eq!(read::packets(&shelf.0.lock().unwrap()).len() as u64, report.packets);
}

#[test]
fn a_writer_that_is_slow_or_fails_holds_up_nobody_and_is_told() {
    let mut bed = Bed::new(1);
    let shelf = Shelf::default();
    let slow = shelf.0.lock().unwrap();
    let filter = CaptureFilter::default();
    let (capture, sink) = Capture::start(Box::new(shelf.clone()), filter.clone(), |_| {}).unwrap();
    bed.table.tap.attach(sink);
    (0..6000).for_each(|now| bed.send(1, 2, now));
    assert_eq!(bed.counters(1, 2).forwarded_packets, 6000);
    drop(slow);
    drop(std::mem::take(&mut bed.table.tap));
    let report = capture.finish().unwrap();
    assert!(report.lost > 0, "{report:?}");
    assert_eq!(report.packets + report.lost, 12_000);
    assert_eq!(read::packets(&shelf.0.lock().unwrap()).len() as u64, report.packets);

    let full = File::options().write(true).open("/dev/full").unwrap();
    let (capture, sink) = Capture::start(Box::new(full), filter, |_| {}).unwrap();
    bed.table.tap.attach(sink);
    let deadline = clock::now() + 20 * clock::SECOND;
    while bed.table.tap.is_on() {
        bed.send(1, 2, 7000);
        assert!(clock::now() < deadline, "it writes to a full disk");
    }
    assert!(capture.finish().is_err());
}

#[test]
fn nothing_waits_behind_what_a_cut_has_dropped() {
    let mut bed = Bed::new(1);
    let rate = Some(Rate { bytes_per_second: 128, queue_bytes: 1 << 20 });
    bed.set(1, 2, LinkState { rate, ..nothing() });
    (0..10).for_each(|_| bed.send(1, 2, 0));
    bed.set(1, 2, LinkState { rate, cut: true, ..nothing() });
    bed.set(1, 2, LinkState { rate, ..nothing() });
    bed.send(1, 2, 5 * MILLISECOND);
    assert_eq!(bed.table.queue.next_due(), Some(clock::SECOND + 5 * MILLISECOND), "128 bytes");
}

/// A switch with two nodes whose devices never have anything to say: only its timer can wake it.
#[test]
fn the_timer_alone_hands_on_what_is_due_and_what_is_brought_forward() {
    let switch = Switch::start(1).unwrap();
    let pair = [node(1), node(2)];
    for (number, name) in [1, 2].into_iter().zip(&pair) {
        let addresses = vec![address(false, number)];
        switch.table().add_port(name, Arc::new(tempfile().into()), addresses);
    }
    let set = |state: LinkState| {
        let links = [(&pair[0], &pair[1])];
        switch.change(|table, now| table.change_links(now, links, |link| *link = state)).unwrap();
    };
    let send = || {
        let mut packet = Packet::udp(false, 9).bytes();
        switch.change(|table, now| table.forward(0, &mut packet, now));
    };
    let forwarded = |packets| {
        let deadline = clock::now() + 20 * clock::SECOND;
        let pair = (pair[0].clone(), pair[1].clone());
        while switch.table().counters()[&pair].forwarded_packets < packets {
            assert!(clock::now() < deadline, "nobody woke up");
            thread::yield_now();
        }
    };
    for packets in 1..4 {
        set(LinkState { delay: Duration::from_millis(20), ..nothing() });
        send();
        forwarded(packets);
    }
    set(LinkState { delay: Duration::from_secs(3600), ..nothing() });
    send();
    send();
    assert!(switch.shared.timer.get().unwrap().is_some());
    set(nothing());
    forwarded(5);
    assert_eq!(switch.table().queue.next_due(), None);
    assert!(switch.shared.timer.get().unwrap().is_none(), "asleep when nothing is in flight");
}

mod properties;

#[test]
fn what_was_sent_already_is_counted_without_the_thread_of_the_switch() {
    let mut switch = Switch::start(1).unwrap();
    switch.shared.stop.write(1).unwrap();
    switch.thread.take().unwrap().join().unwrap();
    let mut devices = Vec::new();
    for number in 1..=2 {
        let (device, tun) = UnixDatagram::pair().unwrap();
        tun.set_nonblocking(true).unwrap();
        let addresses = vec![address(false, number)];
        switch.plug(&node(number.into()), tun.into(), addresses).unwrap();
        devices.push(device);
    }
    let sent = 3;
    for to in [2, 9] {
        let packet = Packet::udp(false, 100).between(address(false, 1), address(false, to));
        (0..sent).for_each(|_| assert!(devices[0].send(&packet).unwrap() > 0));
    }
    let counted = || {
        let table = switch.table();
        let link = table.counters().get(&(node(1), node(2))).map_or(0, |link| link.sent_packets);
        (link, table.stray().get(&node(1)).map_or(0, |stray| stray.outside))
    };
    assert_eq!(counted(), (0, 0));
    switch.drain(&node(2));
    switch.drain(&node(7));
    assert_eq!(counted(), (0, 0), "of another");
    switch.drain(&node(1));
    assert_eq!(counted(), (sent, sent));
}
