//! `meshlab selftest --mutants`: makes mistakes in the harness itself, one at a time, and sees
//! whether its own checks find each.
//!
//! The mistakes are in another program, `meshlab-mutated`: this harness with switches, built with a
//! feature. This program knows them by number and asks that one for their names, so that it has
//! none of them itself. `checks.rs` is what is asked and what a sound harness answers, `caught.rs`
//! which mistake changes which answer and how, `bench.rs` runs one, `told.rs` says what came of it.

mod bench;
mod caught;
mod checks;
mod records;
mod told;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use meshlab_engine::{NODE_BINARY, build};
use meshlab_model::{ExitCode, format_duration};
use meshlab_script::nearest;
use serde::{Deserialize, Serialize};

use self::{
    bench::{Bench, Said},
    caught::{CAUGHT, Caught},
    checks::{CHECKS, Check},
    told::Row,
};
use super::SelftestArguments;
use crate::repository;

/// The harness with mistakes.
const PROGRAM: &str = "meshlab-mutated";

/// What has it built with them.
const FEATURE: &str = "meshlab/mutants";

/// What the program with mistakes says of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    name: String,
    /// In which files it is made.
    files: String,
    /// What it blinds.
    meaning: String,
}

/// Tells the mistakes that this program can make, as JSON in the order of their numbers.
pub(super) fn tell_catalogue() -> Result<ExitCode> {
    let known = catalogue();
    if known.is_empty() {
        eprintln!("error: this program makes no mistakes: it was built without `{FEATURE}`");
        return Ok(ExitCode::Usage);
    }
    println!("{}", serde_json::to_string(&known)?);
    Ok(ExitCode::Passed)
}

#[cfg(feature = "mutants")]
fn catalogue() -> Vec<Known> {
    let known = |entry: &meshlab_mutants::Entry| Known {
        name: entry.name.to_owned(),
        files: entry.files.to_owned(),
        meaning: entry.meaning.to_owned(),
    };
    meshlab_mutants::CATALOGUE.iter().map(known).collect()
}

#[cfg(not(feature = "mutants"))]
fn catalogue() -> Vec<Known> {
    Vec::new()
}

/// Makes each mistake and sees whether it is caught.
pub(super) fn mutants(arguments: &SelftestArguments) -> Result<ExitCode> {
    let began = Instant::now();
    let root = repository::root()?;
    let built = |bin: &str, feature: Option<&str>| -> Result<PathBuf> {
        let program = build(&root, bin, feature, !cfg!(debug_assertions));
        program.with_context(|| format!("failed to build {bin}"))
    };
    let program = built(PROGRAM, Some(FEATURE))?;
    let known = ask_catalogue(&program)?;
    if let Some(wrong) = unknown(&arguments.mutants_named, &known) {
        eprintln!("error: {wrong}");
        return Ok(ExitCode::Usage);
    }
    let wanted: Vec<&Caught> = wanted(&arguments.mutants_named, arguments.quick, &known);
    let node = match wanted.iter().any(|one| one.check().needs_nodes) {
        true => built(NODE_BINARY, None)?,
        false => PathBuf::new(),
    };
    let output = absolute(&arguments.output)?.join("mutants");
    let bench = Bench { program, node, output, known };
    println!("runs in {}\n", bench.output.display());
    let sound = match ask_sound(&bench, &wanted)? {
        Ok(sound) => sound,
        Err(code) => return Ok(code),
    };
    println!("{}", told::head());
    let mut rows = Vec::new();
    for one in wanted {
        // What cannot be prepared with a mistake in the harness has not caught it.
        let said = bench.ask(one.check(), Some(one.mutant)).unwrap_or_else(|error| Said {
            code: None,
            text: format!("{error:#}"),
            file: PathBuf::new(),
        });
        let interrupted = said.code == Some(ExitCode::Interrupted as i32);
        let row = Row {
            known: bench.known(one.mutant).clone(),
            check: one.check().name,
            shows: one.shows,
            blind: one.shows.is_in(&said, &sound[one.check().name]),
            code: said.code,
        };
        println!("{}", row.text());
        rows.push(row);
        if interrupted {
            return Ok(ExitCode::Interrupted);
        }
    }
    let left = CAUGHT.len() - rows.len();
    let (text, code) = told::summary(&rows, left);
    println!("\n{text}, in {}", format_duration(began.elapsed()));
    Ok(code)
}

