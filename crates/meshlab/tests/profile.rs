//! Profiles of processes and of runs, taken for real where the host has `perf`.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::{fs, process::Command};

use support::Bench;

/// Whether profiles can be taken here; what is said where they cannot is looked at by the caller.
fn has_perf() -> bool {
    Command::new("perf").arg("version").output().is_ok_and(|output| output.status.success())
}

const SWARM: &str = "test(\"they talk\", function()
  local swarm = mesh { nodes = 3, digest_every = \"100ms\", digest_gated = false }
  expect.spans(\"gossip.digest_received\", { from_each = swarm, at_least = 100, within = \"60s\" })
end)
";

#[test]
fn a_run_leaves_a_flamegraph_of_each_node_or_says_what_is_missing() {
    let bench = Bench::new();
    let run = bench.run("talk.lua", SWARM, &["--profile", "cpu", "--profile-hz", "999"]);
    if !has_perf() {
        assert_eq!(run.code, Some(5), "{}", run.all());
        assert!(run.all().contains("`perf` cannot be started"), "{}", run.all());
        return;
    }
    assert_eq!(run.code, Some(0), "{}", run.all());
    assert!(run.stdout.contains("samples at 999 Hz in profiles/talk/"), "{}", run.all());
    let only = |folder: &str| {
        let mut entries = fs::read_dir(bench.folder.path().join(folder)).unwrap();
        entries.next().unwrap().unwrap().path()
    };
    let folder = only("profiles/talk");
    for name in ["fleet", "node-1", "node-2", "node-3"] {
        let folded = fs::read_to_string(folder.join(format!("{name}.folded"))).unwrap();
        assert!(folded.contains("mesh-node"), "{name}: {folded}");
        let svg = fs::read_to_string(folder.join(format!("{name}.svg"))).unwrap();
        assert!(
            svg.contains("samples at 999 Hz by perf: about"),
            "{name} does not say what it rests on"
        );
    }
    assert!(!folder.join("raw").exists(), "the raw samples are not kept");
    let pages = fs::read_dir(bench.folder.path().join("reports/talk")).unwrap();
    let page = pages.map(|entry| entry.unwrap().path().join("index.html")).next().unwrap();
    let page_text = fs::read_to_string(&page).unwrap();
    let link = page_text.split('"').find(|text| text.ends_with("/fleet.svg")).unwrap().to_owned();
    assert!(page.parent().unwrap().join(&link).exists(), "the report links to nothing: {link}");

    let stacks = |name: &str| folder.join(name).display().to_string();
    let diff =
        bench.meshlab(&["profile", "diff", &stacks("node-1.folded"), &stacks("node-2.folded")]);
    assert_eq!(diff.code, Some(0), "{}", diff.all());
    assert!(bench.folder.path().join("diff.svg").exists());
}

#[test]
fn a_process_that_is_not_there_is_a_mistake_in_the_command() {
    let bench = Bench::new();
    // Above the largest pid that Linux gives out.
    let run = bench.meshlab(&["profile", "attach", "5000000"]);
    assert_eq!(run.code, Some(2), "{}", run.all());
    assert!(run.stderr.contains("there is no process 5000000"), "{}", run.all());
    let run = bench.meshlab(&["profile", "diff", "/dev/null", "/none"]);
    assert_eq!(run.code, Some(5), "{}", run.all());
    assert!(run.stderr.contains("/none: No such file"), "{}", run.all());
}
