//! Two programs beside each other on real nodes, and limits that are broken: green, red, undecided.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use support::{Bench, Finished};

const ROUNDS: &str = r#"
local run = scenario { binaries = { "before", "after" }, params = { rounds = 7 } }

test("the node is ready sooner", function()
  local result = compare {
    before = run.binaries.before,
    after = run.binaries.after,
    rounds = run.params.rounds,
    warmup = 0,
    round = function(binary)
      local swarm = mesh { nodes = 1, binary = binary }
      local met = expect.spans("node.ready", { from_each = swarm, within = "20s" })
      return { ready = met.took, rss = swarm:usage().rss }
    end,
  }
  expect.improved(result, "ready", { by = "20%" })
end)
"#;

/// The node, and one that takes its time to start: 2.5 s, more than a busy host holds the
/// other one up.
fn programs(bench: &Bench) -> [String; 2] {
    let node = Path::new(env!("CARGO_BIN_EXE_meshlab")).with_file_name("mesh-node");
    let slow = bench.folder.path().join("slow-node");
    fs::write(&slow, format!("#!/bin/sh\nsleep 2.5\nexec '{}' \"$@\"\n", node.display())).unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    [node, slow].map(|path| path.display().to_string())
}

fn run(bench: &Bench, before: &str, after: &str, more: &[&str]) -> Finished {
    let given = [format!("before={before}"), format!("after={after}")];
    // What a test says does not depend on who else uses this host.
    let mut arguments =
        vec!["--ignore-noise", "--binary", given[0].as_str(), "--binary", given[1].as_str()];
    arguments.extend(more);
    bench.run("sooner.lua", ROUNDS, &arguments)
}

#[test]
fn a_program_that_is_faster_is_green() {
    let bench = Bench::new();
    let [node, slow] = programs(&bench);
    let faster = run(&bench, &slow, &node, &[]);
    assert_eq!(faster.code, Some(0), "{}", faster.all());
    assert!(faster.stdout.contains("better       ready: "), "{}", faster.all());
    let manifest: serde_json::Value =
        serde_json::from_str(&bench.read("sooner", "manifest.json")).unwrap();
    let hash = |name: &str| manifest["binaries"][name]["sha256"].as_str().unwrap().to_owned();
    assert_ne!(hash("before"), hash("after"));
    let summary: serde_json::Value =
        serde_json::from_str(&bench.read("sooner", "summary.json")).unwrap();
    assert_eq!(summary["comparisons"][0]["measures"][0]["word"], "better", "{summary}");
    assert_eq!(summary["comparisons"][0]["rounds"].as_array().unwrap().len(), 14);
    let events = bench.read("sooner", "events.jsonl");
    assert!(events.contains("\"leftovers\":[]"));
    assert!(
        events.contains("\"binary\":\"before\"") && !events.contains("\"binary\":\"mesh-node\"")
    );
}

#[test]
fn a_program_that_is_slower_is_red() {
    let bench = Bench::new();
    let [node, slow] = programs(&bench);
    let slower = run(&bench, &node, &slow, &[]);
    assert_eq!(slower.code, Some(1), "{}", slower.all());
    assert!(slower.stdout.contains("worse        ready: "), "{}", slower.all());
}

#[test]
fn too_few_rounds_are_undecided_and_so_is_a_program_beside_itself_never_green() {
    let bench = Bench::new();
    let [node, slow] = programs(&bench);
    let few = run(&bench, &slow, &node, &["--set", "rounds=3"]);
    assert_eq!(few.code, Some(4), "{}", few.all());
    assert!(few.stdout.contains("6 are the fewest that do"), "{}", few.all());
    let itself = run(&bench, &node, &node, &[]);
    assert!(matches!(itself.code, Some(1 | 4)), "{}", itself.all());
}

#[test]
fn programs_that_are_not_there_are_told_with_the_flag() {
    let bench = Bench::new();
    let [node, _] = programs(&bench);
    let path = bench.scenario("sooner.lua", ROUNDS);
    let path = path.to_str().unwrap();
    let given = format!("befor={node}");
    for (more, wanted) in [
        (vec!["--binary", "mesh-node=x"], "give them with `--binary before=PATH --binary after="),
        (vec!["--binary", given.as_str()], "did you mean `--binary before="),
    ] {
        let mut arguments = vec!["run", path];
        arguments.extend(more);
        let told = bench.meshlab(&arguments);
        assert_eq!(told.code, Some(2), "{}", told.all());
        assert!(told.stderr.contains(wanted), "{}", told.all());
    }
}

#[test]
fn a_round_that_fails_is_red_by_its_number_and_leaves_nothing() {
    let bench = Bench::new();
    let [node, _] = programs(&bench);
    let run = run(&bench, &node, "/bin/false", &[]);
    assert_eq!(run.code, Some(5), "{}", run.all());
    assert!(run.stdout.contains("in round 1 with `after`: "), "{}", run.all());
    assert!(run.stdout.contains("node-2 ended with exit code 1"), "{}", run.all());
    assert!(bench.read("sooner", "events.jsonl").contains("\"leftovers\":[]"));
}

const LIMITS: &str = r#"
scenario {
  sample_every = "200ms",
  ceilings = { threads = 1, open_files = 4096 },
  trends = { rss = { max_growth = "1MiB/h" } },
}
test("small", function()
  local swarm = mesh { nodes = 3, CEILINGS }
  expect.formed(swarm, { within = "20s" })
  sleep "1s"
end)
test("never begun", function() expect.equal(1, 1) end)
"#;

#[test]
fn a_node_above_a_ceiling_stops_the_run_and_names_all() {
    let bench = Bench::new();
    let run = bench.run("limits.lua", &LIMITS.replace("CEILINGS", ""), &[]);
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(run.stdout.contains("limits.lua:4"), "{}", run.all());
    assert!(run.stdout.contains(", at most 1 is allowed"), "{}", run.all());
    assert!(run.stdout.contains("no fault acted meanwhile"), "{}", run.all());
    assert!(!run.stdout.contains("passed test never begun"), "{}", run.all());
}

#[test]
fn a_mesh_has_ceilings_of_its_own_and_a_short_trend_is_undecided() {
    let bench = Bench::new();
    let text = LIMITS.replace("CEILINGS", "ceilings = { threads = 1000, rss = \"4GiB\" }");
    let run = bench.run("limits.lua", &text, &["--time-scale", "0.5"]);
    assert_eq!(run.code, Some(4), "{}", run.all());
    assert!(run.stdout.contains("threads of each node of mesh1 is at most 1000"), "{}", run.all());
    assert!(run.stdout.contains("too little data: 0 of 3 nodes have 1h 0m"), "{}", run.all());
    assert!(!run.stdout.contains("FAILED"), "{}", run.all());
}
