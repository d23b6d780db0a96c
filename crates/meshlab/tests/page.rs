//! The live page in a real browser, against real runs: what it shows is what the record says.
//!
//! These need a Chromium, so they are ignored unless they are asked for; `.ci/run` installs one,
//! asks for them, and says so where it cannot.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that breaks is a test that fails"
)]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
};

use browser::Browser;
use serde_json::Value;
use support::{Bench, finish, network};

const SCENARIO: &str = r#"
scenario { timeout = "4m" }
test("the survivors notice a death", function()
  local swarm = mesh { nodes = 4, digest_every = "1s", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  fault.kill_node(swarm:node(2), {}, function(hit)
    expect.state(swarm:node(2), "Dead", { via = "inference", since = hit, within = "60s" })
  end)
  check.equal(1, 2, "one is two")
end)
"#;

/// Starts a program and waits for the link that it prints.
fn serve(bench: &Bench, arguments: &[&str]) -> (Child, String) {
    let mut command = bench.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("page at ") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it printed no link");
    }
    // What follows is not read, and must not hold it up.
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    (child, line.trim().trim_start_matches("page at ").to_owned())
}

/// Where pictures are kept, for people.
fn pictures() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn events(bench: &Bench) -> Vec<Value> {
    let text = bench.read("shown", "events.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(events: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == kind)
}

/// `[id, word]` of what the page shows with this mark.
fn shown(browser: &mut Browser, mark: &str) -> Vec<(String, String)> {
    let asked = format!(
        "[...document.querySelectorAll('#main [data-{mark}][data-verdict]')]\
         .map((one) => [one.dataset.{mark}, one.dataset.verdict])"
    );
    let mut all: Vec<(String, String)> = serde_json::from_value(browser.ask(&asked)).unwrap();
    all.sort();
    all
}

/// The same by the record.
fn judged(events: &[Value], kind: &str, id: &str) -> Vec<(String, String)> {
    let one = |event: &Value| {
        (event[id].to_string(), event["verdict"]["is"].as_str().unwrap().to_owned())
    };
    let mut all: Vec<(String, String)> = of(events, kind).map(one).collect();
    all.sort();
    all
}

/// What the page of a run that is over shows against what its record says.
fn equals_the_record(browser: &mut Browser, link: &str, events: &[Value]) {
    browser.open(&format!("{link}&tab=claims"));
    browser.until("window.meshlab.store.get('run').over && document.querySelector('[data-claim]')");
    assert_eq!(shown(browser, "claim"), judged(events, "claim_finished", "claim"));
    let title = browser.ask("document.querySelector('#verdict').textContent");
    assert_eq!(title, "✗ failed");
    browser.open(&format!("{link}&tab=timeline"));
    browser.until("document.querySelector('tr[data-fault]')");
    assert_eq!(shown(browser, "fault"), judged(events, "fault_finished", "fault"));
    browser.open(link);
    browser.until("document.querySelectorAll('svg.topo [data-node]').length");
    let nodes = browser.ask(
        "[...document.querySelectorAll('svg.topo [data-node]')].map((one) => one.dataset.node)",
    );
    let mut nodes: Vec<String> = serde_json::from_value(nodes).unwrap();
    nodes.sort();
    let mut spawned: Vec<String> = of(events, "node_spawned")
        .map(|event| event["node"].as_str().unwrap().to_owned())
        .collect();
    spawned.sort();
    spawned.dedup();
    assert_eq!(nodes, spawned);
    let events_shown = browser.ask("window.meshlab.store.get('run').events");
    assert_eq!(events_shown, events.len());
}

#[test]
#[ignore = "needs a Chromium: .ci/run installs one and runs it"]
fn a_run_is_followed_live_steered_by_hand_and_shown_again_as_its_record_says() {
    let bench = Bench::new();
    let path = bench.scenario("shown.lua", SCENARIO);
    let [flag, network] = network();
    let (mut run, link) =
        serve(&bench, &["run", path.to_str().unwrap(), "--keep", "--ui", flag, network]);
    let mut browser = Browser::start(1280, 900);
    browser.look(1280, 900, false);
    browser.open(&link);
    browser.until("window.meshlab.store.get('run').live");
    // Without a reload: who is killed is drawn as dead, and in words.
    browser.until("document.querySelector('[data-node=\"node-2\"]').dataset.state === 'Dead'");
    browser.until("window.meshlab.store.steer && window.meshlab.store.get('run').kept");
    browser.ask("window.meshlab.select('node-3')");
    browser.until("document.querySelector('#side [data-act=drain]')");
    browser.ask("document.querySelector('#side [data-act=drain]').click()");
    browser.until("document.querySelector('[data-node=\"node-3\"]').dataset.state === 'Draining'");
    browser.until("document.querySelector('#save')");
    browser.ask("document.querySelector('#save').click()");
    browser.until("document.querySelector('#saved')");
    let saved = browser.ask("document.querySelector('#saved').textContent");
    assert!(saved.as_str().unwrap().contains(":drain()"), "{saved}");
    let check = bench.scenario("by-hand.lua", saved.as_str().unwrap());
    let checked = bench.plain(&["check", check.to_str().unwrap()]);
    assert_eq!(checked.code, Some(0), "{}", checked.all());
    // SAFETY: a signal to a child that this test started and has not waited for.
    unsafe { libc::kill(run.id() as i32, libc::SIGINT) };
    // The end is on the page, which then is left alone.
    browser.until("window.meshlab.store.get('run').over");
    run.stdout = None;
    assert_eq!(run.wait().unwrap().code(), Some(1));
    let events = events(&bench);
    let hand: Vec<&Value> = of(&events, "by_hand").collect();
    assert!(hand.len() == 1 && hand[0]["manual"] == true, "{hand:?}");
    let (mut ui, link) = serve(&bench, &["ui", "shown/latest", "--no-open"]);
    equals_the_record(&mut browser, &link, &events);
    for (wide, high) in [(1280, 900), (400, 800)] {
        for dark in [false, true] {
            browser.look(wide, high, dark);
            for tab in ["overview", "timeline", "claims", "charts", "boot"] {
                browser.open(&format!("{link}&tab={tab}"));
                browser.until("document.querySelector('#main').children.length > 0");
                // A picture is taken of what is drawn, which is a frame later.
                browser.until(
                    "[...document.querySelectorAll('svg.topo')].every((topo) => topo.firstChild)",
                );
                browser.until(
                    "!location.hash.includes('charts') || \
                    window.meshlab.view.charts.every((chart) => chart.data)",
                );
                let wider = browser.ask("document.documentElement.scrollWidth - innerWidth");
                assert!(wider.as_i64().unwrap() <= 0, "{tab} is {wider} too wide at {wide}");
                let shade = if dark { "dark" } else { "light" };
                browser.picture(&pictures().join(format!("{tab}-{wide}-{shade}.png")));
            }
        }
    }
    assert!(browser.problems.is_empty(), "{:?}", browser.problems);
    // It is told to end, as by Ctrl-C.
    unsafe { libc::kill(ui.id() as i32, libc::SIGINT) };
    ui.wait().unwrap();
}

#[test]
fn only_this_host_is_served_and_there_has_to_be_such_a_run() {
    let bench = Bench::new();
    let path = bench.scenario("shown.lua", SCENARIO);
    let refused = bench.plain(&["run", path.to_str().unwrap(), "--ui=0.0.0.0:9000"]);
    assert_eq!(refused.code, Some(2), "{}", refused.all());
    assert!(refused.stderr.contains("this host only"), "{}", refused.all());
    let none = finish(bench.start(&["ui", "nothing/here", "--no-open"]));
    assert_eq!(none.code, Some(2), "{}", none.all());
    assert!(none.stderr.contains("there is no run at nothing/here"), "{}", none.all());
}
