//! Ways out of the sandbox, each of which must end in a refusal, and in time.

mod fake;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use fake::{Fake, error_of, run_on};

/// A second, and what a busy machine that runs the tests of all crates makes of it. Only what does
/// not end at all takes longer.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

fn inside(body: &str) -> String {
    format!("test(\"t\", function()\n  local swarm = mesh {{ nodes = 3 }}\n{body}\nend)\n")
}

/// The error that a text ends with; a panic if it does not end.
fn ends(text: &str) -> String {
    let (send, receive) = mpsc::channel();
    let owned = text.to_owned();
    thread::spawn(move || send.send(error_of(&owned)));
    receive.recv_timeout(ENDS_WITHIN).unwrap_or_else(|_| panic!("it does not end:\n{text}"))
}

/// The first line of each refusal, and its place.
fn refusals(attempts: &[&str]) -> String {
    let refused = |attempt: &&str| {
        let error = ends(&inside(&format!("  ;{attempt}")));
        assert_ne!(error, "no error", "{attempt} is not refused");
        // Where memory ends Lua does not say.
        let placed = error.contains("x.lua:3") || error.contains("128 MiB");
        assert!(placed, "{attempt} has no place: {error}");
        let first = error.lines().next().unwrap_or_default().to_owned();
        format!("{attempt}\n  {}", first.trim_start_matches("error: "))
    };
    attempts.iter().map(refused).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_reaches_the_host_is_not_there() {
    insta::assert_snapshot!(refusals(&[
        "io.open(\"/etc/passwd\")",
        "io.popen(\"id\")",
        "os.execute(\"id\")",
        "os.exit(0)",
        "package.loadlib(\"libc.so.6\", \"system\")",
        "package.loaded.os.execute(\"id\")",
        "debug.getregistry()",
        "debug.sethook()",
        "debug.setupvalue(print, 1, nil)",
        "debug.getupvalue(expect.formed, 1)",
        "load(\"return 1\")",
        "load(string.dump(function() end))",
        "loadstring(\"\\27Lua\")",
        "loadfile(\"/etc/passwd\")",
        "dofile(\"/etc/passwd\")",
        "require(\"../../etc/passwd\")",
        "require(\"/etc/passwd\")",
        "require(\"os\")",
        "collectgarbage(\"stop\")",
        "warn(\"@on\")",
    ]));
}

#[test]
fn what_reaches_behind_the_language_is_not_there() {
    insta::assert_snapshot!(refusals(&[
        "string.dump(print)",
        "(\"\").dump(print)",
        "getmetatable(\"\").__index.rep = nil",
        "getmetatable(swarm).__index = nil",
        "getmetatable(fault).__newindex = nil",
        "setmetatable({}, { __gc = function() end })",
        "setmetatable({}, { __index = function() while true do end end })",
        "rawset(fault, \"kill_node\", print)",
        "rawget(fault, \"kill_node\")()",
        "rawequal(1, 1)",
        "next(fault)()",
        "fault.kill_node = nil",
        "expect.formed = function() end",
        "string.rep = nil",
        "math.huge = 0",
        "swarm.id = \"x\"",
        "swarm:node(1).id = \"x\"",
        "print = nil",
        "_G.print = nil",
        "_ENV.print = nil",
        "_ENV = {} print(1)",
        "local c <close> = swarm",
        "local c <close> = setmetatable({}, { __close = print })",
        "pcall(error, \"x\")",
        "xpcall(error, print)",
        "coroutine.wrap(function() while true do end end)()",
        "coroutine.running()",
    ]));
}

/// What takes the place of `pcall` in other languages: nothing goes on after a failure.
#[test]
fn no_failure_is_swallowed() {
    for body in [
        "  while true do pcall(function() while true do end end) end",
        "  table.sort({ 1, 2 }, function() expect.equal(1, 2) end)\n  print(\"on\")",
        "  ;(\"x\"):gsub(\"x\", function() expect.equal(1, 2) end)\n  print(\"on\")",
        "  for _ in function() expect.equal(1, 2) end do end\n  print(\"on\")",
        "  error(swarm)\n  print(\"on\")",
        "  error({ code = 1 })\n  print(\"on\")",
        "  error()\n  print(\"on\")",
        "  parallel { function() expect.equal(1, 2) end, function() sleep \"1s\" end }\n  print(\"on\")",
    ] {
        let fake = Arc::new(Fake::default());
        let outcome = run_on(&fake, &inside(body));
        let said = fake.said();
        assert!(!said.contains("note on"), "{body}\n{said}");
        assert!(!outcome.errors.is_empty() || said.contains("end Stopped"), "{body}\n{said}");
    }
}

#[test]
fn every_endless_loop_is_ended_at_its_line() {
    for body in [
        "while true do end",
        "goto top",
        "local function f() return f() end f()",
        "repeat local x = {} until false",
        "for i = 1, math.huge do end",
        "for _ in function() return 1 end do end",
        "table.sort({ 3, 2, 1 }, function() while true do end end)",
        "(\"x\"):gsub(\"x\", function() while true do end end)",
        "for _ in (\"x\"):rep(9):gmatch(\"x\") do while true do end end",
        "spawn(function() while true do end end):join()",
        "parallel { function() while true do end end }",
        "fault.kill_node(swarm:node(1), {}, function() while true do end end)",
        "expect.eventually(\"5s\", \"x\", function() while true do end end)",
        // Calls that work in C, where no instruction is counted.
        "local s = (\"x\"):rep(3e7) while true do local t = s:reverse() end",
        "local t = {} for i = 1, 2e5 do t[i] = i end while true do table.insert(t, 1, 0) end",
        "local t = {} for i = 1, 2e5 do t[i] = i end while true do table.sort(t) end",
        "local t = {} for i = 1, 2e5 do t[i] = \"x\" end while true do table.concat(t) end",
        "local s = (\"x\"):rep(1e7) while true do s:find(\"y\", 1, true) end",
        "local s = (\"x\"):rep(1e7) while true do utf8.len(s) end",
        "while true do (\"x\"):rep(10) end",
    ] {
        let text = match body {
            "goto top" => inside("  ::top:: goto top"),
            body => inside(&format!("  ;{body}")),
        };
        let error = ends(&text);
        assert!(error.contains("endless loop"), "{body}: {error}");
        assert!(error.contains("x.lua:3"), "{body}: {error}");
    }
}

#[test]
fn a_top_level_is_watched_too() {
    for text in ["while true do end\n", "local s = (\"x\"):rep(1e7) while true do s:upper() end\n"]
    {
        let error = ends(text);
        assert!(error.contains("endless loop") && error.contains("x.lua:1"), "{text}: {error}");
    }
}

#[test]
fn what_grows_without_end_is_refused() {
    insta::assert_snapshot!(refusals(&[
        "(\"x\"):rep(1e10)",
        "(\"x\"):rep(1e9, \"y\")",
        "table.move({}, 1, 1e15, 2)",
        "table.move({}, 1, \"0x7fffffff\", 2)",
        "table.unpack({}, 1, 1e8)",
        "(\"%999d\"):format(1)",
        "(\"%.999f\"):format(1)",
        "(\"(\"):rep(40):find((\"(\"):rep(40))",
        "(\"a\"):rep(1000):find((\"a?\"):rep(250))",
    ]));
    // Memory ends first, or time on a busy machine.
    for body in [
        "local function f() return 1 + f() end f()",
        "local s = \"x\" while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = (\"x\"):rep(1e6) .. #t end",
        "local t = {} while true do t = { t, t } end",
        "local t = {} while true do t[#t + 1] = {} end",
        "local s = (\"x\"):rep(3e7) while true do local t = s .. s end",
        "local a, b = (\"x\"):rep(5e7), (\"x\"):rep(5e7) while a == b do end",
        "(\"x\"):rep(1e6):gsub(\"x\", (\"y\"):rep(1e6))",
        "table.concat({ (\"x\"):rep(5e7), (\"x\"):rep(5e7) })",
    ] {
        let error = ends(&inside(&format!("  ;{body}")));
        let ends = ["128 MiB", "endless loop", "stack overflow"];
        assert!(ends.iter().any(|end| error.contains(end)), "{body}: {error}");
    }
}

#[test]
fn dear_patterns_are_refused_and_others_are_not() {
    insta::assert_snapshot!(refusals(&[
        "(\"a\"):rep(3000):find(\"a*a*a*a*b\")",
        "(\"a\"):rep(3000):match(\".-.-.-.-b\")",
        "(\"a\"):rep(3000):gsub(\"(a+)(a+)(a+)b\", \"\")",
        "for _ in (\"a\"):rep(3000):gmatch(\"a*a*a*a*b\") do end",
        "string.find((\"a\"):rep(60), (\"a?\"):rep(60) .. (\"a\"):rep(60) .. \"b\")",
        "(\"(\"):rep(1e5):find(\"%b()\")",
        "(\"a\"):rep(1e7):find((\"a\"):rep(5e6) .. \"b\", 1, true)",
        "(\"a\"):rep(1e7):find((\"a\"):rep(5e6) .. \"b\")",
    ]));
    let fine = "  local text = (\"key = value, and words\\n\"):rep(2000)\n  \
                expect.equal(select(2, text:gsub(\"(%w+)%s*=%s*(%w+)\", \"%2\")), 2000)\n  \
                expect.equal(text:find(\"nowhere\", 1, true), nil)\n  \
                expect.equal((\"  x  \"):match(\"^%s*(.-)%s*$\"), \"x\")\n  \
                expect.equal((\"a.b\"):find(\".\", 1, true), 2)\n  \
                expect.equal(string.rep(\"x\", 3, \"-\"), \"x-x-x\")\n  \
                local n = 0 for k, v in text:gmatch(\"(%w+) = (%w+)\") do n = n + 1 end\n  \
                expect.equal(n, 2000)";
    let fake = Arc::new(Fake::default());
    let outcome = run_on(&fake, &inside(fine));
    assert_eq!(outcome.errors, []);
    assert!(fake.said().contains("end Completed"), "{}", fake.said());
}
