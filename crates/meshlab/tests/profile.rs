//! Profiles of processes and of runs, taken for real where the host has `perf`.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{Bench, finish};

/// Whether profiles can be taken here; what is said where they cannot is looked at by the caller.
fn has_perf() -> bool {
    Command::new("perf").arg("version").output().is_ok_and(|output| output.status.success())
}

const SWARM: &str = "test(\"they talk\", function()
  local swarm = mesh { nodes = 3, digest_every = \"100ms\", digest_gated = false }
  expect.spans(\"gossip.digest_received\", { from_each = swarm, at_least = 100, within = \"60s\" })
end)
";

/// A folder that only holds a `perf` which the kernel forbids everything, or nothing at all.
fn without_perf(bench: &Bench, forbidden: bool) -> PathBuf {
    let folder = bench.folder.path().join("programs");
    fs::create_dir(&folder).unwrap();
    if forbidden {
        let perf = folder.join("perf");
        fs::write(
            &perf,
            "#!/bin/sh\necho 'perf_event_open: Operation not permitted' >&2\nexit 1\n",
        )
        .unwrap();
        fs::set_permissions(&perf, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// The folder of the only run of a scenario.
fn only(bench: &Bench, folder: &str) -> PathBuf {
    let mut entries = fs::read_dir(bench.folder.path().join(folder)).unwrap();
    entries.next().unwrap().unwrap().path()
}

#[test]
fn where_perf_is_missing_or_forbidden_the_nodes_sample_themselves() {
    for (forbidden, why) in
        [(false, "`perf` cannot be started"), (true, "Operation not permitted; where it is not")]
    {
        let bench = Bench::new();
        let path = bench.scenario("talk.lua", SWARM);
        let arguments = [
            "run",
            path.to_str().unwrap(),
            "--network",
            "host",
            "--profile",
            "cpu",
            "--profile-hz",
        ];
        let mut command = bench.command(&[&arguments[..], &["999"]].concat());
        command.env("PATH", without_perf(&bench, forbidden));
        let run = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        assert_eq!(run.code, Some(0), "{}", run.all());
        assert!(run.all().contains(why), "{}", run.all());
        assert!(run.all().contains("so the nodes sample themselves"), "{}", run.all());
        // The kernel's own tick is the most that a node can ask for.
        assert!(run.stdout.contains("samples at 100 Hz in profiles/talk/"), "{}", run.all());
        let folder = only(&bench, "profiles/talk");
        for name in ["fleet", "node-1", "node-2", "node-3"] {
            let folded = fs::read_to_string(folder.join(format!("{name}.folded"))).unwrap();
            assert!(folded.contains("mesh_node::"), "{name}: {folded}");
            let svg = fs::read_to_string(folder.join(format!("{name}.svg"))).unwrap();
            assert!(svg.contains("samples at 100 Hz by the node itself: about"), "{name}");
            assert!(!svg.contains("not profiled"), "{name}");
        }
        assert!(!folder.join("raw").exists(), "the addresses are not kept");
        assert_eq!(bench.plain(&["profile", "results/talk/latest"]).code, Some(0));
        let svg = fs::read_to_string(folder.join("node-1.svg")).unwrap();
        assert!(svg.contains("by the node itself"), "drawn again it says so too");
    }
}

#[test]
fn a_run_leaves_a_flamegraph_of_each_node() {
    if !has_perf() {
        return;
    }
    let bench = Bench::new();
    let run = bench.run("talk.lua", SWARM, &["--profile", "cpu", "--profile-hz", "999"]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    assert!(run.stdout.contains("samples at 999 Hz in profiles/talk/"), "{}", run.all());
    let folder = only(&bench, "profiles/talk");
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
fn the_end_of_one_run_is_held_against_its_beginning() {
    if !has_perf() {
        return;
    }
    let bench = Bench::new();
    let short = bench.run("talk.lua", SWARM, &["--profile", "cpu", "--profile-hz", "999"]);
    assert_eq!(short.code, Some(0), "{}", short.all());
    let long = SWARM.replace("end)", "  sleep \"14s\"\nend)");
    let run = bench.run("long.lua", &long, &["--profile", "cpu", "--profile-hz", "999"]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    let diff = bench.meshlab(&["profile", "diff", "--first-last", "long/latest"]);
    assert_eq!(diff.code, Some(0), "{}", diff.all());
    assert!(diff.stdout.contains("cpu-diff.svg"), "{}", diff.all());
    let windows = only(&bench, "profiles/long").join("windows");
    assert_eq!(fs::read_dir(windows).unwrap().count(), 6, "two of each node");
    if !only(&bench, "profiles/talk").join("windows").exists() {
        let none = bench.meshlab(&["profile", "diff", "--first-last", "talk/latest"]);
        assert_eq!(none.code, Some(4), "{}", none.all());
        assert!(none.stderr.contains("has no two looks at one process"), "{}", none.all());
    }
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

const HEAPS: &str = "test(\"they talk\", function()
  local swarm = mesh { nodes = 3, digest_every = \"100ms\", digest_gated = false }
  swarm:node(1):profile { cpu = \"1s\" }
  swarm:node(1):heap()
  expect.spans(\"gossip.digest_received\", { from_each = swarm, at_least = 20, within = \"60s\" })
  swarm:node(1):profile { cpu = \"1s\" }
end)
";

/// A run of nodes that record their heap, where that program was built.
fn heaps(bench: &Bench, more: &[&str]) -> Option<support::Finished> {
    let program = Path::new(env!("CARGO_BIN_EXE_meshlab")).with_file_name("mesh-node-heap");
    if !program.exists() {
        return None;
    }
    let program = format!("mesh-node={}", program.display());
    let arguments = [&["--binary", program.as_str()], more].concat();
    Some(bench.run("heaps.lua", HEAPS, &arguments))
}

#[test]
fn profiles_of_a_run_are_told_drawn_again_and_compared() {
    let bench = Bench::new();
    let Some(run) = heaps(&bench, &["--profile", "heap"]) else { return };
    assert_eq!(run.code, Some(0), "{}", run.all());
    let folder = only(&bench, "profiles/heaps");
    let heap = |number: u32| folder.join(format!("heap/node-1-{number}.dhat.json"));
    let numbers: Vec<u32> = (1..9).filter(|number| heap(*number).exists()).collect();
    let [first, .., last] = numbers[..] else { panic!("{numbers:?}") };
    let (first, last) = (heap(first).display().to_string(), heap(last).display().to_string());

    let told = bench.meshlab(&["profile", &last]);
    assert_eq!(told.code, Some(0), "{}", told.all());
    assert!(told.stdout.contains("attributed (rule 1)"), "{}", told.all());
    assert!(told.stdout.contains("noq::endpoint::RecvState::new"), "{}", told.all());

    let svg = PathBuf::from(first.replace(".dhat.json", ".svg"));
    let drawn = fs::read(&svg).unwrap();
    fs::remove_file(&svg).unwrap();
    // The run is found by its own folder and by that of its profiles.
    let profiles = folder.display().to_string();
    for run in ["heaps/latest", "results/heaps/latest", profiles.as_str()] {
        let again = bench.meshlab(&["profile", run]);
        assert_eq!(again.code, Some(0), "{}", again.all());
        assert!(again.stdout.contains(&format!("drew    {}", svg.display())), "{}", again.all());
    }
    assert_eq!(fs::read(&svg).unwrap(), drawn, "the same picture");
    let (folded, aside) = (svg.with_extension("folded"), folder.join("aside"));
    fs::rename(&folded, &aside).unwrap();
    let lost = bench.meshlab(&["profile", "heaps/latest"]);
    assert_eq!(lost.code, Some(4), "what cannot be drawn is no success: {}", lost.all());
    assert!(lost.stdout.contains(&format!("missing {}", folded.display())), "{}", lost.all());
    fs::rename(&aside, &folded).unwrap();

    let diff = bench.meshlab(&["profile", "diff", &first, &last, "--output", "d.svg"]);
    assert_eq!(diff.code, Some(0), "{}", diff.all());
    assert!(diff.stdout.contains("gained  part") && bench.folder.path().join("d.svg").exists());
    let ends = bench.meshlab(&["profile", "diff", "--first-last", "heaps/latest"]);
    assert_eq!(ends.code, Some(0), "{}", ends.all());
    assert!(ends.stdout.contains("heap of a node by subsystem"), "{}", ends.all());
    assert!(bench.folder.path().join("heap-diff.svg").exists(), "{}", ends.all());
    assert!(bench.folder.path().join("cpu-diff.svg").exists(), "{}", ends.all());
    damaged(&bench, &last, &folder);
}

/// What is no profile, or not whole, or not of the same kind.
fn damaged(bench: &Bench, dump: &str, folder: &Path) {
    let said = |arguments: &[&str], code| {
        let run = bench.meshlab(&[&["profile"], arguments].concat());
        assert_eq!(run.code, Some(code), "{}", run.all());
        run.stderr
    };
    let whole = fs::read(dump).unwrap();
    let cut = bench.folder.path().join("cut.dhat.json");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let cut = cut.display().to_string();
    for arguments in [&[cut.as_str()][..], &["diff", &cut, dump], &["diff", dump, &cut]] {
        let said = said(arguments, 5);
        assert!(said.contains("cut.dhat.json is no heap profile in DHAT's format"), "{said}");
        assert!(said.contains("was it cut off?"), "{said}");
    }
    let missing = said(&["none.dhat.json"], 5);
    assert!(missing.contains("none.dhat.json: No such file"), "{missing}");
    let stacks = folder.join("heap/node-2-1.folded").display().to_string();
    assert!(said(&["diff", dump, &stacks], 2).contains("give two of one kind"));
    let told = bench.meshlab(&["profile", &stacks]);
    assert_eq!(told.code, Some(0), "{}", told.all());
    assert!(told.stdout.contains("self  total  frame"), "{}", told.all());
}

#[test]
fn a_comparison_and_a_gate_link_to_what_became_of_the_profiles() {
    let bench = Bench::new();
    for _ in 0..2 {
        let Some(run) = heaps(&bench, &["--profile", "heap"]) else { return };
        assert_eq!(run.code, Some(0), "{}", run.all());
    }
    let runs = fs::read_dir(bench.folder.path().join("results/heaps")).unwrap();
    let mut runs: Vec<PathBuf> = runs.map(|entry| entry.unwrap().path()).collect();
    runs.retain(|path| !path.is_symlink());
    runs.sort();
    let [before, after] = &runs[..] else { panic!("{runs:?}") };
    let (before, after) = (before.display().to_string(), after.display().to_string());

    let compared = bench.meshlab(&["compare", &before, &after, "--page", "page"]);
    assert!(
        compared.stdout.contains("Heap of all nodes: page/heap-diff.svg"),
        "{}",
        compared.all()
    );
    assert!(compared.stdout.contains("heap of a node by subsystem, at its last look: "));
    let page = fs::read_to_string(bench.folder.path().join("page/index.html")).unwrap();
    assert!(page.contains("href=\"heap-diff.svg\""));
    let svg = fs::read_to_string(bench.folder.path().join("page/heap-diff.svg")).unwrap();
    assert!(svg.contains("scaled to the same total"));

    let held = bench.meshlab(&["gate", &after, "--cpu", "0.001%", "--threads", "1"]);
    assert!(held.all().contains("the heap was recorded, which takes some"), "{}", held.all());
    assert!(!held.all().contains("failed       cpu"), "{}", held.all());

    let made = bench.meshlab(&["baseline", &before]);
    assert_eq!(made.code, Some(0), "{}", made.all());
    let gate = bench.meshlab(&["gate", &after, "--baseline", "baseline.json"]);
    let (_, link) = gate.stdout.split_once("Heap of all nodes against heaps/").unwrap();
    let (_, path) = link.lines().next().unwrap().split_once(": ").unwrap();
    assert!(Path::new(path).exists(), "{}", gate.all());
}

#[test]
fn the_ceilings_of_a_program_that_records_its_heap_are_undecided_unasked() {
    let bench = Bench::new();
    let program = Path::new(env!("CARGO_BIN_EXE_meshlab")).with_file_name("mesh-node-heap");
    if !program.exists() {
        return;
    }
    let limited = format!("scenario {{ ceilings = {{ cpu = \"99%\", rss = \"9GiB\" }} }}\n{SWARM}");
    let program = format!("mesh-node={}", program.display());
    for more in [&[][..], &["--profile", "heap"]] {
        let arguments = [&["--binary", program.as_str()], more].concat();
        let run = bench.run("limited.lua", &limited, &arguments);
        assert_eq!(run.code, Some(4), "{}", run.all());
        for resource in ["cpu", "rss"] {
            assert!(run.all().contains(&format!("{resource} is not judged")), "{}", run.all());
        }
    }
}

/// Nodes that work without a pause by the time that the ceiling holds, so that a look at one of
/// them finds something also on a host where it gets a processor seldom.
const HOT: &str = "scenario { ceilings = { phases = { idle = { cpu = \"0.1%\" } } } }
test(\"they work\", function()
  local swarm = mesh { nodes = 2 }
  traffic.bi_streams {
    from = swarm:node(1), to = swarm:node(2), streams = 8, size = \"1KiB\", duration = \"60s\",
  }
end)
";

#[test]
fn a_node_above_its_ceiling_is_profiled_and_the_claim_links_to_it() {
    let bench = Bench::new();
    let run = bench.run("hot.lua", HOT, &["--ignore-noise"]);
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(run.stdout.contains(", which broke a limit: "), "{}", run.all());
    let pages = fs::read_dir(bench.folder.path().join("reports/hot")).unwrap();
    let page = pages.map(|entry| entry.unwrap().path().join("index.html")).next().unwrap();
    let text = fs::read_to_string(&page).unwrap();
    let (_, link) = text.split_once("taken when it failed: <a href=\"").unwrap();
    let link = link.split('"').next().unwrap();
    let svg = fs::read_to_string(page.parent().unwrap().join(link)).unwrap();
    assert!(svg.contains(" over 2.0 s: about "), "{link}");
}

#[test]
fn a_program_that_is_not_ours_is_seen_by_perf_and_told_without() {
    let bench = Bench::new();
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let pid = busy.id().to_string();
    let arguments = ["profile", "attach", &pid, "--for", "2s", "--hz", "999"];
    let mut command = bench.command(&arguments);
    command.env("PATH", without_perf(&bench, false));
    let without = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let with = has_perf().then(|| bench.meshlab(&arguments));
    busy.kill().unwrap();
    busy.wait().unwrap();
    assert_eq!(without.code, Some(5), "{}", without.all());
    assert!(without.stderr.contains("install it (Debian: linux-perf)"), "{}", without.all());
    let Some(with) = with else { return };
    assert_eq!(with.code, Some(0), "{}", with.all());
    assert!(with.stdout.contains("samples at 999 Hz over "), "{}", with.all());
}
