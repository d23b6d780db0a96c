//! The library in front of real programs: what each is told of the time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::SystemTime,
};

use meshlab_wire::{CLOCK_PAGE, ClockPage, ClockShift};

const HOUR_MICROS: i64 = 3_600_000_000;
const HOUR: i64 = HOUR_MICROS * 1000;
const MINUTE: i64 = HOUR / 60;

/// Beside the test program, where cargo puts what the package is made of.
fn library() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().join("libmeshlab_clock.so");
    assert!(path.exists(), "{}", path.display());
    path
}

fn map(path: &Path) -> &'static ClockPage {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(ClockPage::BYTES as u64).unwrap();
    // SAFETY: as long as the file, never taken away, all of it atomic.
    let page = unsafe {
        let all = libc::PROT_READ | libc::PROT_WRITE;
        let fd = file.as_raw_fd();
        let at = libc::mmap(std::ptr::null_mut(), ClockPage::BYTES, all, libc::MAP_SHARED, fd, 0);
        assert_ne!(at, libc::MAP_FAILED);
        &*at.cast::<ClockPage>()
    };
    page.lay_out();
    page
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}

/// A program that writes numbers for each line that it is given.
struct Asked {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asked {
    fn start(command: &mut Command, page: &Path) -> Self {
        command.env("LD_PRELOAD", library()).env(CLOCK_PAGE, page);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn ask(&mut self) -> Vec<i64> {
        writeln!(self.input).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Every way to ask for the time moves by an hour while the program runs, and back; what counts
/// from the start of the host does not.
fn moves(mut asked: Asked, page: &ClockPage, walls: usize) {
    let close = |told: &[i64], ahead: i64| {
        let real = now();
        for (place, wall) in told[..walls].iter().enumerate() {
            let off = wall - real - ahead;
            assert!(off.abs() < MINUTE, "wall clock {place} is {off} ns off: {told:?}");
        }
    };
    let first = asked.ask();
    close(&first, 0);
    assert_eq!(page.answered(), 0, "nothing is noted before the clock is first set");
    for (by, ahead) in [(HOUR_MICROS, HOUR), (-HOUR_MICROS, -HOUR), (0, 0)] {
        let change = page.set(ClockShift { offset_micros: by, drift_ppm: 0 }, now());
        let before = page.answered();
        let told = asked.ask();
        close(&told, ahead);
        let steady = told[walls] - first[walls];
        assert!((0..MINUTE).contains(&steady), "the steady clock moved by {steady} ns: {told:?}");
        assert!(page.answered() >= before + walls as u64);
        let last = page.last_by(change).unwrap();
        assert_eq!(last.told_nanos - last.real_nanos, ahead);
    }
}

#[test]
fn python_is_told_and_its_steady_clock_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let page = map(&folder.path().join("page"));
    let code = "import sys, time, ctypes\n\
                libc = ctypes.CDLL(None)\n\
                libc.time.restype = ctypes.c_long\n\
                class T(ctypes.Structure): _fields_ = [('s', ctypes.c_long), ('n', ctypes.c_long)]\n\
                day, utc = T(), T()\n\
                for line in sys.stdin:\n\
                \x20 libc.gettimeofday(ctypes.byref(day), None)\n\
                \x20 assert libc.timespec_get(ctypes.byref(utc), 1) == 1\n\
                \x20 print(time.time_ns(), libc.time(None) * 10**9, day.s * 10**9 + day.n * 1000,\n\
                \x20   utc.s * 10**9 + utc.n, time.clock_gettime_ns(5), time.clock_gettime_ns(11),\n\
                \x20   time.monotonic_ns(), flush=True)\n";
    let mut command = Command::new("/usr/bin/python3");
    // The sixth is the TAI clock, which may be 37 s ahead.
    let asked = Asked::start(command.args(["-c", code]), &folder.path().join("page"));
    moves(asked, page, 6);
}

#[test]
fn a_program_in_rust_is_told_and_its_instants_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let page = map(&folder.path().join("page"));
    let own = std::env::current_exe().unwrap();
    let asks = own.parent().unwrap().parent().unwrap().join("examples/asks");
    moves(Asked::start(&mut Command::new(asks), &folder.path().join("page")), page, 1);
}

#[test]
fn a_file_that_is_no_page_leaves_the_clock_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("short", "x".to_owned()), ("other", "x".repeat(8192))] {
        let path = folder.path().join(name);
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        for path in [path, folder.path().join("nowhere")] {
            let code = "import time; print(time.time_ns())";
            let mut command = Command::new("/usr/bin/python3");
            command.args(["-c", code]).env("LD_PRELOAD", library()).env(CLOCK_PAGE, path);
            let output = command.output().unwrap();
            let told: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
            assert!((told - now()).abs() < MINUTE, "{told}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        }
    }
}
