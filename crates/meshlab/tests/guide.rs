//! Every piece of Lua in the guide is rehearsed, and those that are marked so are run.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::{fs, path::Path};

use support::Bench;

/// A fenced block of Lua: the line that it begins at, whether it is marked `run`, its text.
struct Snippet {
    line: usize,
    run: bool,
    text: String,
}

fn snippets(page: &str) -> Vec<Snippet> {
    let mut found: Vec<Snippet> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(page.lines()) {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(fence) => {
                let mut words = fence.split_whitespace();
                assert_eq!(words.next(), Some("lua"), "line {number}: a fence says what it holds");
                let run = words.next() == Some("run");
                found.push(Snippet { line: number + 1, run, text: String::new() });
                inside = true;
            }
            None if inside => {
                let text = &mut found.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    assert!(!inside, "the last fence is not closed");
    found
}

/// The text as a file: a piece of a test gets a test around it, on the lines before its own.
fn file(text: &str) -> String {
    if text.contains("test(") {
        return text.to_owned();
    }
    format!(
        "test(\"t\", function() local swarm = mesh {{ nodes = 6 }} \
         local node, victim = swarm:node(3), swarm:node(2) local others = swarm:others(victim) \
         do\n{text}end print(node.id, #others) end)\n"
    )
}

fn guide() -> Vec<Snippet> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide.md");
    let found = snippets(&fs::read_to_string(path).unwrap());
    assert!(found.len() > 10, "only {} pieces of Lua were found", found.len());
    found
}

#[test]
fn every_piece_of_lua_in_the_guide_is_right() {
    let bench = Bench::new();
    let mut paths = Vec::new();
    for snippet in guide() {
        let name = format!("guide-line-{}.lua", snippet.line);
        paths.push(bench.scenario(&name, &file(&snippet.text)));
    }
    let mut arguments = vec!["check"];
    arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
    let checked = bench.meshlab(&arguments);
    let clean = checked.code == Some(0) && !checked.all().contains("warning");
    assert!(clean, "{}", checked.all());
}

#[test]
fn a_piece_that_is_wrong_is_red() {
    let bench = Bench::new();
    let page = "```lua\nexpect.formed(swarm, { whithin = \"2s\" })\n```\n";
    let path = bench.scenario("wrong.lua", &file(&snippets(page)[0].text));
    let checked = bench.meshlab(&["check", path.to_str().unwrap()]);
    assert_eq!(checked.code, Some(3), "{}", checked.all());
    assert!(checked.all().contains("wrong.lua:2:24"), "{}", checked.all());
}

#[test]
fn what_the_guide_shows_first_runs_green() {
    let bench = Bench::new();
    let first: Vec<Snippet> = guide().into_iter().filter(|snippet| snippet.run).collect();
    assert!(!first.is_empty(), "nothing is marked `run`");
    for snippet in first {
        let run = bench.run("first.lua", &snippet.text, &[]);
        assert_eq!(run.code, Some(0), "{}", run.all());
    }
}
