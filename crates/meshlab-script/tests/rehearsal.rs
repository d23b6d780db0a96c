//! What a rehearsal finds without a node, and what it leaves alone.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod fake;

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fake::load;
use meshlab_script::{Rehearsed, Script};

/// Whatever goes on for longer than this does not end. How fast it is, a benchmark says: a test
/// shares its machine.
const HANGS: Duration = Duration::from_secs(60);

fn rehearse(text: &str) -> Rehearsed {
    match load(text) {
        Ok(script) => script.rehearse(),
        Err(error) => Rehearsed { errors: vec![*error], ..Rehearsed::default() },
    }
}

/// Everything that is said of a text, with the folder taken out.
fn said(text: &str) -> String {
    let rehearsed = rehearse(text);
    let errors = rehearsed.errors.iter().map(|error| error.render(false));
    let all = errors.chain(rehearsed.warnings.iter().map(|error| error.render_warning(false)));
    let mut out = String::new();
    for line in all.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()) {
        let line = match (line.find("--> "), line.find("x.lua")) {
            (Some(arrow), Some(file)) => format!("{}{}", &line[..arrow + 4], &line[file..]),
            _ => line,
        };
        writeln!(out, "{line}").unwrap();
    }
    if out.is_empty() { "nothing\n".to_owned() } else { out }
}

fn inside(body: &str) -> String {
    format!("test(\"t\", function()\n  local swarm = mesh {{ nodes = 4 }}\n  {body}\nend)\n")
}

fn shipped(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // What scenarios share is no scenario.
        if path.is_dir() && path.ends_with("lib") {
            continue;
        }
        if path.is_dir() {
            shipped(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "lua") {
            found.push(path);
        }
    }
}

