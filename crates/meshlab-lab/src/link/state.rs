//! What can be set on a link, with units and ranges.

use std::time::Duration;

/// Longest delay, jitter or gap. Longer is a cut by another name, and would only fill memory.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// What is set on one direction of a link, or on one side of a node. The default is nothing.
///
/// A packet meets three of these: what its sender's node sends, the pair's own, and what its
/// receiver's node receives ([`Side`]). They compose like three links in a row:
///
/// - It is dropped if any of them drops it; the draws are independent, so shares `p`, `q` and `r`
///   together lose `1 - (1-p)(1-q)(1-r)`. Each drop is counted once, a cut before a loss.
/// - Delays add up, jitter included; each that duplicates adds a copy; each that corrupts flips a
///   bit.
/// - A node's rate is shared by all its links in that direction, like the line that it is attached
///   to. Of several rates the slowest counts. All rates are met before any delay.
///
/// Packets from one node to another keep their order, unless one is drawn by
/// [`reorder`](Self::reorder). So jitter is bounded from below by the packet before. When a delay
/// or a rate is changed, what is in flight arrives when it was to, but not later than what is sent
/// after the change: a link whose impairment is taken back is whole at once.
/// Of one pair, 16 MiB or 16,384 packets are in flight at most; what is more is dropped and counted
/// ([`DelayQueue`](crate::DropReason::DelayQueue)).
///
/// What is drawn depends on the lab's seed and the pair's names. Each impairment has a stream of
/// its own, and draws for every packet that is sent while it is on, also for those that another
/// one drops: turning one on or off does not shift what another does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LinkState {
    /// Whether no packet crosses it. What is in flight when it is cut is dropped too.
    pub cut: bool,
    /// Share of its packets that is lost, each by itself: 0.0 none, 1.0 all.
    pub loss: f64,
    /// Loss in bursts, beside the loss above.
    pub bursts: Option<Bursts>,
    /// How much later than it was sent a packet arrives; at most an hour.
    pub delay: Duration,
    /// How much the delay varies.
    pub jitter: Jitter,
    /// Share of its packets that arrives twice, the copy right behind the original. A copy takes
    /// no part of a rate: it is made behind the bottleneck.
    pub duplicate: f64,
    /// Packets that do not keep their order.
    pub reorder: Option<Reorder>,
    /// Packets in which a bit is flipped.
    pub corrupt: Option<Corruption>,
    /// How much crosses it in a second.
    pub rate: Option<Rate>,
}

/// Which of a node's packets a setting is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Those that it sends, to any node.
    Sends,
    /// Those that it receives, from any node.
    Receives,
}

/// Loss in bursts: the two-state model of Gilbert ("Capacity of a burst-noise channel", 1960) and
/// Elliott (1963), in which the bad state loses every packet and the good state none. The states
/// change by packets, not by time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// Share of all packets that is lost in the long run, 0.0 to `mean / (1 + mean)`; or 1.0. More
    /// than that cannot be reached with at least one good packet between two bursts.
    pub share: f64,
    /// Mean number of packets lost in a row, at least 1.0.
    pub mean_packets: f64,
}

/// How much a delay varies, drawn for each packet. A delay does not go below zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Jitter {
    /// Not at all.
    #[default]
    None,
    /// By as much as this to either side, evenly.
    Uniform(Duration),
    /// By the normal distribution with this standard deviation (Box and Muller, 1958).
    Normal(Duration),
}

/// Packets that do not keep their order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reorder {
    /// Share of packets, 0.0 to 1.0.
    pub share: f64,
    /// What happens to them.
    pub how: Reordering,
}

/// How a packet leaves its place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reordering {
    /// It skips the delay and jitter of the same [`LinkState`], and so overtakes those that are
    /// delayed. Without a delay there is nothing to overtake.
    Overtake,
    /// It is held back for so long in addition, and those behind it overtake it.
    HoldBack(Duration),
}

/// Packets in which one bit is flipped, at random within the payload behind the IP and the UDP or
/// TCP header. Packets without such a payload stay whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// The checksum stays as it was, as on a real wire. The receiver's kernel finds that it does
    /// not match and drops the packet: to a program this is loss. (A UDP packet over IPv4 without
    /// a checksum gets through.)
    #[default]
    Stale,
    /// The UDP or TCP checksum is made to match, so that the flipped bit reaches the program: what
    /// a broken middlebox or bad memory behind the network card does. The program's own integrity
    /// check, such as QUIC's, is all that is left.
    Fixed,
}

/// How often and how packets are corrupted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corruption {
    /// Share of packets, 0.0 to 1.0.
    pub share: f64,
    /// Whether the receiver's kernel will notice.
    pub checksum: Checksum,
}

/// How much crosses in a second. Packets are sent one after the other at this pace, IP headers
/// included, by a virtual clock (Zhang, "VirtualClock", 1990) that gives no credit for silence;
/// they wait in a queue, and what finds it full is dropped (drop-tail).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bytes in a second, at least 1.
    pub bytes_per_second: u64,
    /// Bytes that may wait, at least 1. An idle link takes one packet of any size.
    pub queue_bytes: u64,
}

