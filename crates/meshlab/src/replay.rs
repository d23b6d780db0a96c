//! `meshlab replay`: a run again, with its faults at the times at which they came to be.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use meshlab_engine::{
    Replay, fingerprint, inspect,
    results::{RunRecord, read_run},
    same_script,
};
use meshlab_model::{BinaryRecord, ExitCode, Manifest};

use crate::{
    again,
    cli::{ReplayArguments, RunArguments},
    report::locate,
    run::{self, Settled},
};

pub(crate) fn replay(arguments: &ReplayArguments) -> Result<ExitCode> {
    let Some(folder) = locate(&arguments.run) else { return Ok(ExitCode::Usage) };
    let record = read_run(&folder).context("failed to read the run")?;
    let (scenario, again, settled) = match prepare(arguments, &record) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("error: failed to replay {error:#}");
            return Ok(ExitCode::Usage);
        }
    };
    println!("replays  {}, seed {}", record.manifest.run, record.manifest.seed);
    run::execute(&scenario, &again, settled).map(|(code, _)| code)
}

/// The run that is to be, out of the record of the one that was.
fn prepare(
    arguments: &ReplayArguments,
    record: &RunRecord,
) -> Result<(PathBuf, RunArguments, Settled)> {
    let manifest = &record.manifest;
    let replay = Replay::of(record)?;
    let scenario = arguments.scenario.clone();
    let scenario = scenario.unwrap_or_else(|| PathBuf::from(&manifest.script_path));
    let text = fs::read_to_string(&scenario).with_context(|| {
        format!(
            "{}: its scenario cannot be read from {}; go to the folder in which it was run, or \
             say where it lies with `--scenario PATH`",
            manifest.run,
            scenario.display()
        )
    })?;
    same_script(manifest, &record.folder, &scenario, &text)?;
    // Its programs are settled below.
    let again = again::arguments(manifest, scenario.clone(), arguments.output.clone())?;
    let binaries = binaries(manifest, &arguments.binary)?;
    Ok((scenario, again, Settled { binaries: Some(binaries), replay: Some(replay), resume: None }))
}

/// The programs of the run, each unchanged or named anew.
fn binaries(
    manifest: &Manifest,
    named: &[(String, String)],
) -> Result<BTreeMap<String, BinaryRecord>> {
    again::had_all(manifest, named)?;
    let mut binaries = BTreeMap::new();
    for (name, before) in &manifest.binaries {
        let other = named.iter().rev().find(|(other, _)| other == name);
        let record = match other {
            Some((_, path)) => inspect(Path::new(path), false)?,
            // It is to be the same one, however much its sources have changed since.
            None => unchanged(manifest, name, before)?,
        };
        binaries.insert(name.clone(), record);
    }
    Ok(binaries)
}

fn unchanged(manifest: &Manifest, name: &str, before: &BinaryRecord) -> Result<BinaryRecord> {
    let (run, path) = (&manifest.run, &before.path);
    let cure = format!("`--binary {name}=PATH` takes another one in its place");
    let now = fingerprint(Path::new(path), before.built_by_run)
        .with_context(|| format!("{run}: its program {name} is gone; {cure}"))?;
    if now.sha256 != before.sha256 {
        bail!(
            "{run}: its program {name} changed since: {path} had SHA-256 {} and has {}; {cure}",
            before.sha256,
            now.sha256
        );
    }
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_changed_is_refused_and_one_that_is_named_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node");
        fs::write(&path, "before").expect("a file");
        let before = fingerprint(&path, false).expect("a fingerprint");
        let manifest: Manifest = serde_json::from_value(serde_json::json!({
            "schema": 1, "meshlab": "0", "run": "x/1", "scenario": "x", "script_path": "x.lua",
            "script_sha256": "", "arguments": [], "seed": 1, "started_unix_nanos": 0,
            "commit": null, "tests": [], "timeout_secs": 1.0, "network": "lab",
            "binaries": { "mesh-node": before }, "host": meshlab_model::HostFacts::default(),
        }))
        .expect("a manifest");
        assert!(binaries(&manifest, &[]).is_ok());
        fs::write(&path, "after").expect("a file");
        let told = binaries(&manifest, &[]).expect_err("it changed").to_string();
        assert!(told.starts_with("x/1: its program mesh-node changed since"), "{told}");
        let named = |name: &str| [(name.to_owned(), path.display().to_string())];
        assert!(binaries(&manifest, &named("mesh-node")).is_ok());
        let told = binaries(&manifest, &named("other")).expect_err("none").to_string();
        assert_eq!(told, "x/1: it had no program `other`; it had mesh-node");
        fs::remove_file(&path).expect("no file");
        let told = binaries(&manifest, &[]).expect_err("it is gone").to_string();
        assert!(told.starts_with("x/1: its program mesh-node is gone"), "{told}");
    }
}
