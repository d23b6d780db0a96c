//! How long a process that could run was kept waiting for a processor, by the kernel's word: a
//! process that hangs, or that was stopped, does not wait for one. One that spins does on a busy
//! host, but it runs too.

use std::{collections::BTreeMap, fs, time::Duration};

/// The threads of a process, and what each had had when this was made.
#[derive(Debug, Clone)]
pub struct RunQueue {
    pid: u32,
    before: BTreeMap<u32, ThreadTime>,
}

/// What a thread has had of the processors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ThreadTime {
    /// How long it was on one.
    pub ran: Duration,
    /// How long it could run and waited for one.
    pub waited: Duration,
}

impl RunQueue {
    /// From now on.
    pub fn of(pid: u32) -> Self {
        Self { pid, before: threads(pid) }
    }

    /// What the thread that waited longest has had since then, from `schedstat` of `/proc`.
    /// Nothing where the process is gone or the kernel does not count it.
    pub fn longest(&self) -> ThreadTime {
        longest(&self.before, &threads(self.pid))
    }

    /// How long that thread has waited.
    pub fn waited(&self) -> Duration {
        self.longest().waited
    }
}

fn longest(before: &BTreeMap<u32, ThreadTime>, now: &BTreeMap<u32, ThreadTime>) -> ThreadTime {
    let since = |(thread, now): (&u32, &ThreadTime)| {
        let before = before.get(thread).copied().unwrap_or_default();
        ThreadTime {
            ran: now.ran.saturating_sub(before.ran),
            waited: now.waited.saturating_sub(before.waited),
        }
    };
    now.iter().map(since).max_by_key(|time| time.waited).unwrap_or_default()
}

fn threads(pid: u32) -> BTreeMap<u32, ThreadTime> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let one = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((task.file_name().to_str()?.parse().ok()?, thread_time(&text)?))
    };
    tasks.filter_map(|task| one(task.ok()?)).collect()
}

/// `schedstat` is time on a processor and time spent waiting for one, in nanoseconds, and how often
/// it got one.
fn thread_time(text: &str) -> Option<ThreadTime> {
    let mut fields = text.split_whitespace();
    let mut time = || fields.next()?.parse().ok().map(Duration::from_nanos);
    Some(ThreadTime { ran: time()?, waited: time()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(ran: u64, waited: u64) -> ThreadTime {
        ThreadTime { ran: Duration::from_nanos(ran), waited: Duration::from_nanos(waited) }
    }

    #[test]
    fn what_it_ran_is_told_of_the_thread_that_waited_longest() {
        let before = BTreeMap::from([(1, time(100, 50)), (2, time(7, 900))]);
        let spins = BTreeMap::from([(1, time(600, 450)), (2, time(8, 1000)), (3, time(9, 10))]);
        assert_eq!(longest(&before, &spins), time(500, 400));
        let starves = BTreeMap::from([(1, time(600, 60)), (2, time(8, 1000)), (3, time(9, 10))]);
        assert_eq!(longest(&before, &starves), time(1, 100));
        assert_eq!(longest(&before, &BTreeMap::new()), ThreadTime::default(), "it is gone");
    }

    #[test]
    fn only_times_are_read_and_only_what_came_since() {
        assert_eq!(thread_time("977117 5630681 2\n"), Some(time(977_117, 5_630_681)));
        assert_eq!((thread_time(""), thread_time("1 x 2"), thread_time("1")), (None, None, None));
        let mut own = RunQueue::of(std::process::id());
        assert!(
            own.before.values().any(|time| time.waited > Duration::ZERO),
            "this kernel counts it"
        );
        // As if it had been less: the difference is what it had. Of all, because a thread of
        // another test may end meanwhile.
        own.before.values_mut().for_each(|time| *time = ThreadTime::default());
        let had = own.longest();
        assert!(had.ran > Duration::ZERO && had.waited > Duration::ZERO, "{had:?}");
        assert_eq!(RunQueue::of(u32::MAX).waited(), Duration::ZERO, "nobody");
    }
}
