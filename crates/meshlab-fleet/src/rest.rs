//! What a program that has ended, or is about to, started beside itself.
//!
//! A node is one process to the harness; a program that nobody wrote for it may fork and leave. Its
//! children bear the node's mark in their environment, unless they cleared it, and live in the
//! node's network, unless they have the right to leave it. By either of them they are found.

use std::{
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    thread,
    time::{Duration, Instant},
};

use meshlab_model::NodeId;

use crate::{Mark, marked_processes, process::pidfd_open, stray::end};

/// A program that forks faster than it is ended is given up after this.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// How long after a look that found nobody the next one is, which is the last if it finds nobody
/// either: a process that changes its program bears no mark for a moment.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A process that was ended, because what it belonged to is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rest {
    /// Its process id.
    pub pid: u32,
    /// What it ran, as the kernel names it: at most 15 bytes.
    pub name: String,
}

/// Ends every process of that node, by its mark and by its network namespace, whatever it does.
/// Blocks for as long as that takes, which is tens of milliseconds; gives up after 5 s, and what is
/// left then is found by whoever looks at the end of a run.
pub fn end_rest(node: &NodeId, mark: Mark, network: Option<&OwnedFd>) -> Vec<Rest> {
    let network = network.and_then(inode);
    let deadline = Instant::now() + ENDED_WITHIN;
    let mut ended: Vec<Rest> = Vec::new();
    let mut nobody_seen = false;
    loop {
        let found = found(node, mark, network);
        let nobody = found.is_empty();
        if (nobody && nobody_seen) || Instant::now() > deadline {
            return ended;
        }
        nobody_seen = nobody;
        if nobody {
            thread::sleep(LOOK_AGAIN);
        }
        for pid in found {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let rest = Rest { pid, name: name.trim_end().to_owned() };
            // One that has ended meanwhile, or is not ours to end, is looked for once more.
            let done = pidfd_open(pid).is_ok_and(|pidfd| end(&pidfd).is_ok());
            if done && !ended.contains(&rest) {
                ended.push(rest);
            }
        }
    }
}

/// Its processes that run. One that has ended and waits to be collected is none.
pub(crate) fn found(node: &NodeId, mark: Mark, network: Option<u64>) -> Vec<u32> {
    let marked = marked_processes().into_iter();
    let marked = marked.filter(|one| one.node == *node && one.mark == mark && one.state != 'Z');
    let mut pids: Vec<u32> = marked.map(|one| one.pid).collect();
    if let Some(network) = network {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.extend(all.filter(|pid| {
            let held = fs::metadata(format!("/proc/{pid}/ns/net"));
            held.is_ok_and(|held| held.ino() == network)
        }));
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

pub(crate) fn inode(network: &OwnedFd) -> Option<u64> {
    let held = fs::metadata(format!("/proc/self/fd/{}", network.as_raw_fd()));
    held.ok().map(|held| held.ino())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use tokio::runtime::Handle;

    use super::*;
    use crate::{Fleet, SpawnSpec};

    fn spec(folder: &Path, script: &str) -> SpawnSpec {
        SpawnSpec {
            node: "node-1".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::new(),
            log: folder.join("log"),
            namespaces: Vec::new(),
            stranger: Some(folder.to_owned()),
            clock: None,
        }
    }

    #[tokio::test]
    async fn what_forks_and_leaves_is_ended_and_others_are_spared() {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet::new(Handle::current()).unwrap();
        let other = SpawnSpec { node: "node-2".into(), ..spec(folder.path(), "exec sleep 600") };
        let other = fleet.spawn(other).await.unwrap();
        let script = "setsid sleep 600 & trap '' TERM; (sleep 601; :) & exit 0";
        let process = fleet.spawn(spec(folder.path(), script)).await.unwrap();
        process.exited().await;
        let deadline = Instant::now() + Duration::from_secs(20);
        // Before that, either may still be the shell that was forked for it.
        let sleeps = || {
            let left = found(&"node-1".into(), fleet.mark(), None).into_iter();
            left.filter(|pid| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm"));
                name.is_ok_and(|name| name.trim_end() == "sleep")
            })
        };
        while sleeps().count() < 2 {
            assert!(Instant::now() < deadline, "they do not start");
            tokio::task::yield_now().await;
        }
        let ended = end_rest(&"node-1".into(), fleet.mark(), None);
        let slept = ended.iter().filter(|rest| rest.name == "sleep");
        assert_eq!(slept.count(), 2, "{ended:?}");
        assert_eq!(found(&"node-1".into(), fleet.mark(), None), [0_u32; 0]);
        assert_eq!(other.exit(), None);
    }
}
