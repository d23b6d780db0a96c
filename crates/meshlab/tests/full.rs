//! Runs whose disk fills, or cannot be written to. Each has a small disk in a mount namespace of its
//! own, of which nothing is left on the host.
#![allow(clippy::unwrap_used, reason = "a test that breaks is a test that fails")]

mod support;

use std::{fs, process::Command};

use support::{Bench, Finished, finish, network};

/// It goes on until its disk ends it.
const LONG: &str = r#"
scenario { timeout = "5m" }
test("it goes on", function()
  local swarm = mesh { nodes = 3, digest_every = "500ms", digest_gated = false }
  expect.formed(swarm, { within = "60s" })
  print("it is formed")
  sleep "4m"
end)
"#;

/// `$0` is the disk, `$KEEP` where its record is copied to, `$FILL` how many MiB fill it once the
/// mesh is formed; the rest is the command.
const SHELL: &str = r#"
mount -t tmpfs -o "$MOUNT" none "$0" || exit 99
"$@" & run=$!
if [ -n "$FILL" ]; then
  # Spans are written each second: those of the start are to be there.
  until grep -qs 'it is formed' "$0"/results/*/latest/events.jsonl &&
    find "$0"/results/*/latest/spans -name '*.zst' -size +2 | grep -q .; do
    kill -0 $run 2>/dev/null || break
    sleep 0.1
  done
  dd if=/dev/zero of="$0/filler" bs=1M count="$FILL" 2>/dev/null
fi
wait $run; code=$?
rm -f "$0/filler"
[ -d "$0/results" ] && cp -a "$0/results" "$KEEP"
exit $code
"#;

/// Runs on a disk of its own; `None` on a host where none can be mounted.
fn run_on(bench: &Bench, mount: &str, fill: &str) -> Option<Finished> {
    let allowed = Command::new("unshare").args(["-rm", "true"]).output().ok()?;
    if !allowed.status.success() {
        return None;
    }
    let disk = bench.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let scenario = bench.scenario("long.lua", LONG);
    let [flag, network] = network();
    let plain = bench.command(&[
        "run",
        scenario.to_str().unwrap(),
        "--output",
        disk.to_str().unwrap(),
        flag,
        network,
    ]);
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", SHELL]).arg(&disk).arg(plain.get_program());
    command.args(plain.get_args()).current_dir(bench.folder.path());
    command.env("MOUNT", mount).env("FILL", fill).env("NO_COLOR", "1");
    command.env("KEEP", bench.folder.path().join("results"));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    Some(finish(command.spawn().unwrap()))
}

/// What was written before the disk was full is read, and drawn as broken.
fn stays_readable(bench: &Bench) {
    let asked = bench.meshlab(&["query", "long/latest", "SELECT count(*) FROM spans"]);
    assert_eq!(asked.code, Some(0), "{}", asked.all());
    let spans = bench.meshlab(&["spans", "long/latest", "node.ready"]);
    assert_eq!(spans.stdout.lines().count(), 3, "{}", spans.all());
    let report = bench.meshlab(&["report", "results/long/latest"]);
    assert_eq!(report.code, Some(5), "{}", report.all());
}

#[test]
fn a_run_stops_in_order_before_its_disk_is_full() {
    let bench = Bench::new();
    let Some(run) = run_on(&bench, "size=300m", "80") else { return };
    assert_eq!(run.code, Some(5), "{}", run.all());
    let told = "are free on its disk, and a run is stopped below 256.0 MiB";
    assert!(run.stdout.contains(told), "{}", run.all());
    let events = bench.read("long", "events.jsonl");
    let last = events.lines().last().unwrap();
    assert!(last.contains("\"run_finished\"") && last.contains("harness_failed"), "{last}");
    assert!(events.contains("\"leftovers\":[]"), "it ended in order");
    stays_readable(&bench);
}

#[test]
fn a_run_whose_disk_is_full_at_once_says_so_and_what_it_wrote_is_read() {
    let bench = Bench::new();
    let Some(run) = run_on(&bench, "size=300m", "400") else { return };
    assert_eq!(run.code, Some(5), "{}", run.all());
    let said = run.all();
    let full = said.contains("cannot be written: No space left on device");
    assert!(full && said.contains("/disk/results/long/"), "{said}");
    stays_readable(&bench);
}

#[test]
fn a_disk_that_is_too_small_or_read_only_is_refused_before_a_node_is_started() {
    for (mount, wanted) in [
        ("size=200m", "a run is stopped below 256.0 MiB"),
        ("size=300m,ro", "Read-only file system"),
    ] {
        let bench = Bench::new();
        let Some(run) = run_on(&bench, mount, "") else { return };
        assert_eq!(run.code, Some(5), "{}", run.all());
        assert!(run.stderr.contains(wanted), "{}", run.all());
        assert!(!run.stdout.contains("test     it goes on"), "{}", run.all());
    }
}
