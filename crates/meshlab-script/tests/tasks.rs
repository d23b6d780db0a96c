//! What runs beside each other: tasks, races, rounds.

mod fake;

use std::{sync::Arc, time::Duration};

use fake::{Fake, error_of, run_on};

fn inside(body: &str) -> String {
    format!("test(\"t\", function()\n  local swarm = mesh {{ nodes = 3 }}\n{body}\nend)\n")
}

/// What a host was asked, from after the start of the mesh on, where nothing goes wrong.
fn said(body: &str) -> String {
    let fake = Arc::new(Fake::default());
    let outcome = run_on(&fake, &inside(body));
    assert_eq!(outcome.errors, []);
    let said = fake.said();
    said.split_once("gated=true at 2:17\n").map_or(said.clone(), |(_, rest)| rest.to_owned())
}

#[test]
fn tasks_run_beside_the_test_and_hand_back_what_they_return() {
    let text = said(
        "  local slow = spawn(function() sleep \"3s\" print(\"slow\") return \"a\", 2 end)\n  \
         local fast = spawn(function() sleep \"1s\" print(\"fast\") end)\n  sleep \"2s\"\n  \
         print(\"main\")\n  print(slow:join())\n  print(slow:join())\n  fast:join()",
    );
    let wanted = "note fast\nnote main\nnote slow\nnote a 2\nnote a 2\nend Completed";
    assert!(text.ends_with(wanted), "{text}");
}

#[test]
fn a_task_that_still_runs_fails_its_test_and_names_its_line() {
    let text = inside(
        "  spawn(function()\n    fault.wedge_node(swarm:node(1), {}, function()\n      \
                       sleep \"1h\"\n    end)\n  end)\n  sleep \"1s\"",
    );
    let fake = Arc::new(Fake::default());
    let outcome = run_on(&fake, &text);
    assert_eq!(outcome.errors.len(), 1);
    let said = fake.said();
    assert!(said.ends_with("undo 1\nend Errored"), "its fault is taken back: {said}");
    insta::assert_snapshot!(error_of(&text));
}

#[test]
fn an_error_that_nobody_joins_fails_the_test_at_its_own_place() {
    let text = inside("  spawn(function() error(\"oh\") end)\n  sleep \"1s\"\n  print(\"on\")");
    insta::assert_snapshot!(error_of(&text));
    let fake = Arc::new(Fake { failing: Some("bad"), ..Fake::default() });
    let text = inside("  spawn(function() expect.spans(\"bad\") end)\n  sleep \"1s\"");
    assert_eq!(run_on(&fake, &text).errors, []);
    assert!(fake.said().ends_with("end Stopped"), "{}", fake.said());
    let joined = inside(
        "  local task = spawn(function()\n    error(\"oh\")\n  end)\n  task:join()\n  print(\"no\")",
    );
    let fake = Arc::new(Fake::default());
    let outcome = run_on(&fake, &joined);
    assert_eq!(outcome.errors.len(), 1, "it is told once: {:?}", outcome.errors);
    assert_eq!(outcome.errors[0].source_line().map(|at| at.line), Some(4));
    assert!(!fake.said().contains("note no"), "{}", fake.said());
}

#[test]
fn cancelling_reaches_children_takes_faults_back_and_is_no_error() {
    let fake = Arc::new(Fake::default());
    let outcome = run_on(
        &fake,
        &inside(
            "  local task = spawn(function()\n    \
         spawn(function()\n      fault.wedge_node(swarm:node(2), {}, function()\n        \
         sleep \"1h\"\n      end)\n    end)\n    \
         fault.kill_node(swarm:node(1), {}, function()\n      \
         check.eventually(\"1h\", \"never\", function() return false end)\n      \
         print(\"not reached\")\n    end)\n  end)\n  sleep \"250ms\"\n  \
         task:cancel()\n  print(\"cancelled\")\n  task:cancel()\n  task:join()",
        ),
    );
    assert_eq!(outcome.errors, []);
    let slept = *fake.slept.lock().unwrap();
    assert!(slept < Duration::from_secs(1), "nobody is waited for: {slept:?}");
    let text = fake.said();
    let (before, after) = text.split_once("note cancelled").unwrap();
    assert_eq!(before.matches("undo 1").count(), 2, "both are undone by then: {text}");
    assert!(before.contains("withdrawn") && !text.contains("not reached"), "{text}");
    assert_eq!(after.trim(), "end Completed");
}

#[test]
fn a_busy_task_is_cancelled_too_and_a_storm_is_told_to_end() {
    let text = said(
        "  local task = spawn(function()\n    chaos { on = swarm, every = \"2s\", \
         duration = \"1s\", faults = { kill_node = 1 } }\n    sleep \"1s\"\n    \
         local n = 0\n    while true do n = n + 1 end\n  end)\n  task:cancel()\n  \
         local storm = spawn(function()\n    chaos({ on = swarm, every = \"2s\", \
         faults = { kill_node = 1 } }, function() sleep \"1h\" end)\n    print(\"no\")\n  end)\n  \
         sleep \"1s\"\n  storm:cancel()",
    );
    assert!(text.ends_with("chaos ends\nend Completed") && !text.contains("note no"), "{text}");
}

