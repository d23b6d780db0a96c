//! What the language does with a host: calls, failures, cancellation, limits.

mod fake;

use std::{path::Path, sync::Arc, time::Duration};

use fake::{Fake, error_of, load, load_at, run_on};

/// Scenarios that do not depend on what the nodes answer.
const SHIPPED: &[&str] = &[
    "gossip-swarm-forms",
    "remove-resilience",
    "lifecycle-walk",
    "rejoin",
    "stream-flood",
    "bench/first-light",
];

fn inside(body: &str) -> String {
    format!("test(\"t\", function()\n  local swarm = mesh {{ nodes = 3 }}\n{body}\nend)\n")
}

#[test]
fn the_shipped_scenarios_load_and_run() {
    for name in SHIPPED {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../scenarios/{name}.lua"));
        let script = load_at(&path).unwrap_or_else(|error| panic!("{}", error.render(false)));
        assert!(!script.declaration().tests.is_empty());
        let fake = Arc::new(Fake::default());
        let outcome = script.run(Arc::clone(&fake) as Arc<_>, &|_| {});
        assert_eq!(outcome.errors, [], "{name}");
        assert!(fake.said().contains("end Completed"), "{}", fake.said());
    }
}

#[test]
fn a_claim_arrives_whole_with_its_place() {
    let fake = Arc::new(Fake::default());
    run_on(
        &fake,
        &inside(
            "  local met = expect.spans(\"peer.connected\", { from_each = swarm, at_least = 2,\n    \
         where = { reason = \"heard\", n = 3 }, since = \"5s\", within = \"1m30s\" })\n  \
         record.metric(\"took\", met.took)\n  print(met.took, met.took / \"500ms\")",
        ),
    );
    insta::assert_snapshot!(fake.said());
}

#[test]
fn a_failed_expect_ends_its_test_and_not_the_next_and_a_check_goes_on() {
    let fake = Arc::new(Fake { failing: Some("bad"), ..Fake::default() });
    let text = "test(\"one\", function()\n  mesh { nodes = 1 }\n  check.spans(\"bad\")\n  \
                print(\"after check\")\n  expect.spans(\"bad\")\n  print(\"after expect\")\nend)\n\
                test(\"two\", function() print(\"two runs\") end)\n";
    let outcome = run_on(&fake, text);
    assert_eq!(outcome.errors, [], "a failed claim is no error of the script");
    let said = fake.said();
    assert!(said.contains("after check") && !said.contains("after expect"), "{said}");
    assert!(said.contains("end Stopped") && said.contains("two runs"), "{said}");
}

#[test]
fn a_fault_is_taken_back_however_its_body_ends() {
    for body in ["error(\"oh\")", "expect.equal(1, 2)", "print(\"fine\")"] {
        let fake = Arc::new(Fake::default());
        run_on(
            &fake,
            &inside(&format!("  fault.kill_node(swarm:node(1), {{}}, function(hit) {body} end)")),
        );
        assert!(fake.said().contains("undo 1"), "{body}: {}", fake.said());
    }
}

#[test]
fn every_fault_takes_its_target_its_options_and_a_body() {
    let fake = Arc::new(Fake::default());
    let body = "function(hit) print(hit.fault, #hit.targets, hit.acted) end";
    let outcome = run_on(
        &fake,
        &inside(&format!(
            "  local one = swarm:node(1)\n  fault.wedge_node(one, {{ hold = \"2s\" }})\n  \
             fault.restart_node(one, {{}}, {body})\n  \
             fault.lossy_link(one, {{ loss = \"10%\" }}, {body})\n  \
             fault.partition(one, swarm:others(one), nil, {body})"
        )),
    );
    assert_eq!(outcome.errors, []);
    let said = fake.said();
    let others = "[NodeId(\"node-2\"), NodeId(\"node-3\")]";
    for line in [
        "fault wedge_node [NodeId(\"node-1\")] [] hold=2s".to_owned(),
        "fault restart_node [NodeId(\"node-1\")] []".to_owned(),
        "fault lossy_link [NodeId(\"node-1\")] [] loss = \"10.00 %\"".to_owned(),
        format!("fault partition [NodeId(\"node-1\")] {others}"),
        "note restart_node 1 true".to_owned(),
        "note partition 3 true".to_owned(),
    ] {
        assert!(said.contains(&line), "{line} is missing in\n{said}");
    }
}

