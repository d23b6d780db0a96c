//! A record that was cut, damaged, or is still being written is read as far as it is sound, and
//! what is not is told with its file and place.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use meshlab_model::{
    HostFacts, MANIFEST_SCHEMA, Manifest, NetworkMode, RunEventKind, RunTime, Sample, SampleSource,
    SpanRecord,
};
use meshlab_results::{Filter, Recorder, RunFolder, RunRecord, file, read_run};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};

/// Spans in a frame of these tests.
const PER_FRAME: u64 = 5;
const FRAMES: u64 = 40;
/// Small, so that there are several segments.
const SEGMENT_BYTES: u64 = 4096;

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
        binaries: BTreeMap::new(),
        duration_secs: None,
        time_scale: None,
        nodes: None,
        params: BTreeMap::new(),
        replays: None,
        node_env: BTreeMap::new(),
        host: HostFacts::default(),
    }
}

/// The span with that number: a second has [`PER_FRAME`] of them.
fn span(seq: u64) -> SpanRecord {
    SpanRecord {
        seq,
        arrived: RunTime { micros: (seq - 1) / PER_FRAME * 1_000_000 },
        node: format!("node-{}", seq % 3 + 1).as_str().into(),
        name: if seq % 50 == 7 { "rare" } else { "often" }.into(),
        trace_id: format!("{:032x}", u128::from(seq).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c)),
        span_id: format!("{seq:016x}"),
        parent_id: String::new(),
        start_unix_nanos: seq,
        end_unix_nanos: seq + 1,
        attributes: BTreeMap::from([("n".to_owned(), seq.into())]),
    }
}

fn sample(second: u64) -> Sample {
    Sample {
        at: RunTime { micros: second * 1_000_000 },
        of: SampleSource::Harness,
        pid: 1,
        cpu_micros_total: second,
        cpu: None,
        rss_bytes: second << 12,
        open_files: 1,
        threads: 1,
    }
}

fn recorder(folder: &Path) -> Recorder {
    let started = Instant::now();
    Recorder::with_segments(folder, &manifest(), "", started, None, SEGMENT_BYTES).unwrap()
}

fn second(recorder: &Recorder, second: u64) {
    recorder.event(RunEventKind::Note { text: format!("second {second}") }, None);
    for place in 1..=PER_FRAME {
        recorder.span(&span(second * PER_FRAME + place));
    }
    recorder.samples(&[sample(second)]);
    recorder.flush();
}

/// A run of 40 seconds, in several segments.
fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    (0..FRAMES).for_each(|each| second(&recorder, each));
    drop(recorder);
    folder
}

/// Files of a run that hold records, without the derived ones.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![folder.join(file::EVENTS)];
    for kind in [file::SPANS, file::SAMPLES, file::MINUTES] {
        let entries = fs::read_dir(folder.join(kind)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files
}

struct Read {
    events: Vec<u64>,
    spans: Vec<u64>,
    samples: Vec<u64>,
    damage: Vec<String>,
}

/// Reads everything; each record that comes must be one that was written.
fn read(folder: &Path) -> Read {
    let record: RunRecord = read_run(folder).unwrap();
    let spans: Vec<u64> = record
        .spans
        .iter()
        .map(|read| {
            assert_eq!(read, span(read.seq));
            read.seq
        })
        .collect();
    let samples: Vec<u64> = record
        .samples
        .iter()
        .map(|read| {
            assert_eq!(read, sample(read.cpu_micros_total));
            read.cpu_micros_total
        })
        .collect();
    record.minutes.iter().for_each(drop);
    let events = record.events.iter().map(|event| event.seq).collect();
    Read { events, spans, samples, damage: record.all_damage() }
}

fn copy(from: &Path, to: &Path) {
    for path in files(from).into_iter().chain([file::MANIFEST, file::SCRIPT].map(|f| from.join(f)))
    {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, &target).unwrap();
    }
}

