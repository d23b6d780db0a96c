//! Limits that hold for every node of a run: how much of something it may use, and grow by.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{ByteSize, Percent};

/// Name of a number that nodes count themselves, such as `connections.opened`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterName(&'static str);

impl CounterName {
    /// The name. Each is kept for as long as the process lives, once: a scenario names a few.
    pub fn new(name: &str) -> Self {
        static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Self(known);
        }
        let kept: &'static str = Box::leak(name.into());
        names.insert(kept);
        Self(kept)
    }

    /// Its text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// Something that a process uses and that has limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Share of one core, averaged over one sample period; 1.0 is all of it.
    Cpu,
    /// Resident memory, in bytes.
    Rss,
    /// Open file descriptors.
    OpenFiles,
    /// Threads.
    Threads,
    /// What nodes count themselves under this name.
    Counter(CounterName),
}

impl Resource {
    /// All that the harness samples itself.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Rss, Self::OpenFiles, Self::Threads];

    /// Its name in a scenario.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Rss => "rss",
            Self::OpenFiles => "open_files",
            Self::Threads => "threads",
            Self::Counter(name) => name.as_str(),
        }
    }

    /// An amount of it, for people; below zero too.
    pub fn amount(self, value: f64) -> String {
        let sign = if value < 0.0 { "-" } else { "" };
        match self {
            Self::Cpu => Percent(value).to_string(),
            Self::Rss => format!("{sign}{}", ByteSize(value.abs().round() as u64)),
            _ if value.fract() == 0.0 => format!("{value:.0}"),
            _ => format!("{value:.2}"),
        }
    }

    /// A growth in its unit a second, for people: an amount an hour.
    pub fn growth(self, per_second: f64) -> String {
        format!("{}/h", self.amount(per_second * 3600.0))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The most that a node may use at any sample.
pub type Ceilings = BTreeMap<Resource, f64>;

/// What a test is doing to its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No fault has acted yet.
    Idle,
    /// A fault acts or heals, or a chaos goes on.
    Chaos,
    /// Faults have acted, and all of them have healed.
    Recovered,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Chaos, Self::Recovered];

    /// Its name in a scenario.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Chaos => "chaos",
            Self::Recovered => "recovered",
        }
    }
}

/// A limit on the samples of some nodes, or of some of the time.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// Of what.
    pub resource: Resource,
    /// How much, in the resource's unit.
    pub limit: f64,
    /// Whether it is the least that is needed, rather than the most that is allowed.
    pub least: bool,
    /// Only nodes of this role; all of them if absent.
    pub role: Option<String>,
    /// Only in this phase; all the time if absent.
    pub phase: Option<Phase>,
}

/// The most that the nodes may grow by.
pub type Trends = BTreeMap<Resource, Trend>;

/// A limit on a slope.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// In the resource's unit a second, or for each peer that went away (`per_peer`); the upper end
    /// of the interval of the slope stays below it.
    pub max_growth: f64,
    /// What is left out at the start of each process.
    pub after: Duration,
    /// The least time of samples of a node; with less nothing is decided.
    pub needs: Duration,
    /// Whether the slope is by how many peers went away, rather than by time.
    pub per_peer: bool,
    /// Whether the run ends as soon as it is certain that more is grown by.
    pub stop_when_certain: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_unit_of_what_they_are_of() {
        let said = [
            Resource::Cpu.amount(0.25),
            Resource::Rss.amount(200.0 * 1024.0 * 1024.0),
            Resource::Rss.growth(-1024.0 / 3600.0),
            Resource::OpenFiles.amount(512.0),
            Resource::Threads.growth(0.1 / 3600.0),
            Resource::Counter(CounterName::new("tasks")).amount(40.0),
        ];
        assert_eq!(said, ["25.00 %", "200.0 MiB", "-1.0 KiB/h", "512", "0.10/h", "40"]);
        assert_eq!(CounterName::new("tasks"), CounterName::new("tasks"));
    }
}
