//! Where CPU time goes, seen from inside: for hosts without `perf`, or where it is forbidden.
//!
//! A timer of CPU time interrupts whichever thread runs, and its stack is kept as addresses. Not
//! the `pprof` crate: walking by frame pointers, its version 0.15 leaves out the function that ran
//! itself, and it finds names in the node, which takes a second and a hundred megabytes.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, OnceLock, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::heap::load_base;

/// Frames of a stack that are kept, the innermost.
const FRAMES_MAX: usize = 96;

/// Stacks that wait to be added up: two seconds at the highest rate on two cores, in 3 MB.
const WAITING_MAX: usize = 4096;

/// How often those that wait are added up. A lasting profile is written as often: a process that is
/// killed loses so much.
const ADD_EVERY: Duration = Duration::from_millis(500);

/// Words of a stack: how many frames it has, and these.
const WORDS: usize = FRAMES_MAX + 1;

/// Stands for the samples whose stacks found no room.
const NO_ROOM: &str = "[stacks that found no room]";

/// Stacks in a ring, made once and kept: a signal may come a moment after the timer was taken away.
static STACKS: OnceLock<Box<[AtomicUsize]>> = OnceLock::new();
/// Stacks that were begun, and of them those that were added up.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static ADDED: AtomicUsize = AtomicUsize::new(0);
/// Samples that found no room.
static LOST: AtomicU64 = AtomicU64::new(0);
static RUNS: AtomicBool = AtomicBool::new(false);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Samples for `length` at `hz` samples in a second of CPU time (1 to 1000; the kernel's own tick,
/// 100 to 1000, is the most that come), and writes them to `path`: folded stacks, the outermost
/// first, of addresses as the program's file has them. Returns how many there are. Blocks the
/// calling thread.
///
/// # Errors
/// Another profile is being taken, the system refuses the timer, or the file cannot be written.
pub(crate) fn profile(path: &Path, length: Duration, hz: u32) -> Result<u64, String> {
    let _alone = alone()?;
    let timer = Timer::start(hz)?;
    let mut sums = Sums::default();
    let until = Instant::now() + length;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        // This thread waits, and uses no CPU time meanwhile.
        std::thread::park_timeout(left.min(ADD_EVERY));
        sums.add();
    }
    drop(timer);
    sums.add();
    let beside = path.with_extension("part");
    fs::write(&beside, sums.text())
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(sums.samples())
}

/// A profile of this process from now on until it ends.
#[derive(Debug)]
pub(crate) struct Lasting {
    over: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lasting {
    /// Begins the profile that the environment asks for, if it does: samples are added to the file
    /// that [`meshlab_wire::env::CPU_STACKS`] names, as [`profile`] writes them. The file is there
    /// at once.
    pub(crate) fn from_environment() -> Option<Self> {
        let path = env::var_os(meshlab_wire::env::CPU_STACKS).map(PathBuf::from)?;
        let hz = env::var(meshlab_wire::env::CPU_HZ).ok()?.parse().ok()?;
        let begun = Self::begin(path.clone(), hz);
        begun
            .inspect_err(|why| {
                tracing::warn!(path = %path.display(), why, "this process is not profiled");
            })
            .ok()
    }

    fn begin(path: PathBuf, hz: u32) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let mut file = File::create(&path).map_err(failed)?;
        let (over, ends) = mpsc::channel();
        let work = move || {
            if let Err(why) = last(&mut file, hz, &ends) {
                tracing::warn!(why, "the CPU profile of this process ends here");
            }
        };
        let thread = std::thread::Builder::new().name("cpu-profile".to_owned()).spawn(work);
        Ok(Self { over: Some(over), thread: Some(thread.map_err(failed)?) })
    }
}

impl Drop for Lasting {
    /// Writes what there is.
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn last(file: &mut File, hz: u32, ends: &mpsc::Receiver<()>) -> Result<(), String> {
    let _alone = alone()?;
    let timer = Timer::start(hz)?;
    loop {
        let over = ends.recv_timeout(ADD_EVERY) != Err(RecvTimeoutError::Timeout);
        let mut sums = Sums::default();
        sums.add();
        // In one piece: whoever reads it meanwhile finds whole lines but for the last.
        file.write_all(sums.text().as_bytes()).map_err(|error| error.to_string())?;
        if over {
            drop(timer);
            return Ok(());
        }
    }
}

fn alone() -> Result<MutexGuard<'static, ()>, String> {
    match ONE_AT_A_TIME.try_lock() {
        Ok(alone) => Ok(alone),
        Err(TryLockError::Poisoned(broken)) => Ok(broken.into_inner()),
        Err(TryLockError::WouldBlock) => {
            Err("a CPU profile is being taken already; wait for it".to_owned())
        }
    }
}

