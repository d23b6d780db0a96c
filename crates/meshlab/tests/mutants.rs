//! The program that is shipped makes no mistakes on demand.

use std::fs;

/// Names of all mistakes of the harness, as they are written.
fn names() -> Vec<&'static str> {
    let text = include_str!("../../meshlab-mutants/src/catalogue.rs");
    let row = |line: &'static str| line.split_once(" => \"")?.1.split_once('"').map(|name| name.0);
    text.lines().filter_map(row).collect()
}

#[test]
fn the_usual_program_has_none_of_the_names() {
    let names = names();
    assert!(names.len() >= 30, "{names:?}");
    let program = fs::read(env!("CARGO_BIN_EXE_meshlab")).expect("the program");
    let has = |name: &&str| memchr::memmem::find(&program, name.as_bytes()).is_some();
    let found: Vec<&str> = names.into_iter().filter(has).collect();
    assert!(found.is_empty(), "built with mistakes: {found:?}");
}

#[test]
fn the_usual_program_says_that_it_makes_none() {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_meshlab"));
    let mut program = program;
    let output = program.args(["selftest", "--catalogue"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("it was built without `meshlab/mutants`"), "{said}");
}