#[test]
fn every_fault_is_told_what_its_options_say() {
    let fake = Arc::new(Fake::default());
    let calls = [
        "fault.burst_kill(swarm, { count = 2 })",
        "fault.burst_kill(swarm:others(one))",
        "fault.clock_skew(one, { by = \"-30s\", drift = \"-2%\", hold = \"2s\" })",
        "fault.cpu_limit(one, { cpu = \"150%\", hold = \"2s\" })",
        "fault.disk_full(one, { limit = \"4MiB\", hold = \"2s\" })",
        "fault.fd_limit(one, { files = 64, hold = \"2s\" })",
        "fault.firewall_inbound(one, { hold = \"2s\" })",
        "fault.flap_link(one, two, { down = \"500ms\", count = 5, hold = \"9s\" })",
        "fault.latency_spike(one, { delay = \"500ms\", spike = \"2s\", count = 4, hold = \"9s\" })",
        "fault.mtu(one, { bytes = 1280, black_hole = true, hold = \"2s\" })",
        "fault.lossy_link(one, { loss = \"10%\", burst = 4, duplicate = \"1%\", reorder = \"2%\", \
         direction = \"both\", hold = \"2s\" })",
        "fault.memory_limit(one, { memory = \"64MiB\", hold = \"2s\" })",
        "fault.nat_shift(one)",
        "fault.packet_corrupt(one, { corrupt = \"1%\", to = two, hold = \"2s\" })",
        "fault.partition_pair(one, two, { hold = \"2s\" })",
        "fault.partition_subset(swarm, { group = \"majority\", hold = \"2s\" })",
        "fault.partition_subset(swarm, { group = \"role\", role = \"broker\", hold = \"2s\" })",
        "fault.rate_limit(one, { rate = \"256KiB/s\", direction = \"in\", hold = \"2s\" })",
        "fault.slow_link(one, { delay = \"200ms\", jitter = \"20ms\", to = { two }, hold = \"2s\" })",
        "chaos { on = swarm, every = \"2s\", duration = \"9s\", faults = { burst_kill = { count = 3 }, \
         partition_subset = { group = \"one\" }, partition_pair = 1, partition = 2, \
         flap_link = 1, nat_shift = 1 } }",
    ];
    let body = format!("  local one, two = swarm:node(1), swarm:node(2)\n  {}", calls.join("\n  "));
    let outcome = run_on(&fake, &inside(&body));
    assert_eq!(outcome.errors, []);
    insta::assert_snapshot!(fake.said());
}

