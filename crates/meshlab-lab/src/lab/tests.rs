//! Real namespaces, real packets. A host that cannot make them fails these tests with the reason:
//! a lab that was not tried is not a lab that works.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::AtomicU64,
    time::Instant,
};

use super::*;
use crate::{DropReason, LinkState};

mod links;
mod nodes;

/// A wait that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// Tries of what is to arrive, each of 50 ms: as long as any other wait.
const TRIES: u32 = 400;

/// Does `work` on a thread inside the node's network.
fn inside<T: Send>(net: &NodeNet, work: impl FnOnce() -> T + Send) -> T {
    let namespace = net.net_ns.as_raw_fd();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            // SAFETY: concerns this thread only; the descriptor outlives the scope.
            let entered = unsafe { libc::setns(namespace, libc::CLONE_NEWNET) };
            assert_eq!(entered, 0, "{}", io::Error::last_os_error());
            work()
        });
        worker.join().unwrap()
    })
}

fn socket(net: &NodeNet, address: IpAddr) -> UdpSocket {
    let socket = inside(net, || UdpSocket::bind((address, 7777)).unwrap());
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    socket
}

/// Sends until the other side has it; `false` if it never does.
fn reaches(from: &UdpSocket, to: &UdpSocket, tries: u32) -> bool {
    crosses(from, to, to.local_addr().unwrap(), 8, tries).is_some()
}

/// Sends so many bytes to an address until a socket has them: where they seem to come from. Each
/// try is told apart from all before it, which may arrive late.
fn crosses(
    from: &UdpSocket,
    to: &UdpSocket,
    address: SocketAddr,
    bytes: usize,
    tries: u32,
) -> Option<SocketAddr> {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let mut heard = [0_u8; 2000];
    (0..tries).find_map(|_| {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut packet = vec![7; bytes];
        packet[..8].copy_from_slice(&number);
        // A kernel that has just heard of a small MTU refuses once.
        let _ = from.send_to(&packet, address);
        loop {
            let (_, source) = to.recv_from(&mut heard).ok()?;
            if heard.starts_with(&number) {
                return Some(source);
            }
        }
    })
}

/// Waits for a state of the lab.
fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Waits until the switch has dropped so many packets from one node to another: a program that has
/// sent one does not know whether the switch has looked at it yet.
fn until_dropped(lab: &Lab, link: &(NodeId, NodeId), reason: DropReason, packets: u64) {
    until(&format!("{packets} dropped for {reason:?}"), || {
        let dropped = lab.counters().get(link).and_then(|link| link.dropped.get(&reason).copied());
        dropped.unwrap_or_default() == packets
    });
}

fn pair(lab: &Lab) -> [(NodeId, NodeNet); 2] {
    ["a", "b"].map(|name| {
        let id = NodeId::from(name);
        let net = lab.add_node(&id).expect("this host can make the lab: see `meshlab doctor`");
        (id, net)
    })
}

#[test]
fn packets_cross_by_both_protocols_and_are_counted() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let four = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    assert!(reaches(&four.0, &four.1, TRIES) && reaches(&four.1, &four.0, TRIES));
    if let (Some(six_a), Some(six_b)) = (net_a.ipv6, net_b.ipv6) {
        let six = (socket(&net_a, six_a.into()), socket(&net_b, six_b.into()));
        assert!(reaches(&six.0, &six.1, TRIES), "IPv6 crosses");
    }
    let counters = lab.counters();
    assert!(counters[&(a.clone(), b.clone())].forwarded_packets >= 1);
    assert!(counters[&(b, a)].forwarded_bytes >= 33);
}

