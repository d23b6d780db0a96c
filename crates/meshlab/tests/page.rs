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
#[path = "support/client.rs"]
mod client;
#[path = "support/crowd.rs"]
mod crowd;
mod support;

use browser::Browser;
use client::serve;
use serde_json::Value;
use support::{Bench, finish, network, pictures};

const SCENARIO: &str = r#"
scenario { timeout = "4m" }
test("the survivors notice a death", function()
  local swarm = mesh { nodes = 4, digest_every = "1s", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  fault.kill_node(swarm:node(2), {}, function(hit)
    expect.state(swarm:node(2), "Dead", { via = "inference", since = hit, within = "60s" })
    sleep "15s" -- until it is taken back, a browser has to see it
  end)
  check.equal(1, 2, "one is two")
end)
"#;

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

/// Lines of a chart that are neither level nor upright, or level where no value is, as they are drawn,
/// and all lines of it.
const SLANTED: &str = "((measure) => {
    const chart = window.meshlab.view.charts.find((one) => one.measure === measure);
    chart.slope = null;
    const pen = chart.canvas.getContext('2d');
    const [line, move, fill] = [pen.lineTo, pen.moveTo, pen.fillRect];
    let at = null, all = 0, slanted = 0;
    const levels = [];
    pen.moveTo = (x, y) => { at = [x, y]; move.call(pen, x, y); };
    pen.lineTo = (x, y) => {
        all += 1;
        if (Math.abs(x - at[0]) > 0.01 && Math.abs(y - at[1]) > 0.01) slanted += 1;
        at = [x, y];
        line.call(pen, x, y);
    };
    pen.fillRect = (x, y, wide, high) => {
        if (Math.min(wide, high) < 1.5) all += 1;
        if (high < 1.5) levels.push(y + high / 2);
        fill.call(pen, x, y, wide, high);
    };
    chart.draw();
    delete pen.lineTo;
    delete pen.moveTo;
    delete pen.fillRect;
    const known = chart.curves().flatMap(({ points }) => points.flatMap((point) => point.slice(1)))
        .map(chart.geometry.y);
    const nowhere = levels.filter((level) => !known.some((one) => Math.abs(one - level) < 0.01));
    return [slanted + nowhere.length, all];
})";

/// A number of connections or tasks was never between two values that it had.
fn what_holds_is_drawn_in_steps(browser: &mut Browser, link: &str) {
    browser.open(&format!("{link}&tab=charts"));
    browser.until("window.meshlab.view.charts.every((chart) => chart.data)");
    curves_are_drawn_as_they_should(browser);
    let mut slanted = |measure: &str| -> (u64, u64) {
        serde_json::from_value(browser.ask(&format!("{SLANTED}('{measure}')"))).unwrap()
    };
    for measure in ["connections", "tasks", "files", "threads"] {
        let (slanted, all) = slanted(measure);
        assert!(slanted == 0 && all > 8, "{measure}: {slanted} of {all} lines are slanted");
    }
    // What is sampled of something that glides is; so the count sees such lines.
    assert!(slanted("rss").0 > 0);
}

/// What the drawing of curves rests on, in the browser's own words: each is what it should be.
const GEOMETRY: &str = "import('./curves.js').then((m) => {
    const level = Array.from({ length: 50 }, (_, n) => [n * 1e6, 100 + 3 * n, 40, 40]);
    const covered = (bars) => bars.every(([left], n) => !n || left <= bars[n - 1][0] + bars[n - 1][2] + 1e-9)
        && bars[0][0] === 100 && bars.at(-1)[0] + bars.at(-1)[2] >= 247;
    const apart = [[0, 0, 40, 40], [9e6, 90, 40, 40]];
    const steep = m.bars_of([[0, 0, 90, 80], [1e6, 1, 20, 10]], [], 2e6);
    const at = (x, y, begins = false) => ({ x, y, begins });
    const points = [1, 2, 3, 4, 5].map((second) => [second, 0, 0]);
    return {
        dashes: JSON.stringify(m.dashes([6, 3], 4, 11)) === '[[4,6],[9,11]]' && !m.dashes([6, 3], 9, 4).length,
        whole: JSON.stringify(m.dashes([], 4, 11)) === '[[4,11]]',
        covered: covered(m.bars_of(level, [], 2e6)),
        dashed: !covered(m.bars_of(level, [6, 3], 2e6)),
        hole: m.bars_of(apart, [], 2e6).every((bar) => bar[2] < 2),
        joined: steep[1][1] <= 10 && steep[1][1] + steep[1][3] >= 80,
        cut: JSON.stringify(m.cut_off([at(-90, 0, true), at(-10, 0), at(10, 20), at(30, 0)], 0, 20))
            === JSON.stringify([at(0, 10, true), at(10, 20), at(20, 10)]),
        parted: m.cut_off([at(-10, 0, true), at(10, 20, true), at(30, 0, true)], 0, 20).length === 1,
        beside: JSON.stringify(m.beside(points, 2.5, 3.5).map(([second]) => second)) === '[2,3,4]',
        after: m.beside(points, 9, 10).length === 1,
    };
})";

