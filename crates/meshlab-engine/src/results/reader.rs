//! Reads a run's folder, whole or cut short.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use meshlab_model::{MANIFEST_SCHEMA, Manifest, RunEvent, Sample, SpanRecord};
use serde::de::DeserializeOwned;

use super::file;

/// Why a run cannot be read. Completes "failed to read the run: ...".
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The folder holds no run.
    #[error("{} holds no run: there is no {} in it; `results/` holds a folder for each run",
        .0.display(), file::MANIFEST)]
    NoRun(PathBuf),
    /// A file could not be read.
    #[error("cannot read {}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The manifest is no manifest.
    #[error("{} is damaged: {error}", .path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// What the parser said.
        error: serde_json::Error,
    },
    /// Written by a harness with another format.
    #[error("{} has schema {found}, this meshlab reads schema {MANIFEST_SCHEMA}; use the version \
        of meshlab that wrote it", .path.display())]
    Schema {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

/// Everything that a run left.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// The run's folder.
    pub folder: PathBuf,
    /// What was decided before it began.
    pub manifest: Manifest,
    /// The scenario as it was run; empty if its copy is lost.
    pub script: String,
    /// What happened.
    pub events: Vec<RunEvent>,
    /// What the nodes said.
    pub spans: Vec<SpanRecord>,
    /// What they used.
    pub samples: Vec<Sample>,
    /// What could not be read, a sentence each. A run that was killed ends in half a line.
    pub damage: Vec<String>,
}

/// Reads the run in `folder`. A file that is missing or cut short costs what it held and is told
/// in [`RunRecord::damage`]; only a run without a readable manifest is an error.
///
/// # Errors
/// No manifest, an unreadable one, or one of another schema.
pub fn read_run(folder: &Path) -> Result<RunRecord, ResultsError> {
    let manifest = read_manifest(folder)?;
    let mut damage = Vec::new();
    let script = std::fs::read_to_string(folder.join(file::SCRIPT)).unwrap_or_else(|error| {
        damage.push(format!("{} cannot be read: {error}", file::SCRIPT));
        String::new()
    });
    let events: Vec<RunEvent> = read_lines(folder, file::EVENTS, &mut damage);
    for (place, event) in (1_u64..).zip(&events) {
        if event.seq != place {
            damage.push(format!(
                "{}: event {} stands where event {place} should be, so events are missing",
                file::EVENTS,
                event.seq
            ));
            break;
        }
    }
    let spans = read_lines(folder, file::SPANS, &mut damage);
    let samples = read_lines(folder, file::SAMPLES, &mut damage);
    Ok(RunRecord { folder: folder.to_owned(), manifest, script, events, spans, samples, damage })
}

fn read_manifest(folder: &Path) -> Result<Manifest, ResultsError> {
    let path = folder.join(file::MANIFEST);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ResultsError::NoRun(folder.to_owned()));
        }
        Err(error) => return Err(ResultsError::Io { path, error }),
    };
    let damaged = |error| ResultsError::Manifest { path: path.clone(), error };
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(damaged)?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(MANIFEST_SCHEMA) => {
            return Err(ResultsError::Schema { path, found });
        }
        _ => {}
    }
    serde_json::from_value(value).map_err(damaged)
}

/// Reads JSON lines up to the first that is damaged; what comes after it cannot be trusted to be
/// in order.
fn read_lines<T: DeserializeOwned>(folder: &Path, name: &str, damage: &mut Vec<String>) -> Vec<T> {
    let mut records = Vec::new();
    let file = match File::open(folder.join(name)) {
        Ok(file) => file,
        Err(error) => {
            damage.push(format!("{name} cannot be read: {error}"));
            return records;
        }
    };
    for (number, line) in (1..).zip(BufReader::new(file).split(b'\n')) {
        let parsed = line
            .map_err(|error| error.to_string())
            .and_then(|line| serde_json::from_slice(&line).map_err(|error| error.to_string()));
        match parsed {
            Ok(record) => records.push(record),
            Err(error) => {
                damage.push(format!("{name} ends at line {number}: {error}"));
                break;
            }
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use meshlab_model::{HostFacts, NetworkMode, RunEventKind, RunTime};

    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            schema: MANIFEST_SCHEMA,
            meshlab: "0".into(),
            run: "x/y".into(),
            scenario: "x".into(),
            script_path: "x.lua".into(),
            script_sha256: String::new(),
            arguments: Vec::new(),
            seed: 1,
            started_unix_nanos: 0,
            commit: None,
            tests: Vec::new(),
            timeout_secs: 1.0,
            network: NetworkMode::Lab,
            binaries: Default::default(),
            duration_secs: None,
            time_scale: None,
            nodes: None,
            params: std::collections::BTreeMap::new(),
            replays: None,
            node_env: Default::default(),
            host: HostFacts::default(),
        }
    }

    fn line(seq: u64) -> String {
        let kind = RunEventKind::Note { text: format!("note {seq}") };
        let event =
            RunEvent { seq, at: RunTime { micros: seq }, source: None, manual: false, kind };
        serde_json::to_string(&event).unwrap() + "\n"
    }

    fn run(events: &str) -> (tempfile::TempDir, RunRecord) {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(file::MANIFEST, &serde_json::to_string(&manifest()).unwrap());
        write(file::SCRIPT, "");
        write(file::EVENTS, events);
        write(file::SPANS, "");
        write(file::SAMPLES, "");
        let record = read_run(folder.path()).unwrap();
        (folder, record)
    }

    #[test]
    fn a_record_that_was_cut_at_any_byte_is_read_up_to_there() {
        let whole = line(1) + &line(2) + &line(3);
        for cut in 0..=whole.len() {
            let (_folder, record) = run(&whole[..cut]);
            let lines = whole[..cut].matches('\n').count();
            assert!(record.events.len() >= lines, "cut at {cut}");
            let rest = cut - whole[..cut].rfind('\n').map_or(0, |at| at + 1);
            let last_is_whole = record.events.len() > lines;
            assert_eq!(record.damage.is_empty(), rest == 0 || last_is_whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_missing_event_is_told() {
        let (_folder, record) = run(&(line(1) + &line(3)));
        assert!(record.damage[0].contains("event 3 stands where event 2 should be"));
    }

    #[test]
    fn what_is_no_run_or_another_format_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_run(folder.path()).unwrap_err();
        assert!(error.to_string().contains("holds no run"), "{error}");
        let write = |text: &str| {
            std::fs::write(folder.path().join(file::MANIFEST), text).unwrap();
        };
        write("{\"schema\": 99}");
        let error = read_run(folder.path()).unwrap_err();
        assert!(error.to_string().contains("has schema 99"), "{error}");
        write("{\"schema\": 1");
        assert!(read_run(folder.path()).unwrap_err().to_string().contains("is damaged"));
    }
}
