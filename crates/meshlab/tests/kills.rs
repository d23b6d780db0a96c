//! `kill -9` of the harness at random moments of a chaos leaves nothing behind.
//!
//! Three moments by default. `MESHLAB_KILL_TRIALS=100` tries as many, four at a time;
//! `MESHLAB_KILL_SCENARIO=PATH` takes that scenario, for which moments of its first minute are drawn.
#![allow(clippy::unwrap_used, reason = "a test that breaks is a test that fails")]

mod support;

use std::{
    env, fs,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use support::{Bench, network, until};

/// Everything that leaves something outside of its process while it acts: stopped processes, cut
/// links, full disks, control groups.
const STORM: &str = r#"
test("a storm", function()
  local swarm = mesh { nodes = 5, digest_every = "500ms", digest_gated = false }
  chaos {
    on = swarm, duration = "60s", every = "700ms", jitter = "300ms", at_once = 4,
    flake_budget = "100%", skip_budget = "100%",
    faults = {
      kill_node = 1, restart_node = 1, wedge_node = 2, partition = 1, disk_full = { hold = "2s" },
      cpu_limit = { cpu = "20%", hold = "2s" }, memory_limit = { memory = "256MiB", hold = "2s" },
      slow_link = { delay = "100ms", hold = "2s" },
    },
  }
end)
"#;

/// How soon after the kill everything must be gone: the kernel and the janitor take milliseconds, a
/// busy host more.
const GONE_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn a_harness_that_is_killed_at_any_moment_leaves_nothing() {
    let trials: u64 =
        env::var("MESHLAB_KILL_TRIALS").ok().map_or(3, |trials| trials.parse().unwrap());
    let (scenario, longest) = match env::var("MESHLAB_KILL_SCENARIO") {
        Ok(path) => (fs::read_to_string(path).unwrap(), 60_000),
        Err(_) => (STORM.to_owned(), 12_000),
    };
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..trials.min(4) {
            scope.spawn(|| {
                loop {
                    let trial = next.fetch_add(1, Ordering::SeqCst);
                    if trial >= trials {
                        return;
                    }
                    // Spread over the whole time, each at a place of its own (Weyl's sequence).
                    let share = (trial as f64 * 0.618_033_988_749_895) % 1.0;
                    try_once(
                        &scenario,
                        trial,
                        Duration::from_millis((longest as f64 * share) as u64),
                    );
                }
            });
        }
    });
}

fn try_once(scenario: &str, trial: u64, moment: Duration) {
    let bench = Bench::new();
    let path = bench.scenario("storm.lua", scenario);
    let [flag, network] = network();
    let seed = trial.to_string();
    let mut child = bench.start(&["run", path.to_str().unwrap(), "--seed", &seed, flag, network]);
    let pid = child.id();
    // The moment is the point of the trial, whatever the harness does then.
    thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = || {
        let left = [processes_of(pid), groups_of(pid), mounts_of(&bench)].concat();
        if left.is_empty() { Ok(()) } else { Err(left) }
    };
    let gone = until(Instant::now() + GONE_WITHIN, || left().ok());
    assert!(gone.is_some(), "killed after {moment:?}, and there is still {:?}", left());
}

/// Processes that the harness of that pid marked as its own, stopped ones too.
fn processes_of(harness: u32) -> Vec<String> {
    let mark = format!("MESHLAB_HARNESS={harness}-");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| {
            let name = process.file_name().to_string_lossy().into_owned();
            let environment = fs::read(process.path().join("environ")).ok()?;
            let marked =
                environment.split(|byte| *byte == 0).any(|one| one.starts_with(mark.as_bytes()));
            marked.then(|| format!("process {name}"))
        })
        .collect()
}

/// Control groups of that harness, in any hierarchy.
fn groups_of(harness: u32) -> Vec<String> {
    let mark = format!("meshlab-{harness}-");
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(&mark) {
                    found.push(entry.path().display().to_string());
                }
                folders.push(entry.path());
            }
        }
    }
    found
}

/// Mounts on the host within the folder of the run.
fn mounts_of(bench: &Bench) -> Vec<String> {
    let folder = bench.folder.path().canonicalize().unwrap().display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(&folder)).map(str::to_owned).collect()
}

#[test]
fn what_is_left_is_seen() {
    let mut stray = std::process::Command::new("/bin/sleep")
        .arg("600")
        .env("MESHLAB_HARNESS", "4294967294-1-0")
        .spawn()
        .unwrap();
    let seen = until(support::soon(), || (!processes_of(4_294_967_294).is_empty()).then_some(()));
    stray.kill().unwrap();
    stray.wait().unwrap();
    assert!(seen.is_some());
    assert!(processes_of(4_294_967_294).is_empty());
}