/// A solid line has no gap, a dashed one has, and nothing is drawn for what is outside.
fn curves_are_drawn_as_they_should(browser: &mut Browser) {
    let held = browser.ask(GEOMETRY);
    let held = held.as_object().unwrap();
    assert!(held.len() == 10 && held.values().all(|it| it == true), "{held:?}");
}

#[test]
#[ignore = "needs a Chromium: .ci/run installs one and runs it"]
fn a_run_is_followed_live_steered_by_hand_and_shown_again_as_its_record_says() {
    let bench = Bench::new();
    let path = bench.scenario("shown.lua", SCENARIO);
    let [flag, network] = network();
    let mut browser = Browser::start(1280, 900);
    browser.look(1280, 900, false);
    let (mut run, link) =
        serve(&bench, &["run", path.to_str().unwrap(), "--keep", "--ui", flag, network]);
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
    what_holds_is_drawn_in_steps(&mut browser, &link);
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
    unsafe { libc::kill(ui.id() as i32, libc::SIGTERM) };
    ui.wait().unwrap();
}

const TIGHT: &str = r#"
scenario { timeout = "4m", ceilings = { rss = "1MiB" } }
test("nodes take more than that", function()
  local swarm = mesh { nodes = 2 }
  expect.formed(swarm, { within = "60s" })
  sleep "20s"
end)
"#;

#[test]
#[ignore = "needs a Chromium: .ci/run installs one and runs it"]
fn alerts_stand_on_top_of_the_page_while_a_run_goes_on() {
    let bench = Bench::new();
    let path = bench.scenario("shown.lua", TIGHT);
    let [flag, network] = network();
    let mut browser = Browser::start(1280, 900);
    let (mut run, link) = serve(&bench, &["run", path.to_str().unwrap(), "--ui", flag, network]);
    browser.open(&link);
    let alert = |text: &str| {
        format!(
            "document.querySelector('#alerts').textContent.includes('▲ alert') && \
                 document.querySelector('#alerts').textContent.includes('{text}')"
        )
    };
    browser.until(&alert("is above its ceiling: rss"));
    // What takes longer than a test is told by the model's own tests; here, that it is shown.
    browser.ask(
        "window.meshlab.store.take({ ...window.meshlab.store, set: { 'alert/slope/rss': { at: 1, \
         text: 'rss grows for sure: +2.1 MiB/h', passing: true } } })",
    );
    browser.until(&alert("rss grows for sure: +2.1 MiB/h"));
    browser.until(&alert("is broken"));
    run.stdout = None;
    run.wait().unwrap();
    assert!(browser.problems.is_empty(), "{:?}", browser.problems);
}

