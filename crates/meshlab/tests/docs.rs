//! The commands in the documentation of CI are those of this program.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path, process::Command};

/// Every command line of `text` that calls the program: a line of a shell, or of a workflow's
/// `run:` with what is folded under it.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut folded = false;
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("- run: ").unwrap_or(line);
        match line.strip_prefix("target/release/meshlab ") {
            Some(rest) => {
                found.push(rest.to_owned());
                folded = true;
            }
            None if folded && line.starts_with("--") => {
                let last = found.last_mut().unwrap();
                *last = format!("{last} {line}");
            }
            None => folded = false,
        }
    }
    found.iter().map(|line| words(line)).collect()
}

/// Words of a shell, with double quotes and nothing else.
fn words(line: &str) -> Vec<String> {
    let (mut all, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => all.push(String::new()),
            c => all.last_mut().unwrap().push(c),
        }
    }
    all.retain(|word| !word.is_empty());
    all
}

/// Parses and stops: after a flag that every command has, and before it does anything.
fn parses(words: &[String]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshlab"));
    // What comes last is looked at only if all before it is understood.
    let output = command.args(words).arg("--help").output().unwrap();
    let mut strict = Command::new(env!("CARGO_BIN_EXE_meshlab"));
    let wrong = strict.args(words).arg("--no-such-flag").output().unwrap();
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    // An unknown flag is told first of all that is wrong only if the rest is known.
    (output.status.code(), told)
}

#[test]
fn the_commands_of_the_workflow_are_understood() {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ci.md");
    let text = fs::read_to_string(text).unwrap();
    let commands = commands(&text);
    assert!(commands.len() >= 5, "{commands:?}");
    assert!(commands.iter().any(|words| words[0] == "gate" && words.len() > 10), "{commands:?}");
    for words in commands {
        let (code, told) = parses(&words);
        assert_eq!(code, Some(0), "{words:?}");
        assert!(told.contains("unexpected argument '--no-such-flag'"), "{words:?}: {told}");
    }
    let wrong = ["gate".into(), "x".into(), "--cpus".into(), "10%".into()];
    assert!(!parses(&wrong).1.contains("--no-such-flag"), "what is misspelt is told");
}
