//! Whole runs on real nodes: green when it should be, red when it should be, and clean after.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::{fs, path::Path};

use meshlab_engine::results::read_run;
use meshlab_model::SpanRecord;
use support::{Bench, finish, network, nodes_under, soon, until};

const FORMS: &str = r#"
test("three nodes form a mesh", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  expect.spans("gossip.digest_received", { from_each = swarm, at_least = 4, within = "20s" })
end)
"#;

#[test]
fn a_healthy_mesh_is_green_and_leaves_a_report() {
    let bench = Bench::new();
    let run = bench.run("forms.lua", FORMS, &[]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    assert!(run.stdout.contains("three nodes form a mesh"), "{}", run.all());
    let report = bench.folder.path().join("reports/forms");
    let folder = fs::read_dir(&report).unwrap().flatten().next().unwrap().path();
    for file in ["index.html", "summary.md", "junit.xml"] {
        assert!(folder.join(file).exists(), "{file} is missing");
    }
    let summary: serde_json::Value =
        serde_json::from_str(&bench.read("forms", "summary.json")).unwrap();
    assert_eq!(summary["exit_code"], 0, "{summary}");
    let record = read_run(&bench.latest("forms")).unwrap();
    // The harness is sampled at once, nodes a second later.
    assert!(record.samples.iter().count() > 0 && record.minutes.iter().count() > 0);
    assert_eq!(record.all_damage(), Vec::<String>::new());
    let events = bench.read("forms", "events.jsonl");
    assert!(events.contains("\"leftovers\":[]"));
    boot_is_one_trace(&record.spans.iter().collect::<Vec<_>>());
    every_span_arrived(&events);
    the_record_can_be_asked(&bench);
}

/// The three commands that look into a record, on a run that is over.
fn the_record_can_be_asked(bench: &Bench) {
    let sql = "SELECT node, count(*) FROM spans WHERE name = 'node.ready' GROUP BY 1 ORDER BY 1";
    let asked = bench.meshlab(&["query", "forms/latest", sql, "--format", "csv"]);
    assert_eq!(asked.stdout, "node,count(*)\r\nnode-1,1\r\nnode-2,1\r\nnode-3,1\r\n");
    assert_eq!((asked.code, asked.stderr.as_str()), (Some(0), ""));
    let wrong = bench.meshlab(&["query", "forms/latest", "DELETE FROM spans"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.all());
    let spans = bench.meshlab(&["spans", "forms/latest", "node.ready", "--node", "node-2"]);
    assert!(spans.stdout.contains(" node-2 node.ready "), "{}", spans.all());
    assert_eq!(spans.stdout.lines().count(), 1, "{}", spans.all());
    let none = bench.meshlab(&["spans", "forms/latest", "node.redy"]);
    assert!(none.stderr.contains("no span is called `node.redy`; there are: "), "{}", none.all());
    let around = ["logs", "forms/latest", "--node", "node-1", "--at", "2s", "--around", "1m"];
    let logs = bench.meshlab(&around);
    assert!(logs.stdout.contains("mesh_node: ready"), "{}", logs.all());
    let nobody = bench.meshlab(&["logs", "forms/latest", "--node", "../x", "--at", "2s"]);
    assert_eq!(nobody.code, Some(2), "{}", nobody.all());
}

/// Each node's boot is a root and four children of it; a span that is never closed never comes.
fn boot_is_one_trace(spans: &[SpanRecord]) {
    for node in ["node-1", "node-2", "node-3"] {
        let of = |name: &str| {
            spans
                .iter()
                .find(|span| span.node.as_str() == node && span.name == name)
                .unwrap_or_else(|| panic!("{node} sent no {name}"))
        };
        let root = of("node.ready");
        for child in
            ["endpoint_created", "alpn_registered", "gossip_started", "accept_loop_started"]
        {
            assert_eq!(of(child).trace_id, root.trace_id, "{node} {child}");
            assert_eq!(of(child).parent_id, root.span_id, "{node} {child}");
        }
    }
}

/// What the nodes say they ended is what arrived.
fn every_span_arrived(events: &str) {
    let counted: Vec<serde_json::Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] == "telemetry_counted")
        .collect();
    assert_eq!(counted.len(), 3);
    for count in counted {
        assert!(count["ended"].as_u64().unwrap() > 10, "{count}");
        assert_eq!(
            (&count["received"], &count["dropped"]),
            (&count["ended"], &0.into()),
            "{count}"
        );
    }
}

#[test]
fn a_node_with_its_gossip_off_is_red_by_name() {
    let bench = Bench::new();
    let text = FORMS.replace("20s", "6s");
    let run = bench.run("silent.lua", &text, &["--node-env", "node-3:MESH_NODE_GOSSIP=off"]);
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(run.stdout.contains("node-3 was heard by nobody"), "{}", run.all());
    assert!(run.stdout.contains("node-3 heard nobody"), "{}", run.all());
}