/// What stands in the way of reading a topology: shapes upon each other, names upon shapes of
/// others or upon each other, shapes that are too small, and states that only a colour would tell.
const CROWDED: &str = "(() => {
    const box = (one) => one.getBoundingClientRect();
    const upon = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 \
        && b.top < a.bottom - 1;
    const nodes = [...document.querySelectorAll('svg.topo [data-node]')].map((one) => ({
        id: one.dataset.node, state: one.dataset.state, shape: box(one.querySelector('.shape')),
        path: one.querySelector('.shape').getAttribute('d'),
        glyph: one.querySelector('.glyph').textContent, name: box(one.querySelector('.name')) }));
    const wrong = [];
    nodes.forEach((a, place) => {
        if (a.shape.width < 7) wrong.push(`${a.id} is ${a.shape.width} wide`);
        if (!['Alive', 'Joining'].includes(a.state) && !a.glyph) wrong.push(`${a.id} says nothing`);
        nodes.forEach((b, other) => {
            if (place < other && upon(a.shape, b.shape)) wrong.push(`${a.id} upon ${b.id}`);
            if (place < other && upon(a.name, b.name)) wrong.push(`names of ${a.id} and ${b.id}`);
            if (place !== other && upon(a.name, b.shape)) wrong.push(`name of ${a.id}: ${b.id}`);
        });
    });
    const shapes = (state) => new Set(nodes.filter((one) => one.state === state && \
        !one.id.startsWith('relay')).map((one) => one.path));
    for (const a of ['Degraded', 'Draining', 'Dead']) {
        for (const path of shapes(a)) if (shapes('Alive').has(path)) wrong.push(`${a} looks alive`);
    }
    return wrong.slice(0, 9);
})()";

#[test]
#[ignore = "needs a Chromium: .ci/run installs one and runs it"]
fn two_hundred_nodes_and_a_relay_can_be_read_and_walked_by_keys() {
    let bench = Bench::new();
    let folder = bench.folder.path().join("results/crowd/one");
    crowd::write(&folder, 200);
    let (mut ui, link) = serve(&bench, &["ui", "crowd/one", "--no-open"]);
    let mut browser = Browser::start(1280, 900);
    for (wide, high) in [(1280, 900), (400, 800)] {
        for dark in [false, true] {
            browser.look(wide, high, dark);
            for tab in ["overview", "timeline", "charts"] {
                browser.open(&format!("{link}&tab={tab}"));
                browser.until(
                    "window.meshlab.view.drawn || window.meshlab.view.geometry || \
                     document.querySelector('svg.topo [data-node]')",
                );
                let wider = browser.ask("document.documentElement.scrollWidth - innerWidth");
                assert!(wider.as_i64().unwrap() <= 0, "{tab} is {wider} too wide at {wide}");
                let shade = if dark { "dark" } else { "light" };
                browser.picture(&pictures().join(format!("crowd-{tab}-{wide}-{shade}.png")));
            }
        }
        browser.open(&link);
        browser.until("document.querySelectorAll('svg.topo [data-node]').length === 201");
        assert_eq!(browser.ask(CROWDED), serde_json::json!([]), "at {wide}");
    }
    browser.look(1280, 900, false);
    shows_relays_and_faults(&mut browser, &link);
    browser.open(&format!("{link}&tab=profiles"));
    browser.until("document.querySelector('[data-heap=node-1]')");
    let row = browser.ask("document.querySelector('[data-heap=node-1]').textContent");
    assert_eq!(row, "node-100:29.0006.0 MiB4.0 MiB2.0 MiB");
    walks_by_keys(&mut browser, &link);
    assert!(browser.problems.is_empty(), "{:?}", browser.problems);
    // SAFETY: a signal to a child that this test started and has not waited for.
    unsafe { libc::kill(ui.id() as i32, libc::SIGTERM) };
    ui.wait().unwrap();
}

#[test]
#[ignore = "needs a Chromium: .ci/run installs one and runs it"]
fn a_chart_tells_the_slope_over_the_nodes_with_its_interval() {
    let bench = Bench::new();
    crowd::write_growing(&bench.folder.path().join("results/growing/one"));
    let (mut ui, link) = serve(&bench, &["ui", "growing/one", "--no-open"]);
    let mut browser = Browser::start(1280, 900);
    browser.look(1280, 900, false);
    browser.open(&format!("{link}&tab=charts"));
    let told = |measure: &str| {
        format!("window.meshlab.view.charts.find((one) => one.measure === '{measure}')")
    };
    browser.until(&format!("{}.slope", told("rss")));
    let text = browser.ask(&format!("{}.note.textContent", told("rss")));
    let text = text.as_str().unwrap();
    assert!(
        text.starts_with("▲ for sure +3.5 MiB/h (95 %: 3.") && text.contains(" to 3."),
        "{text}"
    );
    assert!(text.ends_with("over 4 nodes)"), "{text}");
    browser.until(&format!("{}.canvas.dataset.slope === 'drawn'", told("rss")));
    let level = browser.ask(&format!("{}.note.textContent", told("files")));
    assert_eq!(level, "slope 0.00/h (95 %: 0.00/h to 0.00/h over 4 nodes)");
    browser.picture(&pictures().join("slopes-1280-light.png"));
    assert!(browser.problems.is_empty(), "{:?}", browser.problems);
    // SAFETY: a signal to a child that this test started and has not waited for.
    unsafe { libc::kill(ui.id() as i32, libc::SIGTERM) };
    ui.wait().unwrap();
}

