//! The node's own load: CPU and memory of this process, and of no other.
//!
//! Three small files of `/proc/self` are read when somebody needs the figures; the process table
//! of the host is never looked at.

use std::{
    fs,
    time::{Duration, Instant},
};

/// A load may fall this far below its budget before the node says that it is well again, so that
/// a load at the budget does not flap.
const WELL_BELOW: f64 = 0.9;

/// CPU and memory of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Share of one core since the last reading, in thousandths.
    pub(crate) cpu_permille: u32,
    /// Resident memory, in MiB, rounded up.
    pub(crate) rss_mib: u32,
}

/// What the node may use, as it was told at its start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Budget {
    /// Share of one core, 1.0 is all of it.
    pub(crate) cpu_cores: Option<f64>,
    /// Resident memory, in MiB.
    pub(crate) rss_mib: Option<u32>,
}

impl Budget {
    /// Whether there is anything to hold.
    pub(crate) fn is_set(&self) -> bool {
        self.cpu_cores.is_some() || self.rss_mib.is_some()
    }

    /// Whether `load` is over, for a node that was over (or not) before.
    pub(crate) fn is_over(&self, load: Load, was_over: bool) -> bool {
        let share = if was_over { WELL_BELOW } else { 1.0 };
        let over = |used: f64, budget: Option<f64>| budget.is_some_and(|max| used > max * share);
        over(f64::from(load.cpu_permille) / 1000.0, self.cpu_cores)
            || over(f64::from(load.rss_mib), self.rss_mib.map(f64::from))
    }
}

/// Reads the load of this process.
#[derive(Debug)]
pub(crate) struct OwnLoad {
    last: Option<(Instant, Duration)>,
    load: Load,
    #[cfg(feature = "defects")]
    all: Option<sysinfo::System>,
}

impl OwnLoad {
    /// Nothing was read yet.
    pub(crate) fn new() -> Self {
        Self {
            last: None,
            load: Load::default(),
            #[cfg(feature = "defects")]
            all: sysinfo::System::new().ok(),
        }
    }

    /// What was read last.
    pub(crate) fn latest(&self) -> Load {
        self.load
    }

    /// Reads anew. What cannot be read keeps its last value: a node does not end over a figure.
    pub(crate) fn read(&mut self, now: Instant) -> Load {
        #[cfg(feature = "defects")]
        if crate::defects::looks_at_all_processes()
            && let Some(all) = &mut self.all
        {
            all.refresh_processes(sysinfo::ProcessesToUpdate::All, true);
        }
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(spent) = cpu_time(&stat) {
            if let Some((at, before)) = self.last {
                self.load.cpu_permille = share(spent.saturating_sub(before), now - at);
            }
            self.last = Some((now, spent));
        }
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        if let Some(rss) = resident_mib(&statm) {
            self.load.rss_mib = rss;
        }
        self.load
    }
}

impl Default for OwnLoad {
    fn default() -> Self {
        Self::new()
    }
}

fn share(spent: Duration, elapsed: Duration) -> u32 {
    if elapsed.is_zero() {
        return 0;
    }
    (spent.as_secs_f64() / elapsed.as_secs_f64() * 1000.0).round() as u32
}

/// User and system time of `/proc/self/stat`: fields 14 and 15 (proc(5)), counted after the
/// program's name, which may itself hold blanks and parentheses.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    // USER_HZ is 100 on every Linux that this builds for.
    Some(Duration::from_millis(ticks * 10))
}

/// Second field of `/proc/self/statm`, in pages.
fn resident_mib(statm: &str) -> Option<u32> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: sysconf reads a constant of the running system and touches no memory of ours.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    u32::try_from((pages * page).div_ceil(1024 * 1024)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 2 0 100 1 1";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_time("7 (a"), None);
        assert_eq!(cpu_time("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_a_load() {
        let mut own = OwnLoad::new();
        let start = Instant::now();
        own.read(start);
        let spent = || cpu_time(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        let (before, mut sum) = (spent(), 0_u64);
        // Some work, so that there is CPU time to see, however busy the host is; the clock of it
        // ticks every 10 ms.
        while spent() < before + Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let load = own.read(Instant::now());
        assert!(load.rss_mib > 0 && load.cpu_permille > 0, "{load:?} after {sum}");
    }

    #[test]
    fn over_is_over_and_well_is_well_below() {
        let budget = Budget { cpu_cores: Some(0.5), rss_mib: Some(100) };
        let load = |cpu_permille, rss_mib| Load { cpu_permille, rss_mib };
        assert!(!budget.is_over(load(500, 100), false), "at the budget is within it");
        assert!(budget.is_over(load(501, 10), false));
        assert!(budget.is_over(load(10, 101), false));
        assert!(budget.is_over(load(460, 10), true), "not yet well below");
        assert!(!budget.is_over(load(440, 89), true));
        assert!(!Budget::default().is_over(load(9000, 9000), false));
    }
}