#[test]
fn mistakes_in_the_options_of_faults_are_shown_with_their_cure() {
    let calls = [
        "fault.slow_link(swarm:pick())",
        "fault.mtu(swarm:pick(), { bytes = 9000 })",
        "fault.latency_spike(swarm:pick(), { spike = \"1s\" })",
        "fault.slow_link(swarm:pick(), { delay = 200 })",
        "fault.slow_link(swarm:pick(), { delay = \"2h\" })",
        "fault.lossy_link(swarm:pick(), { burst = 3 })",
        "fault.lossy_link(swarm:pick(), { loss = \"5%\", burst = 0.5 })",
        "fault.lossy_link(swarm:pick(), { loss = \"5%\", direction = \"up\" })",
        "fault.rate_limit(swarm:pick(), { rate = \"256KiB\" })",
        "fault.rate_limit(swarm:pick(), { rate = 100 })",
        "fault.partition_subset(swarm)",
        "fault.partition_subset(swarm, { group = \"half\" })",
        "fault.partition_subset(swarm, { group = \"role\" })",
        "fault.partition_subset(swarm, { group = \"one\", role = \"broker\" })",
        "fault.burst_kill(swarm, { count = 9 })",
        "fault.flap_link(swarm:node(1), swarm:node(2), { down = \"1ms\" })",
        "fault.clock_skew(swarm:pick())",
        "fault.clock_skew(swarm:pick(), { by = \"-soon\" })",
        "fault.clock_skew(swarm:pick(), { drift = \"80%\" })",
        "fault.relay_down(swarm)",
        "fault.cpu_limit(swarm:pick(), { cpu = \"0%\" })",
        "fault.nat_shift(swarm:pick(), { hold = \"2s\" })",
    ];
    let errors: Vec<String> =
        calls.iter().map(|call| error_of(&inside(&format!("  {call}")))).collect();
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn the_body_of_a_skipped_fault_does_not_run() {
    let fake = Arc::new(Fake { skips_faults: true, ..Fake::default() });
    let outcome = run_on(
        &fake,
        &inside(
            "  local hit = fault.partition(swarm:node(1), swarm:node(2), {}, function()\n    \
             print(\"inside\")\n  end)\n  print(\"acted\", hit.acted)",
        ),
    );
    assert_eq!(outcome.errors, [], "a fault that cannot be done here is no error");
    let said = fake.said();
    assert!(said.contains("note acted false") && !said.contains("inside"), "{said}");
}

#[test]
fn eventually_asks_each_tenth_of_a_second_until_its_time_is_up() {
    let fake = Arc::new(Fake::default());
    let outcome = run_on(
        &fake,
        &inside(
            "  local n = 0\n  local met = expect.eventually(\"1s\", \"the third time\", function()\n    \
             n = n + 1\n    return n == 3\n  end)\n  print(met.took, met.passed)\n  \
             check.eventually(\"250ms\", \"never\", function() return false end)\n  \
             print(\"goes on\")\n  \
             expect.eventually(\"0s\", \"at once\", function() return false end)\n  \
             print(\"not reached\")",
        ),
    );
    assert_eq!(outcome.errors, []);
    let said = fake.said();
    let wanted = "Expect opens expect.eventually \"the third time within 1.00 s\" at 4:15\n\
                  sleep 100ms\nsleep 100ms\ncloses passed\nnote 200.0 ms true\n\
                  Check opens expect.eventually \"never within 250.0 ms\" at 9:3\n\
                  sleep 100ms\nsleep 100ms\nsleep 50ms\n\
                  closes failed: not so after 250.0 ms, asked 4 times\nnote goes on\n\
                  Expect opens expect.eventually \"at once within 0 µs\" at 11:3\n\
                  closes failed: not so after 0 µs, asked 1 time\nend Stopped";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn a_question_that_cannot_be_asked_is_closed_as_undecided() {
    for (body, told) in [("error(\"oh\")", "oh"), ("return 1", "answered the number 1")] {
        let fake = Arc::new(Fake::default());
        let text = inside(&format!(
            "  check.eventually(\"1s\", \"it is so\", function() {body} end)\n  print(\"after\")"
        ));
        let outcome = run_on(&fake, &text);
        assert!(outcome.errors[0].message().contains(told), "{:?}", outcome.errors);
        let said = fake.said();
        assert!(said.contains("closes inconclusive: it could not be asked"), "{said}");
        assert!(!said.contains("note after"), "{said}");
    }
}

#[test]
fn usage_is_what_the_host_says_with_units() {
    let fake = Arc::new(Fake::default());
    let outcome = run_on(
        &fake,
        &inside(
            "  local one, all = swarm:node(2):usage(), swarm:usage { since = \"60s\" }\n  \
             print(one.cpu, one.rss, one.open_files, one.threads, one.rss:bytes())\n  \
             print(all.rss, all.threads, all.rss - one.rss, all.rss / one.rss, one.rss < all.rss)\n  \
             record.metric(\"rss\", one.rss)\n  check.at_most(one.rss, \"64MiB\")\n  \
             check.at_most(one.rss, \"1kB\", \"rss\")\n  check.at_most(one.cpu, \"1%\", \"cpu\")\n  \
             check.at_least(one.cpu, \"1.25%\", \"cpu\")\n  check.at_least(\"1MiB\", \"1MB\")\n  \
             check.at_most(\"2s\", \"1m\")",
        ),
    );
    assert_eq!(outcome.errors, []);
    insta::assert_snapshot!(fake.said());
}

#[test]
fn lengths_of_time_are_reckoned_with() {
    let fake = Arc::new(Fake::default());
    let outcome = run_on(
        &fake,
        &inside(
            "  local took = expect.formed(swarm).took\n  \
             print(took + \"1s\", \"2s\" + took, took - \"500ms\", took * 2, 0.5 * took)\n  \
             print(took / \"3s\", \"3s\" / took, took:seconds(), took < \"2s\", \"2s\" <= took)\n  \
             print(took == took + \"0s\", took - \"1h\")\n  sleep(took * 2)",
        ),
    );
    assert_eq!(outcome.errors, []);
    let said = fake.said();
    let wanted = "note 2.50 s 3.50 s 1.00 s 3.00 s 750.0 ms\nnote 0.5 2 1.5 true false\n\
                  note true 0 µs\nsleep 3s";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn the_newer_claims_arrive_whole() {
    let fake = Arc::new(Fake::default());
    let outcome = run_on(
        &fake,
        &inside(
            "  expect.no_spans(\"seed.retry\", { from = swarm, where = { n = 1 }, since = \"5s\", \
             during = \"2s\" })\n  check.no_spans(\"seed.retry\")\n  \
             expect.states(swarm:node(1), { \"Alive\", \"Dead\" }, { via = \"inference\", \
             seen_by = swarm:node(2), within = \"3s\" })",
        ),
    );
    assert_eq!(outcome.errors, []);
    insta::assert_snapshot!(fake.said());
}

#[test]
fn a_cancelled_run_starts_no_further_test() {
    let fake = Arc::new(Fake::default());
    *fake.cancelled.lock().unwrap() = Some("interrupted".to_owned());
    let text = inside("  sleep \"1s\"") + "test(\"two\", function() end)\n";
    let outcome = run_on(&fake, &text);
    assert_eq!(outcome.stopped.as_deref(), Some("interrupted"));
    assert!(!fake.said().contains("begin"), "{}", fake.said());
}

#[test]
fn an_endless_loop_is_stopped_at_its_line_wherever_it_is() {
    let top = error_of("local n = 0\nwhile true do n = n + 1 end\n");
    assert!(top.contains("x.lua:2") && top.contains("endless loop"), "{top}");
    let test = error_of(&inside("  repeat until false"));
    assert!(test.contains("x.lua:3") && test.contains("endless loop"), "{test}");
    let helper = error_of(&inside("  table.sort({3, 2, 1}, function() while true do end end)"));
    assert!(helper.contains("endless loop"), "{helper}");
}

#[test]
fn a_call_that_waits_long_and_is_polled_often_is_no_endless_loop() {
    let fake = Arc::new(Fake { busy_for: Duration::from_millis(1300), ..Fake::default() });
    let outcome = run_on(
        &fake,
        &inside(
            "  fault.kill_node(swarm:node(1), {}, function() sleep \"1s\" end)\n  sleep \"1s\"",
        ),
    );
    assert_eq!(outcome.errors, []);
}

#[test]
fn memory_has_an_end() {
    let error = error_of(&inside("  local long = (\"x\"):rep(2e8)"));
    assert!(error.contains("128 MiB"), "{error}");
}

#[test]
fn there_is_no_way_out() {
    let attempts = [
        "io.open('/etc/passwd')",
        "os.execute('true')",
        "os.getenv('HOME')",
        "require('os')",
        "package.loadlib('x', 'y')",
        "debug.getinfo(1)",
        "load('return 1')",
        "loadstring('return 1')",
        "loadfile('/etc/passwd')",
        "dofile('/etc/passwd')",
        "pcall(error)",
        "xpcall(error, print)",
        "coroutine.wrap(print)",
        "collectgarbage('stop')",
        "getmetatable('')",
        "setmetatable({}, {})",
        "rawset(expect, 'spans', print)",
        "rawget(_G, 'x')",
        "print(_G.io)",
        "string.dump(print)",
        "('').dump(print)",
        "expect.spans = print",
        "fault.kill_node = nil",
        "string.format = nil",
        "math.randomseed(1)",
        "_ENV.io = 1",
    ];
    for attempt in attempts {
        let error = error_of(&inside(&format!("  {attempt}")));
        assert_ne!(error, "no error", "{attempt}");
        assert!(error.contains("x.lua:3"), "{attempt} has no place: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytecode.lua");
    std::fs::write(&path, b"\x1bLua\x54\x00\x19\x93\r\n\x1a\n").unwrap();
    assert!(load_at(&path).is_err(), "bytecode is refused");
}

#[test]
fn defaults_are_those_of_the_manual() {
    let script = load("test(\"t\", function() end)\n").unwrap();
    let declaration = script.declaration();
    assert_eq!(declaration.timeout.as_secs(), 600);
    assert_eq!(declaration.sample_every.as_secs(), 1);
    let fake = Arc::new(Fake::default());
    run_on(&fake, "test(\"t\", function() mesh { nodes = { b = 1, a = 2 } } end)\n");
    assert!(
        fake.said().contains("mesh mesh1 [\"a\", \"a\", \"b\"] 2s gated=true at 1:22"),
        "{}",
        fake.said()
    );
}

#[test]
fn nodes_act_and_carry_traffic_on_a_scenarios_word() {
    let fake = Arc::new(Fake::default());
    let outcome = run_on(
        &fake,
        &inside(
            "  local a, b = swarm:node(1), swarm:node(2)\n  a:drain() a:update() a:resume()\n  \
         operator.grant(a, { may = { \"shutdown\" }, mesh = \"mesh2\", valid_for = \"90s\" })\n  \
         local order = a:shutdown(b)\n  print(order.accepted, order.reason)\n  \
         a:set_state(b, \"Draining\")\n  local sent = a:deliver(b, \"hi\")\n  \
         print(sent.delivered, sent.via, sent.took, sent.trace)\n  \
         print(a:resolve(\"x.y.z\").reason, a:counters()[\"digests.sent\"], a.name)\n  \
         local view = a:view() print(view.peers, view.neighbors, view.connections)\n  \
         local hash = a:share { files = 2, each = \"4KiB\" }\n  \
         local got = b:fetch(a, hash) print(got.whole, got.files, got.bytes, got.took)\n  \
         local flood = traffic.bi_streams { from = a, to = b, streams = 4, size = \"1KiB\",\n    \
         duration = \"2s\", rate = \"500/s\", floors = { round_trips = 10 },\n    \
         ceilings = { errors = 0, p99 = \"1ms\", max = \"2s\" } }\n  \
         print(flood.round_trips, flood.per_second, flood.latency.p50, flood.latency:at(90))\n  \
         local bulk = traffic.bulk { from = a, to = b, size = \"1MiB\", within = \"5s\" }\n  \
         print(bulk.whole, bulk.reason)\n  \
         local span = spans(\"x\"):list()[1] print(span.parent, span.took, span.attributes.via)\n  \
         expect.agreed(swarm, { within = \"3s\" })",
        ),
    );
    assert_eq!(outcome.errors, []);
    insta::assert_snapshot!(fake.said());
}

#[test]
fn mistakes_in_acts_and_traffic_are_shown_with_their_cure() {
    let bodies = [
        "  traffic.bi_streams { from = swarm:node(1), to = swarm:node(2), duration = \"1s\" }",
        "  traffic.requests { from = swarm:node(1), to = swarm:node(2), duration = \"1s\", \
         rate = 500 }",
        "  traffic.bulk { from = swarm:node(1), to = swarm:node(2), size = 16 }",
        "  traffic.bi_streams { from = swarm:node(1), to = swarm:node(2), streams = 1, \
         duration = \"1s\", ceilings = { p95 = \"1s\" } }",
        "  swarm:node(1):set_state(swarm:node(2), \"Drained\")",
        "  operator.grant(swarm:node(1), { may = { \"fly\" } })",
        "  swarm:relay()",
        "  swarm:node(1):shutdwon(swarm:node(2))",
    ];
    let errors: Vec<String> = bodies.iter().map(|body| error_of(&inside(body))).collect();
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn a_chaos_lasts_its_time_or_its_body() {
    let fake = Arc::new(Fake::default());
    let outcome = run_on(
        &fake,
        &inside(
            "  local storm = chaos { on = swarm, every = \"20s\", jitter = \"5s\", \
             duration = \"5m\", flake_budget = \"15%\",\n    faults = { kill_node = 1, \
             wedge_node = { weight = 2, hold = \"3s\" }, lossy_link = { loss = \"10%\" } } }\n  \
             print(storm.planned, storm.detected, storm.missed, storm.skipped)\n  \
             local report, result = chaos({ on = swarm:node(1), every = \"2s\", at_once = 3,\n    \
             detect_within = \"9s\", faults = { restart_node = 0.5 } }, function()\n    \
             sleep \"4s\"\n    return \"done\"\n  end)\n  print(report.injected, result)\n  \
             expect.formed(swarm, { within = \"3s\" })",
        ),
    );
    assert_eq!(outcome.errors, []);
    insta::assert_snapshot!(fake.said());
}

#[test]
fn mistakes_in_a_chaos_are_shown_with_their_cure() {
    let bodies = [
        "  chaos { on = swarm, every = \"2s\", faults = { kill_node = 1 } }",
        "  chaos { on = swarm, every = \"2s\", duration = \"1m\" }",
        "  chaos { on = swarm, every = \"2s\", duration = \"1m\", faults = { kil_node = 1 } }",
        "  chaos { on = swarm, every = \"2s\", duration = \"1m\", faults = { lossy_link = 1 } }",
        "  chaos { on = swarm, every = \"2s\", duration = \"1m\", faults = { kill_node = -1 } }",
        "  chaos { on = swarm, every = \"2s\", duration = \"1m\", faults = { \
         restart_node = { hold = \"1s\" } } }",
        "  chaos { every = \"2s\", duration = \"1m\", faults = { kill_node = 1 } }",
        "  chaos { on = swarm, every = 2, duration = \"1m\", faults = { kill_node = 1 } }",
        "  chaos { on = swarm, every = \"2s\", duration = \"1m\", flake_budget = \"150%\", \
         faults = { kill_node = 1 } }",
    ];
    let errors: Vec<String> = bodies.iter().map(|body| error_of(&inside(body))).collect();
    insta::assert_snapshot!(errors.join("\n\n"));
}
