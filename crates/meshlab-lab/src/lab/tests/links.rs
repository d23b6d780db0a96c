//! Impairments of links, as programs see them.

use super::*;
use crate::{
    CaptureFilter, Checksum, Corruption, Jitter, Rate, RecentSettings, Side, capture::pcapng::read,
};

/// Sends once and waits until it is there; how long that took.
fn travels(from: &UdpSocket, to: &UdpSocket) -> Duration {
    to.set_read_timeout(Some(DEADLINE)).unwrap();
    let start = Instant::now();
    from.send_to(b"hello", to.local_addr().unwrap()).unwrap();
    to.recv_from(&mut [0; 64]).expect("it arrives");
    start.elapsed()
}

#[test]
fn a_delay_is_seen_in_one_direction_and_taken_back() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    let delay = Duration::from_millis(150);
    lab.set_delay(&a, &b, delay, Jitter::None).unwrap();
    assert!(travels(&at_a, &at_b) >= delay);
    lab.change_node_link(&b, Side::Receives, |link| link.delay = delay).unwrap();
    assert!(travels(&at_a, &at_b) >= 2 * delay, "both add up");
    let counters = &lab.counters()[&(a.clone(), b.clone())];
    assert_eq!((counters.delayed, counters.in_flight), (2, 0));
    travels(&at_b, &at_a);
    assert_eq!(lab.counters()[&(b.clone(), a.clone())].delayed, 0);
    lab.reset();
    travels(&at_a, &at_b);
    assert_eq!(lab.counters()[&(a.clone(), b.clone())].delayed, 2, "no longer");
    if let (Some(six_a), Some(six_b)) = (net_a.ipv6, net_b.ipv6) {
        lab.set_delay(&a, &b, delay, Jitter::None).unwrap();
        let six = (socket(&net_a, six_a.into()), socket(&net_b, six_b.into()));
        assert!(travels(&six.0, &six.1) >= delay);
    }
}

#[test]
fn a_cut_drops_what_is_in_flight_and_a_mended_link_brings_it_forward() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    let pair = (a.clone(), b.clone());
    let in_flight = || lab.counters().get(&pair).is_some_and(|link| link.in_flight == 1);
    let hour = Duration::from_secs(3600);
    lab.set_delay(&a, &b, hour, Jitter::None).unwrap();
    at_a.send_to(b"lost", at_b.local_addr().unwrap()).unwrap();
    until("it is in flight", in_flight);
    lab.set_cut(&a, &b, true).unwrap();
    let counters = &lab.counters()[&pair];
    assert_eq!((counters.in_flight, counters.dropped[&DropReason::Cut]), (0, 1));
    lab.set_cut(&a, &b, false).unwrap();
    at_a.send_to(b"late", at_b.local_addr().unwrap()).unwrap();
    until("it is in flight", in_flight);
    lab.reset_link(&a, &b).unwrap();
    at_b.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut buffer = [0; 64];
    let (bytes, _) = at_b.recv_from(&mut buffer).expect("an hour early");
    assert_eq!(&buffer[..bytes], b"late");
}

#[test]
fn a_flipped_bit_reaches_the_program_only_with_its_checksum_mended() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    let corrupt = |checksum| Some(Corruption { share: 1.0, checksum });
    let pair = (a.clone(), b.clone());
    let until_corrupted = |packets| {
        until("the switch has seen all of them", || {
            let counters = lab.counters().get(&pair).cloned().unwrap_or_default();
            (counters.corrupted, counters.forwarded_packets) == (packets, packets)
        });
    };
    lab.set_corrupt(&a, &b, corrupt(Checksum::Stale)).unwrap();
    at_a.send_to(b"hello", at_b.local_addr().unwrap()).unwrap();
    until_corrupted(1);
    at_b.recv_from(&mut [0; 64]).expect_err("the kernel drops it");
    lab.set_corrupt(&a, &b, corrupt(Checksum::Fixed)).unwrap();
    at_a.send_to(b"hello", at_b.local_addr().unwrap()).unwrap();
    at_b.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut buffer = [0; 64];
    let (bytes, _) = at_b.recv_from(&mut buffer).expect("the kernel lets it in");
    let differ: u32 = buffer[..bytes].iter().zip(b"hello").map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((bytes, differ), (5, 1));
    until_corrupted(2);
}

#[test]
fn more_than_the_rate_waits_and_more_than_its_queue_is_dropped() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    // Each packet takes a minute or so.
    let rate = Some(Rate { bytes_per_second: 10, queue_bytes: 2000 });
    lab.set_rate(&a, &b, rate).unwrap();
    assert_eq!(lab.link(&a, &b).unwrap().rate, rate);
    for _ in 0..10 {
        at_a.send_to(&[0; 500], at_b.local_addr().unwrap()).unwrap();
    }
    let pair = (a, b);
    until("all were sent", || {
        lab.counters().get(&pair).is_some_and(|link| link.sent_packets == 10)
    });
    let counters = &lab.counters()[&pair];
    assert_eq!((counters.in_flight, counters.dropped[&DropReason::RateQueue]), (3, 7));
}

#[test]
fn a_capture_is_written_to_its_file_and_may_outlive_its_lab() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("none").join("a.pcapng");
    let error = lab.capture(&nowhere, CaptureFilter::default()).err().unwrap().to_string();
    assert!(error.contains("none/a.pcapng"), "{error}");
    let path = folder.path().join("a.pcapng");
    let capture = lab.capture(&path, CaptureFilter::default()).unwrap();
    lab.set_loss(&b, &a, 1.0).unwrap();
    travels(&at_a, &at_b);
    at_b.send_to(b"lost", at_a.local_addr().unwrap()).unwrap();
    let back = (b, a);
    until("it is lost", || lab.counters().get(&back).is_some_and(|link| !link.dropped.is_empty()));
    drop(lab);
    let report = capture.finish().unwrap();
    let file = std::fs::read(&path).unwrap();
    assert_eq!((report.packets, report.lost, report.bytes), (3, 0, file.len() as u64));
    let packets = read::packets(&file);
    let comments: Vec<&str> = packets.iter().map(|packet| &*packet.comment).collect();
    assert_eq!(comments, ["to b: forwarded", "from a: arrived", "to a: dropped: loss"]);
    assert!(packets[0].bytes.ends_with(b"hello"));
    let age = crate::clock::wall().abs_diff(packets[0].at);
    assert!(age < 3600 * crate::clock::SECOND, "stamped by the calendar: {age} ns ago");
    assert!(packets[0].at <= packets[1].at && packets[1].at <= packets[2].at);
}

#[test]
fn the_last_packets_are_dumped() {
    let lab = Lab::new(1).unwrap();
    let [(_, net_a), (_, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    assert!(lab.dump_recent_to(Vec::new()).is_err(), "none are kept");
    lab.keep_recent(Some(RecentSettings { bytes: 1 << 20, age: DEADLINE })).unwrap();
    let capture = lab.capture_to(Box::new(io::sink()), CaptureFilter::default()).unwrap();
    travels(&at_a, &at_b);
    let mut file = Vec::new();
    // The packet is handed over just before it is told of; the table's lock orders the two.
    let report = lab.dump_recent_to(&mut file).unwrap();
    let packets = read::packets(&file);
    let comments: Vec<&str> = packets.iter().map(|packet| &*packet.comment).collect();
    assert_eq!(comments, ["to b: forwarded", "from a: arrived"]);
    assert_eq!((report.packets, capture.finish().unwrap().packets), (2, 2));
    lab.keep_recent(None).unwrap();
    assert!(lab.dump_recent_to(Vec::new()).is_err());
}