#[test]
fn what_was_written_is_read_again() {
    let folder = written();
    let all = read(folder.path());
    assert_eq!(all.spans, (1..=FRAMES * PER_FRAME).collect::<Vec<_>>());
    assert_eq!(all.samples, (0..FRAMES).collect::<Vec<_>>());
    assert_eq!((all.events.len() as u64, all.damage), (FRAMES, Vec::new()));
    assert!(files(folder.path()).len() > 6, "there are several segments");
    let record = read_run(folder.path()).unwrap();
    assert_eq!(record.spans.len(), FRAMES * PER_FRAME);
    let counts = record.spans.counts();
    assert_eq!(counts["rare"].values().sum::<u64>(), 4);
    assert_eq!(counts.values().flat_map(BTreeMap::values).sum::<u64>(), FRAMES * PER_FRAME);
}

#[test]
fn a_filter_finds_the_same_as_looking_at_everything() {
    let folder = written();
    let record = read_run(folder.path()).unwrap();
    let all: Vec<SpanRecord> = record.spans.iter().collect();
    let at = |second: u64| Some(RunTime { micros: second * 1_000_000 });
    let node = Some("node-2".to_owned());
    for filter in [
        Filter::named("rare"),
        Filter::named("none"),
        Filter { node: node.clone(), ..Filter::default() },
        Filter { since: at(7), until: at(9), ..Filter::default() },
        Filter { since: at(20), node, ..Filter::named("rare") },
        Filter { since: at(99), ..Filter::default() },
    ] {
        let wanted = |span: &&SpanRecord| {
            filter.since.is_none_or(|since| span.arrived >= since)
                && filter.until.is_none_or(|until| span.arrived <= until)
                && filter.name.as_deref().is_none_or(|name| name == span.name)
                && filter.node.as_deref().is_none_or(|node| node == span.node.as_str())
        };
        let looked: Vec<SpanRecord> = all.iter().filter(wanted).cloned().collect();
        let found: Vec<SpanRecord> = record.spans.select(filter.clone()).collect();
        assert_eq!(found, looked, "{filter:?}");
    }
}

/// Lengths of all files after each second, in the order in which a second is written.
fn written_second_by_second() -> (tempfile::TempDir, Vec<BTreeMap<PathBuf, u64>>) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let mut lengths = Vec::new();
    for each in 0..FRAMES {
        second(&recorder, each);
        let of = |path: PathBuf| {
            let length = fs::metadata(&path).unwrap().len();
            (path.strip_prefix(folder.path()).unwrap().to_owned(), length)
        };
        lengths.push(files(folder.path()).into_iter().map(of).collect());
    }
    // What comes at the end of a run was not there yet when it was killed.
    drop(recorder);
    (folder, lengths)
}

/// Makes the run what it was when its harness was killed `cut` bytes into the writing of the second
/// after `before`; the files that were torn or not begun.
fn kill(
    whole: &Path,
    killed: &Path,
    before: &BTreeMap<PathBuf, u64>,
    after: &BTreeMap<PathBuf, u64>,
    mut cut: u64,
) -> Vec<PathBuf> {
    let mut short = Vec::new();
    for (name, end) in after {
        let from = before.get(name).copied().unwrap_or(0);
        let written = cut.min(end - from);
        cut -= written;
        if written < end - from {
            short.push(name.clone());
        }
        let target = killed.join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        if before.contains_key(name) || written > 0 {
            let bytes = fs::read(whole.join(name)).unwrap();
            fs::write(target, &bytes[..(from + written) as usize]).unwrap();
        }
    }
    for name in [file::MANIFEST, file::SCRIPT] {
        fs::copy(whole.join(name), killed.join(name)).unwrap();
    }
    fs::create_dir_all(killed.join(file::MINUTES)).unwrap();
    short
}

