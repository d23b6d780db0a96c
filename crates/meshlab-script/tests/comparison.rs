//! Two programs beside each other, and limits for all nodes: what the language asks of a host.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod fake;

use std::sync::Arc;

use fake::{Fake, error_of, load, run_on};

const HEAD: &str = "local run = scenario { binaries = { \"before\", \"after\" } }\n";

fn with(body: &str) -> String {
    format!("{HEAD}test(\"t\", function()\n{body}\nend)\n")
}

/// A comparison whose rounds measure something else with each program.
fn compared(after: &str, more: &str) -> String {
    with(&format!(
        "  local n = 0\n  local cmp = compare {{ before = run.binaries.before, after = \
         run.binaries.after, rounds = 2,\n    round = function(binary)\n      local swarm = mesh {{ \
         nodes = 2, binary = binary }}\n      swarm:add {{ binary = run.binaries.before }}\n      \
         sleep \"2s\"\n      print(binary, swarm:node(1).binary == binary, binary.path)\n      \
         {after}\n      return {{ took = 2, rss = swarm:usage().rss }}\n    end }}\n{more}"
    ))
}

#[test]
fn rounds_are_made_in_turn_with_evidence_of_their_own() {
    let fake = Arc::new(Fake::default());
    let more = "  expect.improved(cmp, \"took\", { by = \"20%\" })\n  check.not_worse(cmp, \"rss\", \
                { by = \"5%\", confidence = \"90%\" })\n  print(cmp, cmp.rounds, \
                cmp:before(\"took\"), cmp:after(\"rss\"), cmp:effect(\"took\"))";
    let outcome = run_on(&fake, &compared("expect.formed(swarm)", more));
    assert_eq!(outcome.errors, []);
    insta::assert_snapshot!(fake.said());
}

#[test]
fn a_round_that_fails_is_told_with_its_number_and_its_program() {
    for (what, body) in [
        ("a claim", "n = n + 1 if n == 4 then expect.spans(\"bad\") end"),
        ("a mistake", "n = n + 1 if n == 4 then swarm:nod() end"),
        ("one measure less", "n = n + 1 if n == 4 then return { took = 3 } end"),
        (
            "one measure more",
            "n = n + 1 if n == 4 then return { took = 3, rss = swarm:usage().rss, x = 1 } end",
        ),
        ("another unit", "n = n + 1 if n == 4 then return { took = 3, rss = 5 } end"),
        ("nothing", "n = n + 1 if n == 4 then return end"),
        ("no ratio", "n = n + 1 if n == 4 then return { took = 0, rss = 5 } end"),
        ("no number", "n = n + 1 if n == 4 then return { took = 0 / 0 } end"),
        ("a task", "spawn(function() sleep \"1h\" end)"),
    ] {
        let fake = Arc::new(Fake { failing: Some("bad"), ..Fake::default() });
        let outcome = run_on(&fake, &compared(body, ""));
        let said = fake.said();
        let told = said.lines().find(|line| line.starts_with("closes")).unwrap_or_default();
        let wanted = if what == "a task" {
            "in warm-up round 1 with `before`"
        } else {
            "in round 1 with `after`"
        };
        assert!(told.contains(wanted), "{what}: {told}\n{said}");
        assert!(said.contains("comparison ends"), "{what}");
        if what != "a claim" {
            assert!(outcome.errors[0].message().contains(wanted), "{what}: {:?}", outcome.errors);
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_what_was_meant() {
    let cmp = |options: &str| with(&format!("  compare {{ {options} }}"));
    let both = "before = run.binaries.before, after = run.binaries.after";
    let claim = |call: &str| compared("", &format!("  {call}"));
    let all = [
        with("  print(run.binaries.aftre)"),
        with("  print(run.binaries.after.versoin)"),
        with("  run.binaries.after = 1"),
        "scenario { binaries = { \"a b\" } }".to_owned(),
        "scenario { binaries = { \"a\", \"a\" } }".to_owned(),
        with("  mesh { nodes = 1, binary = \"after\" }"),
        cmp("before = run.binaries.before, after = run.binaries.before, rounds = 2"),
        cmp("before = \"x\", after = run.binaries.before, rounds = 2"),
        cmp(both),
        cmp(&format!("{both}, rounds = 500, round = function() end")),
        cmp(&format!("{both}, rounds = 5")),
        cmp(&format!("{both}, rouns = 5")),
        with(&format!(
            "  parallel {{ function() compare {{ {both}, rounds = 2, round = print }} end }}"
        )),
        claim("expect.improved(cmp, \"tok\", { by = \"20%\" })"),
        claim("expect.improved(cmp, \"took\")"),
        claim("expect.improved(cmp, \"took\", { by = \"100%\" })"),
        claim("expect.not_worse(cmp, \"took\", { by = 0.05 })"),
        claim("expect.not_worse({}, \"took\", { by = \"5%\" })"),
        claim("check.not_worse(cmp, \"took\", { by = \"5%\", confidence = \"20%\" })"),
        claim("print(cmp.median)"),
    ];
    let all: Vec<String> = all.iter().map(|text| error_of(text)).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn limits_are_declared_with_their_line() {
    let text = "scenario {\n  ceilings = { cpu = \"25%\", rss = \"200MiB\", open_files = 512, threads \
                = 64, counters = { [\"gossip.connections\"] = 40 } },\n  trends = {\n    rss = { max_growth = \"256KiB/h\", after = \"2h\", needs = \
                \"6h\" },\n    threads = { max_growth = \"2.4/d\" },\n    cpu = { max_growth = \
                \"1%/min\" },\n    counters = { tasks = { max_growth = \"6/h\", needs = \"2h\" } },\n  },\n}\ntest(\"t\", function() end)\n";
    let script = load(text).unwrap_or_else(|error| panic!("{}", error.render(false)));
    let declared = script.declaration();
    let (ceilings, trends) = (declared.ceilings.clone(), declared.trends.clone());
    let lines = [&ceilings.at, &trends.at].map(|at| at.as_ref().map(|at| (at.line, at.column)));
    assert_eq!(lines, [Some((2, 3)), Some((3, 3))]);
    insta::assert_debug_snapshot!((ceilings.of, trends.of));
}

#[test]
fn limits_that_are_none_are_refused() {
    let all = [
        "scenario { ceilings = { rs = \"1MiB\" } }",
        "scenario { ceilings = { rss = 200 } }",
        "scenario { ceilings = { cpu = \"0%\" } }",
        "scenario { ceilings = 5 }",
        "scenario { trends = { rss = { max_growth = \"256KiB\" } } }",
        "scenario { trends = { rss = { max_growth = \"1/h\" } } }",
        "scenario { trends = { threads = { after = \"2h\" } } }",
        "scenario { trends = { threads = { max_growth = \"0/h\" } } }",
        "scenario { trends = { threads = { max_growth = \"1/h\", need = \"2h\" } } }",
        "scenario { trends = { threads = { max_growth = \"1/h\", needs = \"0s\" } } }",
        "test(\"t\", function() mesh { nodes = 1, ceilings = { rss = \"1MB\" } } end)",
        "scenario { ceilings = { counters = { tasks = \"many\" } } }",
        "scenario { ceilings = { counters = 40 } }",
        "scenario { trends = { counters = { tasks = { growth = \"1/h\" } } } }",
        "scenario { trends = { counters = { tasks = { max_growth = \"1MiB/h\" } } } }",
    ];
    let all: Vec<String> = all.iter().map(|text| error_of(text)).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}
