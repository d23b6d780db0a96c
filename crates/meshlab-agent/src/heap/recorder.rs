//! An allocator that keeps book of what it gave, each block or a sample of them.
//!
//! The `dhat` crate says what is retained only when its profiler ends, and a new one does not know
//! the blocks of the last; it also cuts paths to three parts, so that the crate of a deep source
//! is lost. This one can be asked at any time and keeps counting; its dumps open in DHAT's viewer.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use meshlab_wire::env;

use super::{
    stacks::{FRAMES_MAX, callers},
    table::Table,
};

/// The system's allocator with a book. A program that is to say what its heap holds makes it its
/// `#[global_allocator]`; every block of the process is in the book then, from the first on.
#[derive(Debug, Default, Clone, Copy)]
pub struct HeapRecorder;

static TABLE: Mutex<Table> = Mutex::new(Table::new());

/// Mean bytes between two recorded allocations; 0 until the environment was asked.
static INTERVAL: AtomicU64 = AtomicU64::new(0);

/// When the first block was given, in nanoseconds of the monotonic clock; 0 before.
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds that the book itself took, by timing one call in [`TIMED`].
static SPENT: AtomicU64 = AtomicU64::new(0);

/// How many calls stand behind one that is timed: reading a clock costs as much as a call.
const TIMED: u32 = 64;

/// How many recorded blocks may lie at an address with this remainder: most of what is freed was
/// never sampled, and this says so without a lock. It sticks at its most.
static MAYBE: [AtomicU8; 1 << 16] = [const { AtomicU8::new(0) }; 1 << 16];

