//! Runs whose mesh is kept, on real nodes: the prompt, the end, and that nothing outlives it.
#![allow(clippy::unwrap_used, reason = "a test that breaks is a test that fails")]

mod support;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use support::{Bench, Finished, finish, network, nodes_under, soon, until};

const FORMS: &str = r#"
test("three nodes form a mesh", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "20s" })
end)
"#;

/// Starts a run that keeps its mesh and waits until it does.
fn keep(bench: &Bench, name: &str, text: &str) -> Child {
    let path = bench.scenario(&format!("{name}.lua"), text);
    let [flag, network] = network();
    let child = bench.start(&["run", path.to_str().unwrap(), "--keep", flag, network]);
    let events = bench.latest(name).join("events.jsonl");
    let kept = until(soon(), || {
        fs::read_to_string(&events).ok()?.contains("\"event\":\"kept\"").then_some(())
    });
    assert!(kept.is_some(), "nothing is kept: {:?}", fs::read_to_string(&events));
    child
}

fn attach_to(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = bench.command(&[&["attach"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Attaches with these lines.
fn attach(bench: &Bench, arguments: &[&str], lines: &str) -> Finished {
    let mut child = attach_to(bench, arguments).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    finish(child)
}

fn summary(bench: &Bench, name: &str) -> serde_json::Value {
    serde_json::from_str(&bench.read(name, "summary.json")).unwrap()
}

#[test]
fn a_kept_mesh_takes_faults_by_hand_and_ends_clean_with_its_own_verdict() {
    let bench = Bench::new();
    let run = keep(&bench, "kept", FORMS);
    let socket = bench.latest("kept").join("attach.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = "#swarm:live()\n\
        fault.kill_node(swarm:node(2), {}, function(hit)\n\
          print(#swarm:live() .. \" run while it acts\")\n\
          expect.state(swarm:node(2), \"Dead\", { via = \"inference\", since = hit, within = \"20s\" })\n\
        end)\n\
        #swarm:live()\n";
    let told = attach(&bench, &["kept/latest"], lines);
    assert_eq!(told.code, Some(0), "{}", told.all());
    let words: Vec<&str> = told.stdout.lines().collect();
    assert_eq!(words.first(), Some(&"3"), "{}", told.all());
    assert!(words.contains(&"2 run while it acts"), "{}", told.all());
    assert_eq!(words.last(), Some(&"3"), "{}", told.all());
    // A claim that fails by hand is the client's failure, and not the run's.
    let told = attach(&bench, &[], "expect.equal(1, 2)\nprint(\"on\")\n");
    assert_eq!(told.code, Some(1), "{}", told.all());
    assert!(told.stdout.contains("1 is not 2") || told.stdout.contains("a claim failed"));
    assert!(told.stdout.ends_with("on\n"), "{}", told.all());
    let folder = bench.folder.path().canonicalize().unwrap();
    assert_eq!(nodes_under(&folder).len(), 3, "it is left up");
    let told = attach(
        &bench,
        &["kept/latest", "--end"],
        "fault.kill_node(swarm:node(1), { hold = \"10m\" })\n",
    );
    assert_eq!(told.code, Some(0), "{}", told.all());
    let run = finish(run);
    assert_eq!(run.code, Some(0), "{}", run.all());
    assert!(run.stdout.contains("meshlab attach kept/"), "{}", run.all());
    assert!(run.stdout.contains("by hand  #swarm:live()"), "{}", run.all());
    let events = bench.read("kept", "events.jsonl");
    assert!(events.contains("\"leftovers\":[]"), "{events}");
    let manual = |line: &&str| line.contains("\"manual\":true");
    let after: Vec<&str> = events.lines().skip_while(|line| !line.contains("\"kept\"")).collect();
    assert!(after.iter().any(|line| manual(line) && line.contains("fault_finished")), "{events}");
    assert!(
        !events.lines().take_while(|line| !line.contains("\"kept\"")).any(|line| manual(&line))
    );
    let summary = summary(&bench, "kept");
    assert_eq!(summary["verdict"]["is"], "passed", "{summary}");
    assert_eq!(summary["claims"].as_array().unwrap().len(), 1, "{summary}");
    assert_eq!(summary["by_hand"].as_array().unwrap().len(), 6, "{summary}");
    assert!(!socket.exists() && nodes_under(&folder).is_empty());
    let told = attach(&bench, &["kept/latest"], "1\n");
    assert_eq!(told.code, Some(5), "{}", told.all());
    assert!(told.stderr.contains("no process keeps its mesh"), "{}", told.all());
}

#[test]
fn the_mesh_of_the_test_that_failed_is_kept_and_ctrl_c_ends_it_with_the_tests_verdict() {
    let bench = Bench::new();
    let text = FORMS.to_owned()
        + "test(\"one is not two\", function()\n  local pair = mesh { nodes = 2, name = \"pair\" }\n  \
           check.equal(1, 2, \"one is two\")\nend)\n"
        + "test(\"never run\", function() mesh { nodes = 1 } end)\n";
    let run = keep(&bench, "red", &text);
    let told = attach(&bench, &[], "swarm\nmeshes.pair:node(1).id\n");
    assert_eq!(told.code, Some(0), "{}", told.all());
    assert!(told.stdout.starts_with("pair: 2 of 2 nodes run: node-4, node-5"), "{}", told.all());
    // SAFETY: a signal to a child that this test started and has not waited for.
    unsafe { libc::kill(run.id() as i32, libc::SIGINT) };
    let run = finish(run);
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(
        run.stdout.contains("one is two") && run.stdout.contains("never reached"),
        "{}",
        run.all()
    );
    assert!(bench.read("red", "events.jsonl").contains("\"leftovers\":[]"));
}

#[test]
fn a_client_or_a_harness_that_is_killed_harms_nothing_and_leaves_nothing() {
    let bench = Bench::new();
    let mut run = keep(&bench, "killed", FORMS);
    let mut client = attach_to(&bench, &[]).spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    input
        .write_all(b"fault.wedge_node(swarm:node(1), {}, function() sleep \"10m\" end)\n")
        .unwrap();
    let events = bench.latest("killed").join("events.jsonl");
    let mark = |mark: &str| {
        let seen = until(soon(), || fs::read_to_string(&events).ok()?.contains(mark).then_some(()));
        assert!(seen.is_some(), "no {mark}: {}", fs::read_to_string(&events).unwrap());
    };
    mark("\"stage\":\"acted\"");
    client.kill().unwrap();
    client.wait().unwrap();
    mark("\"stage\":\"undone\"");
    // The prompt is free once the other side has seen that the client is gone.
    let told = until(soon(), || {
        let told = attach(&bench, &[], "#swarm:live()\n");
        (!told.all().contains("somebody else is attached")).then_some(told)
    })
    .unwrap();
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "3\n"), "{}", told.all());
    let folder = bench.folder.path().canonicalize().unwrap();
    assert_eq!(nodes_under(&folder).len(), 3);
    run.kill().unwrap();
    run.wait().unwrap();
    let gone = until(soon(), || nodes_under(&folder).is_empty().then_some(()));
    assert!(gone.is_some(), "still there: {:?}", nodes_under(&folder));
    let told = attach(&bench, &[], "1\n");
    assert!(told.stderr.contains("keeps its mesh"), "{}", told.all());
    let report = bench.meshlab(&["report", bench.latest("killed").to_str().unwrap()]);
    assert!(report.stdout.contains("incomplete"), "{}", report.all());
}

#[test]
fn what_comes_over_the_socket_is_bounded_and_only_one_is_attached() {
    let bench = Bench::new();
    let run = keep(&bench, "bounds", FORMS);
    let socket = bench.latest("bounds").canonicalize().unwrap().join("attach.sock");
    let connect = || connect(&socket);
    let mut first = connect();
    assert!(heard(&mut first).contains("hello"));
    let mut second = connect();
    assert!(heard(&mut second).contains("somebody else is attached"));
    first.write_all(b"this is no message\n").unwrap();
    assert!(heard(&mut first).contains("refused"));
    drop(first);
    // The prompt is free once the other side has seen that the first is gone.
    let told = until(soon(), || {
        let told = attach(&bench, &[], "1\n");
        (told.code == Some(0)).then_some(told)
    });
    assert!(told.is_some());
    let mut flood = until(soon(), || {
        let mut flood = connect();
        heard(&mut flood).contains("hello").then_some(flood)
    })
    .unwrap();
    // It stops reading long before that; then the write fails.
    let _ = flood.write_all(&vec![b'x'; 8 << 20]);
    assert!(heard(&mut flood).contains("a line has at most"));
    drop(flood);
    // SAFETY: a signal to a child that this test started and has not waited for.
    unsafe { libc::kill(run.id() as i32, libc::SIGTERM) };
    let run = finish(run);
    assert_eq!(run.code, Some(0), "{}", run.all());
}

fn connect(socket: &Path) -> std::os::unix::net::UnixStream {
    std::os::unix::net::UnixStream::connect(socket).unwrap()
}

/// The next line.
fn heard(stream: &mut std::os::unix::net::UnixStream) -> String {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

#[test]
fn a_run_is_repeated_until_it_is_clear() {
    let bench = Bench::new();
    let text = "test(\"red\", function()\n  mesh { nodes = 1 }\n  expect.equal(1, 2)\nend)\n";
    let run = bench.run("flaky.lua", text, &["--repeat", "9"]);
    assert_eq!(run.code, Some(1), "{}", run.all());
    assert!(run.stdout.contains("0 of 2 green"), "{}", run.all());
    assert!(run.stdout.contains("the test says: flaky"), "{}", run.all());
    let text = text.replace("1, 2", "1, 1");
    let run = bench.run("steady.lua", &text, &["--repeat", "2"]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    assert!(run.stdout.contains("2 of 2 green shows only that"), "{}", run.all());
}

#[test]
fn the_number_of_nodes_is_replaced_where_it_is_plain_and_refused_where_it_is_not() {
    let bench = Bench::new();
    let text = "test(\"t\", function()\n  local swarm = mesh { nodes = 1 }\n  \
                expect.equal(#swarm:live(), 2)\nend)\n";
    let run = bench.run("count.lua", text, &["--nodes", "2"]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    let manifest: serde_json::Value =
        serde_json::from_str(&bench.read("count", "manifest.json")).unwrap();
    assert_eq!(manifest["nodes"], 2);
    let two = format!("{text}{}", text.replace("\"t\"", "\"u\""));
    let run = bench.run("two.lua", &two, &["--nodes", "2"]);
    assert_eq!(run.code, Some(2), "{}", run.all());
    assert!(run.stderr.contains("params = { nodes = 4 }"), "{}", run.all());
    let run = bench.run("two.lua", &two, &["--nodes", "2", "--set", "nodes=2"]);
    assert_eq!(run.code, Some(2), "{}", run.all());
    let run = bench.run("two.lua", &two, &["--keep", "--repeat", "2"]);
    assert_eq!(run.code, Some(2), "{}", run.all());
}
