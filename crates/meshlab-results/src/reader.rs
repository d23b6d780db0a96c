//! Reads a run's folder, whole or cut short, of this schema or an earlier one.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use meshlab_model::{
    CounterMinute, CounterSample, MANIFEST_SCHEMA, Manifest, RunEvent, Sample, SampleMinute,
    SpanRecord,
};
use meshlab_mutants::{Mutant, on};

use crate::{Record, Recorded, checked, file};

/// The oldest schema that is read.
const OLDEST_SCHEMA: u32 = 1;

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
    /// The manifest is not what was written.
    #[error("{} is damaged: its checksum does not hold, so it is not what was written; take it \
        from a copy of the run, for without it nothing says what was run", .0.display())]
    Checksum(PathBuf),
    /// Written by a harness with another format.
    #[error("{} has schema {found}, this meshlab reads schemas {OLDEST_SCHEMA} to \
        {MANIFEST_SCHEMA}; use the version of meshlab that wrote it, or a newer one",
        .path.display())]
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
    /// What the nodes said; read from the disk as it is asked for.
    pub spans: Recorded<SpanRecord>,
    /// What they used; read from the disk as it is asked for.
    pub samples: Recorded<Sample>,
    /// The same by the minute. A minute is written when it is over, so a run that was killed lacks
    /// its last one; schema 1 has none.
    pub minutes: Recorded<SampleMinute>,
    /// Numbers of the nodes themselves, where they changed; runs before they were kept have none.
    pub counters: Recorded<CounterSample>,
    /// The same by the minute.
    pub counter_minutes: Recorded<CounterMinute>,
    /// What could not be read, a sentence each. A run that was killed ends in half a line.
    pub damage: Vec<String>,
}

impl RunRecord {
    /// [`RunRecord::damage`], and what was found since in spans and samples that were read.
    pub fn all_damage(&self) -> Vec<String> {
        let mut all = self.damage.clone();
        let found = [
            self.spans.damage(),
            self.samples.damage(),
            self.minutes.damage(),
            self.counters.damage(),
            self.counter_minutes.damage(),
        ];
        for found in found.into_iter().flatten() {
            if !all.contains(&found) {
                all.push(found);
            }
        }
        all
    }
}

/// Reads the run in `folder`. A file that is missing, damaged or cut short costs what it held and
/// is told in [`RunRecord::damage`]; only a run without a readable manifest is an error. Of spans
/// and samples the indexes are read; damage within a frame is told once the frame is read.
///
/// # Errors
/// No manifest, an unreadable one, or one of a schema that is not known.
pub fn read_run(folder: &Path) -> Result<RunRecord, ResultsError> {
    let manifest = read_manifest(folder)?;
    let mut damage = Vec::new();
    let script = std::fs::read_to_string(folder.join(file::SCRIPT)).unwrap_or_else(|error| {
        damage.push(format!("{} cannot be read: {error}", file::SCRIPT));
        String::new()
    });
    let events = read_events(folder, manifest.schema, &mut damage);
    let old = manifest.schema == 1;
    Ok(RunRecord {
        folder: folder.to_owned(),
        script,
        events,
        spans: records(folder, old, &mut damage),
        samples: records(folder, old, &mut damage),
        minutes: if old { Recorded::default() } else { records(folder, old, &mut damage) },
        counters: later(folder, &mut damage),
        counter_minutes: later(folder, &mut damage),
        manifest,
        damage,
    })
}

fn records<T: Record>(folder: &Path, old: bool, damage: &mut Vec<String>) -> Recorded<T> {
    if old { Recorded::in_lines(folder, damage) } else { Recorded::in_segments(folder, damage) }
}

/// Records of a kind that runs did not have at first: without their folder there are none.
fn later<T: Record>(folder: &Path, damage: &mut Vec<String>) -> Recorded<T> {
    match folder.join(T::FOLDER).is_dir() {
        true => Recorded::in_segments(folder, damage),
        false => Recorded::default(),
    }
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
    // Manifests of the first runs have no checksum.
    let text = bytes.trim_ascii_end();
    if checked::is_sealed(text) && checked::open(text).is_none() {
        return Err(ResultsError::Checksum(path));
    }
    let known = u64::from(OLDEST_SCHEMA)..=u64::from(MANIFEST_SCHEMA);
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(found) if !known.contains(&found) => {
            return Err(ResultsError::Schema { path, found });
        }
        _ => {}
    }
    serde_json::from_value(value).map_err(damaged)
}

