//! The programs of a run: which were given, which are built, and what is wrong with the list.

use std::{collections::BTreeMap, path::Path, time::Instant};

use anyhow::{Context, Result};
use meshlab_engine::{NODE_BINARY, RELAY_BINARY, build, inspect};
use meshlab_model::{BinaryRecord, format_duration};
use meshlab_script::{Program, nearest};

use crate::repository;

/// The node with a book of its heap: another program, so that the usual one has nothing of it.
const HEAP_BINARY: &str = "mesh-node-heap";

/// Digits of a SHA-256 that tell builds apart for a person.
const VERSION_DIGITS: usize = 12;

/// What is wrong with the programs that were given, beside those that the scenario declares.
pub(crate) fn wrong(declared: &[String], given: &[(String, String)]) -> Option<String> {
    let known = || declared.iter().map(String::as_str).chain([NODE_BINARY, RELAY_BINARY]);
    for (place, (name, path)) in given.iter().enumerate() {
        if given[..place].iter().any(|(other, _)| other == name) {
            return Some(format!("`--binary {name}=` is given twice"));
        }
        if !known().any(|known| known == name) {
            let meant = nearest(name, known());
            let meant = meant.map_or_else(String::new, |meant| {
                format!("; did you mean `--binary {meant}={path}`?")
            });
            let names: Vec<String> = known().map(|name| format!("`{name}`")).collect();
            let names = names.join(", ");
            return Some(format!(
                "`--binary {name}={path}`: the scenario declares no binary `{name}`, there is \
                 {names}{meant}"
            ));
        }
    }
    let missing = |name: &&String| !given.iter().any(|(given, _)| given == *name);
    let missing: Vec<String> =
        declared.iter().filter(missing).map(|name| format!("--binary {name}=PATH")).collect();
    (!missing.is_empty())
        .then(|| format!("the scenario needs programs; give them with `{}`", missing.join(" ")))
}

/// Takes the programs that were given, and builds what is needed beside them; either way makes sure
/// that each is fresh. `node` says whether a mesh takes the usual program, `heap` whether that one
/// records its heap.
pub(crate) fn take(
    given: &[(String, String)],
    node: bool,
    heap: bool,
) -> Result<BTreeMap<String, BinaryRecord>> {
    let mut binaries = BTreeMap::new();
    for (name, path) in given {
        let record = inspect(Path::new(path), false).context("failed to take a program")?;
        binaries.insert(name.clone(), record);
    }
    for name in [NODE_BINARY, RELAY_BINARY] {
        // A run with programs of somebody else's does without the source tree, and a relay.
        let needed = if name == NODE_BINARY { node || given.is_empty() } else { given.is_empty() };
        if binaries.contains_key(name) || !needed {
            continue;
        }
        let root = repository::root()?;
        let bin = if heap && name == NODE_BINARY { HEAP_BINARY } else { name };
        let began = Instant::now();
        let path = build(&root, bin, None, !cfg!(debug_assertions)).context("failed to build")?;
        if bin == HEAP_BINARY {
            let took = format_duration(began.elapsed());
            println!("built {HEAP_BINARY}, which records its heap, in {took}");
        }
        let record = inspect(&path, true).context("failed to take the program just built")?;
        binaries.insert(name.to_owned(), record);
    }
    Ok(binaries)
}

/// What a scenario may know of its programs.
pub(crate) fn known(binaries: &BTreeMap<String, BinaryRecord>) -> BTreeMap<String, Program> {
    let program = |record: &BinaryRecord| Program {
        path: record.path.clone(),
        version: record.sha256.chars().take(VERSION_DIGITS).collect(),
    };
    binaries.iter().map(|(name, record)| (name.clone(), program(record))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_or_that_nobody_asked_for_is_told() {
        let declared = ["before".to_owned(), "after".to_owned()];
        let given = |names: &[&str]| -> Vec<(String, String)> {
            names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect()
        };
        let said = |names: &[&str]| wrong(&declared, &given(names)).unwrap_or_default();
        let all = [
            said(&["before", "after"]),
            said(&["before", "after", "mesh-node"]),
            said(&["before"]),
            said(&[]),
            said(&["befor", "after"]),
            said(&["before", "before", "after"]),
            wrong(&[], &given(&["other"])).unwrap_or_default(),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