#[test]
fn all_run_at_once_and_the_first_failure_cancels_the_others() {
    let text = said(
        "  parallel {\n    function() sleep \"2s\" print(\"two\") end,\n    \
         function() sleep \"1s\" print(\"one\") end,\n  }\n  print(\"both\")",
    );
    assert!(text.ends_with("note one\nnote two\nnote both\nend Completed"), "{text}");
    let fake = Arc::new(Fake::default());
    let text = inside(
        "  parallel {\n    function()\n      fault.kill_node(swarm:node(1), {}, function() \
         sleep \"1h\" end)\n    end,\n    function()\n      sleep \"1s\"\n      error(\"oh\")\n    \
         end,\n  }\n  print(\"no\")",
    );
    let outcome = run_on(&fake, &text);
    assert_eq!(outcome.errors.len(), 1);
    assert_eq!(outcome.errors[0].source_line().map(|at| at.line), Some(9));
    assert!(fake.said().ends_with("undo 1\nend Errored"), "{}", fake.said());
}

#[test]
fn the_first_to_finish_wins_and_the_others_are_cancelled() {
    let text = said(
        "  local winner = race {\n    function() sleep \"2s\" print(\"no\") end,\n    \
         function() sleep \"1s\" end,\n    \
         function() expect.eventually(\"1h\", \"x\", function() return false end) end,\n  }\n  \
         print(\"won\", winner)",
    );
    assert!(text.ends_with("withdrawn\nnote won 2\nend Completed"), "{text}");
    assert!(!text.contains("note no"), "{text}");
}

#[test]
fn each_round_counts_from_the_end_of_the_last_one() {
    let text = said(
        "  sleep \"1s\"\n  every(\"10s\", \"35s\", function(round)\n    print(\"round\", round)\n    \
         check.spans(\"x\")\n    if round == 1 then sleep \"25s\" end\n  end)\n  check.spans(\"y\")",
    );
    let since: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split("since: At(RunTime { micros: ").nth(1)?.split(' ').next())
        .collect();
    // Two periods end while the first round lasts: one round follows at once, for both.
    assert_eq!(since, ["1000000", "11000000", "0"], "{text}");
    assert!(text.contains("sleep 25s\nsleep 0ns\nnote round 2"), "{text}");
    assert!(!text.contains("note round 3"), "{text}");
    let text = said("  every(\"10s\", \"30s\", function(round) print(round) end)");
    assert!(text.ends_with("sleep 10s\nnote 3\nend Completed"), "{text}");
}

#[test]
fn tasks_do_not_see_each_others_scopes() {
    let text = said(
        "  local a = spawn(function()\n    sleep \"1s\"\n    \
         fault.wedge_node(swarm:node(1), {}, function()\n      sleep \"5s\"\n      \
         check.spans(\"a\")\n    end)\n    check.spans(\"after\")\n  end)\n  sleep \"3s\"\n  \
         fault.wedge_node(swarm:node(2), {}, function()\n    sleep \"1s\"\n    \
         check.spans(\"b\")\n    a:join()\n  end)\n  check.spans(\"c\")",
    );
    for (name, micros) in [("a", 1_000_000), ("b", 3_000_000), ("after", 0), ("c", 0)] {
        let line = text.lines().find(|line| line.contains(&format!("name: \"{name}\"")));
        let wanted = format!("since: At(RunTime {{ micros: {micros} }})");
        assert!(line.is_some_and(|line| line.contains(&wanted)), "{name}: {text}");
    }
}

#[test]
fn a_task_draws_by_its_place_and_not_by_its_turn() {
    let text = said(
        "  local function late() sleep \"2s\" swarm:pick() end\n  \
         local function early() swarm:pick() swarm:pick() parallel { function() swarm:pick() end } \
         end\n  local a, b = spawn(late), spawn(early)\n  a:join() b:join()",
    );
    let draws: Vec<&str> = text.lines().filter(|line| line.starts_with("draw")).collect();
    assert_eq!(draws, ["draw [2] 1", "draw [2] 2", "draw [2, 1] 1", "draw [1] 1"]);
}

#[test]
fn a_stopped_run_ends_every_task() {
    let fake = Arc::new(Fake::default());
    let text = inside(
        "  local n = 0\n  local task = spawn(function() sleep \"1s\" end)\n  \
         parallel { function() sleep \"1s\" end, function() task:join() end }",
    );
    *fake.stops_after.lock().unwrap() = Some(1);
    let outcome = run_on(&fake, &text);
    assert_eq!(outcome.errors, []);
    assert!(fake.said().contains("end Cancelled"), "{}", fake.said());
}

#[test]
fn mistakes_with_tasks_are_shown_with_their_cure() {
    let bodies = [
        "  spawn(\"x\")",
        "  parallel(function() end)",
        "  parallel { function() end, 4 }",
        "  race {}",
        "  race { a = function() end }",
        "  every(\"2m\", \"1m\", function() end)",
        "  every(\"0s\", \"1m\", function() end)",
        "  every(2, \"1m\", function() end)",
        "  spawn(function() end):wait()",
        "  local t\n  t = spawn(function() sleep \"1s\" t:cancel() end)\n  t:join()",
        "  local t\n  t = spawn(function() sleep \"1s\" t:join() end)\n  t:join()",
        "  local a, b\n  a = spawn(function() sleep \"1s\" b:join() end)\n  \
         b = spawn(function() sleep \"1s\" parallel { function() a:join() end } end)\n  a:join()",
    ];
    let errors: Vec<String> = bodies.iter().map(|body| error_of(&inside(body))).collect();
    insta::assert_snapshot!(errors.join("\n\n"));
    insta::assert_snapshot!(error_of("spawn(function() end)\n"));
}
