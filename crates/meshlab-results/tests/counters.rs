//! Numbers of nodes are kept and given back, and runs from before they were kept lack nothing.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use meshlab_model::{CounterSample, MANIFEST_SCHEMA, Manifest, RunTime};
use meshlab_results::{Filter, OpenMinutes, Recorder, Reopened, file, read_run};

fn manifest() -> Manifest {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema-1/manifest.json");
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(example).unwrap()).unwrap();
    value["schema"] = MANIFEST_SCHEMA.into();
    serde_json::from_value(value).unwrap()
}

fn sample(second: u64, node: &str, tasks: f64) -> CounterSample {
    CounterSample {
        at: RunTime { micros: second * 1_000_000 },
        node: node.into(),
        values: BTreeMap::from([("tasks".to_owned(), tasks)]),
    }
}

#[test]
fn numbers_come_back_by_node_and_by_the_minute() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::create(folder.path(), &manifest(), "", Instant::now(), None).unwrap();
    let all =
        [sample(1, "a", 3.0), sample(1, "b", 1.0), sample(30, "a", 900.0), sample(61, "a", 4.0)];
    recorder.counters(&all);
    recorder.flush();
    let live = read_run(folder.path()).unwrap();
    assert_eq!(live.counters.iter().collect::<Vec<_>>(), all, "while it is written");
    drop(recorder);
    let record = read_run(folder.path()).unwrap();
    assert_eq!(record.all_damage(), Vec::<String>::new());
    let of_a = Filter { node: Some("a".to_owned()), ..Filter::default() };
    let minutes: Vec<(u64, f64, f64)> = record
        .counter_minutes
        .select(of_a)
        .map(|minute| (minute.at.micros, minute.values["tasks"].min, minute.values["tasks"].max))
        .collect();
    assert_eq!(minutes, [(0, 3.0, 900.0), (60_000_000, 4.0, 4.0)], "the spike is kept");
}

/// A copy of a record as a kill leaves it: what was written, and no minute that was open.
fn as_killed(run: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(run).unwrap() {
        let (from, entry) = (entry.as_ref().unwrap().path(), entry.as_ref().unwrap().file_name());
        if from.is_file() {
            fs::copy(from, copy.path().join(entry)).unwrap();
            continue;
        }
        fs::create_dir(copy.path().join(&entry)).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.path().join(&entry).join(file.file_name())).unwrap();
        }
    }
    copy
}

#[test]
fn a_minute_that_a_kill_interrupts_is_whole_once_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::create(folder.path(), &manifest(), "", Instant::now(), None).unwrap();
    // The numbers of `b` rest: its minute is older than that of `a`, and open as well.
    recorder.counters(&[sample(1, "a", 1.0), sample(5, "b", 700.0), sample(6, "b", 2.0)]);
    recorder.counters(&[sample(61, "a", 900.0), sample(62, "a", 4.0)]);
    recorder.flush();
    let killed = as_killed(folder.path());
    drop(recorder);
    let before = read_run(killed.path()).unwrap();
    assert_eq!(before.counter_minutes.len(), 1, "that of `a` which was over");
    let open = OpenMinutes::of(&before);
    assert_eq!((open.counters.len(), open.samples.len()), (4, 0));
    let reopened = Reopened::open(killed.path()).unwrap();
    let goes_on = Recorder::go_on(reopened, 0, open, Instant::now(), None).unwrap();
    goes_on.counters(&[sample(70, "a", 5.0), sample(130, "b", 3.0)]);
    drop(goes_on);
    let minutes: Vec<(String, u64, f64, f64)> = read_run(killed.path())
        .unwrap()
        .counter_minutes
        .iter()
        .map(|minute| {
            let tasks = minute.values["tasks"];
            (minute.node.0, minute.at.micros / 60_000_000, tasks.min, tasks.max)
        })
        .collect();
    let wanted =
        [("a", 0, 1.0, 1.0), ("b", 0, 2.0, 700.0), ("a", 1, 4.0, 900.0), ("b", 2, 3.0, 3.0)];
    assert_eq!(minutes, wanted.map(|(node, at, min, max)| (node.to_owned(), at, min, max)));
}

#[test]
fn a_run_from_before_they_were_kept_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    drop(Recorder::create(folder.path(), &manifest(), "", Instant::now(), None).unwrap());
    for kind in [file::COUNTERS, file::COUNTER_MINUTES] {
        fs::remove_dir_all(folder.path().join(kind)).unwrap();
    }
    let go_on = || {
        let reopened = Reopened::open(folder.path()).unwrap();
        Recorder::go_on(reopened, 0, OpenMinutes::default(), Instant::now(), None).unwrap()
    };
    let record = read_run(folder.path()).unwrap();
    assert_eq!(record.all_damage(), Vec::<String>::new());
    let goes_on = go_on();
    goes_on.counters(&[sample(9, "a", 3.0)]);
    drop(goes_on);
    assert_eq!(read_run(folder.path()).unwrap().counters.len(), 1, "gone on with, it has them");
    assert!(record.counters.is_empty() && record.counter_minutes.is_empty());
}