#[test]
fn a_cut_stops_one_direction_and_is_counted() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    assert!(reaches(&at_a, &at_b, TRIES));
    lab.set_cut(&a, &b, true).unwrap();
    assert!(!reaches(&at_a, &at_b, 3), "a to b is cut");
    assert!(reaches(&at_b, &at_a, TRIES), "b to a is not");
    until_dropped(&lab, &(a.clone(), b.clone()), DropReason::Cut, 3);
    lab.set_cut(&a, &b, false).unwrap();
    assert!(reaches(&at_a, &at_b, TRIES), "mended");
    assert!(lab.set_cut(&a, &"nobody".into(), true).is_err());
}

#[test]
fn a_lossy_link_loses_in_one_direction_and_is_counted() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    lab.set_loss(&a, &b, 1.0).unwrap();
    assert_eq!(lab.link(&a, &b).unwrap(), LinkState { loss: 1.0, ..LinkState::default() });
    assert!(!reaches(&at_a, &at_b, 3), "all of it is lost");
    assert!(reaches(&at_b, &at_a, TRIES), "b to a is whole");
    until_dropped(&lab, &(a.clone(), b.clone()), DropReason::Loss, 3);
    lab.set_loss(&a, &b, 0.0).unwrap();
    assert!(reaches(&at_a, &at_b, TRIES), "whole again");
    for share in [-0.1, 1.1, f64::NAN] {
        let error = lab.set_loss(&a, &b, share).unwrap_err();
        assert!(error.to_string().contains("is no share"), "{error}");
    }
    assert!(lab.set_loss(&a, &"nobody".into(), 0.5).is_err());
    assert!(lab.link(&"nobody".into(), &a).is_err());
}

#[test]
fn what_goes_outside_goes_nowhere_and_is_shown() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), _] = pair(&lab);
    let at_a = socket(&net_a, net_a.ipv4.into());
    for away in ["192.0.2.1:9", "198.19.255.1:9"] {
        at_a.send_to(b"x", away).unwrap();
    }
    until("both are counted", || lab.stray()[&a].outside >= 2);
    for away in ["192.0.2.1", "198.19.255.1"] {
        let away: IpAddr = away.parse().unwrap();
        assert_eq!(lab.stray()[&a].destinations.get(&away), Some(&1));
    }
}

#[test]
fn the_telemetry_door_opens_inside_only() {
    let lab = Lab::new(1).unwrap();
    let [(_, net_a), _] = pair(&lab);
    let dialled = inside(&net_a, || std::net::TcpStream::connect("127.0.0.1:4318"));
    assert!(dialled.is_ok());
    net_a.otlp_http.accept().unwrap();
    assert!(lab.counters().is_empty(), "no packet of it crossed the switch");
}

#[test]
fn a_node_that_was_removed_hears_nothing_and_many_places_fit() {
    let lab = Lab::new(1).unwrap();
    let [(_, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    assert!(reaches(&at_a, &at_b, TRIES));
    lab.remove_node(&b);
    assert!(!reaches(&at_a, &at_b, 2));
    until_dropped(&lab, &("a".into(), b.clone()), DropReason::Unplugged, 2);
    let more: Vec<NodeNet> =
        (0..18).map(|n| lab.add_node(&NodeId(format!("n{n}"))).unwrap()).collect();
    assert_eq!(more.last().unwrap().ipv4, Ipv4Addr::new(198, 18, 0, 20));
}

#[test]
fn a_node_that_deletes_its_device_does_not_spin_the_switch() {
    let lab = Lab::new(1).unwrap();
    let [(a, net_a), (b, net_b)] = pair(&lab);
    let (at_a, at_b) = (socket(&net_a, net_a.ipv4.into()), socket(&net_b, net_b.ipv4.into()));
    assert!(reaches(&at_a, &at_b, TRIES));
    inside(&net_b, || {
        let deleted = std::process::Command::new("ip").args(["link", "del", "lab0"]).status();
        // Without the `ip` program the same is reached by giving the place back.
        if !deleted.is_ok_and(|status| status.success()) {
            lab.remove_node(&b);
        }
    });
    assert!(!reaches(&at_a, &at_b, 2));
    until_dropped(&lab, &(a, b), DropReason::Unplugged, 2);
}
