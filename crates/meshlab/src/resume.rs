//! `meshlab run --resume`: a run whose harness was killed, gone on with.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use meshlab_engine::{Resume, fingerprint, same_script};
use meshlab_model::{BinaryRecord, ExitCode, Manifest};
use meshlab_script::{Overrides, Script};

use crate::{
    again,
    cli::RunArguments,
    report::locate,
    run::{self, Settled},
};

/// The least that is left of a duration: a plan of no time at all is none.
const LEFT_MIN: Duration = Duration::from_secs(1);

pub(crate) fn resume(run: &Path, arguments: &RunArguments) -> Result<ExitCode> {
    let Some(folder) = locate(run) else { return Ok(ExitCode::Usage) };
    let (scenario, again, settled) = match prepare(&folder, arguments) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("error: failed to go on with {error:#}");
            return Ok(ExitCode::Usage);
        }
    };
    run::execute(&scenario, &again, settled).map(|(code, _)| code)
}

/// The rest of the run, out of its record.
fn prepare(folder: &Path, arguments: &RunArguments) -> Result<(PathBuf, RunArguments, Settled)> {
    let resume = Resume::of(folder)?;
    let manifest = resume.manifest();
    let scenario = match arguments.scenarios.as_slice() {
        [] => PathBuf::from(&manifest.script_path),
        [named] => named.clone(),
        _ => bail!("{}: it had one scenario; name that one, or none", manifest.run),
    };
    let text = fs::read_to_string(&scenario).with_context(|| {
        format!(
            "{}: its scenario cannot be read from {}; go to the folder in which it was run, or \
             name the file: `meshlab run --resume {} SCENARIO`",
            manifest.run,
            scenario.display(),
            manifest.run
        )
    })?;
    same_script(manifest, folder, &scenario, &text)?;
    let again = again::arguments(manifest, scenario.clone(), arguments.output.clone())?;
    let binaries = binaries(manifest, &arguments.binary)?;
    println!("resumes  {}, seed {}", manifest.run, manifest.seed);
    let settled = Settled { binaries: Some(binaries), resume: Some(resume), replay: None };
    Ok((scenario, again, settled))
}

/// The programs of the run, which must be the same to the byte: one run is of one program.
fn binaries(
    manifest: &Manifest,
    named: &[(String, String)],
) -> Result<BTreeMap<String, BinaryRecord>> {
    let run = &manifest.run;
    again::had_all(manifest, named)?;
    let one = |(name, before): (&String, &BinaryRecord)| {
        let other = named.iter().rev().find(|(other, _)| other == name);
        let path = other.map_or(&before.path, |(_, path)| path);
        let now = fingerprint(Path::new(path), before.built_by_run).with_context(|| {
            format!("{run}: its program {name} is gone; `--binary {name}=PATH` says where it is")
        })?;
        if now.sha256 != before.sha256 {
            bail!(
                "{run}: its program {name} changed since: {path} has SHA-256 {}, and it ran one \
                 with {}; a run is of one program: `--binary {name}=PATH` names the same one, \
                 `meshlab run` begins a new one",
                now.sha256,
                before.sha256
            );
        }
        Ok((name.clone(), now))
    };
    manifest.binaries.iter().map(one).collect()
}

/// The script in two parts: the test that was interrupted, whose plan lasts for what is left of it,
/// and those after it, which have all of theirs.
pub(crate) fn parts(resume: &Resume, script: Script, overrides: Overrides) -> Result<Vec<Script>> {
    let next = resume.next_test();
    let Some(spent) = resume.spent() else { return Ok(vec![script.only(next..u32::MAX)]) };
    let Some(duration) = script.declaration().duration else {
        return Ok(vec![script.only(next..u32::MAX)]);
    };
    let left = duration.saturating_sub(spent).max(LEFT_MIN);
    let binaries = script.programs();
    let shorter = Overrides { duration: Some(left), binaries, ..overrides };
    let path = script.path().to_owned();
    let first = Script::load_with(&path, shorter).map_err(|error| {
        anyhow::anyhow!("failed to load the scenario again: {}", error.render(false))
    })?;
    let rest = script.only(next.saturating_add(1)..u32::MAX);
    Ok(vec![first.only(next..next.saturating_add(1)), rest])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_refused_wherever_it_lies() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node");
        fs::write(&path, "before").expect("a file");
        let before = fingerprint(&path, false).expect("a fingerprint");
        let manifest: Manifest = serde_json::from_value(serde_json::json!({
            "schema": 2, "meshlab": "0", "run": "x/1", "scenario": "x", "script_path": "x.lua",
            "script_sha256": "", "arguments": [], "seed": 1, "started_unix_nanos": 0,
            "commit": null, "tests": [], "timeout_secs": 1.0, "network": "lab",
            "binaries": { "mesh-node": before }, "host": meshlab_model::HostFacts::default(),
        }))
        .expect("a manifest");
        assert!(binaries(&manifest, &[]).is_ok());
        let moved = folder.path().join("moved");
        fs::rename(&path, &moved).expect("a move");
        let told = binaries(&manifest, &[]).expect_err("it is gone").to_string();
        assert!(told.starts_with("x/1: its program mesh-node is gone"), "{told}");
        let named = [("mesh-node".to_owned(), moved.display().to_string())];
        assert!(binaries(&manifest, &named).is_ok(), "the same one elsewhere");
        fs::write(&moved, "after").expect("a file");
        let told = binaries(&manifest, &named).expect_err("another").to_string();
        assert!(told.starts_with("x/1: its program mesh-node changed since"), "{told}");
        let other = [("other".to_owned(), String::new())];
        let told = binaries(&manifest, &other).expect_err("none").to_string();
        assert_eq!(told, "x/1: it had no program `other`; it had mesh-node");
    }
}
