//! Disks that fill, or cannot be written to at all. A small one is made in a mount namespace of
//! its own, by this program started again, so that nothing of it is left on the host.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::{
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use meshlab_model::{RunEventKind, Sample, SampleSource};
use meshlab_results::{Recorder, read_run};

/// What this program is to do in the namespace.
const ROLE: &str = "MESHLAB_TEST_DISK";

/// Starts the test of that name again, in namespaces where it may mount; `None` on a host that
/// does not allow it.
fn again(test: &str, mount: &str) -> Option<Output> {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    let allowed = Command::new("unshare").args(["-rm", "true"]).output().ok()?;
    if !allowed.status.success() {
        return None;
    }
    let shell = format!("mount -t tmpfs -o {mount} none {place} && exec \"$0\" \"$@\"");
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &shell]).arg(program).args([test, "--exact", "--nocapture"]);
    Some(command.env(ROLE, &place).output().unwrap())
}

fn manifest() -> meshlab_model::Manifest {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema-1/manifest.json");
    let mut manifest: meshlab_model::Manifest =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    manifest.schema = meshlab_model::MANIFEST_SCHEMA;
    manifest
}

fn sample(n: u64) -> Sample {
    Sample {
        at: meshlab_model::RunTime { micros: n },
        of: SampleSource::Harness,
        pid: 1,
        // Numbers that do not compress, so that the disk fills soon.
        cpu_micros_total: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        cpu: None,
        rss_bytes: n.wrapping_mul(0xbf58_476d_1ce4_e5b9),
        open_files: 1,
        threads: 1,
    }
}

/// Writes until the disk is full; what is on it by then is read.
fn fill(folder: &Path) {
    let recorder = Recorder::create(folder, &manifest(), "", Instant::now(), None).unwrap();
    recorder.event(RunEventKind::Note { text: "before".into() }, None);
    let mut written = 0;
    while recorder.failure().is_none() {
        assert!(written < 1_000_000, "the disk has no end");
        let samples: Vec<Sample> = (written..written + 1000).map(sample).collect();
        recorder.samples(&samples);
        recorder.flush();
        written += 1000;
    }
    let told = recorder.failure().unwrap();
    assert!(told.contains("/samples/000001.jsonl.zst cannot be written: No space left"), "{told}");
    assert!(recorder.lost() >= 1000, "what was not written is counted");
    recorder.event(RunEventKind::Note { text: "after".into() }, None);
    drop(recorder);
    let record = read_run(folder).unwrap();
    let read = record.samples.iter().count() as u64;
    assert!(read > 0 && read < written, "{read} of {written}");
    assert!(record.samples.iter().zip(0..).all(|(read, n)| read == sample(n)));
    let damage = record.all_damage();
    assert!(
        damage.iter().any(|told| told.starts_with("samples/000001.jsonl.zst ends in")),
        "{damage:?}"
    );
    assert_eq!(record.events[0].seq, 1);
    println!("it was full after {read} samples");
}

#[test]
fn a_disk_that_fills_is_told_and_what_is_on_it_is_read() {
    if let Some(place) = std::env::var_os(ROLE) {
        return fill(Path::new(&place));
    }
    let test = "a_disk_that_fills_is_told_and_what_is_on_it_is_read";
    // Where no namespaces can be made, /dev/full in the recorder's own tests stands for it.
    let Some(output) = again(test, "size=400k") else { return };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("it was full after"), "{said}\n{wrong}");
}

#[test]
fn a_disk_that_is_read_only_holds_no_run() {
    if let Some(place) = std::env::var_os(ROLE) {
        let error =
            Recorder::create(Path::new(&place), &manifest(), "", Instant::now(), None).err();
        println!("refused: {}", error.unwrap());
        return;
    }
    let Some(output) = again("a_disk_that_is_read_only_holds_no_run", "ro") else { return };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("refused: Read-only file system"), "{said}");
}
