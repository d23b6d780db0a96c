//! Two runs at once, of one scenario with one seed: they share no folder, no port, no node.
#![allow(clippy::unwrap_used, reason = "a test that breaks is a test that fails")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use meshlab_model::{Manifest, RunEvent, RunEventKind};
use support::{Bench, finish, network};

const BOTH: &str = r#"
test("a mesh forms", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "3m" })
  sleep "20s" -- until the other one has begun too
end)
"#;

/// What a run says of itself.
struct Run {
    folder: PathBuf,
    keys: BTreeSet<String>,
    addresses: BTreeSet<String>,
    pids: BTreeSet<u32>,
    spans: String,
    /// When it began and ended, by the clock of the host, in nanoseconds.
    time: (u64, u64),
}

fn read(bench: &Bench, folder: &Path) -> Run {
    let text = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let (mut keys, mut addresses, mut pids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut last = 0;
    for line in text.lines() {
        let event: RunEvent = serde_json::from_str(line).unwrap();
        last = event.at.micros * 1000;
        match event.kind {
            RunEventKind::NodeSpawned { pid, address, .. } => {
                pids.insert(pid);
                addresses.insert(address);
            }
            RunEventKind::NodeReady { public_key, .. } => drop(keys.insert(public_key)),
            _ => {}
        }
    }
    let spans = bench.meshlab(&["spans", folder.to_str().unwrap()]);
    assert_eq!(spans.code, Some(0), "{}", spans.all());
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    let time = (manifest.started_unix_nanos, manifest.started_unix_nanos + last);
    Run { folder: folder.to_owned(), keys, addresses, pids, spans: spans.stdout, time }
}

fn two_at_once(network: &str) {
    let bench = Bench::new();
    let path = bench.scenario("both.lua", BOTH);
    let arguments = ["run", path.to_str().unwrap(), "--seed", "7", "--network", network];
    let both = [bench.start(&arguments), bench.start(&arguments)].map(finish);
    for run in &both {
        assert_eq!(run.code, Some(0), "{}", run.all());
    }
    let family = bench.folder.path().join("results/both");
    let folders = fs::read_dir(&family).unwrap().map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| entry.file_type().unwrap().is_dir());
    let runs: Vec<Run> = folders.map(|entry| read(&bench, &entry.path())).collect();
    assert_eq!(runs.len(), 2, "a folder each");
    let (one, other) = (runs[0].time, runs[1].time);
    assert!(one.0 < other.1 && other.0 < one.1, "both at once: {one:?} {other:?}");
    for (one, other) in [(&runs[0], &runs[1]), (&runs[1], &runs[0])] {
        assert_eq!((one.keys.len(), one.pids.len()), (3, 3));
        assert!(one.keys.is_disjoint(&other.keys) && one.pids.is_disjoint(&other.pids));
        if network == "host" {
            // Nobody asks for a port by its number, so the kernel gives each one that is free. In
            // the lab each run has networks of its own, with the same addresses in them.
            let any = one.addresses.iter().all(|address| address.ends_with(":0"));
            assert!(any, "{:?}", one.addresses);
        }
        for key in &other.keys {
            assert!(!one.spans.contains(key), "{} met {key}", one.folder.display());
        }
        let met = one.keys.iter().filter(|key| one.spans.contains(*key)).count();
        assert_eq!(met, 3, "its own nodes met each other, or this proves nothing");
    }
}

#[test]
fn two_runs_at_once_share_nothing() {
    two_at_once("host");
    let [_, network] = network();
    if network == "lab" {
        two_at_once("lab");
    }
}
