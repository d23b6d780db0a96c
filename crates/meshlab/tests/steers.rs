//! Runs that somebody has a hand in while their tests run, on real nodes, by what the live page
//! sends: what is done is an event of the run, spoils its verdict, and can be done again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that breaks is a test that fails"
)]

#[path = "support/client.rs"]
mod client;
mod support;

use client::{Client, WAITS, events, serve};
use serde_json::Value;
use support::{Bench, network};

/// What the page sends for *kill by message*.
const KILL: &str = "operator.grant(meshes[\"mesh1\"]:node(1), { may = { \"shutdown\" }, mesh = \
    \"mesh1\" }) local order = meshes[\"mesh1\"]:node(1):shutdown(meshes[\"mesh1\"]:node(2)) \
    print(order.accepted, order.reason)";

/// Starts a run that waits, and comes back once its mesh is formed.
fn waiting(bench: &Bench) -> (std::process::Child, Client) {
    let path = bench.scenario("waits.lua", WAITS);
    let [flag, network] = network();
    let (run, link) = serve(bench, &["run", path.to_str().unwrap(), "--ui", flag, network]);
    let client = Client::of(&link);
    let mut looking = client.look();
    let passed = |push: &Value| {
        let set = push["set"].as_object().unwrap();
        set.iter()
            .any(|(key, value)| key.starts_with("claim/") && value["verdict"]["is"] == "passed")
    };
    assert_eq!(looking.until(passed)["steer"], true, "the mesh can be acted on");
    (run, client)
}

/// Kills node 2 by message. On a busy host an order may take longer than it may, or its answer is
/// lost with the node: then it is given again.
fn kill(client: &Client) {
    loop {
        match client.act(KILL) {
            Ok(said) if said == "true nil" => return,
            Ok(_) => {}
            Err(said) => {
                // Whether it left is what the run's own claim says.
                let over = said.contains("the tests are over");
                assert!(over || said.contains("node-2 does not run"), "{said}");
                return;
            }
        }
    }
}

fn summary(bench: &Bench, scenario: &str) -> Value {
    serde_json::from_str(&bench.read(scenario, "summary.json")).unwrap()
}

#[test]
fn a_kill_by_message_from_the_page_is_carried_out_and_the_run_cannot_pass() {
    let bench = Bench::new();
    let (mut run, client) = waiting(&bench);
    let said = client.act("meshes[\"mesh1\"]:node(9)").unwrap_err();
    assert!(said.contains("9"), "{said}");
    kill(&client);
    run.stdout = None;
    assert_eq!(run.wait().unwrap().code(), Some(4), "every claim held, and nothing was shown");
    let events = events(&bench);
    let of = |kind: &'static str| events.iter().filter(move |event| event["event"] == kind);
    let acts = of("by_hand").count();
    assert!(acts >= 2 && of("by_hand").all(|event| event["manual"] == true));
    assert!(of("node_acted").all(|event| event["manual"] == true), "{events:?}");
    // What the test did meanwhile is its own.
    for kind in ["claim_started", "claim_finished", "test_finished", "run_finished"] {
        assert!(of(kind).all(|event| event["manual"].is_null()), "{kind}");
    }
    assert!(of("node_exited").all(|event| event["asked_for"] == true), "it was ordered to end");
    let summary = summary(&bench, "waits");
    assert_eq!(summary["verdict"]["is"], "inconclusive", "{summary}");
    let why = summary["verdict"]["because"].as_str().unwrap();
    assert!(
        why.contains(&format!("{acts} acts by hand")) && why.contains("nothing about the program"),
        "{why}"
    );
    let claims = summary["claims"].as_array().unwrap();
    assert!(claims.iter().all(|claim| claim["verdict"]["is"] == "passed"), "{claims:?}");
    assert!(claims[0]["after_hand"].is_null() && claims[1]["after_hand"] == true, "{claims:?}");
    assert_eq!(summary["hands"]["during"], acts, "{summary}");
    let again = bench.plain(&["report", "results/waits/latest"]);
    assert_eq!(again.code, Some(4), "the record alone says so: {}", again.all());
}

#[test]
fn what_is_done_by_hand_is_saved_as_a_scenario_that_runs() {
    let bench = Bench::new();
    let (mut run, client) = waiting(&bench);
    let node = |place: u32| format!("meshes[\"mesh1\"]:node({place})");
    let lines = [
        format!("{}:drain()", node(3)),
        format!("fault.slow_link({}, {{ delay = \"60ms\", hold = \"2s\" }})", node(4)),
        format!("fault.kill_node({}, {{ hold = \"10s\" }})", node(4)),
        format!("{}:resume()", node(3)),
        "#meshes[\"mesh1\"]:live()".to_owned(),
    ];
    for line in &lines {
        client.act(line).unwrap_or_else(|said| panic!("{line}: {said}"));
    }
    client.act(&format!("{}:drain()", node(9))).unwrap_err();
    kill(&client);
    run.stdout = None;
    assert_eq!(run.wait().unwrap().code(), Some(4));
    let (mut ui, link) = serve(&bench, &["ui", "waits/latest", "--no-open"]);
    let saved = Client::of(&link).ask("api/saved");
    assert!(saved["wrong"].is_null(), "{saved}");
    let source = saved["source"].as_str().unwrap();
    assert!(source.contains("operator = true") && source.contains("-- asked: #"), "{source}");
    assert!(source.contains("-- failed: meshes[\"mesh1\"]:node(9):drain()"), "{source}");
    let again = bench.run("again.lua", source, &[]);
    assert_eq!(again.code, Some(0), "{source}\n{}", again.all());
    let done = summary(&bench, "again");
    let names: Vec<&str> =
        done["faults"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["slow_link", "kill_node"], "{done}");
    // SAFETY: a signal to a child that this test started and has not waited for.
    unsafe { libc::kill(ui.id() as i32, libc::SIGTERM) };
    ui.wait().unwrap();
}