/// What was written a second before is all there. A harness writes each second, so a kill costs
/// the second that it was writing and the one that was waiting: two at most.
#[test]
fn a_run_that_was_killed_at_a_thousand_random_bytes_loses_two_seconds_at_most() {
    let (folder, lengths) = written_second_by_second();
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut torn = 0;
    for _ in 0..1000 {
        let second = random.random_range(0..lengths.len() - 1);
        let (before, after) = (&lengths[second], &lengths[second + 1]);
        let sum = |lengths: &BTreeMap<PathBuf, u64>| lengths.values().sum::<u64>();
        let cut = random.random_range(0..=sum(after) - sum(before));
        let killed = tempfile::tempdir().unwrap();
        let short = kill(folder.path(), killed.path(), before, after, cut);
        let got = read(killed.path());
        let seconds = second as u64 + 1;
        assert!(got.events.iter().copied().eq(1..=got.events.len() as u64));
        assert!(got.spans.iter().copied().eq(1..=got.spans.len() as u64));
        assert!(got.events.len() as u64 >= seconds, "{seconds} s, {} events", got.events.len());
        assert!(got.spans.len() as u64 >= seconds * PER_FRAME, "{seconds} s: {:?}", got.spans);
        assert!(got.samples.len() as u64 >= seconds, "{seconds} s: {:?}", got.samples);
        torn += usize::from(!got.damage.is_empty());
        for told in &got.damage {
            let named = |name: &PathBuf| told.starts_with(&name.display().to_string());
            assert!(short.iter().any(named), "{told} is of none of {short:?}");
        }
    }
    assert!(torn > 500, "most kills are in the middle of something: {torn}");
}

/// Of each file, by itself: what is before the cut is read.
#[test]
fn any_file_may_be_cut_at_any_byte() {
    let folder = written();
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let targets = files(folder.path());
    let killed = tempfile::tempdir().unwrap();
    copy(folder.path(), killed.path());
    let whole = read(folder.path());
    for _ in 0..1000 {
        let target = &targets[random.random_range(0..targets.len())];
        let name = target.strip_prefix(folder.path()).unwrap();
        let bytes = fs::read(target).unwrap();
        let cut = random.random_range(0..=bytes.len());
        fs::write(killed.path().join(name), &bytes[..cut]).unwrap();
        let got = read(killed.path());
        fs::write(killed.path().join(name), &bytes).unwrap();
        let shown = name.display().to_string();
        let derived = shown.ends_with(".index.json");
        let all = |read: &Read| read.events.len() + read.spans.len() + read.samples.len();
        assert!(!derived || all(&got) == all(&whole), "{shown} at {cut}: an index is derived");
        let told = got.damage.iter().all(|told| told.starts_with(&shown));
        assert!(told && got.damage.len() <= 1, "{shown} at {cut}: {:?}", got.damage);
    }
    // Without its manifest nothing says what was run; it is synced before the first node.
    let manifest = fs::read(folder.path().join(file::MANIFEST)).unwrap();
    for _ in 0..100 {
        let cut = random.random_range(0..manifest.len());
        fs::write(killed.path().join(file::MANIFEST), &manifest[..cut]).unwrap();
        let told = read_run(killed.path()).unwrap_err().to_string();
        assert!(told.contains("manifest.json is damaged"), "{told}");
    }
}

#[test]
fn a_flipped_bit_costs_its_frame_and_its_file_and_place_are_told() {
    let folder = written();
    let whole = read(folder.path());
    let targets = files(folder.path());
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for _ in 0..400 {
        let target = &targets[random.random_range(0..targets.len())];
        let before = fs::read(target).unwrap();
        let mut after = before.clone();
        let bit = random.random_range(0..after.len() * 8);
        after[bit / 8] ^= 1 << (bit % 8);
        fs::write(target, &after).unwrap();
        let got = read(folder.path());
        fs::write(target, &before).unwrap();
        let shown = target.strip_prefix(folder.path()).unwrap().display().to_string();
        let lost = |all: &[u64], got: &[u64]| all.len() - got.len();
        let spans = lost(&whole.spans, &got.spans);
        let samples = lost(&whole.samples, &got.samples);
        let events = lost(&whole.events, &got.events);
        assert!(spans <= PER_FRAME as usize && samples <= 1 && events <= 2, "{shown} bit {bit}");
        if spans + samples + events > 0 {
            let told = got.damage.iter().any(|told| told.starts_with(&shown));
            assert!(told, "{shown} bit {bit}: {:?}", got.damage);
            let place = got.damage[0].contains("at byte ") || got.damage[0].contains("from byte ");
            assert!(place || got.damage[0].contains("at line "), "{:?}", got.damage);
        }
    }
}

