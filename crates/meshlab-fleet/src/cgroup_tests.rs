//! Groups for real, where this host lets somebody make one.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant as StdInstant,
};

use super::*;
use crate::{groups_left_behind, groups_of, remove_group};

const DEADLINE: Duration = Duration::from_secs(20);
const AS_HARNESS: &str = "MESHLAB_TEST_AS_HARNESS";

/// A child that waits, ended when it is dropped.
struct Sleeper(std::process::Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("/bin/sleep").arg("600").spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `None` where this host lets nobody make a group; then there is nothing to test.
fn confined(cgroups: &Arc<Cgroups>, controller: Controller, pid: u32) -> Option<Confined> {
    let name = format!("test-{pid}");
    match Confined::new(cgroups, controller, &NodeId(name), pid) {
        Ok(confined) => Some(confined),
        Err(CgroupError::Unavailable(_)) => None,
        Err(error) => panic!("failed to {error}"),
    }
}

#[tokio::test]
async fn a_process_is_moved_in_and_back_and_nothing_stays() {
    for controller in [Controller::Cpu, Controller::Memory] {
        let cgroups: Arc<Cgroups> = Arc::default();
        let sleeper = Sleeper::new();
        let pid = sleeper.0.id();
        let Some(confined) = confined(&cgroups, controller, pid) else { return };
        let (path, former) = (confined.path().to_owned(), confined.former.clone());
        assert!(confined.holds(pid).unwrap() && groups_of(cgroups.mark()).contains(&path));
        assert_eq!(hierarchy::group_of(pid, controller), Ok(path.clone()));
        assert!(confined.read("no.such.file").is_err());
        assert!(confined.count("cgroup.procs", "no such word").is_err());
        confined.release().await.unwrap();
        assert!(!path.exists());
        assert_eq!(hierarchy::group_of(pid, controller), Ok(former));
    }
}

#[tokio::test]
async fn one_that_has_ended_or_has_children_is_released_too() {
    let cgroups = Arc::default();
    let mut sleeper = Sleeper::new();
    let (mut child, pid) = (Sleeper::new(), sleeper.0.id());
    let Some(confined) = confined(&cgroups, Controller::Cpu, pid) else { return };
    confined.admit(child.0.id()).unwrap();
    sleeper.0.kill().unwrap();
    sleeper.0.wait().unwrap();
    let path = confined.path().to_owned();
    confined.release().await.unwrap();
    assert!(!path.exists());
    assert_eq!(child.0.try_wait().unwrap(), None, "only moved");
}

#[test]
fn a_dropped_one_is_removed_and_a_left_one_by_the_janitor() {
    let cgroups: Arc<Cgroups> = Arc::default();
    let mut sleeper = Sleeper::new();
    let Some(one) = confined(&cgroups, Controller::Cpu, sleeper.0.id()) else { return };
    let path = one.path().to_owned();
    drop(one);
    assert!(!path.exists());
    let one = confined(&cgroups, Controller::Cpu, sleeper.0.id()).unwrap();
    // As if the harness forgot it: what is inside is ended, the group is removed.
    let group = one.group.path.clone();
    let mut one = std::mem::ManuallyDrop::new(one);
    one.group.cgroups = Arc::default();
    assert_eq!(Arc::strong_count(&cgroups), 1);
    drop(cgroups);
    assert!(!group.exists());
    sleeper.0.wait().unwrap();
}

#[test]
fn what_a_dead_harness_left_can_be_found_and_removed() {
    let Ok(parents) = hierarchy::parents(Controller::Cpu) else { return };
    let name = format!("{}test", prefix(Mark::of_nobody()));
    let path = parents[0].path.join(name);
    if fs::create_dir(&path).is_err() {
        return;
    }
    let mut sleeper = Sleeper::new();
    write(&path.join("cgroup.procs"), &sleeper.0.id().to_string()).unwrap();
    assert!(groups_left_behind().contains(&path));
    remove_group(&path).unwrap();
    sleeper.0.wait().unwrap();
    assert!(!path.exists() && remove_group(&path).is_ok());
}

/// No test by itself: what the next one starts, to kill it.
#[test]
fn as_a_harness() {
    if std::env::var_os(AS_HARNESS).is_none() {
        return;
    }
    let cgroups = Arc::default();
    let sleeper = Sleeper::new();
    let confined = confined(&cgroups, Controller::Cpu, sleeper.0.id());
    let path = confined.as_ref().map(|one| one.path().display().to_string());
    let said = format!("{} {}\n", sleeper.0.id(), path.as_deref().unwrap_or("/nowhere"));
    io::Write::write_all(&mut io::stderr(), said.as_bytes()).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_harness_that_is_killed_leaves_no_group_and_nothing_in_it() {
    let mut harness = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cgroup::tests::as_a_harness", "--nocapture"])
        .env(AS_HARNESS, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(harness.stderr.take().unwrap()).read_line(&mut said).unwrap();
    let (pid, path) = said.trim_end().split_once(' ').unwrap();
    let made = path != "/nowhere";
    assert_eq!(Path::new(path).exists(), made, "{said}");
    harness.kill().unwrap();
    harness.wait().unwrap();
    let deadline = StdInstant::now() + DEADLINE;
    while Path::new(path).exists() {
        assert!(StdInstant::now() < deadline, "{path} is still there");
        std::thread::yield_now();
    }
    if !made {
        // Without a group nobody else ends it.
        let _ = Command::new("/bin/kill").arg(pid).status();
    }
}
