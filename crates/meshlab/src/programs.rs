//! The programs of a run: which were given, which are built, and what is wrong with the list.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, anyhow};
use meshlab_engine::{BinaryError, NODE_BINARY, RELAY_BINARY, build, inspect};
use meshlab_model::{BinaryRecord, format_duration};
use meshlab_script::{Declaration, Program, nearest};

use crate::repository;

/// The node with a book of its heap: another program, so that the usual one has nothing of it.
const HEAP_BINARY: &str = "mesh-node-heap";

/// Digits of a SHA-256 that tell builds apart for a person.
const VERSION_DIGITS: usize = 12;

/// What is wrong with the programs that were given, beside those that the scenario declares.
fn wrong(
    declared: &[String],
    kinds: &BTreeMap<String, String>,
    given: &[(String, String)],
) -> Option<String> {
    let kinds = || kinds.keys().map(String::as_str);
    let known = || {
        let ours = [NODE_BINARY, RELAY_BINARY];
        declared.iter().map(String::as_str).chain(kinds()).chain(ours)
    };
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

/// Why the programs of a run could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// What was asked for is not there, or nobody asked for it: for whoever typed the command, or
    /// wrote the kind.
    #[error("{0}")]
    Asked(String),
    /// It is there and cannot be used, or one of ours could not be built.
    #[error(transparent)]
    Unusable(#[from] anyhow::Error),
}

/// Takes what was given and what the kinds of a scenario name, and builds what is needed beside
/// them; either way makes sure that each is fresh. `node` says whether a mesh takes the usual
/// program, `heap` whether that one records its heap.
pub(crate) fn take_declared(
    given: &[(String, String)],
    declared: &Declaration,
    node: bool,
    heap: bool,
) -> Result<BTreeMap<String, BinaryRecord>, NotTaken> {
    if let Some(why) = wrong(&declared.binaries, &declared.programs, given) {
        return Err(NotTaken::Asked(why));
    }
    let mut binaries = BTreeMap::new();
    for (name, path) in given {
        let option = format!("`--binary {name}={path}`");
        let missing = |why| NotTaken::Asked(format!("{option}: {why}"));
        binaries.insert(name.clone(), taken(Path::new(path), &option, missing)?);
    }
    let kinds = &declared.programs;
    for (kind, program) in kinds.iter().filter(|(kind, _)| !given.iter().any(|(g, _)| g == *kind)) {
        let missing = |why: String| {
            let mut told = format!("the kind `{kind}` has no program: {why}");
            if let Some(install) = declared.installs.get(kind) {
                told += &format!("\nget it by: {install}");
            }
            NotTaken::Asked(told + &format!("\nor name it with `--binary {kind}=PATH`"))
        };
        let path = found(program).map_err(|error| missing(error.to_string()))?;
        let named = format!("the program of the kind `{kind}`");
        binaries.insert(kind.clone(), taken(&path, &named, missing)?);
    }
    let none = given.is_empty() && kinds.is_empty();
    for name in [NODE_BINARY, RELAY_BINARY] {
        // A run with programs of somebody else's does without the source tree, and a relay.
        let needed = none || node && name == NODE_BINARY;
        if !binaries.contains_key(name) && needed {
            binaries.insert(name.to_owned(), built(name, heap)?);
        }
    }
    Ok(binaries)
}

/// A program that is there already, which errors call `named`.
fn taken(
    path: &Path,
    named: &str,
    missing: impl FnOnce(String) -> NotTaken,
) -> Result<BinaryRecord, NotTaken> {
    inspect(path, false).map_err(|error| match error {
        BinaryError::Unreadable { .. } => missing(format!("failed to {error}")),
        other => anyhow!(other).context(format!("failed to take {named}")).into(),
    })
}

/// One of ours, built now.
fn built(name: &str, heap: bool) -> Result<BinaryRecord> {
    let root = repository::root()?;
    let bin = if heap && name == NODE_BINARY { HEAP_BINARY } else { name };
    let began = Instant::now();
    let path = build(&root, bin, None, !cfg!(debug_assertions)).context("failed to build")?;
    if bin == HEAP_BINARY {
        let took = format_duration(began.elapsed());
        println!("built {HEAP_BINARY}, which records its heap, in {took}");
    }
    inspect(&path, true).context("failed to take the program just built")
}

/// The file of a program: a path, or a name that is looked for on `PATH`.
pub(crate) fn found(program: &str) -> Result<PathBuf> {
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut all = std::env::split_paths(&folders).map(|folder| folder.join(program));
    let fits = |path: &PathBuf| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    all.find(fits).ok_or_else(|| {
        anyhow!("`{program}` is not on PATH: install it, or name a path in `program` of the kind")
    })
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
        let kinds = BTreeMap::from([("web".to_owned(), "httpd".to_owned())]);
        let said = |names: &[&str]| wrong(&declared, &kinds, &given(names)).unwrap_or_default();
        let all = [
            said(&["before", "after"]),
            said(&["before", "after", "mesh-node"]),
            said(&["before"]),
            said(&[]),
            said(&["befor", "after"]),
            said(&["before", "before", "after"]),
            said(&["before", "after", "web"]),
            wrong(&[], &BTreeMap::new(), &given(&["other"])).unwrap_or_default(),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn a_program_of_a_kind_that_is_nowhere_says_what_to_do() {
        assert!(found("sh").is_ok_and(|path| path.is_absolute()));
        let said = |program: &str, install: Option<&str>, given: &[(&str, &str)]| {
            let mut declared = Declaration::default();
            declared.programs.insert("web".to_owned(), program.to_owned());
            declared.installs.extend(install.map(|how| ("web".to_owned(), how.to_owned())));
            let given: Vec<(String, String)> =
                given.iter().map(|(name, path)| ((*name).into(), (*path).into())).collect();
            match take_declared(&given, &declared, false, false).unwrap_err() {
                NotTaken::Asked(why) => why,
                NotTaken::Unusable(error) => panic!("{error:#}"),
            }
        };
        let install = Some("apt install httpd");
        let all = [
            said("no-such-httpd", None, &[]),
            said("no-such-httpd", install, &[]),
            said("/nowhere/httpd", install, &[]),
            said("sh", install, &[("web", "/nowhere/other")]),
        ];
        insta::assert_snapshot!(all.join("\n\n"));
    }

    #[test]
    fn a_program_that_cannot_be_used_is_told_by_the_name_of_who_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let [program, source] = ["httpd", "httpd.rs"].map(|name| folder.path().join(name));
        std::fs::write(&program, "old").unwrap();
        std::fs::write(folder.path().join("httpd.d"), format!("x: {}\n", source.display()))
            .unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        std::fs::File::create(&source).unwrap().set_modified(later).unwrap();
        let program = program.display().to_string();
        let mut declared = Declaration::default();
        declared.programs.insert("web".to_owned(), program.clone());
        let said = |given: &[(String, String)]| match take_declared(given, &declared, false, false)
            .unwrap_err()
        {
            NotTaken::Asked(why) => panic!("{why}"),
            NotTaken::Unusable(error) => format!("{error:#}"),
        };
        let use_it = format!("use {program}: it is older than its source");
        let (kind, option) = (said(&[]), said(&[("web".to_owned(), program.clone())]));
        let named = format!("failed to take the program of the kind `web`: {use_it}");
        assert!(kind.starts_with(&named), "{kind}");
        let named = format!("failed to take `--binary web={program}`: {use_it}");
        assert!(option.starts_with(&named), "{option}");
    }
}