fn shows_relays_and_faults(browser: &mut Browser, link: &str) {
    browser.open(link);
    browser.until("document.querySelectorAll('svg.topo [data-node]').length === 201");
    let relay = browser.ask("document.querySelector('[data-node=relay-1] .glyph').textContent");
    assert_eq!(relay, "R");
    // By way of the place of the relay, once although one end or both tell of it; none to the dead.
    let through = browser.ask(
        "[...document.querySelectorAll('[data-relay]')].map((one) => [one.dataset.relay, \
         one.getAttribute('d').includes('L' + document.querySelector('[data-node=relay-1]')\
         .getAttribute('transform').slice(10, -1))])",
    );
    assert_eq!(through, serde_json::json!([["node-3 node-101", true], ["node-7 node-151", true]]));
    let faults = browser.ask("document.querySelectorAll('svg.topo [data-fault]').length");
    assert_eq!(faults, 5 + 5 + 1);
    let cuts = browser.ask("document.querySelectorAll('svg.topo .hurt').length");
    assert_eq!(cuts, 2 * 3);
    // The directory against the active view: node 1 has four neighbours and lacks one node.
    browser.ask("window.meshlab.select('node-1')");
    browser.until("document.querySelector('svg.topo .unknown')");
    let lacks = browser.ask(
        "[...document.querySelectorAll('svg.topo .unknown')]\
         .map((one) => one.parentNode.dataset.node)",
    );
    assert_eq!(lacks, serde_json::json!(["node-101"]));
    let text = browser.ask("document.querySelector('#side').textContent");
    assert!(text.as_str().unwrap().contains("does not knownode-101"), "{text}");
    browser.picture(&pictures().join("crowd-chosen-1280-light.png"));
}

/// Every part by its key, the nodes, the stretch of time, the shade, and back to all runs.
fn walks_by_keys(browser: &mut Browser, link: &str) {
    browser.open(link);
    browser.until("window.meshlab.store.get('run')");
    let parts = browser
        .ask("[...document.querySelectorAll('#tabs [data-tab]')].map((one) => one.dataset.tab)");
    let parts: Vec<String> = serde_json::from_value(parts).unwrap();
    assert_eq!(parts.len(), 10);
    for (place, part) in (1..).zip(&parts) {
        browser.press(&(place % 10).to_string());
        browser.until(&format!("window.meshlab.tab === '{part}'"));
        browser.until("document.querySelector('#main').children.length > 0");
    }
    browser.press("2");
    browser.until("window.meshlab.tab === 'timeline' && window.meshlab.view.geometry");
    browser.press("+");
    browser.until("window.meshlab.view.span.from > 0");
    let from = browser.ask("window.meshlab.view.span.from");
    browser.press("ArrowRight");
    browser.until(&format!("window.meshlab.view.span.from > {from}"));
    browser.press("f");
    browser.until("window.meshlab.view.span.from === null");
    for (key, node) in [("j", "node-1"), ("j", "node-2"), ("k", "node-1"), ("k", "relay-1")] {
        browser.press(key);
        browser.until(&format!("window.meshlab.selected === '{node}'"));
    }
    browser.press("Escape");
    browser.until("window.meshlab.selected === null && document.querySelector('#side').hidden");
    let shade = browser.ask("document.documentElement.dataset.theme");
    browser.press("t");
    browser.until(&format!(
        "document.documentElement.dataset.theme !== '{}'",
        shade.as_str().unwrap()
    ));
    browser.press("?");
    browser.until("document.querySelector('#help').open");
    browser.press("Escape");
    browser.ask("document.querySelector('#help').close()");
    browser.press("g");
    browser.until("document.querySelector('#runs')");
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
