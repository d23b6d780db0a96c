//! A program and everything that it started: what they use together.
//!
//! Members are found by their network namespace where the program has one of its own, which nothing
//! that it starts leaves; else by who started them. CPU time is a sum that never falls: of what has
//! ended and was waited for the kernel keeps the time with the parent, and of what was waited for
//! by nobody here the last reading is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
};

use crate::{
    ProcessReading, SampleError,
    process::{Family, parent_of, read_family},
};

/// Who is who's among the processes of this host, read once for many programs.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// By the inode of their network namespace.
    networks: BTreeMap<u64, Vec<u32>>,
    /// By who started them.
    children: BTreeMap<u32, Vec<u32>>,
}

impl Census {
    /// Of these networks; of everybody by who started it only where somebody has no network of its
    /// own, because that takes longer.
    pub(crate) fn read(wanted: &BTreeSet<u64>, by_parent: bool) -> Self {
        let mut census = Self::default();
        if wanted.is_empty() && !by_parent {
            return census;
        }
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            // One that may not be looked at here is none of ours.
            let held = match wanted.is_empty() {
                true => None,
                false => fs::metadata(format!("/proc/{pid}/ns/net")).ok().map(|held| held.ino()),
            };
            if let Some(network) = held.filter(|network| wanted.contains(network)) {
                census.networks.entry(network).or_default().push(pid);
            }
            if by_parent && let Some(parent) = parent_of(pid) {
                census.children.entry(parent).or_default().push(pid);
            }
        }
        census
    }

    fn of(&self, network: Option<u64>) -> &[u32] {
        network.and_then(|network| self.networks.get(&network)).map_or(&[], Vec::as_slice)
    }

    fn children(&self, pid: u32) -> &[u32] {
        self.children.get(&pid).map_or(&[], Vec::as_slice)
    }
}

/// What was known of a tree at its last reading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    spent_micros: u64,
    members: BTreeMap<u32, Family>,
}

impl Tree {
    /// Reads all of it: what it uses together, and the tree as it is now.
    pub(crate) fn read(
        &self,
        root: u32,
        network: Option<u64>,
        census: &Census,
    ) -> Result<(ProcessReading, Self), SampleError> {
        let first = read_family(root)?;
        let mut members = BTreeMap::from([(root, first)]);
        // One that has ended and was not waited for yet is in no network any more.
        let known = self.members.keys().copied();
        let mut left: Vec<u32> = census.of(network).iter().copied().chain(known).collect();
        left.extend(census.children(root));
        while let Some(pid) = left.pop() {
            if members.contains_key(&pid) {
                continue;
            }
            let Ok(family) = read_family(pid) else { continue };
            // Its number may be another process's now.
            let known = self.members.get(&pid);
            if known.is_some_and(|known| known.own.start_ticks != family.own.start_ticks) {
                continue;
            }
            members.insert(pid, family);
            left.extend(census.children(pid));
        }
        let tree = Self { spent_micros: self.spent_with(&members), members };
        let all = || tree.members.values().map(|family| &family.own);
        let reading = ProcessReading {
            cpu_micros_total: tree.spent_micros,
            rss_bytes: all().map(|one| one.rss_bytes).sum(),
            open_files: all().map(|one| one.open_files).sum(),
            threads: all().map(|one| one.threads).sum(),
            start_ticks: first.own.start_ticks,
        };
        Ok((reading, tree))
    }

    /// CPU time up to now, of those that run and those that have ended.
    fn spent_with(&self, now: &BTreeMap<u32, Family>) -> u64 {
        let sum = |members: &BTreeMap<u32, Family>| -> u64 {
            members.values().map(Family::cpu_micros).sum()
        };
        // Who was waited for by one of these is in that one's sum; who was not is in nobody's.
        let gone = self.members.iter().filter(|(pid, _)| !now.contains_key(pid));
        let lost = gone.filter(|(_, family)| !now.contains_key(&family.parent));
        let lost: u64 = lost.map(|(_, family)| family.cpu_micros()).sum();
        self.spent_micros + (sum(now) + lost).saturating_sub(sum(&self.members))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
        time::{Duration, Instant},
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    fn until(mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + LONG;
        while !holds() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
    }

    fn read(tree: &mut Tree, root: u32) -> ProcessReading {
        let (reading, now) = tree.read(root, None, &Census::read(&BTreeSet::new(), true)).unwrap();
        *tree = now;
        reading
    }

    #[test]
    fn a_worker_below_a_shell_is_seen_and_what_it_spent_stays() {
        // The worker works for as long as it is left alone; the shell only waits.
        let script = "sh -c 'echo $$; while :; do :; done' & wait; read -r line; :";
        let mut child = shell(script);
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let worker: i32 = line.trim().parse().unwrap();
        let mut tree = Tree::default();
        let alone = crate::read_process(child.id()).unwrap();
        until(|| read(&mut tree, child.id()).cpu_micros_total > 300_000);
        let both = read(&mut tree, child.id());
        assert!(both.threads > alone.threads && both.rss_bytes > alone.rss_bytes, "{both:?}");
        let own = crate::read_process(child.id()).unwrap().cpu_micros_total;
        assert!(own < 300_000, "the shell itself did next to nothing: {own}");
        // SAFETY: a plain signal to a process of this test.
        unsafe { libc::kill(worker, libc::SIGKILL) };
        let mut last = both.cpu_micros_total;
        until(|| {
            let now = read(&mut tree, child.id());
            assert!(now.cpu_micros_total >= last, "CPU time never falls: {now:?} after {last}");
            last = now.cpu_micros_total;
            now.threads == alone.threads
        });
        let slack = 5_000_000;
        assert!(last < both.cpu_micros_total + slack, "nothing is counted twice: {last}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree.read(child.id(), None, &Census::default()).is_err());
    }

    #[test]
    fn what_nobody_waited_for_is_kept_and_who_was_waited_for_is_counted_once() {
        let own = |cpu_micros_total| ProcessReading {
            cpu_micros_total,
            rss_bytes: 0,
            open_files: 0,
            threads: 1,
            start_ticks: 1,
        };
        let family = |cpu, waited_micros, parent| Family { own: own(cpu), waited_micros, parent };
        let before = BTreeMap::from([
            (10, family(100, 0, 1)),
            (11, family(50, 0, 10)),
            (12, family(70, 0, 1)),
        ]);
        let tree = Tree { spent_micros: 220, members: before };
        // 11 was waited for by 10, after another 5; 12 had left, and ended.
        let now = BTreeMap::from([(10, family(110, 55, 1))]);
        assert_eq!(tree.spent_with(&now), 220 + 10 + 5);
    }

    #[test]
    fn who_is_in_a_network_is_found_by_it() {
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        let census = Census::read(&BTreeSet::from([own]), false);
        assert!(census.of(Some(own)).contains(&std::process::id()));
        assert!(census.of(Some(1)).is_empty() && census.of(None).is_empty());
    }
}