/// Asks the harness without a mistake first: where it does not answer as it should, what follows
/// says nothing.
fn ask_sound(
    bench: &Bench,
    wanted: &[&Caught],
) -> Result<Result<BTreeMap<&'static str, Said>, ExitCode>> {
    let (mut sound, mut wrong) = (BTreeMap::new(), 0);
    let needed = |check: &&Check| wanted.iter().any(|one| one.check().name == check.name);
    for check in CHECKS.iter().filter(needed) {
        let said = bench.ask(check, None)?;
        if said.code == Some(ExitCode::Interrupted as i32) {
            return Ok(Err(ExitCode::Interrupted));
        }
        if let Some(why) = check.wrong(&said) {
            wrong += 1;
            println!("sound harness, {}: {why}; see {}", check.name, said.file.display());
        }
        sound.insert(check.name, said);
    }
    if wrong > 0 {
        println!("\nfailed: the harness without a mistake failed {wrong} of {}", sound.len());
        return Ok(Err(ExitCode::ClaimFailed));
    }
    println!("the harness without a mistake answers {} checks as it should\n", sound.len());
    Ok(Ok(sound))
}

fn ask_catalogue(program: &Path) -> Result<Vec<Known>> {
    let output = Command::new(program)
        .args(["selftest", "--catalogue"])
        .output()
        .with_context(|| format!("failed to run {}", program.display()))?;
    let known: Vec<Known> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("failed to read what {} says of itself", program.display()))?;
    if known.len() != meshlab_mutants::Mutant::ALL.len() {
        bail!(
            "{} knows {} mistakes and this program {}; build both from the same sources",
            program.display(),
            known.len(),
            meshlab_mutants::Mutant::ALL.len()
        );
    }
    Ok(known)
}

/// Which are made: those named, else all, or those that need no node.
fn wanted(names: &[String], quick: bool, known: &[Known]) -> Vec<&'static Caught> {
    let named = |one: &&Caught| names.contains(&known[one.mutant as usize].name);
    let fits = |one: &&Caught| match names.is_empty() {
        true => !quick || !one.check().needs_nodes,
        false => named(one),
    };
    CAUGHT.iter().filter(fits).collect()
}

/// What was asked for and is not there.
fn unknown(names: &[String], known: &[Known]) -> Option<String> {
    let all: Vec<&str> = known.iter().map(|one| one.name.as_str()).collect();
    let name = names.iter().find(|name| !all.contains(&name.as_str()))?;
    let meant = nearest(name, all.iter().copied());
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
    Some(format!("there is no mutant `{name}`{meant} (all: {})", all.join(", ")))
}

/// Programs are run in folders of their own.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("failed to find {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[&str]) -> Vec<Known> {
        let one = |name: &&str| Known {
            name: (*name).to_owned(),
            files: String::new(),
            meaning: String::new(),
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_what_was_meant() {
        let known = known(&["undo-nothing", "clock-still"]);
        assert_eq!(unknown(&["clock-still".to_owned()], &known), None);
        let told = unknown(&["undo-nothin".to_owned()], &known).unwrap();
        let says = "there is no mutant `undo-nothin`; did you mean `undo-nothing`? (all: ";
        assert!(told.starts_with(says), "{told}");
    }

    #[test]
    fn the_quick_ones_need_no_node_and_a_name_chooses_one() {
        let names: Vec<String> =
            (0..meshlab_mutants::Mutant::ALL.len()).map(|number| format!("m{number}")).collect();
        let known = known(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let quick = wanted(&[], true, &known);
        assert!(quick.len() >= 20 && quick.iter().all(|one| !one.check().needs_nodes));
        assert_eq!(wanted(&[], false, &known).len(), CAUGHT.len());
        let one = wanted(&["m3".to_owned()], true, &known);
        assert!(one.len() == 1 && one[0].mutant as usize == 3);
    }
}