/// Ticks while it lives.
struct Timer;

impl Timer {
    fn start(hz: u32) -> Result<Self, String> {
        let made = || (0..WAITING_MAX * WORDS).map(|_| AtomicUsize::new(0)).collect();
        STACKS.get_or_init(made);
        // What came after the end of the profile before.
        Sums::default().add();
        RUNS.store(true, Ordering::SeqCst);
        let timer = Self;
        handle()
            .and_then(|()| set_timer(hz))
            .map_err(|error| format!("the system refused the timer: {error}"))?;
        Ok(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // Taking it away is never refused: its arguments are those it was set with.
        let _ = set_timer(0);
        RUNS.store(false, Ordering::SeqCst);
    }
}

/// How often each stack was seen.
#[derive(Default)]
struct Sums {
    counts: BTreeMap<Vec<usize>, u64>,
    lost: u64,
}

impl Sums {
    /// Adds the stacks that wait, up to the first that is still being written.
    fn add(&mut self) {
        self.lost += LOST.swap(0, Ordering::Relaxed);
        let (Some(stacks), base) = (STACKS.get(), load_base()) else { return };
        let next = NEXT.load(Ordering::Acquire);
        for place in ADDED.load(Ordering::Relaxed)..next {
            let at = place % WAITING_MAX * WORDS;
            let Some((found, frames)) = stacks.get(at..at + WORDS).and_then(<[_]>::split_first)
            else {
                return;
            };
            let found = found.swap(0, Ordering::Acquire);
            if found == 0 {
                return;
            }
            let frames = frames.iter().take(found).map(|frame| frame.load(Ordering::Relaxed));
            let mut frames: Vec<usize> = frames.map(|frame| frame.wrapping_sub(base)).collect();
            ADDED.store(place + 1, Ordering::Release);
            frames.reverse();
            *self.counts.entry(frames).or_default() += 1;
        }
    }

    fn samples(&self) -> u64 {
        self.counts.values().sum::<u64>() + self.lost
    }