thread_local! {
    /// Whether this thread is inside the book: what the book allocates is not in it.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Bytes until the next block that is sampled, and the state of its random numbers.
    static UNTIL: Cell<(f64, u64)> = const { Cell::new((0.0, 0)) };
    /// Calls until the next that is timed.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Keeps this thread's allocations out of the book while it lives.
pub(super) struct Inside(bool);

impl Inside {
    pub(super) fn enter() -> Self {
        Self(INSIDE.replace(true))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

pub(super) fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nanoseconds of a clock of this process.
pub(super) fn clock(which: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the time to the place that is given.
    unsafe { libc::clock_gettime(which, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// Microseconds since the first block was given.
pub(super) fn now() -> u64 {
    clock(libc::CLOCK_MONOTONIC).saturating_sub(BEGAN.load(Ordering::Relaxed)) / 1000
}

/// Mean bytes between two recorded allocations; `None` if this program does not record its heap.
pub(super) fn interval() -> Option<u64> {
    Some(INTERVAL.load(Ordering::Relaxed)).filter(|interval| *interval > 0)
}

/// How long the book itself took so far, about.
pub(super) fn spent() -> Duration {
    Duration::from_nanos(SPENT.load(Ordering::Relaxed))
}

#[cold]
fn begin() -> u64 {
    // Not `std::env`: it allocates, and this runs inside the first allocation.
    let name = concat_nul(env::HEAP_SAMPLE);
    // SAFETY: the name ends with a NUL; nobody changes the environment before the first block.
    let value = unsafe { libc::getenv(name.as_ptr().cast()) };
    let given = if value.is_null() {
        0
    } else {
        // SAFETY: what `getenv` gives is a text that ends with a NUL.
        unsafe { libc::strtoull(value, std::ptr::null_mut(), 10) }
    };
    let interval = given.clamp(1, 1 << 40);
    BEGAN.store(clock(libc::CLOCK_MONOTONIC), Ordering::Relaxed);
    INTERVAL.store(interval, Ordering::Relaxed);
    interval
}

/// A name with a NUL behind it, without an allocation.
fn concat_nul(name: &str) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes.iter_mut().take(63).zip(name.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

/// How many blocks of that size a sampled one stands for.
fn stands_for(size: usize, interval: u64) -> f64 {
    if interval <= 1 {
        return 1.0;
    }
    let taken = -(-(size as f64) / interval as f64).exp_m1();
    if taken > 0.0 { 1.0 / taken } else { 1.0 }
}

/// Whether a block of that size is sampled: each byte is picked with the chance of 1 in `interval`.
fn picked(size: usize, interval: u64) -> bool {
    if interval <= 1 {
        return true;
    }
    UNTIL.with(|cell| {
        let (mut until, mut random) = cell.get();
        if random == 0 {
            random = clock(libc::CLOCK_MONOTONIC) ^ (cell as *const _ as u64) | 1;
            until = distance(&mut random, interval);
        }
        until -= size as f64;
        let picked = until <= 0.0;
        while until <= 0.0 {
            until += distance(&mut random, interval);
        }
        cell.set((until, random));
        picked
    })
}

/// Bytes from one picked byte to the next: exponential, so that no pattern of sizes is missed.
fn distance(random: &mut u64, interval: u64) -> f64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let uniform = ((*random >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
    // At least a byte, so that the loop of the caller ends.
    (-uniform.ln() * interval as f64).max(1.0)
}

fn slot(block: usize) -> &'static AtomicU8 {
    &MAYBE[(block >> 4).wrapping_mul(0x9e37_79b9) >> 8 & (MAYBE.len() - 1)]
}

/// Does something with the book, outside of it, and times one call in [`TIMED`].
#[inline(always)]
fn timed(work: impl FnOnce()) {
    let calls = CALLS.get().wrapping_add(1);
    CALLS.set(calls);
    if !calls.is_multiple_of(TIMED) {
        return work();
    }
    let before = clock(libc::CLOCK_MONOTONIC);
    work();
    let took = clock(libc::CLOCK_MONOTONIC).saturating_sub(before);
    SPENT.fetch_add(took.saturating_mul(u64::from(TIMED)), Ordering::Relaxed);
}

#[inline(always)]
fn gave(block: *mut u8, size: usize) {
    if block.is_null() || INSIDE.get() {
        return;
    }
    let interval = match INTERVAL.load(Ordering::Relaxed) {
        0 => begin(),
        interval => interval,
    };
    timed(|| {
        if !picked(size, interval) {
            return;
        }
        let _inside = Inside::enter();
        let mut frames = [0; FRAMES_MAX];
        let found = callers(&mut frames);
        if interval > 1 {
            let _ =
                slot(block as usize).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                    (count < u8::MAX).then(|| count + 1)
                });
        }
        let stands_for = stands_for(size, interval);
        table().allocated(block as usize, size, &frames[..found], stands_for, now());
    });
}

#[inline(always)]
fn takes(block: *mut u8) {
    if INSIDE.get() {
        return;
    }
    let interval = INTERVAL.load(Ordering::Relaxed);
    timed(|| {
        let slot = slot(block as usize);
        if interval != 1 && slot.load(Ordering::Relaxed) == 0 {
            return;
        }
        let _inside = Inside::enter();
        let known = table().freed(block as usize, now(), |size| stands_for(size, interval));
        if known && interval > 1 {
            let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count > 0 && count < u8::MAX).then(|| count - 1)
            });
        }
    });
}

// SAFETY: all memory comes from and goes to `System`, with the layout that was asked for; the book
// only looks at addresses and sizes, and does not call back into itself. A block leaves the book
// before it goes back, so that nobody is given it meanwhile.
unsafe impl GlobalAlloc for HeapRecorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let block = unsafe { System.alloc(layout) };
        gave(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let block = unsafe { System.alloc_zeroed(layout) };
        gave(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        takes(block);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        takes(block);
        // SAFETY: as the caller promises.
        let grown = unsafe { System.realloc(block, layout, size) };
        // Where there was no room, the old one is still there, and not in the book any more.
        gave(
            if grown.is_null() { block } else { grown },
            if grown.is_null() { layout.size() } else { size },
        );
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_stands_for_what_was_not_taken() {
        assert_eq!(stands_for(10, 1), 1.0);
        // 1 KiB blocks at 64 KiB: one in 64.5 is taken.
        assert!((stands_for(1024, 65_536) - 64.5).abs() < 0.01);
        assert!((stands_for(1 << 30, 65_536) - 1.0).abs() < 1e-9, "large ones are always taken");
        let mut estimate = 0.0;
        for _ in 0..200_000 {
            if picked(1024, 65_536) {
                estimate += stands_for(1024, 65_536);
            }
        }
        // About 3100 are taken, so the error is below 10 % in more than 99.9999 % of cases.
        assert!((180_000.0..220_000.0).contains(&estimate), "{estimate}");
    }
}
