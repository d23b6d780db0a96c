//! Runs whose disk fills, or cannot be written to. Each has a small disk in a mount namespace of its
//! own, of which nothing is left on the host.
#![allow(clippy::unwrap_used, reason = "a test that breaks is a test that fails")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

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
/// mesh is formed, `$TURN` the file that turns it read-only then; the rest is the command, which
/// stands still while its disk is filled: else it could stop in order before that is full.
const SHELL: &str = r#"
mount -t tmpfs -o "$MOUNT" none "$0" || exit 99
LD_PRELOAD="$SHIM" "$@" & run=$!
if [ -n "$FILL$TURN" ]; then
  # Spans are written each second: those of the start are to be there.
  until grep -qs 'it is formed' "$0"/results/long/latest/events.jsonl &&
    [ "$("$1" spans "$0/results/long/latest" node.ready 2>/dev/null | wc -l)" = 3 ]; do
    kill -0 $run 2>/dev/null || break
    sleep 0.1
  done
  [ -n "$TURN" ] && touch "$TURN"
  if [ -n "$FILL" ]; then
    kill -STOP $run
    dd if=/dev/zero of="$0/filler" bs=1M count="$FILL" 2>/dev/null
    kill -CONT $run
  fi
fi
wait $run; code=$?
rm -f "$0/filler"
[ -d "$0/results" ] && cp -a "$0/results" "$KEEP"
exit $code
"#;

/// Once the file `$TURN` is there, whatever is written below `$DISK` is refused as by a disk that
/// became read-only. The kernel turns none read-only by hand while files are open on it for
/// writing; only a disk that fails does so, and that cannot be had without root.
const READ_ONLY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int turned(const char *path) {
  const char *disk = getenv("DISK"), *turn = getenv("TURN");
  return disk && turn && *turn && !strncmp(path, disk, strlen(disk)) && !access(turn, F_OK);
}

static int refused(int fd) {
  char link[32], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (!turned(path)) return 0;
  errno = EROFS;
  return 1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "write");
  return refused(fd) ? -1 : real(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  static ssize_t (*real)(int, const struct iovec *, int);
  if (!real) real = dlsym(RTLD_NEXT, "writev");
  return refused(fd) ? -1 : real(fd, parts, count);
}

int open64(const char *path, int flags, ...) {
  static int (*real)(const char *, int, ...);
  if (!real) real = dlsym(RTLD_NEXT, "open64");
  va_list rest;
  va_start(rest, flags);
  int mode = va_arg(rest, int);
  va_end(rest);
  if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && turned(path)) {
    errno = EROFS;
    return -1;
  }
  return real(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
  static int (*real)(const char *, mode_t);
  if (!real) real = dlsym(RTLD_NEXT, "mkdir");
  if (!turned(path)) return real(path, mode);
  errno = EROFS;
  return -1;
}
"#;

/// Builds it.
fn shim(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    fs::write(&source, READ_ONLY).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let built = cc.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// What becomes of the disk once the mesh is formed.
enum Fate {
    Stays,
    /// So many MiB are written to it.
    Fills(&'static str),
    TurnsReadOnly,
}

/// Runs on a disk of its own; `None` on a host where none can be mounted.
fn run_on(bench: &Bench, mount: &str, fate: Fate) -> Option<Finished> {
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
    command.env("MOUNT", mount).env("NO_COLOR", "1").env("DISK", &disk);
    match fate {
        Fate::Stays => {}
        Fate::Fills(mebibytes) => {
            command.env("FILL", mebibytes);
        }
        Fate::TurnsReadOnly => {
            command.env("SHIM", shim(bench.folder.path()));
            command.env("TURN", bench.folder.path().join("turned"));
        }
    }
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
    let Some(run) = run_on(&bench, "size=300m", Fate::Fills("80")) else { return };
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
    let Some(run) = run_on(&bench, "size=300m", Fate::Fills("400")) else { return };
    assert_eq!(run.code, Some(5), "{}", run.all());
    let said = run.all();
    let full = said.contains("cannot be written: No space left on device");
    assert!(full && said.contains("/disk/results/long/"), "{said}");
    stays_readable(&bench);
}

#[test]
fn a_run_whose_disk_turns_read_only_says_so_and_what_it_wrote_is_read() {
    let bench = Bench::new();
    let Some(run) = run_on(&bench, "size=300m", Fate::TurnsReadOnly) else { return };
    assert_eq!(run.code, Some(5), "{}", run.all());
    let said = run.all();
    let told = said.contains("cannot be written: Read-only file system");
    assert!(told && said.contains("/disk/results/long/"), "{said}");
    assert!(said.contains("it is formed"), "it turned in mid-run: {said}");
    stays_readable(&bench);
}

#[test]
fn a_disk_that_is_too_small_or_read_only_is_refused_before_a_node_is_started() {
    for (mount, wanted) in [
        ("size=200m", "a run is stopped below 256.0 MiB"),
        ("size=300m,ro", "Read-only file system"),
    ] {
        let bench = Bench::new();
        let Some(run) = run_on(&bench, mount, Fate::Stays) else { return };
        assert_eq!(run.code, Some(5), "{}", run.all());
        assert!(run.stderr.contains(wanted), "{}", run.all());
        assert!(!run.stdout.contains("test     it goes on"), "{}", run.all());
    }
}