#[test]
fn a_killed_node_is_inferred_dead_by_each_survivor() {
    let bench = Bench::new();
    let text = r#"
test("the survivors notice", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  local victim = swarm:node(2)
  local hit = fault.kill_node(victim)
  expect.state(victim, "Dead", { via = "inference", since = hit, within = "10s" })
  expect.formed(swarm, { within = "10s" })
  victim:start()
  expect.formed(swarm, { within = "20s" })
end)
"#;
    let run = bench.run("killed.lua", text, &[]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    let events = bench.read("killed", "events.jsonl");
    assert!(events.contains("\"stage\":\"acted\"") && events.contains("ended by signal 9"));
    for survivor in ["node-1", "node-3"] {
        let noticed = format!("\"stage\":\"noticed\",\"by\":\"{survivor}\"");
        assert!(events.contains(&noticed), "{survivor} is not in the record:\n{events}");
    }
}

#[test]
fn a_node_that_infers_nothing_makes_the_fault_red() {
    let bench = Bench::new();
    // A frozen observer never infers: here it is one that hears nobody, so it never knew the
    // victim. The process table says "dead" all the same, and must not be asked.
    let text = r#"
test("somebody notices", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.spans("peer.connected", { from = swarm:node(1), within = "20s" })
  fault.kill_node(swarm:node(2))
end)
"#;
    let run = bench.run("deaf.lua", text, &["--node-env", "node-3:MESH_NODE_GOSSIP=off"]);
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(run.stdout.contains("not noticed by node-3"), "{}", run.all());
}

#[test]
fn a_program_that_is_no_node_is_named_with_its_log() {
    let bench = Bench::new();
    for (program, says) in [
        ("#!/bin/sh\necho 'no licence found' >&2\nexit 3\n", "exit code 3 before it was ready"),
        ("#!/bin/sh\nexec 1>&- 2>&-\nexit 0\n", "exit code 0 before it was ready"),
        ("#!/bin/sh\nexec sleep 600\n", "node-1 was not ready within 20.0 s"),
        ("#!/bin/bash\necho hello >&$MESHLAB_CONTROL_FD\nexec sleep 600\n", "control channel"),
    ] {
        let path = bench.scenario("node.sh", program);
        make_executable(&path);
        let binary = format!("mesh-node={}", path.display());
        let run = bench.run("stranger.lua", FORMS, &["--binary", &binary]);
        assert_eq!(run.code, Some(5), "{}", run.all());
        assert!(run.stdout.contains(says), "{}", run.all());
    }
}

#[test]
fn a_flood_of_log_is_bounded_and_does_not_hide_the_verdict() {
    let bench = Bench::new();
    let program = "#!/bin/sh\nhead -c 40000000 /dev/zero | tr '\\0' 'x'\nexit 9\n";
    let path = bench.scenario("flood.sh", program);
    make_executable(&path);
    let binary = format!("mesh-node={}", path.display());
    let run = bench.run("flood.lua", FORMS, &["--binary", &binary]);
    assert_eq!(run.code, Some(5), "{}", run.all());
    assert!(run.stdout.contains("exit code 9"), "{}", run.all());
    let log = bench.latest("flood").join("logs/node-1.log");
    assert!(fs::metadata(log).unwrap().len() < 17 * 1024 * 1024);
}

#[test]
fn an_interrupted_run_is_clean_and_readable() {
    let bench = Bench::new();
    let text = FORMS.replace("at_least = 4, within = \"20s\"", "at_least = 90000, within = \"5m\"");
    let path = bench.scenario("long.lua", &text);
    let [flag, network] = network();
    let child = bench.start(&["run", path.to_str().unwrap(), flag, network]);
    wait_for_event(&bench, "long", "\"expect.spans\"");
    // SAFETY: a signal to a child that this test started and has not waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let run = finish(child);
    assert_eq!(run.code, Some(130), "{}", run.all());
    assert!(run.stdout.contains("interrupted by SIGINT"), "{}", run.all());
    assert!(bench.read("long", "events.jsonl").contains("\"leftovers\":[]"));
    assert!(nodes_under(&bench.folder.path().canonicalize().unwrap()).is_empty());
}

#[test]
fn a_harness_that_is_killed_leaves_no_process_and_a_record_that_is_drawn() {
    let bench = Bench::new();
    let text = FORMS.replace("at_least = 4, within = \"20s\"", "at_least = 90000, within = \"5m\"");
    let path = bench.scenario("killed-harness.lua", &text);
    let [flag, network] = network();
    let mut child = bench.start(&["run", path.to_str().unwrap(), flag, network]);
    wait_for_event(&bench, "killed-harness", "\"expect.spans\"");
    let folder = bench.folder.path().canonicalize().unwrap();
    let nodes = nodes_under(&folder);
    assert_eq!(nodes.len(), 3, "the nodes run before the kill");
    let own = network_of("self");
    let networks: Vec<_> =
        nodes.iter().map(|pid| network_of(&pid.to_string())).filter(|net| *net != own).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = until(soon(), || nodes_under(&folder).is_empty().then_some(()));
    assert!(gone.is_some(), "still there: {:?}", nodes_under(&folder));
    let held = || {
        fs::read_dir("/proc").unwrap().flatten().any(|process| {
            let network = network_of(&process.file_name().to_string_lossy());
            network.is_some() && networks.contains(&network)
        })
    };
    assert!(until(soon(), || (!held()).then_some(())).is_some(), "a network namespace is held");
    let run = bench.latest("killed-harness");
    let report = bench.meshlab(&["report", run.to_str().unwrap()]);
    assert_eq!(report.code, Some(5), "{}", report.all());
    assert!(report.stdout.contains("incomplete"), "{}", report.all());
}

#[test]
fn a_scenario_over_its_timeout_is_red_and_clean() {
    let bench = Bench::new();
    let long = FORMS.replace("at_least = 4, within = \"20s\"", "at_least = 90000, within = \"5m\"");
    let text = format!("scenario {{ timeout = \"6s\" }}\n{long}");
    let run = bench.run("late.lua", &text, &[]);
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(run.stdout.contains("timeout"), "{}", run.all());
    assert!(bench.read("late", "events.jsonl").contains("\"leftovers\":[]"));
}

#[test]
fn a_hold_that_outlives_its_test_breaks_nothing() {
    let bench = Bench::new();
    let text = r#"
test("the node comes back after its hold, or the test is over first", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
  fault.kill_node(swarm:node(2), { hold = "10m" })
end)
test("the next test has its own mesh", function()
  expect.formed(mesh { nodes = 2, digest_every = "500ms" }, { within = "20s" })
end)
"#;
    let run = bench.run("hold.lua", text, &[]);
    assert_eq!(run.code, Some(0), "{}", run.all());
}

/// The network namespace of a process.
fn network_of(pid: &str) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

fn wait_for_event(bench: &Bench, scenario: &str, mark: &str) {
    let events = bench.latest(scenario).join("events.jsonl");
    let seen = until(soon(), || fs::read_to_string(&events).ok()?.contains(mark).then_some(()));
    assert!(seen.is_some(), "{mark} never came to {}", events.display());
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A node that is in the topic and says nothing is in nobody's directory: the books of the others
/// do not agree with who is there.
const AGREED: &str = r#"
test("the books agree", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms" }
  expect.agreed(swarm, { within = "6s" })
end)
"#;

#[test]
fn books_that_do_not_agree_are_red_and_name_whom_they_miss() {
    let bench = Bench::new();
    let silent = ["--node-env", "node-3:MESH_NODE_GOSSIP=off"];
    let run = bench.run("agreed.lua", AGREED, &silent);
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(run.stdout.contains("node-1 does not know node-3"), "{}", run.all());
    let run = bench.run("agreed.lua", AGREED, &[]);
    assert_eq!(run.code, Some(0), "{}", run.all());
}

const ORDERS: &str = r#"
test("orders are carried out or refused, and nobody is surprised by the end", function()
  local swarm = mesh { nodes = 2, operator = true, digest_every = "500ms" }
  local console = swarm:add { role = "console" }
  local target = swarm:node(2)
  -- Who has not met a node does not hear that it leaves.
  expect.formed(swarm, { within = "60s" })
  -- An order has 1.5 s, and is given again where a busy host takes longer.
  expect.eventually("60s", "without a capability it is refused", function()
    return console:shutdown(target).reason == "unrooted"
  end)
  operator.grant(console, { may = { "shutdown" }, valid_for = "5m" })
  expect.eventually("60s", "with one it is carried out", function()
    -- The answer may be lost with the node.
    return #swarm:live() < 3 or console:shutdown(target).accepted
  end)
  expect.state(target, "Leaving", { via = "message", within = "30s" })
  local echo = traffic.bi_streams {
    from = console, to = swarm:node(1), streams = 2, size = "1KiB", duration = "300ms",
    ceilings = { errors = 0, p50 = "1us" },
  }
  print("round trips: " .. echo.round_trips)
end)
"#;

#[test]
fn orders_and_traffic_are_in_the_record_and_a_broken_limit_is_red() {
    let bench = Bench::new();
    let run = bench.run("orders.lua", ORDERS, &[]);
    // The one thing wrong: half of all round trips within a microsecond.
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(run.stdout.contains("round trips, the limit is 1 µs"), "{}", run.all());
    let events = bench.read("orders", "events.jsonl");
    assert!(events.contains("order node-2 to shut down"), "{events}");
    assert!(events.contains("refused: unrooted"), "{events}");
    assert!(events.contains("\"asked_for\":true"), "{events}");
    let summary: serde_json::Value =
        serde_json::from_str(&bench.read("orders", "summary.json")).unwrap();
    let measure = &summary["traffic"][0]["measure"];
    assert!(measure["round_trips"].as_u64().unwrap() > 0, "{summary}");
    let failed: Vec<&str> = summary["claims"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|claim| claim["verdict"]["is"] == "failed")
        .filter_map(|claim| claim["text"].as_str())
        .collect();
    assert_eq!(failed, ["p50 at most 1 µs"], "{summary}");
}

const CHAOS: &str = r#"
test("chaos", function()
  local swarm = mesh { nodes = 3, digest_every = "200ms" }
  expect.formed(swarm, { within = "20s" })
  chaos { on = swarm, every = "1s", duration = "2500ms", detect_within = "WITHIN",
    faults = { wedge_node = 1 } }
end)
"#;

#[test]
fn a_chaos_is_green_when_all_is_noticed_and_red_when_it_is_not() {
    let bench = Bench::new();
    let run = bench.run("chaos.lua", &CHAOS.replace("WITHIN", "20s"), &[]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    let summary: serde_json::Value =
        serde_json::from_str(&bench.read("chaos", "summary.json")).unwrap();
    assert_eq!(summary["chaos"][0]["tally"]["detected"], 2, "{summary}");
    // Nobody can hold a node for dead so soon.
    let run = bench.run("chaos.lua", &CHAOS.replace("WITHIN", "250ms"), &[]);
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(run.stdout.contains("1 of 1 of the judged faults: 100.00 %"), "{}", run.all());
    assert!(run.stdout.contains("the budget of 0.00 % cannot be met any more"), "{}", run.all());
}

#[test]
fn a_replay_fires_what_was_fired_and_refuses_what_changed() {
    let bench = Bench::new();
    let text = CHAOS.replace("WITHIN", "20s");
    let run = bench.run("again.lua", &text, &[]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    let first = bench.latest("again").canonicalize().unwrap();
    let run = bench.meshlab(&["replay", first.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    let told = "2 of the 2 faults that acted there acted again; their onsets differ by p50";
    assert!(run.stdout.contains(told), "{}", run.all());
    let summary: serde_json::Value =
        serde_json::from_str(&bench.read("again", "summary.json")).unwrap();
    assert_eq!(summary["replay"]["deviation"]["count"], 2, "{summary}");
    assert!(first.ends_with(summary["replay"]["of"].as_str().unwrap()), "{summary}");
    let refused = |told: &str| {
        let run = bench.meshlab(&["replay", first.to_str().unwrap()]);
        assert_eq!(run.code, Some(2), "{}", run.all());
        assert!(run.stderr.contains(told), "{}", run.all());
    };
    bench.scenario("again.lua", &(text.clone() + "-- edited\n"));
    refused("its scenario changed since");
    bench.scenario("again.lua", &text);
    let events = fs::read_to_string(first.join("events.jsonl")).unwrap();
    fs::write(first.join("events.jsonl"), &events[..events.len() / 2]).unwrap();
    refused("its record is incomplete: events.jsonl ends at line");
}

#[test]
fn what_a_dead_harness_left_is_shown_first_and_then_removed() {
    let bench = Bench::new();
    let run = bench.folder.path().join("results/cut/1");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("manifest.json"), "{}").unwrap();
    // Process 1 runs, and was not started at the end of time.
    let mut stray = std::process::Command::new("/bin/sleep")
        .arg("600")
        .env("MESHLAB_HARNESS", format!("1-{}-0", u64::MAX))
        .env("MESHLAB_NODE_ID", "node-5")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let named = format!("process {} of node-5", stray.id());
    let shown = until(soon(), || {
        let dry = bench.meshlab(&["clean", "--dry-run"]);
        dry.stdout.contains(&format!("found    {named}")).then_some(dry)
    });
    let shown = shown.expect("the process is found");
    assert_eq!(shown.code, Some(5), "{}", shown.all());
    assert!(shown.stdout.contains("no end   ./results/cut/1"), "{}", shown.all());
    assert!(stray.try_wait().unwrap().is_none(), "nothing is removed yet");
    let cleaned = bench.meshlab(&["clean"]);
    assert!(cleaned.stdout.contains(&format!("removed  {named}")), "{}", cleaned.all());
    assert_eq!(cleaned.code, Some(0), "{}", cleaned.all());
    stray.wait().unwrap();
    assert!(run.join("manifest.json").exists(), "a record is nobody's to delete");
}