/// Reads the events. A line that is damaged is told and passed by; in schema 1, where lines have no
/// checksum, they end there.
fn read_events(folder: &Path, schema: u32, damage: &mut Vec<String>) -> Vec<RunEvent> {
    let mut events: Vec<RunEvent> = Vec::new();
    let name = file::EVENTS;
    let file = match File::open(folder.join(name)) {
        Ok(file) => file,
        Err(error) => {
            damage.push(format!("{name} cannot be read: {error}"));
            return events;
        }
    };
    let mut reader = BufReader::new(file);
    let (mut expected, mut number, mut line) = (1, 0_u64, Vec::new());
    loop {
        line.clear();
        number += 1;
        let cut = match reader.read_until(b'\n', &mut line) {
            Ok(0) => return events,
            Ok(_) => line.pop_if(|last| *last == b'\n').is_none(),
            Err(error) => {
                damage.push(format!("{name} ends at line {number}: {error}"));
                return events;
            }
        };
        match event(&line, schema) {
            Ok(event) => {
                if event.seq != expected && !on(Mutant::GapUnseen) {
                    damage.push(format!(
                        "{name}: event {} stands where event {expected} should be, so events are \
                         missing",
                        event.seq
                    ));
                }
                expected = event.seq.saturating_add(1);
                events.push(event);
            }
            Err(_) if cut && on(Mutant::TailUnseen) => return events,
            Err(why) if schema == 1 || cut => {
                damage.push(format!("{name} ends at line {number}: {why}"));
                return events;
            }
            Err(why) => {
                damage.push(format!("{name} is damaged at line {number}: {why}"));
                expected += 1;
            }
        }
    }
}

/// An event as it is written in a line.
pub(crate) fn event(line: &[u8], schema: u32) -> Result<RunEvent, String> {
    if schema > 1 && checked::open(line).is_none() && !on(Mutant::ChecksumUnseen) {
        return Err("its checksum does not hold, so the line is not what was written".to_owned());
    }
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use meshlab_model::{RunEventKind, RunTime};

    use super::*;

    #[test]
    fn a_missing_event_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(folder.path().join(file::EVENTS), text).unwrap();
        let line = |seq: u64| {
            let kind = RunEventKind::Note { text: format!("note {seq}") };
            let at = RunTime { micros: seq };
            let event = RunEvent { seq, at, source: None, manual: false, kind };
            let line = checked::seal(serde_json::to_vec(&event).unwrap());
            String::from_utf8(line).unwrap() + "\n"
        };
        let read = || {
            let mut damage = Vec::new();
            let events = read_events(folder.path(), 2, &mut damage);
            (events.iter().map(|event| event.seq).collect::<Vec<_>>(), damage)
        };
        write(&(line(1) + &line(3) + &line(4)));
        let told = "events.jsonl: event 3 stands where event 2 should be, so events are missing";
        assert_eq!(read(), (vec![1, 3, 4], vec![told.to_owned()]));
        write(&(line(1) + &line(2).replace("note", "nota") + &line(3)));
        let told = "events.jsonl is damaged at line 2: its checksum does not hold, so the line is \
            not what was written";
        assert_eq!(read(), (vec![1, 3], vec![told.to_owned()]));
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

    #[test]
    fn a_manifest_that_was_changed_is_refused_and_one_without_a_checksum_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file::MANIFEST);
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schema-1/manifest.json");
        let plain = std::fs::read(source).unwrap();
        std::fs::write(&path, &plain).unwrap();
        let read = read_run(folder.path()).unwrap().manifest;
        let sealed = checked::seal(serde_json::to_vec_pretty(&read).unwrap());
        std::fs::write(&path, &sealed).unwrap();
        assert_eq!(read_run(folder.path()).unwrap().manifest, read);
        let changed = String::from_utf8(sealed).unwrap().replace("\"seed\": ", "\"seed\": 1");
        std::fs::write(&path, changed).unwrap();
        let told = read_run(folder.path()).unwrap_err().to_string();
        assert!(told.contains("manifest.json is damaged: its checksum does not hold"), "{told}");
    }
}
