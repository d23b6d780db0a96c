//! What a fault can be told.

use std::{fmt, time::Duration};

use meshlab_model::{ByteSize, Percent, format_duration};

/// What a scenario can set for a fault, beside whom it hurts and how long it lasts. Each fault
/// reads its own; what it cannot do without and was not given is [`FaultError::NotSet`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Settings {
    /// Share of packets that is lost; 1.0 is all.
    pub loss: Option<Percent>,
    /// Mean number of packets lost in a row, at least 1.0; absent: each is lost by itself.
    pub burst: Option<f64>,
    /// Share of packets that arrives twice.
    pub duplicate: Option<Percent>,
    /// Share of packets that arrives late, behind those sent after it.
    pub reorder: Option<Percent>,
    /// Share of packets in which a bit is flipped.
    pub corrupt: Option<Percent>,
    /// How much later than it was sent a packet arrives.
    pub delay: Option<Duration>,
    /// How much the delay varies to either side, evenly.
    pub jitter: Option<Duration>,
    /// Which packets of the node are meant, for a fault of its links.
    pub direction: Direction,
    /// Bytes of the largest packet on a node's line, IP header included.
    pub mtu: Option<u64>,
    /// Whether larger ones vanish without an answer.
    pub black_hole: bool,
    /// Bytes in a second that cross a link.
    pub rate: Option<u64>,
    /// How the link goes down and up, or slow and fast again.
    pub flap: Option<Flap>,
    /// How far the node's wall clock is set forward, in microseconds; negative is back.
    pub skew_micros: Option<i64>,
    /// How much faster than real time it runs; negative is slower.
    pub drift: Option<Percent>,
    /// CPU time that a process may use, as a share of one core.
    pub cores: Option<Percent>,
    /// Memory that a process may use, in bytes.
    pub memory: Option<u64>,
    /// Files that a process may have open.
    pub files: Option<u64>,
    /// Most bytes of filler that are written to fill a disk.
    pub disk_limit: Option<u64>,
}

impl fmt::Display for Settings {
    /// What was given, as a scenario gives it: `delay = "200 ms", direction = "in"`. Empty if
    /// nothing was.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |share: Option<Percent>| share.map(|share| share.to_string());
        let time = |time: Option<Duration>| time.map(format_duration);
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| ByteSize(bytes).to_string());
        let flap = |part: fn(Flap) -> String| self.flap.map(part);
        let direction = match self.direction {
            Direction::Out => None,
            Direction::In => Some("in".to_owned()),
            Direction::Both => Some("both".to_owned()),
        };
        let skew = self.skew_micros.map(|micros| {
            let sign = if micros < 0 { "-" } else { "" };
            format!("{sign}{}", format_duration(Duration::from_micros(micros.unsigned_abs())))
        });
        // With a delay it is the delay that comes and goes.
        let (down, up) = if self.delay.is_some() { ("spike", "calm") } else { ("down", "up") };
        let given = [
            ("loss", share(self.loss)),
            ("burst", self.burst.map(|packets| packets.to_string())),
            ("duplicate", share(self.duplicate)),
            ("reorder", share(self.reorder)),
            ("corrupt", share(self.corrupt)),
            ("delay", time(self.delay)),
            ("jitter", time(self.jitter)),
            ("direction", direction),
            ("bytes", self.mtu.map(|bytes| bytes.to_string())),
            ("black_hole", self.black_hole.then(|| "true".to_owned())),
            ("rate", bytes(self.rate).map(|bytes| format!("{bytes}/s"))),
            (down, flap(|flap| format_duration(flap.down))),
            (up, flap(|flap| format_duration(flap.up))),
            ("count", flap(|flap| flap.count.to_string())),
            ("by", skew),
            ("drift", share(self.drift)),
            ("cpu", share(self.cores)),
            ("memory", bytes(self.memory)),
            ("files", self.files.map(|files| files.to_string())),
            ("limit", bytes(self.disk_limit)),
        ];
        let given = given.into_iter().filter_map(|(key, value)| Some((key, value?)));
        for (place, (key, value)) in given.enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{key} = \"{value}\"")?;
        }
        Ok(())
    }
}

/// Which packets of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Those that it sends.
    #[default]
    Out,
    /// Those that it receives.
    In,
    /// Both.
    Both,
}

/// A link that goes down and up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flap {
    /// How long it is down, each time.
    pub down: Duration,
    /// How long it is up between.
    pub up: Duration,
    /// How often it goes down, at least once.
    pub count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_reads_as_it_was_written() {
        let settings = Settings {
            loss: Some(Percent(0.1)),
            direction: Direction::Both,
            rate: Some(256 * 1024),
            skew_micros: Some(-30_000_000),
            ..Settings::default()
        };
        let said =
            "loss = \"10.00 %\", direction = \"both\", rate = \"256.0 KiB/s\", by = \"-30.0 s\"";
        assert_eq!(settings.to_string(), said);
        assert_eq!(Settings::default().to_string(), "");
    }
}