#[test]
fn every_shipped_scenario_is_rehearsed_to_its_end_without_a_word() {
    let mut found = Vec::new();
    shipped(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios"), &mut found);
    assert!(found.len() > 30, "{found:?}");
    for path in found {
        let script = Script::load(&path).unwrap_or_else(|error| panic!("{error}"));
        let Rehearsed { errors, warnings, needs } = script.rehearse();
        let all: Vec<String> =
            errors.iter().chain(&warnings).map(|error| error.render(false)).collect();
        assert!(all.is_empty(), "{}", all.join("\n"));
        assert!(needs.nodes_max > 0, "{}", path.display());
    }
}

#[test]
fn what_a_scenario_does_wrong_is_found_without_a_node() {
    let mistakes = [
        ("a late typo", inside("sleep \"4d\"\n  expect.formed(swarm, { whithin = \"2m\" })")),
        (
            "a node that does not run",
            inside(
                "local a = swarm:node(1)\n  fault.kill_node(a)\n  fault.wedge_node(a, { hold = \"5s\" })",
            ),
        ),
        ("a node that runs already", inside("swarm:node(2):start()")),
        (
            "a node that was held dead",
            inside(
                "local a = swarm:node(1)\n  fault.kill_node(a, { hold = \"5s\" })\n  sleep \"6s\"\n  a:start()",
            ),
        ),
        ("a node that left", inside("swarm:node(2):leave()\n  swarm:node(2):drain()")),
        (
            "a role that nobody has",
            inside(
                "fault.partition_subset(swarm, { group = \"role\", role = \"brocker\", hold = \"5s\" })",
            ),
        ),
        (
            "a role in a chaos",
            inside(
                "chaos { on = swarm, every = \"2s\", duration = \"1m\", faults = { partition_subset = { group = \"role\", role = \"bridge\" } } }",
            ),
        ),
        ("a mesh of the same name", inside("mesh { nodes = 2 }")),
        ("a node of the same id", inside("swarm:add { id = \"node-2\" }")),
        ("both sides", inside("fault.partition(swarm, swarm:node(1), { hold = \"5s\" })")),
        (
            "a mesh that is not there",
            inside("operator.grant(swarm:node(1), { may = { \"shutdown\" }, mesh = \"mesh7\" })"),
        ),
        (
            "a chaos that draws nothing",
            inside(
                "chaos { on = swarm, every = \"2m\", duration = \"1m\", faults = { kill_node = 1 } }",
            ),
        ),
        (
            "in the body of a fault",
            inside(
                "fault.wedge_node(swarm:node(1), {}, function()\n    expect.state(swarm:node(1), \"Ded\")\n  end)",
            ),
        ),
        (
            "in the body of a chaos",
            inside(
                "chaos({ on = swarm, every = \"2s\", faults = { kill_node = 1 } }, function()\n    sleep(5)\n  end)",
            ),
        ),
        (
            "a span that nobody emits",
            inside(
                "expect.spans(\"gossip.digest_recieved\", { from = swarm })\n  print(spans(\"never.seen\"):count())",
            ),
        ),
        (
            "a list that is empty here",
            inside("local all = spans(\"node.ready\", { from = {} }):list()\n  print(all[1].name)"),
        ),
        (
            "two tests, each with its own",
            inside("swarm:kill()") + "test(\"u\", function()\n  sleeep \"1s\"\nend)\n",
        ),
        ("more than its timeout", inside("sleep \"3h\"\n  sleep \"3h\"")),
    ];
    insta::assert_snapshot!(each_said(&mistakes));
}

fn each_said(mistakes: &[(&str, String)]) -> String {
    let mut all = String::new();
    for (name, text) in mistakes {
        writeln!(all, "## {name}\n{}", said(text)).unwrap();
    }
    all
}

#[test]
fn mistakes_in_claims_about_order_are_found_without_a_node() {
    let mistakes = [
        ("a condition that there is not", {
            let asked = "{ state = { is = \"Dead\" } }";
            inside(&format!("expect.spans(\"node.ready\", {{ where = {asked} }})"))
        }),
        (
            "a condition without a name",
            inside("expect.spans(\"node.ready\", { where = { state = { \"Dead\" } } })"),
        ),
        (
            "a condition of another type",
            inside("expect.spans(\"node.ready\", { where = { state = { above = \"9\" } } })"),
        ),
        ("a sequence of one", inside("expect.sequence({ \"node.ready\" }, { from_each = swarm })")),
        ("a sequence of no list", inside("expect.sequence(\"node.ready\")")),
        (
            "a sequence of what is no span",
            inside("expect.sequence({ \"node.ready\", { where = {} } })"),
        ),
        (
            "a slip within a sequence",
            inside("expect.sequence({ \"node.ready\", { \"peer.connected\", were = {} } })"),
        ),
        ("nothing to follow", inside("expect.follows(\"node.ready\", { within = \"1s\" })")),
        ("counts without a bound", inside("expect.counts(\"node.ready\", { window = \"1s\" })")),
        (
            "bounds that exclude each other",
            inside("expect.counts(\"node.ready\", { window = \"1s\", at_least = 3, at_most = 2 })"),
        ),
        (
            "before and during",
            inside(
                "expect.no_spans(\"node.ready\", { before = \"peer.connected\", during = \"1s\" })",
            ),
        ),
        ("within without before", inside("expect.no_spans(\"node.ready\", { within = \"1s\" })")),
        (
            "a body of never that goes wrong",
            inside("expect.never(\"node.paused\", {}, function()\n    sleeep \"1s\"\n  end)"),
        ),
    ];
    insta::assert_snapshot!(each_said(&mistakes));
}

#[test]
fn what_only_nodes_can_tell_is_not_judged() {
    for body in [
        "expect.equal(1, 2)",
        "expect.at_most(swarm:usage().rss, \"1B\")",
        "expect.eventually(\"90s\", \"the relay\", function() return false end)\n  sleep \"1s\"",
        "expect.spans(\"peer.connected\", { from_each = swarm, at_least = 1000 })",
        "fault.kill_node(swarm:node(1), {}, function() end)\n  swarm:node(1):drain()",
        "local a, b = swarm:node(1), swarm:node(2)\n  operator.grant(b, { may = { \"shutdown\" } })\n  \
         b:shutdown(a)\n  a:start()",
        "local n = swarm:node(1):counters()[\"digests.sent\"] + 1\n  record.metric(\"n\", n)",
        "local r = chaos { on = swarm, every = \"2s\", duration = \"1m\", faults = { kill_node = 1 } }\n  \
         expect.at_most(r.missed, 0)",
    ] {
        assert_eq!(said(&inside(body)), "nothing\n", "{body}");
    }
}

#[test]
fn an_endless_loop_is_ended_at_its_line() {
    for (body, line) in [
        ("while true do end", 3),
        ("while true do\n    local n = #swarm:live()\n  end", 4),
        ("repeat\n    local n = spans(\"node.ready\"):count()\n  until n > 1000", 4),
    ] {
        let began = Instant::now();
        let rehearsed = rehearse(&inside(body));
        assert!(began.elapsed() < HANGS, "{body}: {:?}", began.elapsed());
        let error = &rehearsed.errors[0];
        assert!(error.message().contains("endless loop"), "{error}");
        let at = error.source_line().unwrap().line;
        assert!((line..=line + 1).contains(&at), "{error}");
    }
}

#[test]
fn rounds_that_are_alike_are_not_all_gone_through_and_what_follows_them_is() {
    let body = "every(\"1s\", \"4d\", function() swarm:usage() end)\n  expect.formd(swarm)";
    let told = said(&inside(body));
    assert!(told.contains("did you mean `expect.formed`?"), "{told}");
    assert!(!told.contains("the rehearsal ends here"), "{told}");
    let body = "every(\"1s\", \"4d\", function(round)\n    if round > 3 then \
                fault.kil_node(swarm:pick()) end\n  end)";
    assert!(said(&inside(body)).contains("kil_node"), "the last round is gone through");
}

#[test]
fn four_days_take_no_time() {
    let began = Instant::now();
    let text = inside(
        "chaos({ on = swarm, every = \"10m\", faults = { wedge_node = { hold = \"3s\" } } }, function()\n    \
         for hour = 1, 96 do\n      sleep \"1h\"\n      check.spans(\"gossip.digest_received\", \
         { from_each = swarm:live() })\n    end\n  end)\n  expect.formed(swarm, { whithin = \"2m\" })",
    );
    let declared = format!("scenario {{ duration = \"4d\" }}\n{text}");
    let rehearsed = rehearse(&declared);
    assert!(rehearsed.errors[0].message().contains("whithin"), "{:?}", rehearsed.errors);
    assert!(began.elapsed() < HANGS, "{:?}", began.elapsed());
}
