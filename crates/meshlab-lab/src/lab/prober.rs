//! Probes of the harness's own between two nodes: how a witness sees what a link does, also where
//! the nodes themselves have nothing to say to each other.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use meshlab_model::NodeId;

use super::{Lab, visits::in_network};
use crate::{ended::SetAtEnd, error::LabError};

/// IPv4 and UDP headers.
const HEADERS: usize = 28;
/// Token and number.
const HEAD: usize = 12;
/// Enough behind them that a bit flipped in the number shows.
const BYTES_MIN: usize = 16;
/// With its headers as large as the device takes.
const BYTES_MAX: usize = 1472;
/// How long the far end listens at a time, and so how late it learns that all is over.
const TURN: Duration = Duration::from_millis(20);

/// Sockets of the harness in the networks of two nodes. The same flow as long as it lives, so that
/// NATs and firewalls on the way know it. Its packets are packets like others: they are counted,
/// captured and hurt like those of the nodes.
#[derive(Debug)]
pub struct Prober {
    ask: UdpSocket,
    answer: UdpSocket,
    to: SocketAddr,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probes {
    /// How many.
    pub count: u32,
    /// Time from one to the next.
    pub every: Duration,
    /// Bytes of each, without its headers: 16 to 1472; what is less or more is taken as those.
    pub bytes: usize,
    /// How long an answer to the last is waited for. Ends earlier once all are answered.
    pub patience: Duration,
}

/// What came of probes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProbeReport {
    /// How many were sent.
    pub sent: u32,
    /// How many of them arrived at the far end, whole.
    pub arrived: u32,
    /// How many arrived once more.
    pub copies: u32,
    /// How many arrived with a bit that is another.
    pub altered: u32,
    /// How many arrived after one that was sent after them.
    pub overtaken: u32,
    /// How many were answered; the answer takes the way back.
    pub answered: u32,
    /// From the sending of each that was answered to its answer, in the order of the answers.
    pub round_trips: Vec<Duration>,
    /// Bytes in a second that arrived, headers included, from the first to the last; `None` with
    /// fewer than two.
    pub bytes_per_second: Option<f64>,
    /// Whom the far end saw as the sender.
    pub seen_as: BTreeSet<SocketAddr>,
}

impl ProbeReport {
    /// Half of the round trips took at most this; `None` if nothing was answered.
    pub fn median(&self) -> Option<Duration> {
        let mut all = self.round_trips.clone();
        all.sort_unstable();
        all.get(all.len().checked_sub(1)? / 2).copied()
    }
}

impl Lab {
    /// Opens a flow of probes from one node's network to another's.
    ///
    /// # Errors
    /// One of the nodes is not in the lab, or a socket cannot be made.
    pub fn prober(&self, from: &NodeId, to: &NodeId) -> Result<Prober, LabError> {
        let place = |node: &NodeId| {
            self.places().get(node).cloned().ok_or_else(|| LabError::NoNode(node.clone()))
        };
        let failed = |error| LabError::Probe { from: from.clone(), to: to.clone(), error };
        let socket = |(network, address): (Arc<OwnedFd>, IpAddr)| {
            socket_in(&network, address).map_err(failed)
        };
        let (ask, answer) = (socket(place(from)?)?, socket(place(to)?)?);
        let mut address = answer.local_addr().map_err(failed)?;
        // Behind an address that is translated one to one, nobody reaches its own.
        address.set_ip(self.seen_at(to)?);
        ask.set_read_timeout(Some(TURN)).map_err(failed)?;
        answer.set_read_timeout(Some(TURN)).map_err(failed)?;
        Ok(Prober { ask, answer, to: address })
    }
}

/// A UDP socket in a network namespace. It stays there, whoever uses it.
fn socket_in(network: &OwnedFd, address: IpAddr) -> io::Result<UdpSocket> {
    in_network(network, || {
        let socket = UdpSocket::bind((address, 0))?;
        never_fragment(&socket)?;
        Ok(socket)
    })
}

