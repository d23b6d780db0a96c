//! A run whose harness is killed: what is said of it, and that it can be gone on with.
#![allow(clippy::unwrap_used, reason = "a test that breaks is a test that fails")]

mod support;

use std::{fs, path::Path};

use meshlab_model::{RunEvent, RunEventKind, RunTime, TestId, Verdict};
use support::{Bench, Finished, network, nodes_under, soon, until};

type K = RunEventKind;

/// A test that ends, one that is interrupted in its schedule, one after it.
const PLAN: &str = r#"
local run = scenario { duration = "24s", timeout = "5m" }
test("it ends before the kill", function()
  expect.formed(mesh { nodes = 2, digest_every = "500ms" }, { within = "60s" })
end)
test("it is interrupted", function()
  local swarm = mesh { nodes = 4, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  chaos {
    on = swarm, duration = run.duration, every = "4s", detect_within = "60s",
    flake_budget = "100%", skip_budget = "100%", faults = { restart_node = 1 },
  }
end)
test("it comes after the gap", function()
  expect.formed(mesh { nodes = 2, digest_every = "500ms" }, { within = "60s" })
end)
"#;

fn events(run: &Path) -> Vec<RunEvent> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs the plan and kills its harness once a fault of the schedule was judged.
fn killed(bench: &Bench, name: &str) -> Vec<RunEvent> {
    let path = bench.scenario(&format!("{name}.lua"), PLAN);
    let [flag, network] = network();
    let mut child = bench.start(&["run", path.to_str().unwrap(), "--seed", "5", flag, network]);
    let events_file = bench.latest(name).join("events.jsonl");
    let judged = || {
        let text = fs::read_to_string(&events_file).ok()?;
        text.contains("\"fault_finished\"").then_some(())
    };
    until(soon(), judged).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let folder = bench.folder.path().canonicalize().unwrap();
    until(soon(), || nodes_under(&folder).is_empty().then_some(())).unwrap();
    events(&bench.latest(name))
}

fn resume(bench: &Bench, name: &str, more: &[&str]) -> Finished {
    let run = format!("{name}/latest");
    let mut arguments = vec!["run", "--resume", &run];
    arguments.extend(more);
    bench.plain(&arguments)
}

/// Every way to look at a run that was killed says that it is incomplete, and none is green.
#[test]
fn a_killed_run_is_incomplete_wherever_it_is_shown() {
    let bench = Bench::new();
    let before = killed(&bench, "shown");
    let run = bench.latest("shown");
    let report = bench.meshlab(&["report", run.to_str().unwrap()]);
    assert_eq!(report.code, Some(5), "{}", report.all());
    let last = before.last().unwrap();
    let wanted = format!("the last of its events is number {} at {}", last.seq, last.at);
    for told in ["incomplete: the record ends with event", &wanted, "in spans/000001.jsonl.zst"] {
        assert!(report.stdout.contains(told), "{told}: {}", report.all());
    }
    let summary: serde_json::Value =
        serde_json::from_str(&bench.read("shown", "summary.json")).unwrap();
    assert_eq!(summary["exit_code"], 5);
    assert_eq!(summary["record"]["complete"], false);
    assert_eq!(summary["record"]["last_event"]["seq"], last.seq);
    assert_eq!(summary["record"]["last_of_spans"]["segment"], "spans/000001.jsonl.zst");
    let folder = run.canonicalize().unwrap();
    let reports = bench.folder.path().join("reports/shown").join(folder.file_name().unwrap());
    for file in ["index.html", "summary.md", "junit.xml"] {
        let text = fs::read_to_string(reports.join(file)).unwrap();
        assert!(text.contains("incomplete: the record ends with event"), "{file}");
        assert!(text.contains("the last of its events is number"), "{file}");
    }
    let junit = fs::read_to_string(reports.join("junit.xml")).unwrap();
    assert!(junit.contains("errors=\"") && !junit.contains("errors=\"0\""), "{junit}");
    let run = "shown/latest";
    for arguments in [
        &["query", run, "SELECT count(*) FROM events"][..],
        &["spans", run, "node.ready"],
        &["logs", run, "--node", "node-1", "--at", "1s", "--around", "1m"],
    ] {
        let asked = bench.meshlab(arguments);
        assert!(asked.stderr.contains("the run has no end"), "{arguments:?}: {}", asked.all());
        assert!(!asked.stdout.is_empty(), "{arguments:?}: {}", asked.all());
    }
    let listed = bench.meshlab(&["clean", "--dry-run"]);
    assert!(listed.stdout.contains("no end   "), "{}", listed.all());
}

#[test]
fn a_killed_run_goes_on_with_what_was_left_of_its_plan() {
    let bench = Bench::new();
    let before = killed(&bench, "goes-on");
    let run = bench.latest("goes-on");
    // Half a line, as a kill may leave it.
    let mut torn = fs::read(run.join("events.jsonl")).unwrap();
    torn.extend_from_slice(b"{\"seq\":99999,\"at\":1,");
    fs::write(run.join("events.jsonl"), torn).unwrap();
    let resumed = resume(&bench, "goes-on", &[]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.all());
    assert!(resumed.stdout.contains("gap      nothing is known from"), "{}", resumed.all());
    let all = events(&run);
    assert!(all.iter().map(|event| event.seq).eq(1..=all.len() as u64), "numbers go on");
    assert!(all.is_sorted_by_key(|event| event.at), "time goes on");
    assert_eq!(all[..before.len()], before, "what was recorded stays");
    let after = &all[before.len()..];
    let K::RunResumed { part: 2, from, test: Some(TestId(1)), spent_micros } = after[0].kind else {
        panic!("{:?}", after[0])
    };
    assert!(from >= before.last().unwrap().at && from < after[0].at && spent_micros > 4_000_000);
    tests_that_ended_are_not_run_again(after);
    the_schedule_is_gone_on_with(&all, from);
    // New segments, and a report that shows the gap.
    assert!(run.join("spans/000002.jsonl.zst").exists());
    let summary: serde_json::Value =
        serde_json::from_str(&bench.read("goes-on", "summary.json")).unwrap();
    assert_eq!(summary["gaps"].as_array().unwrap().len(), 1);
    assert_eq!(summary["verdict"]["is"], "passed", "{}", summary["verdict"]);
    let seqs = bench.meshlab(&[
        "query",
        "goes-on/latest",
        "SELECT count(*) - count(DISTINCT seq) AS twice FROM spans",
        "--format",
        "csv",
    ]);
    assert_eq!(seqs.stdout.lines().last(), Some("0"), "{}", seqs.all());
    let again = resume(&bench, "goes-on", &[]);
    assert_eq!(again.code, Some(2), "{}", again.all());
    assert!(again.stderr.contains("it has ended, so nothing of it is left"), "{}", again.all());
    let replay = bench.meshlab(&["replay", "goes-on/latest"]);
    assert!(
        replay.stderr.contains("its harness was killed, and it was gone on"),
        "{}",
        replay.all()
    );
}

fn tests_that_ended_are_not_run_again(after: &[RunEvent]) {
    let started = |event: &RunEvent| match event.kind {
        K::TestStarted { test, .. } => Some(test.0),
        _ => None,
    };
    assert_eq!(after.iter().filter_map(started).collect::<Vec<_>>(), [1, 2]);
}

/// Each fault of the schedule is judged once, and what was left of it took what was left of its
/// time.
fn the_schedule_is_gone_on_with(all: &[RunEvent], from: RunTime) {
    let mut places = std::collections::BTreeMap::new();
    let (mut judged, mut plans) = (Vec::new(), Vec::new());
    let mut ended = RunTime::ZERO;
    for event in all {
        match &event.kind {
            K::FaultPlanned { fault, chaos: Some(place), .. } => {
                places.insert(*fault, place.place);
            }
            K::FaultFinished { fault, verdict } => judged.push((places[fault], verdict.clone())),
            K::ChaosPlanned { plan, .. } => plans.push((event.at, plan.clone())),
            K::ChaosFinished { tally, .. } => {
                ended = event.at;
                assert_eq!(tally.planned, 5, "{tally:?}");
                let judged = judged.iter().filter(|(_, v)| *v == Verdict::Passed).count();
                assert_eq!(tally.detected, judged as u64, "those before the gap are counted");
            }
            _ => {}
        }
    }
    assert_eq!(plans.len(), 2);
    assert_eq!(plans[0].1, plans[1].1, "it is the same schedule");
    let mut once: Vec<u32> = judged.iter().map(|(place, _)| *place).collect();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), judged.len(), "judged twice: {judged:?}");
    // By the word of the record: what came after its last event was spent too.
    let spent = from.since(plans[0].0);
    let rest = ended.since(plans[1].0);
    assert!(spent.as_secs() >= 4, "{spent:?}");
    // A fault may take longer to heal than the schedule lasts; what is skipped shortens it.
    assert!(rest.as_secs() + spent.as_secs() >= 22, "{rest:?} after {spent:?}");
}

