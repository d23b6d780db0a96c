//! How long a process that could run was kept waiting for a processor, by the kernel's word: a
//! process that hangs, or that was stopped, does not wait for one.

use std::{collections::BTreeMap, fs, time::Duration};

/// The threads of a process, and how long each had waited when this was made.
#[derive(Debug, Clone)]
pub struct RunQueue {
    pid: u32,
    before: BTreeMap<u32, Duration>,
}

impl RunQueue {
    /// From now on.
    pub fn of(pid: u32) -> Self {
        Self { pid, before: threads(pid) }
    }

    /// How long the thread that waited longest has waited since then, from `schedstat` of
    /// `/proc`. Nothing where the process is gone or the kernel does not count it.
    pub fn waited(&self) -> Duration {
        let since = |(thread, now): (u32, Duration)| {
            now.saturating_sub(self.before.get(&thread).copied().unwrap_or_default())
        };
        threads(self.pid).into_iter().map(since).max().unwrap_or_default()
    }
}

fn threads(pid: u32) -> BTreeMap<u32, Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let one = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((task.file_name().to_str()?.parse().ok()?, waited(&text)?))
    };
    tasks.filter_map(|task| one(task.ok()?)).collect()
}

/// `schedstat` is time on a processor and time spent waiting for one, in nanoseconds, and how often
/// it got one.
fn waited(text: &str) -> Option<Duration> {
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wait_is_read_and_only_what_came_since() {
        assert_eq!(waited("977117 5630681 2\n"), Some(Duration::from_nanos(5_630_681)));
        assert_eq!((waited(""), waited("1 x 2")), (None, None));
        let mut own = RunQueue::of(std::process::id());
        assert!(
            own.before.values().any(|waited| *waited > Duration::ZERO),
            "this kernel counts it"
        );
        // As if it had been less: the difference is what it waited. Of all, because a thread of
        // another test may end meanwhile.
        own.before.values_mut().for_each(|waited| *waited = Duration::ZERO);
        assert!(own.waited() > Duration::ZERO);
        assert_eq!(RunQueue::of(u32::MAX).waited(), Duration::ZERO, "nobody");
    }
}