/// Has the kernel send packets of any size whole, whatever it was told of the path: a probe that is
/// too large must not cross in parts.
fn never_fragment(socket: &UdpSocket) -> io::Result<()> {
    let how = libc::IP_PMTUDISC_PROBE;
    // SAFETY: the pointer is to a local of the size that is told.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            (&raw const how).cast(),
            size_of_val(&how) as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One probe as it is sent: a token of the call, its number, and bytes that follow from both.
fn packet(token: u64, number: u32, bytes: usize) -> Vec<u8> {
    let mut packet = Vec::with_capacity(bytes);
    packet.extend_from_slice(&token.to_le_bytes());
    packet.extend_from_slice(&number.to_le_bytes());
    let (fill, own) = (token.to_le_bytes(), number.to_le_bytes());
    packet.extend((HEAD..bytes).map(|place| fill[place % 8] ^ own[place % 4] ^ place as u8));
    packet
}

/// What arrived.
enum Came {
    /// The probe of that number, as it was sent.
    Whole(u32),
    /// A probe of this call that is not as it was sent.
    Altered,
    /// Of a call before, or no probe at all.
    Other,
}

fn read(packet_read: &[u8], token: u64, bytes: usize, count: u32) -> Came {
    let Some((head, rest)) = packet_read.split_first_chunk::<8>() else { return Came::Other };
    let Some(number) = rest.first_chunk::<4>() else { return Came::Other };
    let number = u32::from_le_bytes(*number);
    let flipped = (u64::from_le_bytes(*head) ^ token).count_ones();
    if flipped == 0 && number < count && packet_read == packet(token, number, bytes) {
        return Came::Whole(number);
    }
    // A bit flipped in the token leaves the others; another call's token shares half of them.
    if flipped <= 1 { Came::Altered } else { Came::Other }
}

impl Prober {
    /// Sends probes and waits for what comes of them. Takes as long as they do: a call from a
    /// runtime belongs on a thread for blocking work.
    ///
    /// # Errors
    /// A probe cannot be sent.
    pub fn send(&self, probes: Probes) -> io::Result<ProbeReport> {
        let bytes = probes.bytes.clamp(BYTES_MIN, BYTES_MAX);
        let start = Instant::now();
        let token = crate::clock::now() ^ 0x9e37_79b9_7f4a_7c15;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let far = scope.spawn(|| self.echo(token, bytes, probes.count, &over));
            let at_end = SetAtEnd(&over);
            let mut report = self.ask(token, bytes, probes, start);
            drop(at_end);
            let far = far.join().unwrap_or_default();
            if let Ok(report) = &mut report {
                far.into_report(report, bytes);
            }
            report
        })
    }

    /// Sends one probe, and waits for nothing.
    ///
    /// # Errors
    /// It cannot be sent.
    pub fn fire(&self) -> io::Result<()> {
        self.ask.send_to(&packet(0, 0, BYTES_MIN), self.to).map(drop)
    }

    /// Sends all, and takes answers in between and after.
    fn ask(
        &self,
        token: u64,
        bytes: usize,
        probes: Probes,
        start: Instant,
    ) -> io::Result<ProbeReport> {
        let mut report = ProbeReport::default();
        let mut sent_at: Vec<Option<Instant>> = Vec::new();
        let mut buffer = [0_u8; 2048];
        let mut due = start;
        let mut last = start;
        loop {
            let now = Instant::now();
            let left = report.sent < probes.count;
            if left && now >= due {
                match self.ask.send_to(&packet(token, report.sent, bytes), self.to) {
                    Ok(_) => {}
                    // The device's queue is full: it is as good as lost.
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                    Err(error) => return Err(error),
                }
                (last, due) = (Instant::now(), due + probes.every);
                sent_at.push(Some(last));
                report.sent += 1;
                continue;
            }
            if !left && (report.answered == probes.count || now >= last + probes.patience) {
                return Ok(report);
            }
            let wait = if left { due - now } else { TURN };
            self.ask.set_read_timeout(Some(wait.clamp(Duration::from_micros(50), TURN)))?;
            if let Ok(length) = self.ask.recv(&mut buffer)
                && let Came::Whole(number) =
                    read(buffer.get(..length).unwrap_or_default(), token, bytes, probes.count)
                // A second answer to the same comes of a copy.
                && let Some(at) = sent_at.get_mut(number as usize).and_then(Option::take)
            {
                report.answered += 1;
                report.round_trips.push(at.elapsed());
            }
        }
    }

    /// The far end: answers what arrives, and keeps book.
    fn echo(&self, token: u64, bytes: usize, count: u32, over: &AtomicBool) -> Heard {
        let mut heard = Heard::default();
        let mut buffer = [0_u8; 2048];
        loop {
            let Ok((length, from)) = self.answer.recv_from(&mut buffer) else {
                if over.load(Ordering::Relaxed) {
                    return heard;
                }
                continue;
            };
            let packet = buffer.get(..length).unwrap_or_default();
            match read(packet, token, bytes, count) {
                Came::Whole(number) => heard.take(number, from),
                Came::Altered => heard.altered += 1,
                Came::Other => continue,
            }
            // An answer that cannot be sent is one that does not come.
            let _ = self.answer.send_to(packet, from);
        }
    }
}

/// What the far end heard.
#[derive(Default)]
struct Heard {
    numbers: HashSet<u32>,
    highest: Option<u32>,
    times: Option<(Instant, Instant)>,
    copies: u32,
    altered: u32,
    overtaken: u32,
    seen_as: BTreeSet<SocketAddr>,
}