#[test]
fn what_is_not_the_same_run_is_refused_with_words() {
    let bench = Bench::new();
    let path = bench.scenario("other.lua", PLAN);
    let [flag, network] = network();
    let mut child = bench.start(&["run", path.to_str().unwrap(), "--seed", "5", flag, network]);
    let run = bench.latest("other");
    let begun =
        || fs::read_to_string(run.join("events.jsonl")).ok()?.contains("mesh_ready").then_some(());
    until(soon(), begun).unwrap();
    let refused = |more: &[&str], wanted: &str| {
        let told = resume(&bench, "other", more);
        assert_eq!(told.code, Some(2), "{}", told.all());
        assert!(told.stderr.contains(wanted), "{wanted}: {}", told.all());
    };
    refused(&[], "another meshlab is writing it: the run goes on");
    child.kill().unwrap();
    child.wait().unwrap();
    let changed = bench.scenario("changed.lua", &PLAN.replace("24s", "25s"));
    refused(&[changed.to_str().unwrap()], "its scenario changed since");
    refused(&["--binary", "mesh-node=/bin/true"], "its program mesh-node changed since");
    refused(&["--seed", "6"], "cannot be used with");
    refused(&["--binary", "nobody=/bin/true"], "it had no program `nobody`");
    let nowhere = bench.plain(&["run", "--resume", "nowhere"]);
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.all());
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    fs::write(run.join("events.jsonl"), text.replacen("run_started", "run_startet", 1)).unwrap();
    refused(&[], "its record is damaged: events.jsonl");
}
