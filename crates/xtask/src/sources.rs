//! Rules on source files: size, width, doors for output and for the clock.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::Finding;

const LINES_MAX: usize = 800;
const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 100;

/// Crates whose `src` may write to stdout and stderr.
const MAY_PRINT: &[&str] = &["meshlab", "meshlab-report", "xtask"];

/// What a pure crate may not even spell.
const IMPURE: &[&str] =
    &["async fn", "std::fs", "std::net", "std::process", "Instant::now", "SystemTime::now"];
const PURE: &[&str] = &["meshlab-model", "meshlab-stats", "meshlab-wire"];

pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut files = Vec::new();
    collect(&root.join("crates"), &mut files)?;
    files.sort();
    let mut findings = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        let inside = file.strip_prefix(root.join("crates")).unwrap_or(&file);
        let name = inside.iter().next().and_then(|name| name.to_str()).unwrap_or_default();
        for (line, text) in check_text(name, inside, &text) {
            findings.push(Finding { file: file.clone(), line, text });
        }
    }
    Ok(findings)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            // What cargo builds for fuzzing lies beside its sources, and is not ours.
            if path.file_name().is_none_or(|name| name != "target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn check_text(crate_name: &str, file: &Path, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        found
            .push((lines, format!("{lines} lines, at most {LINES_MAX}: split it by what it owns")));
    }
    let face = file.ends_with("src/lib.rs") || file.ends_with("src/main.rs");
    if face && !text.starts_with("//!") {
        found.push((1, "no `//!` at the top: say what the crate owns and does not do".to_owned()));
    }
    let in_tests = file.iter().any(|part| part == "tests" || part == "examples");
    for (number, line) in (1..).zip(text.lines()) {
        let columns = line.chars().count();
        // Literals that cannot be broken, such as a snapshot, are not code.
        if columns > COLUMNS_MAX && !in_tests && !line.contains("http") {
            found.push((number, format!("{columns} columns, at most {COLUMNS_MAX}")));
        }
        let allows_print = line.contains("allow(clippy::print_std");
        if allows_print && !MAY_PRINT.contains(&crate_name) && !in_tests {
            found
                .push((number, format!("`{crate_name}` must not print: events out, nothing else")));
        }
        // An example is a program: it reads a file for the crate.
        let is_example = file.iter().any(|part| part == "examples");
        if PURE.contains(&crate_name)
            && !is_example
            && let Some(word) = IMPURE.iter().find(|word| line.contains(*word))
        {
            found.push((number, format!("`{crate_name}` is pure and says `{word}`")));
        }
    }
    found.extend(long_functions(text));
    found
}

/// Functions by rustfmt's layout: from a line that declares one to the brace in its own column.
fn long_functions(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let indent = &line[..line.len() - line.trim_start().len()];
        match &open {
            None => {
                let words = line.trim_start();
                let declares = [
                    "fn ",
                    "pub fn ",
                    "pub(crate) fn ",
                    "async fn ",
                    "pub async fn ",
                    "pub(crate) async fn ",
                ]
                .iter()
                .any(|start| words.starts_with(start));
                if declares && !words.ends_with(';') && !words.ends_with('}') {
                    open = Some((number, format!("{indent}}}")));
                }
            }
            Some((start, end)) if line == end => {
                let lines = number - start + 1;
                if lines > FUNCTION_LINES_MAX {
                    let text = format!("a function of {lines} lines, at most {FUNCTION_LINES_MAX}");
                    found.push((*start, text));
                }
                open = None;
            }
            Some(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(crate_name: &str, file: &str, text: &str) -> Vec<String> {
        check_text(crate_name, Path::new(file), text).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn what_was_built_for_fuzzing_is_no_source() {
        let root = std::env::temp_dir().join(format!("tidy-{}", std::process::id()));
        let (sources, built) = (root.join("fuzz/fuzz_targets"), root.join("fuzz/target"));
        for folder in [&sources, &built] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("x.rs"), "").unwrap();
        }
        let mut files = Vec::new();
        collect(&root, &mut files).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(files, [sources.join("x.rs")]);
    }

    #[test]
    fn each_rule_can_go_red() {
        let long = "//! x\n".repeat(LINES_MAX + 1);
        assert!(found("meshlab", "meshlab/src/lib.rs", &long)[0].contains("801 lines"));
        assert_eq!(found("meshlab", "meshlab/src/lib.rs", "mod x;\n").len(), 1);
        let wide = format!("// {}\n", "x".repeat(COLUMNS_MAX));
        assert_eq!(found("meshlab", "meshlab/src/x.rs", &wide), ["103 columns, at most 100"]);
        let print = concat!("#![allow(clippy::", "print_stdout)]\n");
        assert_eq!(found("meshlab-lab", "meshlab-lab/src/x.rs", print).len(), 1);
        assert!(found("meshlab", "meshlab/src/x.rs", print).is_empty());
        let clock = "fn now() { Instant::now(); }\n";
        assert_eq!(found("meshlab-model", "meshlab-model/src/x.rs", clock).len(), 1);
        assert!(found("meshlab-spans", "meshlab-spans/src/x.rs", clock).is_empty());
        let body = "    x();\n".repeat(FUNCTION_LINES_MAX);
        let function = format!("fn f() {{\n{body}}}\n");
        assert_eq!(found("meshlab", "meshlab/src/x.rs", &function).len(), 1);
    }
}
