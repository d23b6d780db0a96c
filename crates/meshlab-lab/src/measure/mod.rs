//! How well the switch does what it is told, on this host: planned against measured.
//!
//! Real namespaces, real sockets, real packets. `probes.rs` sends between two nodes, `cuts.rs` cuts
//! all links of many.

mod cuts;
mod probes;

use std::{
    io,
    net::{IpAddr, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use meshlab_model::NodeId;

use crate::{
    clock::{self, Nanos},
    error::LabError,
    lab::{Lab, NodeNet},
};

/// What is measured. The default takes about half a minute.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasureSettings {
    /// Delays to plan, each measured by itself. The one at zero is the host's own time and jitter.
    pub delays: Vec<Duration>,
    /// Probes for each delay, 2 ms apart.
    pub delay_probes: u32,
    /// Share of packets to lose, 0.0 to 1.0.
    pub loss: f64,
    /// Packets to lose it of.
    pub loss_packets: u32,
    /// Rates to plan, in bytes per second, IP headers included.
    pub rates: Vec<u64>,
    /// How long more than the rate is sent.
    pub rate_time: Duration,
    /// Nodes for the cuts: all links among them are cut at once.
    pub nodes: u32,
    /// How often they are cut and mended.
    pub cuts: u32,
    /// Namespaces to make, to see how long that takes.
    pub places: u32,
    /// Packets to send as fast as it goes, to see what one costs.
    pub flood_packets: u32,
}

impl Default for MeasureSettings {
    fn default() -> Self {
        Self {
            delays: [0, 10, 100].map(Duration::from_millis).to_vec(),
            delay_probes: 1000,
            loss: 0.1,
            loss_packets: 10_000,
            rates: vec![1 << 20, 8 << 20],
            rate_time: Duration::from_secs(3),
            nodes: 18,
            cuts: 100,
            places: 100,
            flood_packets: 200_000,
        }
    }
}

/// Planned against measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// One for each delay that was asked for.
    pub delays: Vec<MeasuredDelay>,
    /// The loss.
    pub loss: MeasuredLoss,
    /// One for each rate that was asked for.
    pub rates: Vec<MeasuredRate>,
    /// The cuts.
    pub cuts: MeasuredCuts,
    /// Namespaces with their devices and addresses.
    pub places: MeasuredPlaces,
    /// What a packet costs the switch.
    pub packet: MeasuredPacket,
}

/// How measured times spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many there were.
    pub samples: u64,
    /// Half of them are at most this.
    pub p50: Duration,
    /// 99 of 100 are at most this.
    pub p99: Duration,
    /// All of them are at most this.
    pub max: Duration,
}

impl Spread {
    fn of(mut all: Vec<Nanos>) -> Self {
        all.sort_unstable();
        // The smallest that so many percent do not exceed.
        let at = |percent: usize| {
            let place = (all.len() * percent).div_ceil(100).saturating_sub(1);
            Duration::from_nanos(all.get(place).copied().unwrap_or_default())
        };
        Self { samples: all.len() as u64, p50: at(50), p99: at(99), max: at(100) }
    }
}

/// A delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredDelay {
    /// What was set on the link.
    pub planned: Duration,
    /// From one program's send to the other's receive.
    pub measured: Spread,
}

/// A loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredLoss {
    /// The share that was set on the link.
    pub planned: f64,
    /// Packets sent.
    pub packets: u64,
    /// Packets that the receiving program never saw.
    pub lost: u64,
    /// Packets that the switch says it lost.
    pub counted: u64,
}

/// A rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredRate {
    /// What was set on the link, in bytes per second.
    pub planned: u64,
    /// What the receiving program had in a second, IP headers included.
    pub measured: f64,
}

/// Cuts of all links at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredCuts {
    /// Directed links that were cut.
    pub links: u64,
    /// From the planned moment to the one from which no packet crosses any of them.
    pub onset: Spread,
    /// From the planned moment to the one from which packets cross all of them.
    pub heal: Spread,
    /// Packets of the traffic that ran meanwhile.
    pub packets: u64,
    /// Those that crossed though they were sent after the onset and heard before the heal; 0, or
    /// the onset is not what it says.
    pub leaked: u64,
    /// Those that did not cross though they were sent after the heal and well before the next cut;
    /// 0, or the heal is not what it says (or the host was too busy to take them).
    pub missing: u64,
}

/// Namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredPlaces {
    /// How many.
    pub places: u32,
    /// How long all of them took.
    pub took: Duration,
}

/// What a packet costs the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredPacket {
    /// Packets that were sent as fast as one thread could.
    pub packets: u64,
    /// CPU time of the switch for each, system calls included; `None` where the system does not
    /// tell.
    pub cpu: Option<Duration>,
}

/// Measures how well the switch does what it is told, on this host as busy as it is now.
///
/// # Errors
/// The host cannot make the lab, or a socket in it.
pub fn measure(settings: &MeasureSettings) -> Result<Measured, LabError> {
    let delays =
        settings.delays.iter().map(|planned| probes::delay(*planned, settings.delay_probes));
    let delays = delays.collect::<Result<_, _>>()?;
    let loss = probes::loss(settings.loss, settings.loss_packets)?;
    let rates = settings.rates.iter().map(|planned| probes::rate(*planned, settings.rate_time));
    Ok(Measured {
        delays,
        loss,
        rates: rates.collect::<Result<_, _>>()?,
        cuts: cuts::cuts(settings.nodes, settings.cuts)?,
        places: places(settings.places)?,
        packet: probes::flood(settings.flood_packets)?,
    })
}

fn places(places: u32) -> Result<MeasuredPlaces, LabError> {
    let lab = Lab::new(1)?;
    let start = Instant::now();
    let nets = (0..places).map(|number| lab.add_node(&name(number)));
    let nets = nets.collect::<Result<Vec<NodeNet>, _>>()?;
    let took = start.elapsed();
    drop(nets);
    Ok(MeasuredPlaces { places, took })
}

fn name(number: u32) -> NodeId {
    NodeId(format!("node-{}", number + 1))
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> LabError {
    move |error| LabError::Measure { what, error }
}

/// A UDP socket in a node's network. It stays there, whoever uses it.
fn socket(net: &NodeNet) -> Result<UdpSocket, LabError> {
    let made = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            enter(&net.net_ns)?;
            UdpSocket::bind((IpAddr::from(net.ipv4), 7777))
        });
        worker.join().unwrap_or_else(|_| Err(io::Error::other("its thread broke")))
    });
    made.map_err(failed("make a socket in a namespace"))
}

/// Moves this thread into a network namespace.
fn enter(namespace: &OwnedFd) -> io::Result<()> {
    // SAFETY: concerns this thread only; the descriptor is open while it is borrowed.
    if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Sleeps until then by the clock of the switch.
fn sleep_until(at: Nanos) {
    thread::sleep(Duration::from_nanos(at.saturating_sub(clock::now())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let spread = Spread::of((1..=200).rev().collect());
        let nanos = [spread.p50, spread.p99, spread.max].map(|time| time.as_nanos());
        assert_eq!((spread.samples, nanos), (200, [100, 198, 200]));
        assert_eq!(Spread::of(vec![7]).p99.as_nanos(), 7);
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn everything_is_measured() {
        let planned = Duration::from_millis(5);
        let settings = MeasureSettings {
            delays: vec![Duration::ZERO, planned],
            delay_probes: 20,
            loss: 0.5,
            loss_packets: 400,
            rates: vec![100_000],
            rate_time: Duration::from_millis(300),
            nodes: 3,
            cuts: 3,
            places: 2,
            flood_packets: 500,
        };
        let measured = measure(&settings).unwrap();
        assert_eq!(measured.delays.iter().map(|one| one.measured.samples).sum::<u64>(), 40);
        assert!(measured.delays[1].measured.p50 >= planned);
        // Ten standard deviations of 400 draws at a half are 100.
        let loss = measured.loss;
        assert_eq!(loss.packets, 400);
        assert!((100..=300).contains(&loss.counted) && loss.lost >= loss.counted, "{loss:?}");
        assert!(measured.rates[0].measured > 0.0);
        assert_eq!((measured.cuts.links, measured.cuts.onset.samples), (6, 3));
        assert_eq!(measured.cuts.leaked, 0, "{:?}", measured.cuts);
        assert!(measured.places.took > Duration::ZERO);
        assert!(measured.packet.packets > 0);
    }
}
