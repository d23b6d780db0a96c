//! Programs of somebody else's, from the command line: the example of docs/kinds.md, our node as a
//! stranger, a probe and the kind that it writes.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use support::Bench;

const PYTHON: &str = "/usr/bin/python3";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The first block of Lua of the document.
fn first_example() -> String {
    let text = fs::read_to_string(root().join("docs/kinds.md")).unwrap();
    let (_, after) = text.split_once("```lua\n").unwrap();
    after.split_once("```").unwrap().0.to_owned()
}

#[test]
fn fifteen_lines_lead_from_a_program_to_a_chaos_and_a_server_that_stays_away_is_red() {
    let example = first_example();
    assert!(example.lines().count() <= 15, "{example}");
    if !Path::new(PYTHON).exists() {
        return;
    }
    let bench = Bench::new();
    let scenario = bench.scenario("first.lua", &example).display().to_string();
    let green = bench.plain(&["run", &scenario, "--seed", "3", "--ignore-noise"]);
    assert_eq!(green.code, Some(0), "{}", green.all());
    assert!(green.stdout.contains("inconclusive fault "), "{}", green.all());
    assert!(green.stdout.contains("its kind `web` maps no spans to"), "{}", green.all());
    // The same program, which serves once and never again.
    let broken =
        "#!/bin/sh\n[ -e once ] && exec sleep 600\ntouch once\nexec /usr/bin/python3 \"$@\"\n";
    let program = bench.scenario("broken", broken);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let ready = "ready = { port = \"tcp\" }";
    let example = example.replace(ready, "ready = { port = \"tcp\", within = \"5s\" }");
    let (before, _) = example.split_once(", lossy_link").unwrap();
    let (_, after) = example.split_once("hold = \"1s\" }").unwrap();
    let example = format!("{before}{after}");
    let scenario = bench.scenario("second.lua", &example).display().to_string();
    let binary = format!("web={}", program.display());
    let arguments = ["run", &scenario, "--seed", "3", "--ignore-noise", "--binary", &binary];
    let red = bench.plain(&arguments);
    assert!(![Some(0), Some(4)].contains(&red.code), "{}", red.all());
    assert!(red.stdout.contains("nothing listens on TCP port 8000"), "{}", red.all());
}

#[test]
fn our_node_as_a_stranger_is_known_by_its_spans_and_a_silent_one_is_red_by_name() {
    let bench = Bench::new();
    fs::create_dir(bench.folder.path().join("lib")).unwrap();
    let kind = fs::read_to_string(root().join("scenarios/lib/stranger.lua")).unwrap();
    bench.scenario("lib/stranger.lua", &kind);
    let text = "local stranger = require(\"stranger\")\nscenario { timeout = \"2m\" }\n\
                test(\"they find each other\", function()\n  \
                local swarm = mesh { nodes = 3, kind = stranger }\n  \
                expect.formed(swarm, { within = \"30s\" })\n  \
                expect.spans(\"peer.connected\", { from = swarm:node(1), \
                where = { [\"peer.id\"] = swarm:node(2).public_key } })\nend)\n";
    let scenario = bench.scenario("x.lua", text).display().to_string();
    let green = bench.meshlab(&["run", &scenario]);
    assert_eq!(green.code, Some(0), "{}", green.all());
    let text = text.replace("30s", "4s");
    let scenario = bench.scenario("y.lua", &text).display().to_string();
    let red = bench.meshlab(&["run", &scenario, "--node-env", "node-3:MESH_NODE_GOSSIP=off"]);
    assert_eq!(red.code, Some(1), "{}", red.all());
    assert!(red.stdout.contains("node-3 was heard by nobody"), "{}", red.all());
}

#[test]
fn a_probe_says_what_it_saw_and_the_kind_that_it_writes_runs() {
    let bench = Bench::new();
    // What it says comes after what it sends: once it is ready, there is something to be counted.
    let script = "echo x > /dev/udp/192.0.2.9/53; echo now listening on {port}; sleep 600";
    let arguments =
        ["probe", "--for", "5s", "--write", "lib/it.lua", "--", "/bin/bash", "-c", script];
    let probed = bench.plain(&arguments);
    assert_eq!(probed.code, Some(0), "{}", probed.all());
    assert!(probed.stdout.contains("1 packets to 192.0.2.9  OUTSIDE the lab"), "{}", probed.all());
    assert!(probed.stdout.contains("now listening on 7777"), "{}", probed.all());
    assert!(!bench.folder.path().join("results").exists(), "nothing is left");
    let again = bench.plain(&arguments);
    assert_eq!(again.code, Some(2), "{}", again.all());
    let text = "local it = require(\"it\")\nscenario { timeout = \"1m\" }\n\
                test(\"it runs\", function()\n  local all = mesh { nodes = 2, kind = it }\n  \
                expect.equal(#all:live(), 2)\nend)\n";
    let scenario = bench.scenario("x.lua", text).display().to_string();
    let ran = bench.plain(&["run", &scenario]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.contains("node-1 sent 1 packets out of the lab, to 192.0.2.9"));
    let gone = bench.plain(&["probe", "--for", "60s", "--", "/bin/sh", "-c", "echo why; exit 3"]);
    assert_eq!(gone.code, Some(1), "{}", gone.all());
    assert!(gone.stdout.contains("by itself, with exit code 3"), "{}", gone.all());
    let missing = bench.plain(&["probe", "--", "no-such-program"]);
    assert_eq!(missing.code, Some(5), "{}", missing.all());
    assert!(missing.stderr.contains("`no-such-program` is not on PATH"), "{}", missing.all());
}