impl Heard {
    fn take(&mut self, number: u32, from: SocketAddr) {
        let now = Instant::now();
        self.seen_as.insert(from);
        let first = self.times.map_or(now, |(first, _)| first);
        self.times = Some((first, now));
        if !self.numbers.insert(number) {
            self.copies += 1;
        } else if self.highest.is_some_and(|highest| number < highest) {
            self.overtaken += 1;
        }
        self.highest = self.highest.max(Some(number));
    }

    fn into_report(self, report: &mut ProbeReport, bytes: usize) {
        report.arrived = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        (report.copies, report.altered) = (self.copies, self.altered);
        report.overtaken = self.overtaken;
        report.seen_as = self.seen_as;
        let took = self.times.map(|(first, last)| (last - first).as_secs_f64());
        report.bytes_per_second = took.filter(|took| *took > 0.0).map(|took| {
            // What the first brought was sent before it came.
            let after = report.arrived.saturating_sub(1) + report.copies;
            f64::from(after) * (bytes + HEADERS) as f64 / took
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checksum, Corruption, Reorder, Reordering};

    /// Where answers come, and where none does: only there is the patience waited for.
    const ANSWERS: Duration = Duration::from_secs(10);
    const SILENCE: Duration = Duration::from_secs(1);

    fn probes(count: u32, patience: Duration) -> Probes {
        Probes { count, every: Duration::from_millis(1), bytes: 64, patience }
    }

    fn bed() -> (Lab, [NodeId; 2], Vec<crate::NodeNet>) {
        let lab = Lab::new(1).unwrap();
        let nodes = [NodeId::from("a"), NodeId::from("b")];
        let nets = nodes.iter().map(|node| lab.add_node(node).unwrap()).collect();
        (lab, nodes, nets)
    }

    #[test]
    fn what_a_link_does_is_seen_at_its_ends() {
        let (lab, [a, b], nets) = bed();
        let prober = lab.prober(&a, &b).unwrap();
        let report = prober.send(probes(20, ANSWERS)).unwrap();
        assert_eq!((report.sent, report.arrived, report.answered), (20, 20, 20));
        assert_eq!((report.copies, report.altered, report.overtaken), (0, 0, 0));
        let seen: Vec<IpAddr> = report.seen_as.iter().map(SocketAddr::ip).collect();
        assert_eq!(seen, [IpAddr::V4(nets[0].ipv4)]);
        // No bound above: how long a busy host takes on top is not the link's doing.
        assert!(report.median().is_some());
        lab.change_links([(&a, &b)], |link| link.delay = Duration::from_millis(30)).unwrap();
        let after = prober.send(probes(5, ANSWERS)).unwrap().median().unwrap();
        assert!(after >= Duration::from_millis(30), "a delay of 30 ms took {after:?}");
        let change = |patience, change: fn(&mut crate::LinkState)| {
            lab.reset_link(&a, &b).unwrap();
            lab.change_links([(&a, &b)], change).unwrap();
            prober.send(probes(40, patience)).unwrap()
        };
        let cut = change(SILENCE, |link| link.cut = true);
        assert_eq!((cut.sent, cut.arrived, cut.answered, cut.median()), (40, 0, 0, None));
        assert_eq!(change(ANSWERS, |link| link.duplicate = 1.0).copies, 40);
        let altered = change(SILENCE, |link| {
            link.corrupt = Some(Corruption { share: 1.0, checksum: Checksum::Fixed });
        });
        assert_eq!((altered.arrived, altered.altered), (0, 40));
        let late = change(ANSWERS, |link| {
            let how = Reordering::HoldBack(Duration::from_millis(10));
            link.reorder = Some(Reorder { share: 0.5, how });
        });
        assert!(late.overtaken > 0 && late.arrived == 40, "{late:?}");
    }

    #[test]
    fn who_is_not_there_cannot_be_probed() {
        let (lab, [a, _], _nets) = bed();
        let error = lab.prober(&a, &"z".into()).unwrap_err();
        assert!(error.to_string().contains("z: it is not in the lab"), "{error}");
        lab.remove_node(&a);
        assert!(lab.prober(&a, &"b".into()).is_err());
    }

    #[test]
    fn a_stale_answer_is_not_taken_for_one_of_this_call() {
        let old = packet(7, 0, 64);
        assert!(matches!(read(&old, 7, 64, 1), Came::Whole(0)));
        assert!(matches!(read(&old, !7, 64, 1), Came::Other));
        assert!(matches!(read(&old[..8], 7, 64, 1), Came::Other));
        let mut flipped = old.clone();
        flipped[40] ^= 1;
        assert!(matches!(read(&flipped, 7, 64, 1), Came::Altered));
        flipped = old;
        flipped[3] ^= 4;
        assert!(matches!(read(&flipped, 7, 64, 1), Came::Altered));
    }
}
