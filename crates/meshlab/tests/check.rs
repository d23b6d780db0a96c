//! The rehearsal from the command line: `check`, `list`, `new`, `init`, and before each `run`.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::{fs, path::Path, process::Command, time::Instant};

use support::Bench;

/// Four days, and a slip on the last line.
const LATE: &str = "scenario { duration = \"4d\" }\n\ntest(\"late\", function()\n  \
    local swarm = mesh { nodes = 8 }\n  for hour = 1, 96 do\n    sleep \"1h\"\n    \
    check.spans(\"gossip.digest_received\", { from_each = swarm })\n  end\n  \
    expect.formed(swarm, { whithin = \"2m\" })\nend)\n";

#[test]
fn a_mistake_on_the_last_line_of_four_days_is_told_before_anything_is_started() {
    let bench = Bench::new();
    let began = Instant::now();
    let run = bench.run("late.lua", LATE, &[]);
    assert_eq!(run.code, Some(3), "{}", run.all());
    assert!(run.stderr.contains("late.lua:9:26"), "{}", run.all());
    assert!(run.stderr.contains("did you mean `within`?"), "{}", run.all());
    assert_eq!(run.stdout, "", "a run that did not begin has nothing to show");
    assert!(!bench.folder.path().join("results").exists(), "nothing was started");
    // Far from four days, however busy the machine is; what it takes is a benchmark's to say.
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}

#[test]
fn check_says_what_is_wrong_and_counts() {
    let bench = Bench::new();
    fs::create_dir_all(bench.folder.path().join("scenarios/more")).unwrap();
    let test = |body: &str| format!("test(\"t\", function()\n  {body}\nend)\n");
    for (name, text) in [
        ("scenarios/a-sound.lua", test("expect.formed(mesh { nodes = 2 })")),
        ("scenarios/b-late.lua", LATE.to_owned()),
        (
            "scenarios/c-span.lua",
            test("expect.spans(\"node.redy\", { from = mesh { nodes = 2 } })"),
        ),
        ("scenarios/d-endless.lua", test("while true do end")),
        ("scenarios/more/e-no-undo.lua", test("fault.wedge_node(mesh { nodes = 2 }:node(1))")),
        ("scenarios/more/f-comma.lua", "scenario {\n  timeout = \"2m\"\n  tags = {},\n}\n".into()),
    ] {
        bench.scenario(name, &text);
    }
    let run = bench.meshlab(&["check"]);
    assert_eq!(run.code, Some(3), "{}", run.all());
    insta::assert_snapshot!(format!("{}---\n{}", run.stderr, run.stdout));
    let run = bench.meshlab(&["check", "scenarios/a-sound.lua", "--time"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.all());
    assert!(run.stdout.contains("1 scenario, nothing wrong, in "), "{}", run.all());
    let run = bench.meshlab(&["check", "nowhere.lua"]);
    assert_eq!(run.code, Some(3), "{}", run.all());
}

#[test]
fn every_shipped_scenario_passes_and_is_listed() {
    let bench = Bench::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshlab"));
        command.args(arguments).current_dir(&root).env("NO_COLOR", "1").output().unwrap()
    };
    let checked = run(&["check"]);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    let listed = run(&["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let listed = listed.as_array().unwrap();
    let of = |name: &str| listed.iter().find(|scenario| scenario["name"] == name).unwrap();
    assert_eq!(of("slow-link")["needs"]["lab"], true);
    assert_eq!(of("cpu-limit")["needs"]["cgroups"], true);
    assert_eq!(of("relay-down")["needs"]["relay"], true);
    assert_eq!(of("chaos-soak")["needs"]["nodes_max"], 18);
    assert_eq!(of("stream-flood")["tags"][0], "benchmark");
    assert!(listed.iter().all(|scenario| scenario["sound"] == true), "{listed:?}");
    drop(bench);
}

#[test]
fn a_new_scenario_passes_and_is_never_written_over() {
    let bench = Bench::new();
    let run = bench.meshlab(&["new", "first"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.all());
    let run = bench.meshlab(&["check"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.all());
    let path = bench.folder.path().join("scenarios/first.lua");
    assert!(!fs::read_to_string(&path).unwrap().contains("NAME"));
    fs::write(&path, "mine").unwrap();
    let run = bench.meshlab(&["new", "first"]);
    assert_eq!(run.code, Some(2), "{}", run.all());
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(bench.meshlab(&["new", "../first"]).code, Some(2));
}

#[test]
fn editors_are_told_and_what_they_were_told_stays() {
    let bench = Bench::new();
    let path = bench.folder.path().join(".luarc.json");
    fs::write(&path, "{ \"diagnostics.globals\": [\"vim\"], \"x\": 1 }").unwrap();
    let run = bench.meshlab(&["init"]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    let merged = fs::read_to_string(&path).unwrap();
    for word in ["\"vim\"", "\"x\": 1", "\".meshlab\"", "\"Lua 5.4\""] {
        assert!(merged.contains(word), "{word} is missing in {merged}");
    }
    let types = bench.folder.path().join(".meshlab/meshlab.lua");
    let written = fs::read_to_string(&types).unwrap();
    for word in ["---@meta", "function Expect.spans(name, claim) end", "function mesh(options) end"]
    {
        assert!(written.contains(word), "{word} is missing in {written}");
    }
    fs::write(&types, "what an older meshlab wrote").unwrap();
    assert_eq!(bench.meshlab(&["init"]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), merged, "a second time changes nothing");
    assert_eq!(fs::read_to_string(&types).unwrap(), written, "types are those of this meshlab");
    fs::write(&path, "{ // mine\n}").unwrap();
    assert_eq!(bench.meshlab(&["init"]).code, Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{ // mine\n}");
}
