//! What tells whose a process or a control group is, also after its harness has died.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::procfs::started_at;

/// A fleet of a harness: the harness's process id and start, which no other process ever has
/// together, and the fleet's number in it. In the environment of each node and in the name of each
/// group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pid: u32,
    started: u64,
    number: u32,
}

impl Mark {
    /// That of a new fleet of this process.
    pub(crate) fn new() -> Self {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), NUMBERS.fetch_add(1, Ordering::Relaxed));
        Self { pid, started: started_at(pid).unwrap_or_default(), number }
    }

    /// Whether the harness that it is of still runs.
    pub fn is_of_live_harness(self) -> bool {
        started_at(self.pid) == Some(self.started)
    }

    /// What [`fmt::Display`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(str::parse::<u64>);
        let mut next = || parts.next()?.ok();
        let (pid, started, number) = (next()?, next()?, next()?);
        Some(Self { pid: pid.try_into().ok()?, started, number: number.try_into().ok()? })
            .filter(|_| parts.next().is_none())
    }

    /// One whose harness is gone, with a number of its own.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        // Process 1 runs, and was not started at the end of time.
        Self { pid: 1, started: u64::MAX, ..Self::new() }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.pid, self.started, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_knows_whether_its_harness_lives() {
        let own = Mark::new();
        assert_eq!(Mark::parse(&own.to_string()), Some(own));
        assert!(own.is_of_live_harness() && !Mark::of_nobody().is_of_live_harness());
        assert_ne!(Mark::new(), own, "each fleet has its own");
        for garbage in ["", "1-2", "1-2-3-4", "1-x-3", "99999999999-1-1", "-1-2-3"] {
            assert_eq!(Mark::parse(garbage), None, "{garbage}");
        }
    }
}