    /// A line for each stack.
    fn text(&self) -> String {
        let mut text = String::new();
        for (frames, count) in &self.counts {
            let names: Vec<String> = frames.iter().map(|frame| format!("0x{frame:x}")).collect();
            let _ = writeln!(text, "{} {count}", names.join(";"));
        }
        if self.lost > 0 {
            let _ = writeln!(text, "{NO_ROOM} {}", self.lost);
        }
        text
    }
}

/// Registers the handler. It stays: without its timer it is never called.
fn handle() -> io::Result<()> {
    // SAFETY: the action is zeroed and then filled in; the handler only does what a handler may.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = tick as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGPROF, &action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ticks `hz` times in a second of this process's CPU time; 0 ends it.
fn set_timer(hz: u32) -> io::Result<()> {
    let micros = if hz == 0 { 0 } else { 1_000_000 / i64::from(hz.clamp(1, 1000)) };
    let every = libc::timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: the kernel reads the timer and writes nothing.
    let done = unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Keeps the stack of the thread that was interrupted: no lock, no allocation, no `errno`.
extern "C" fn tick(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if !RUNS.load(Ordering::Relaxed) || context.is_null() {
        return;
    }
    // SAFETY: the kernel hands over the context of the interrupted thread.
    let Some((runs, mut frame)) = (unsafe { registers(context) }) else { return };
    let free = |next| (next - ADDED.load(Ordering::Acquire) < WAITING_MAX).then_some(next + 1);
    let Ok(place) = NEXT.fetch_update(Ordering::AcqRel, Ordering::Acquire, free) else {
        LOST.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let at = place % WAITING_MAX * WORDS;
    let Some(stack) = STACKS.get().and_then(|all| all.get(at..at + WORDS)) else { return };
    // SAFETY: `errno` is this thread's own, and put back below.
    let errno = unsafe { *libc::__errno_location() };
    stack[1].store(runs, Ordering::Relaxed);
    let mut found = 1;
    while found < FRAMES_MAX {
        let Some((next, back)) = read_frame(frame) else { break };
        if back == 0 {
            break;
        }
        // The instruction before the one it returns to is the call.
        stack[found + 1].store(back.wrapping_sub(1), Ordering::Relaxed);
        found += 1;
        if next <= frame {
            break;
        }
        frame = next;
    }
    stack[0].store(found, Ordering::Release);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// The two words of a frame, read through the kernel: what is no frame is an error there, not a
/// fault here.
fn read_frame(frame: usize) -> Option<(usize, usize)> {
    let mut words = [0_usize; 2];
    let here = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: size_of_val(&words) };
    let there = libc::iovec { iov_base: frame as *mut libc::c_void, iov_len: size_of_val(&words) };
    // SAFETY: the kernel writes to `words` only, and at most its length.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &here, 1, &there, 1, 0) };
    (read == size_of_val(&words) as isize).then_some((words[0], words[1]))
}

/// What ran, and its frame pointer.
///
/// # Safety
/// `context` is what the kernel handed to a signal handler.
#[cfg(target_arch = "x86_64")]
unsafe fn registers(context: *mut libc::c_void) -> Option<(usize, usize)> {
    // SAFETY: as the caller promises.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    Some((registers[libc::REG_RIP as usize] as usize, registers[libc::REG_RBP as usize] as usize))
}

/// What ran, and its frame pointer.
///
/// # Safety
/// `context` is what the kernel handed to a signal handler.
#[cfg(target_arch = "aarch64")]
unsafe fn registers(context: *mut libc::c_void) -> Option<(usize, usize)> {
    // SAFETY: as the caller promises.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    Some((machine.pc as usize, machine.regs[29] as usize))
}

/// Elsewhere there are no stacks.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn registers(_: *mut libc::c_void) -> Option<(usize, usize)> {
    None
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, sync::Arc};

    use super::*;

    #[test]
    fn a_thread_that_works_is_seen_with_its_callers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cpu.addresses");
        let over = Arc::new(AtomicBool::new(false));
        let works = Arc::clone(&over);
        let worker = std::thread::spawn(move || {
            let mut sum = 0_u64;
            while !works.load(Ordering::Relaxed) {
                (0..1000).for_each(|number| sum = black_box(sum.wrapping_add(number)));
            }
            sum
        });
        // As long as it takes: the other cores may be somebody else's.
        let mut samples = 0;
        while samples < 20 {
            samples = profile(&path, Duration::from_millis(200), 500).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        worker.join().unwrap();
        let folded = fs::read_to_string(&path).unwrap();
        let count = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
        assert_eq!(folded.lines().map(count).sum::<u64>(), samples);
        assert!(folded.lines().any(|line| line.matches(';').count() >= 3), "{folded}");
        let error = profile(Path::new("/nowhere/x"), Duration::ZERO, 99).unwrap_err();
        assert!(error.contains("/nowhere/x"), "{error}");
        lasts(&path);
    }

    /// A lasting profile is written while it goes on, and no other is taken meanwhile. Here,
    /// because there is one timer in a process.
    fn lasts(path: &Path) {
        let over = Arc::new(AtomicBool::new(false));
        let works = Arc::clone(&over);
        let worker = std::thread::spawn(move || {
            while !works.load(Ordering::Relaxed) {
                black_box((0..1000_u64).map(black_box).sum::<u64>());
            }
        });
        let lasting = Lasting::begin(path.to_owned(), 500).unwrap();
        // As long as it takes: its first stacks are on disk while it goes on.
        while fs::read(path).unwrap().is_empty() {
            std::thread::yield_now();
        }
        let error = profile(path, Duration::ZERO, 99).unwrap_err();
        assert!(error.contains("already"), "{error}");
        over.store(true, Ordering::Relaxed);
        worker.join().unwrap();
        drop(lasting);
        let folded = fs::read_to_string(path).unwrap();
        assert!(folded.ends_with('\n') && folded.starts_with("0x"), "{folded}");
        assert!(Lasting::begin("/nowhere/x".into(), 99).unwrap_err().contains("/nowhere/x"));
    }
}
