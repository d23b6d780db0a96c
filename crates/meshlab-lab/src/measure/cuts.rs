//! Cuts of all links of many nodes, under traffic: when they take effect, and whether they do.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use meshlab_model::NodeId;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{MeasuredCuts, Spread, failed, name, sleep_until, socket};
use crate::{
    clock::{self, Nanos, nanos},
    ended::SetAtEnd,
    error::LabError,
    lab::{Lab, NodeNet},
};

/// Each link has a packet this often.
const SEND_EVERY: Duration = Duration::from_millis(20);
/// How long links are cut, and how long they are whole.
const PHASE: Duration = Duration::from_millis(40);
/// What is sent so shortly before a cut may still be on its way when it comes.
const BEFORE_CUT: Duration = Duration::from_millis(10);

/// A cut: when it was planned and when it was in effect, and the same of its end.
#[derive(Clone, Copy)]
struct Cycle {
    cut: [Nanos; 2],
    heal: [Nanos; 2],
}

/// When a packet was heard, by when it was sent, which is its name.
type Log = BTreeMap<Nanos, Nanos>;

pub(super) fn cuts(nodes: u32, cuts: u32) -> Result<MeasuredCuts, LabError> {
    let lab = Lab::new(1)?;
    let names: Vec<NodeId> = (0..nodes).map(name).collect();
    let nets: Vec<NodeNet> =
        names.iter().map(|name| lab.add_node(name)).collect::<Result<_, _>>()?;
    let sockets: Vec<UdpSocket> = nets.iter().map(socket).collect::<Result<_, _>>()?;
    for socket in &sockets {
        socket.set_nonblocking(true).map_err(failed("make a socket that does not block"))?;
    }
    let pairs: Vec<(&NodeId, &NodeId)> = names
        .iter()
        .flat_map(|from| names.iter().filter(move |to| *to != from).map(move |to| (from, to)))
        .collect();
    let stop = [AtomicBool::new(false), AtomicBool::new(false)];
    let (cycles, sent, heard) = thread::scope(|scope| {
        let sending = scope.spawn(|| send(&sockets, &stop[0]));
        let hearing = scope.spawn(|| hear(&sockets, &stop[1]));
        let [sent_all, heard_all] = stop.each_ref().map(SetAtEnd);
        let cycles = cut_and_mend(&lab, &pairs, cuts);
        drop(sent_all);
        let broke = |_| Err(io::Error::other("a thread broke"));
        let sent = sending.join().unwrap_or_else(broke);
        // What was sent last has time to be heard.
        thread::sleep(PHASE);
        drop(heard_all);
        (cycles, sent, hearing.join().unwrap_or_default())
    });
    let sent = sent.map_err(failed("send a probe"))?;
    Ok(judge(&cycles?, &sent, &heard, pairs.len() as u64))
}

/// Cuts and mends all links at planned moments.
fn cut_and_mend(
    lab: &Lab,
    pairs: &[(&NodeId, &NodeId)],
    cuts: u32,
) -> Result<Vec<Cycle>, LabError> {
    let change = |at: Nanos, cut| {
        sleep_until(at);
        lab.change_links(pairs.iter().copied(), |link| link.cut = cut)?;
        Ok([at, clock::now()])
    };
    let start = clock::now();
    let cycle = |number: u32| {
        let at = start + nanos(PHASE) * (2 * u64::from(number) + 1);
        Ok(Cycle { cut: change(at, true)?, heal: change(at + nanos(PHASE), false)? })
    };
    let cycles = (0..cuts).map(cycle).collect();
    thread::sleep(PHASE);
    cycles
}

/// Sends on every link in turn; when each packet was sent.
fn send(sockets: &[UdpSocket], stop: &AtomicBool) -> io::Result<Vec<Nanos>> {
    let addresses: Vec<SocketAddr> =
        sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?;
    let mut sent = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for away in 1..sockets.len() {
            // A node's packets a little apart, so that the host's threads have their turn.
            for (at, socket) in sockets.iter().enumerate() {
                let Some(to) = addresses.get((at + away) % addresses.len()) else { continue };
                let now = clock::now();
                if socket.send_to(&now.to_le_bytes(), to).is_ok() {
                    sent.push(now);
                }
            }
            thread::sleep(SEND_EVERY / u32::try_from(sockets.len()).unwrap_or(1));
        }
    }
    Ok(sent)
}

fn hear(sockets: &[UdpSocket], stop: &AtomicBool) -> Log {
    let mut heard = Log::new();
    let mut packet = [0_u8; 64];
    while !stop.load(Ordering::Relaxed) {
        let mut ready: Vec<PollFd<'_>> =
            sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        // To be interrupted is to look again.
        let _ = poll(&mut ready, PollTimeout::from(10_u8));
        for socket in sockets {
            while socket.recv(&mut packet).is_ok() {
                let sent = packet.first_chunk().map_or(0, |time| Nanos::from_le_bytes(*time));
                heard.insert(sent, clock::now());
            }
        }
    }
    heard
}

fn judge(cycles: &[Cycle], sent: &[Nanos], heard: &Log, links: u64) -> MeasuredCuts {
    let late = |[planned, in_effect]: [Nanos; 2]| in_effect.saturating_sub(planned);
    let leaked = heard.iter().filter(|(sent, heard)| {
        cycles.iter().any(|cycle| **sent > cycle.cut[1] && **heard < cycle.heal[0])
    });
    let missing = sent.iter().filter(|sent| {
        let before = |next: &Cycle| **sent < next.cut[0].saturating_sub(nanos(BEFORE_CUT));
        !heard.contains_key(*sent)
            && cycles
                .iter()
                .zip(cycles.iter().skip(1))
                .any(|(cycle, next)| **sent > cycle.heal[1] && before(next))
    });
    MeasuredCuts {
        links,
        onset: Spread::of(cycles.iter().map(|cycle| late(cycle.cut)).collect()),
        heal: Spread::of(cycles.iter().map(|cycle| late(cycle.heal)).collect()),
        packets: sent.len() as u64,
        leaked: leaked.count() as u64,
        missing: missing.count() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_crosses_a_cut_or_does_not_cross_a_mended_link_is_found() {
        let second = 1_000_000_000;
        let cycle = |at: Nanos| Cycle {
            cut: [at * second, at * second + 5],
            heal: [(at + 1) * second, (at + 1) * second + 7],
        };
        let heard: Log =
            [(1, 2), (second + 1, second + 9), (second + 6, second + 9), (3 * second, 3 * second)]
                .into();
        let sent = [1, second + 1, second + 6, second + 8, 2 * second + 8, 3 * second - 1];
        let found = judge(&[cycle(1), cycle(3)], &sent, &heard, 6);
        assert_eq!((found.leaked, found.missing), (1, 1));
        assert_eq!((found.onset.max.as_nanos(), found.heal.p50.as_nanos()), (5, 7));
    }
}
