//! The last check of a run: is anything that it made still there?

use std::{collections::BTreeMap, fs, time::Duration};

use meshlab_model::{NodeId, RunEventKind};

use meshlab_lab::namespace_cookie;
use meshlab_mutants::{Mutant, on};

use crate::{Engine, clean::left_of, engine::lock, state::Namespace};

/// The kernel takes a namespace apart after its last process and descriptor are gone, in the
/// background.
const GONE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Engine {
    /// Closes fleet and lab, then looks for processes, namespaces, control groups and mounts of
    /// this run.
    pub(crate) async fn close_and_audit(&self) -> RunEventKind {
        let mark = lock(&self.shared.fleet).take().map(|fleet| fleet.mark());
        lock(&self.shared.lab).take();
        let (pids, namespaces) = {
            let state = self.shared.state();
            (state.pids.clone(), state.namespaces.clone())
        };
        let mut checked = vec![format!("{} processes", pids.len())];
        if !namespaces.is_empty() {
            checked.push(format!("{} network namespaces", namespaces.len()));
        }
        checked.extend(["control groups".to_owned(), "mounts".to_owned()]);
        let results = &self.shared.folder.results;
        let deadline = tokio::time::Instant::now() + GONE_WITHIN;
        let leftovers = loop {
            let mut found = leftovers(&pids, &namespaces);
            found.extend(mark.into_iter().flat_map(|mark| left_of(mark, results)));
            if on(Mutant::AuditAsksNothing) {
                break Vec::new();
            }
            if found.is_empty() || tokio::time::Instant::now() > deadline {
                break found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        RunEventKind::Audited { checked, leftovers }
    }
}

/// Asks the kernel, not the harness's tables: children of this process, and holders of any
/// namespace that the run made.
fn leftovers(pids: &[(NodeId, u32)], namespaces: &BTreeMap<u64, Namespace>) -> Vec<String> {
    let mut found = Vec::new();
    let harness = std::process::id();
    for (node, pid) in pids {
        if parent_of(*pid) == Some(harness) {
            found.push(format!("process {pid} of {node}"));
        }
    }
    let Ok(processes) = fs::read_dir("/proc") else {
        return found;
    };
    for entry in processes.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let held = fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let inode = held.as_deref().and_then(|link| namespace_inode(link.to_str()?));
        if let Some(made) = inode.and_then(|inode| namespaces.get(&inode))
            && is_in(pid, made)
        {
            found.push(format!("process {pid} in the network namespace of {}", made.node));
        }
    }
    found
}

/// Whether the process is in that very namespace. The kernel gives an inode out again as soon as
/// its namespace is gone: then another program's has it, or that of another run.
fn is_in(pid: u32, made: &Namespace) -> bool {
    let held = fs::File::open(format!("/proc/{pid}/ns/net"));
    let cookie = held.and_then(namespace_cookie).ok();
    // Where it cannot be told, it is rather shown than missed.
    cookie.zip(made.cookie).is_none_or(|(cookie, made)| cookie == made)
}

/// The inode in `net:[4026531840]`.
fn namespace_inode(link: &str) -> Option<u64> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; what follows its last `)` is well-formed.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        process::{Command, Stdio},
    };

    use meshlab_fleet::{Fleet, SpawnSpec, end_marked, marked_processes};
    use tokio::runtime::Handle;

    use super::*;

    #[test]
    fn a_child_that_still_runs_is_found_and_a_reaped_one_is_not() {
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let pids = [(NodeId::from("node-1"), child.id())];
        assert_eq!(
            leftovers(&pids, &BTreeMap::new()),
            [format!("process {} of node-1", child.id())]
        );
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(leftovers(&pids, &BTreeMap::new()).is_empty());
    }

    #[test]
    fn a_held_namespace_is_found_and_another_of_the_same_inode_is_not() {
        let link = fs::read_link("/proc/self/ns/net").unwrap();
        let inode = namespace_inode(link.to_str().unwrap()).unwrap();
        let own = namespace_cookie(fs::File::open("/proc/self/ns/net").unwrap()).unwrap();
        let me = format!("process {} in the network namespace of node-2", std::process::id());
        for (cookie, found) in [(Some(own), true), (Some(own + 1), false), (None, true)] {
            let made = Namespace { node: "node-2".into(), cookie };
            let left = leftovers(&[], &BTreeMap::from([(inode, made)]));
            assert_eq!(left.contains(&me), found, "{cookie:?}");
        }
    }

    #[tokio::test]
    async fn what_a_node_started_and_left_stopped_is_found_by_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet::new(Handle::current()).unwrap();
        let spec = SpawnSpec {
            node: "node-3".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), "sleep 600 & kill -STOP $!; exit 0".into()],
            environment: BTreeMap::new(),
            log: folder.path().join("log"),
            namespaces: Vec::new(),
            stranger: None,
            clock: None,
        };
        fleet.spawn(spec).await.unwrap().exited().await;
        let deadline = tokio::time::Instant::now() + GONE_WITHIN;
        loop {
            let left = left_of(fleet.mark(), folder.path());
            if let [one] = left.as_slice()
                && one.starts_with("process ")
                && one.ends_with(" of node-3 (state T)")
            {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{left:?}");
            tokio::task::yield_now().await;
        }
        for process in marked_processes().iter().filter(|process| process.mark == fleet.mark()) {
            end_marked(process).unwrap();
        }
        assert_eq!(left_of(fleet.mark(), folder.path()), Vec::<String>::new());
        let shown = left_of(fleet.mark(), Path::new("/proc"));
        assert!(shown.contains(&"a mount on the host at /proc".to_owned()), "{shown:?}");
    }
}
