//! Where CPU time goes, seen from inside: for hosts without `perf`, or where it is forbidden.
//!
//! A timer of CPU time interrupts whichever thread runs, and its stack is kept as addresses. Not
//! the `pprof` crate: walking by frame pointers, its version 0.15 leaves out the function that ran
//! itself, and it finds names in the node, which takes a second and a hundred megabytes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::{
        Mutex, OnceLock, TryLockError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::heap::load_base;

/// Frames of a stack that are kept, the innermost.
const FRAMES_MAX: usize = 96;

/// Stacks of one profile. What comes after them is counted, not kept.
const SAMPLES_MAX: usize = 20_000;

/// Words of a stack: how many frames it has, and these.
const WORDS: usize = FRAMES_MAX + 1;

/// Stacks, made once and kept: a signal may come a moment after the timer was taken away.
static STACKS: OnceLock<Box<[AtomicUsize]>> = OnceLock::new();
static NEXT: AtomicUsize = AtomicUsize::new(0);
static RUNS: AtomicBool = AtomicBool::new(false);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Samples for `length` at `hz` samples in a second of CPU time (1 to 1000), and writes them to
/// `path`: folded stacks, the outermost first, of addresses as the program's file has them.
/// Returns how many there are. Blocks the calling thread.
///
/// # Errors
/// Another profile is being taken, the system refuses the timer, or the file cannot be written.
pub(crate) fn profile(path: &Path, length: Duration, hz: u32) -> Result<u64, String> {
    let _alone = match ONE_AT_A_TIME.try_lock() {
        Ok(alone) => alone,
        Err(TryLockError::Poisoned(broken)) => broken.into_inner(),
        Err(TryLockError::WouldBlock) => {
            return Err("a CPU profile is being taken already; wait for it".to_owned());
        }
    };
    let stacks =
        STACKS.get_or_init(|| (0..SAMPLES_MAX * WORDS).map(|_| AtomicUsize::new(0)).collect());
    NEXT.store(0, Ordering::SeqCst);
    RUNS.store(true, Ordering::SeqCst);
    let began = handle().and_then(|()| set_timer(hz));
    // This thread waits, and uses no CPU time meanwhile.
    if began.is_ok() {
        std::thread::park_timeout(length);
    }
    let ended = set_timer(0);
    RUNS.store(false, Ordering::SeqCst);
    began.and(ended).map_err(|error| format!("the system refused the timer: {error}"))?;
    let taken = NEXT.load(Ordering::SeqCst);
    let folded = fold(stacks, taken.min(SAMPLES_MAX), load_base());
    let beside = path.with_extension("part");
    fs::write(&beside, folded)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(taken.min(SAMPLES_MAX) as u64)
}

fn fold(stacks: &[AtomicUsize], taken: usize, base: usize) -> String {
    let mut counts: BTreeMap<Vec<usize>, u64> = BTreeMap::new();
    for stack in stacks.chunks_exact(WORDS).take(taken) {
        let Some((found, frames)) = stack.split_first() else { continue };
        let found = found.load(Ordering::SeqCst).min(FRAMES_MAX);
        let frames = frames.iter().take(found).map(|frame| frame.load(Ordering::Relaxed));
        let mut frames: Vec<usize> = frames.map(|frame| frame.wrapping_sub(base)).collect();
        frames.reverse();
        if !frames.is_empty() {
            *counts.entry(frames).or_default() += 1;
        }
    }
    let line = |(frames, count): (&Vec<usize>, &u64)| {
        let names: Vec<String> = frames.iter().map(|frame| format!("0x{frame:x}")).collect();
        format!("{} {count}\n", names.join(";"))
    };
    counts.iter().map(line).collect()
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
    let place = NEXT.fetch_add(1, Ordering::Relaxed);
    let Some(stack) = STACKS.get().and_then(|all| all.get(place * WORDS..(place + 1) * WORDS))
    else {
        return;
    };
    // SAFETY: the kernel hands over the context of the interrupted thread.
    let Some((runs, mut frame)) = (unsafe { registers(context) }) else { return };
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
    }
}