#[test]
fn a_run_is_read_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..FRAMES).for_each(|each| second(&recorder, each));
            over.store(true, Ordering::SeqCst);
        });
        let mut before = 0;
        loop {
            let last = over.load(Ordering::SeqCst);
            let got = read(folder.path());
            assert!(got.spans.iter().copied().eq(1..=got.spans.len() as u64), "{:?}", got.spans);
            assert!(got.spans.len() >= before, "records do not go away");
            before = got.spans.len();
            if last {
                break;
            }
        }
        assert_eq!(before as u64, FRAMES * PER_FRAME);
    });
}

#[test]
fn a_segment_or_an_index_that_is_gone_is_told_or_made_again() {
    let folder = written();
    let whole = read(folder.path());
    for path in files(folder.path()) {
        if path.extension().is_some_and(|extension| extension == "json") {
            fs::write(&path, "{\"bytes\":1}").unwrap();
        }
    }
    let got = read(folder.path());
    assert_eq!((got.spans, got.damage), (whole.spans, Vec::new()), "an index is derived");
    fs::remove_file(folder.path().join("spans/000002.jsonl.zst")).unwrap();
    let got = read(folder.path());
    assert!(got.damage[0].starts_with("spans/000002.jsonl.zst is missing"), "{:?}", got.damage);
    assert!(got.spans.contains(&1) && got.spans.contains(&(FRAMES * PER_FRAME)));
}

#[test]
fn a_run_of_schema_1_is_still_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema-1");
    let record = read_run(&folder).unwrap();
    assert_eq!(record.manifest.schema, 1);
    assert_eq!((record.events.len(), record.spans.len(), record.samples.len()), (38, 50, 20));
    assert_eq!(record.all_damage(), Vec::<String>::new());
    assert_eq!(record.spans.select(Filter::named("peer.connected")).count(), 12);
    let copied = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let keep = if path.ends_with("spans.jsonl") { bytes.len() - 10 } else { bytes.len() };
        fs::write(copied.path().join(path.file_name().unwrap()), &bytes[..keep]).unwrap();
    }
    let record = read_run(copied.path()).unwrap();
    assert_eq!(record.spans.len(), 49);
    assert!(record.damage[0].starts_with("spans.jsonl ends at line 50"), "{:?}", record.damage);
}

#[test]
fn two_runs_at_once_have_records_of_their_own() {
    let output = tempfile::tempdir().unwrap();
    let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let folders: Vec<PathBuf> = std::thread::scope(|scope| {
        let run = || {
            let folder = RunFolder::create(output.path(), "swarm", 7, now).unwrap();
            let recorder = recorder(&folder.results);
            (0..FRAMES).for_each(|each| second(&recorder, each));
            folder.results.clone()
        };
        let both = [scope.spawn(run), scope.spawn(run)];
        both.map(|thread| thread.join().unwrap()).into()
    });
    assert_ne!(folders[0], folders[1]);
    for folder in &folders {
        let got = read(folder);
        assert_eq!((got.spans.len() as u64, got.damage), (FRAMES * PER_FRAME, Vec::new()));
    }
    let started = Instant::now();
    let second = Recorder::create(&folders[0], &manifest(), "", started, None).err().unwrap();
    assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists, "a record is never written over");
}
