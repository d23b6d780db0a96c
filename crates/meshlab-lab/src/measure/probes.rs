//! Probes between two nodes: delay, loss, rate, and what a packet costs.

use std::{
    io,
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use meshlab_model::NodeId;

use super::{
    MeasuredDelay, MeasuredLoss, MeasuredPacket, MeasuredRate, Spread, failed, name, socket,
};
use crate::{
    clock::{self, Nanos},
    counters::{DropReason, LinkCounters},
    ended::SetAtEnd,
    error::LabError,
    lab::{Lab, NodeNet},
    link::{Jitter, LinkState, Rate},
};

/// So far apart that one probe does not wait for another, and the host sleeps in between.
const PROBE_EVERY: Duration = Duration::from_millis(2);
/// What still comes within this time after the last was sent counts.
const QUIET: Duration = Duration::from_millis(500);
/// How much may wait for a rate.
const QUEUE_BYTES: u64 = 64 * 1024;
/// What is sent to fill a rate: 1200 bytes with its headers, as QUIC sends at first.
const PAYLOAD: usize = 1172;
const HEADERS: usize = 28;
/// Packets in a row, few enough for the receiver's socket.
const BURST: u32 = 32;

/// Two nodes that can send to each other.
struct Pair {
    lab: Lab,
    names: [NodeId; 2],
    _nets: [NodeNet; 2],
    from: UdpSocket,
    to: UdpSocket,
}

impl Pair {
    fn new() -> Result<Self, LabError> {
        let lab = Lab::new(1)?;
        let names = [name(0), name(1)];
        let nets = [lab.add_node(&names[0])?, lab.add_node(&names[1])?];
        let (from, to) = (socket(&nets[0])?, socket(&nets[1])?);
        let connected = to.local_addr().and_then(|address| from.connect(address));
        connected.map_err(failed("connect a socket"))?;
        Ok(Self { lab, names, _nets: nets, from, to })
    }

    fn set(&self, state: LinkState) -> Result<(), LabError> {
        self.lab.set_link(&self.names[0], &self.names[1], state)
    }

    fn counters(&self) -> LinkCounters {
        let pair = (self.names[0].clone(), self.names[1].clone());
        self.lab.counters().remove(&pair).unwrap_or_default()
    }

    /// Sends on this thread what `send` does, and has another hear: when each packet came, how
    /// large it was and the time in it. Ends when nothing has come for a while since all was sent.
    fn hear(
        &self,
        patience: Duration,
        send: impl FnOnce() -> io::Result<()>,
    ) -> Result<Vec<Heard>, LabError> {
        let patience = patience + QUIET;
        self.to.set_read_timeout(Some(patience)).map_err(failed("set a timeout"))?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let hearing = scope.spawn(|| self.heard(&over));
            let at_end = SetAtEnd(&over);
            let sent = send();
            drop(at_end);
            let heard = hearing.join().unwrap_or_default();
            sent.map_err(failed("send a probe"))?;
            Ok(heard)
        })
    }

    /// What comes until a wait that began after all was sent brings nothing.
    fn heard(&self, over: &AtomicBool) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut buffer = [0_u8; 2048];
        loop {
            let last = over.load(Ordering::Relaxed);
            match self.to.recv(&mut buffer) {
                Ok(bytes) => {
                    let at = clock::now();
                    let sent = buffer.first_chunk().map_or(0, |time| Nanos::from_le_bytes(*time));
                    heard.push(Heard { at, sent, bytes: bytes + HEADERS });
                }
                Err(_) if last => return heard,
                Err(_) => {}
            }
        }
    }

    /// Sends a packet that holds the time.
    fn send(&self, bytes: usize) -> io::Result<()> {
        let mut packet = [0_u8; PAYLOAD];
        packet[..8].copy_from_slice(&clock::now().to_le_bytes());
        match self.from.send(&packet[..bytes.clamp(8, PAYLOAD)]) {
            // The device's queue is full: a packet less.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

struct Heard {
    at: Nanos,
    sent: Nanos,
    bytes: usize,
}

pub(super) fn delay(planned: Duration, probes: u32) -> Result<MeasuredDelay, LabError> {
    let pair = Pair::new()?;
    // The first packet makes the link and wakes what sleeps.
    pair.hear(Duration::ZERO, || pair.send(8))?;
    pair.set(LinkState { delay: planned, jitter: Jitter::None, ..LinkState::default() })?;
    let heard = pair.hear(planned, || {
        (0..probes).try_for_each(|_| {
            thread::sleep(PROBE_EVERY);
            pair.send(64)
        })
    })?;
    let took = heard.iter().map(|one| one.at.saturating_sub(one.sent)).collect();
    Ok(MeasuredDelay { planned, measured: Spread::of(took) })
}

pub(super) fn loss(planned: f64, packets: u32) -> Result<MeasuredLoss, LabError> {
    let pair = Pair::new()?;
    pair.set(LinkState { loss: planned, ..LinkState::default() })?;
    let heard = pair.hear(Duration::ZERO, || {
        for number in 1..=packets {
            pair.send(64)?;
            if number % BURST == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    })?;
    let counters = pair.counters();
    Ok(MeasuredLoss {
        planned,
        packets: packets.into(),
        lost: u64::from(packets).saturating_sub(heard.len() as u64),
        counted: counters.dropped.get(&DropReason::Loss).copied().unwrap_or_default(),
    })
}

pub(super) fn rate(planned: u64, time: Duration) -> Result<MeasuredRate, LabError> {
    let pair = Pair::new()?;
    let rate = Some(Rate { bytes_per_second: planned, queue_bytes: QUEUE_BYTES });
    pair.set(LinkState { rate, ..LinkState::default() })?;
    let heard = pair.hear(Duration::ZERO, || {
        let start = Instant::now();
        let mut sent = 0.0;
        while start.elapsed() < time {
            // Half as much again as crosses.
            while sent < 1.5 * planned as f64 * start.elapsed().as_secs_f64() {
                pair.send(PAYLOAD)?;
                sent += (PAYLOAD + HEADERS) as f64;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    })?;
    let times = heard.first().zip(heard.last());
    let took = times.map_or(0, |(first, last)| last.at - first.at);
    // What the first brought was sent before it came.
    let bytes: usize = heard.iter().skip(1).map(|one| one.bytes).sum();
    let measured = if took > 0 { bytes as f64 / (took as f64 / 1e9) } else { 0.0 };
    Ok(MeasuredRate { planned, measured })
}

pub(super) fn flood(packets: u32) -> Result<MeasuredPacket, LabError> {
    let pair = Pair::new()?;
    let before = pair.lab.switch_cpu_time();
    pair.hear(Duration::ZERO, || (0..packets).try_for_each(|_| pair.send(PAYLOAD)))?;
    let spent = pair.lab.switch_cpu_time().zip(before);
    let packets = pair.counters().sent_packets;
    let each = |spent: Duration| spent / u32::try_from(packets).unwrap_or(u32::MAX).max(1);
    let cpu = spent.map(|(after, before)| each(after.saturating_sub(before)));
    Ok(MeasuredPacket { packets, cpu })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn who_hears_ends_also_where_who_sends_breaks() {
        let pair = Pair::new().expect("this host can make the lab: see `meshlab doctor`");
        let hear = || pair.hear(Duration::ZERO, || panic!("broken on purpose"));
        assert!(catch_unwind(AssertUnwindSafe(hear)).is_err());
    }
}
