//! Acts by hand from the live page in a real browser, while the tests of a run on real nodes run.
//!
//! It needs a Chromium, as the tests of `page.rs` do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that breaks is a test that fails"
)]

#[path = "support/browser.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod browser;
#[path = "support/client.rs"]
mod client;
mod support;

use browser::Browser;
use client::{WAITS, events, serve};
use serde_json::Value;
use support::{Bench, network, pictures};

fn of<'a>(events: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == kind)
}

/// Clicks what is there once it is.
fn click(browser: &mut Browser, selector: &str) {
    browser.until(&format!("document.querySelector('{selector}')"));
    browser.ask(&format!("document.querySelector('{selector}').click()"));
}

#[test]
#[ignore = "needs a Chromium: .ci/run installs one and runs it"]
fn a_node_is_drained_hurt_and_killed_by_message_from_the_page_while_the_tests_run() {
    let bench = Bench::new();
    let path = bench.scenario("waits.lua", WAITS);
    let [flag, network] = network();
    let (mut run, link) = serve(&bench, &["run", path.to_str().unwrap(), "--ui", flag, network]);
    let mut browser = Browser::start(1280, 900);
    browser.look(1280, 900, false);
    browser.open(&link);
    browser.until("[...window.meshlab.store.all('claim').values()].some((one) => one.verdict)");
    browser.ask("window.meshlab.select('node-3')");
    // Nobody acts by a slip: it is said first what it costs.
    browser.until("document.querySelector('#side [data-act=interfere]')");
    assert_eq!(browser.ask("Boolean(document.querySelector('#side [data-act=drain]'))"), false);
    browser.picture(&pictures().join("hands-before.png"));
    click(&mut browser, "#side [data-act=interfere]");
    click(&mut browser, "#side [data-act=drain]");
    browser.until("document.querySelector('[data-node=\"node-3\"]').dataset.state === 'Draining'");
    browser.until("document.querySelector('#hands')?.textContent.includes('cannot pass')");
    // A fault with its options, by its form.
    browser.until("document.querySelector('#side select[name=fault]')");
    browser.ask(
        "(() => { const choice = document.querySelector('#side select[name=fault]'); \
         choice.value = 'wedge_node'; choice.dispatchEvent(new Event('change')); \
         document.querySelector('#side [name=hold]').value = '1s'; })()",
    );
    click(&mut browser, "#side [data-act=inject]");
    browser.until("document.querySelector('#side .said').textContent.includes('done')");
    browser.until("[...window.meshlab.store.all('fault').values()].some((one) => one.manual)");
    browser.picture(&pictures().join("hands-during.png"));
    browser.look(400, 800, true);
    browser.picture(&pictures().join("hands-during-400-dark.png"));
    browser.look(1280, 900, false);
    browser.ask("window.meshlab.select('node-2')");
    click(&mut browser, "#side [data-act=kill]");
    browser.until("window.meshlab.store.get('run').over");
    assert_eq!(browser.ask("document.querySelector('#verdict').textContent"), "? inconclusive");
    browser.picture(&pictures().join("hands-after.png"));
    run.stdout = None;
    assert_eq!(run.wait().unwrap().code(), Some(4));
    let events = events(&bench);
    let acted: Vec<&str> =
        of(&events, "by_hand").map(|one| one["text"].as_str().unwrap()).collect();
    assert!(acted.len() == 3 && acted[1].contains("hold = \"1s\""), "{acted:?}");
    assert!(of(&events, "fault_planned").all(|one| one["manual"] == true));
    let left = of(&events, "node_exited").filter(|one| one["node"] == "node-2").count();
    assert_eq!(left, 1, "it was told to leave, and left");
    assert!(browser.problems.is_empty(), "{:?}", browser.problems);
}
