//! The mistakes that people make: one clear error each, the right exit code, nothing started.

mod support;

use std::os::unix::process::ExitStatusExt;

use support::Bench;

#[test]
fn each_mistake_of_a_script_has_its_place_and_exit_code_3() {
    let bench = Bench::new();
    for (name, text, says) in [
        ("missing-end.lua", "test(\"x\", function()\n", "missing-end.lua:"),
        ("unknown.lua", "test(\"x\", function()\n  fault.kil_node(1)\nend)\n", "kill_node"),
        (
            "option.lua",
            "test(\"x\", function()\n  local m = mesh { nodez = 2 }\nend)\n",
            "did you mean `nodes`",
        ),
        ("number.lua", "test(\"x\", function()\n  sleep(30)\nend)\n", "\"30s\""),
        ("endless.lua", "test(\"x\", function()\n  while true do end\nend)\n", "endless.lua:2"),
    ] {
        let run = bench.run(name, text, &[]);
        assert_eq!(run.code, Some(3), "{name}: {}", run.all());
        let all = format!("{}{}", run.stdout, run.stderr);
        assert!(all.contains(says), "{name} does not say {says:?}: {}", run.all());
    }
}

#[test]
fn parameters_and_tags_are_checked_before_anything_runs() {
    let bench = Bench::new();
    let text = "scenario { params = { nodes = 4 }, tags = { \"quick\" } }\n";
    for (arguments, code, says) in [
        (&["--set", "nods=8"][..], 3, "did you mean `nodes`?"),
        (&["--set", "nodes=many"], 3, "`nodes` is a number"),
        (&["--set", "nodes"], 2, "NAME=VALUE"),
        (&["--time-scale", "0"], 2, "0.001 to 1000"),
        (&["--tag", "slow"], 2, "none of these scenarios has the tag `slow`"),
    ] {
        let run = bench.run("params.lua", text, arguments);
        assert_eq!(run.code, Some(code), "{arguments:?}: {}", run.all());
        assert!(run.stderr.contains(says), "{arguments:?}: {}", run.all());
    }
}

#[test]
fn several_scenarios_are_run_and_the_worst_counts() {
    let bench = Bench::new();
    let tagged = |body: &str| format!("scenario {{ tags = {{ \"a\" }} }}\n{body}");
    bench.scenario("green.lua", &tagged("test(\"t\", function() expect.equal(1, 1) end)\n"));
    bench.scenario("red.lua", &tagged("test(\"t\", function() expect.equal(1, 2) end)\n"));
    bench.scenario("other.lua", "test(\"t\", function() expect.equal(1, 2) end)\n");
    let network = ["--network", "host"];
    let run = |files: &[&str]| bench.meshlab(&[&["run"], files, &network[..]].concat());
    let both = run(&["red.lua", "green.lua"]);
    assert_eq!(both.code, Some(1), "{}", both.all());
    let green = run(&["green.lua", "other.lua", "--tag", "a"]);
    assert_eq!(green.code, Some(0), "{}", green.all());
    assert!(green.stdout.contains("left out other.lua"), "{}", green.all());
}

#[test]
fn a_scenario_that_is_not_there_is_named() {
    let bench = Bench::new();
    let run = bench.meshlab(&["run", "nowhere.lua"]);
    assert_eq!(run.code, Some(3), "{}", run.all());
    assert!(run.stderr.contains("nowhere.lua"), "{}", run.all());
}

#[test]
fn a_wrong_command_line_is_usage() {
    let bench = Bench::new();
    for arguments in [&["rnu"][..], &["run"], &["run", "x.lua", "--network", "moon"]] {
        let run = bench.meshlab(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.all());
    }
    let run = bench.meshlab(&["report", "nowhere"]);
    assert_eq!(run.code, Some(2), "{}", run.all());
    assert!(run.stderr.contains("there is no run at nowhere"), "{}", run.all());
}

#[test]
fn a_scenario_that_proves_nothing_is_not_green() {
    let bench = Bench::new();
    for (name, text) in [
        ("empty.lua", ""),
        ("no-claim.lua", "test(\"looks at nothing\", function()\n  print(\"hello\")\nend)\n"),
    ] {
        let run = bench.run(name, text, &[]);
        assert_eq!(run.code, Some(1), "{name}: {}", run.all());
    }
}

#[test]
fn results_that_cannot_be_written_stop_the_run_before_a_node_starts() {
    let bench = Bench::new();
    let text = "test(\"x\", function()\n  mesh { nodes = 1 }\nend)\n";
    let run = bench.run("full.lua", text, &["--output", "/proc/nowhere"]);
    assert_eq!(run.code, Some(5), "{}", run.all());
    assert!(run.stderr.contains("--output"), "{}", run.all());
}

/// `meshlab help | head -1`: who reads goes away before all is said.
#[test]
fn a_reader_that_goes_away_ends_what_only_prints_without_a_panic() {
    let bench = Bench::new();
    let scenario = bench.scenario("one.lua", "test(\"t\", function() expect.equal(1, 1) end)\n");
    let scenario = scenario.to_str().expect("a path in UTF-8");
    for arguments in [&["help"][..], &["help", "run"], &["list", scenario], &["check", scenario]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = bench.command(arguments).stdout(writer).output().expect("it starts");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.signal(), Some(libc::SIGPIPE), "{arguments:?}: {said}");
        assert!(said.is_empty(), "{arguments:?}: {said}");
    }
}