/// A setting that is none. Completes "failed to set ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {setting}: {got} {problem}")]
pub struct InvalidSetting {
    /// Which setting.
    pub setting: &'static str,
    /// What was asked for.
    pub got: String,
    /// What is wrong with it, and what to give instead.
    pub problem: &'static str,
}

impl InvalidSetting {
    pub(crate) fn new(setting: &'static str, got: impl ToString, problem: &'static str) -> Self {
        Self { setting, got: got.to_string(), problem }
    }
}

impl LinkState {
    /// Whether nothing is set.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first that is out of it.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        share("loss", self.loss)?;
        share("duplicate", self.duplicate)?;
        time("delay", self.delay)?;
        match self.jitter {
            Jitter::None => {}
            Jitter::Uniform(spread) | Jitter::Normal(spread) => time("jitter", spread)?,
        }
        if let Some(bursts) = self.bursts {
            bursts.check()?;
        }
        if let Some(reorder) = self.reorder {
            share("reorder", reorder.share)?;
            if let Reordering::HoldBack(gap) = reorder.how {
                time("reorder gap", gap)?;
            }
        }
        if let Some(corrupt) = self.corrupt {
            share("corrupt", corrupt.share)?;
        }
        if let Some(Rate { bytes_per_second, queue_bytes }) = self.rate {
            let problem = "is nothing, give at least one byte";
            if bytes_per_second == 0 {
                return Err(InvalidSetting::new("rate", "0 bytes per second", problem));
            }
            if queue_bytes == 0 {
                return Err(InvalidSetting::new("queue of the rate", "0 bytes", problem));
            }
        }
        Ok(())
    }
}

impl Bursts {
    fn check(self) -> Result<(), InvalidSetting> {
        share("bursts", self.share)?;
        if !(self.mean_packets >= 1.0 && self.mean_packets.is_finite()) {
            let problem = "is no length of a burst, give at least 1.0 packets";
            return Err(InvalidSetting::new("mean of the bursts", self.mean_packets, problem));
        }
        if self.share < 1.0 && self.share > self.mean_packets / (1.0 + self.mean_packets) {
            let problem = "is too large for bursts this short, give at most mean / (1 + mean)";
            return Err(InvalidSetting::new("bursts", self.share, problem));
        }
        Ok(())
    }
}

fn share(setting: &'static str, got: f64) -> Result<(), InvalidSetting> {
    if (0.0..=1.0).contains(&got) {
        return Ok(());
    }
    Err(InvalidSetting::new(setting, got, "is no share, give 0.0 (none) to 1.0 (all)"))
}

fn time(setting: &'static str, got: Duration) -> Result<(), InvalidSetting> {
    if got <= TIME_MAX {
        return Ok(());
    }
    Err(InvalidSetting::new(setting, format!("{got:?}"), "is too long, give at most an hour"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        assert!(LinkState::default().check().is_ok() && LinkState::default().is_nothing());
        let base = LinkState::default();
        let day = Duration::from_secs(86_400);
        let bursts = |share, mean_packets| Some(Bursts { share, mean_packets });
        let rate = |bytes_per_second, queue_bytes| Some(Rate { bytes_per_second, queue_bytes });
        let reorder = |share, how| Some(Reorder { share, how });
        let checksum = Checksum::Stale;
        for (state, word) in [
            (LinkState { loss: f64::NAN, ..base }, "the loss: NaN is no share"),
            (LinkState { duplicate: -0.1, ..base }, "the duplicate: -0.1 is no share"),
            (LinkState { delay: day, ..base }, "the delay: 86400s is too long"),
            (LinkState { jitter: Jitter::Normal(day), ..base }, "the jitter: 86400s"),
            (LinkState { bursts: bursts(0.1, 0.5), ..base }, "the mean of the bursts: 0.5"),
            (LinkState { bursts: bursts(0.7, 2.0), ..base }, "the bursts: 0.7 is too large"),
            (LinkState { bursts: bursts(0.1, f64::INFINITY), ..base }, "mean of the bursts: inf"),
            (LinkState { rate: rate(0, 1), ..base }, "the rate: 0 bytes per second"),
            (LinkState { rate: rate(1, 0), ..base }, "the queue of the rate: 0 bytes"),
            (
                LinkState { reorder: reorder(0.1, Reordering::HoldBack(day)), ..base },
                "the reorder gap: 86400s",
            ),
            (LinkState { reorder: reorder(2.0, Reordering::Overtake), ..base }, "the reorder: 2"),
            (
                LinkState { corrupt: Some(Corruption { share: 7.0, checksum }), ..base },
                "the corrupt: 7 is no share",
            ),
        ] {
            let error = state.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error} has no {word}");
        }
        for bursts in [bursts(2.0 / 3.0, 2.0), bursts(1.0, 1.0), bursts(0.0, 10.0)] {
            assert_eq!(LinkState { bursts, ..base }.check(), Ok(()));
        }
    }
}
