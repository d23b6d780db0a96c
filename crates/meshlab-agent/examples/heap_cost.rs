//! What the heap recorder costs: CPU time of a block from its allocation to its end, with the system's
//! allocator, with a book of each block, and with a book of a sample.
//!
//! `cargo run --release -p meshlab-agent --example heap_cost [ROUNDS]`. Ten thousand blocks of 16 to
//! 4096 bytes are held, and one after the other is replaced, from twenty frames deep. CPU time is
//! that of the thread, so what else the host does hardly counts.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example that prints what it finds"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use meshlab_agent::HeapRecorder;

/// Blocks that are replaced.
const BLOCKS: u64 = 1_000_000;
/// Blocks that are held.
const HELD: usize = 10_000;
const DEPTH: u32 = 20;

/// How many bytes there are to a recorded block on average; none with the system's allocator.
const MODES: [(&str, Option<u64>); 4] = [
    ("the system's allocator", None),
    ("each block recorded", Some(1)),
    ("one in 64 KiB", Some(64 << 10)),
    ("one in 512 KiB", Some(512 << 10)),
];

static RECORDS: AtomicBool = AtomicBool::new(false);

/// The system's allocator, with or without a book.
struct Either;

// SAFETY: both hand every call to the system's allocator, so a block of one may be freed by the other.
unsafe impl GlobalAlloc for Either {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        unsafe {
            match RECORDS.load(Ordering::Relaxed) {
                true => HeapRecorder.alloc(layout),
                false => System.alloc(layout),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe {
            match RECORDS.load(Ordering::Relaxed) {
                true => HeapRecorder.dealloc(block, layout),
                false => System.dealloc(block, layout),
            }
        }
    }
}

#[global_allocator]
static HEAP: Either = Either;

fn main() {
    let first = std::env::args().nth(1).unwrap_or("3".to_owned());
    if let Some(records) = first.strip_prefix("records=") {
        RECORDS.store(records == "true", Ordering::Relaxed);
        return println!("{:.1}", nanos_a_block());
    }
    let rounds: u32 = first.parse().unwrap();
    let mut plain = f64::INFINITY;
    for (what, bytes) in MODES {
        let mut all: Vec<f64> = (0..rounds).map(|_| measured(bytes)).collect();
        all.sort_by(f64::total_cmp);
        if bytes.is_none() {
            plain = all[0];
        }
        let more = all[0] - plain;
        let all: Vec<String> = all.iter().map(|nanos| format!("{nanos:.0}")).collect();
        println!("{what}: {} ns a block, {more:.0} more than without a book", all.join(", "));
    }
}

/// In a process of its own: the book goes on from the first block to the last.
fn measured(bytes: Option<u64>) -> f64 {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.arg(format!("records={}", bytes.is_some()));
    if let Some(bytes) = bytes {
        child.env(meshlab_wire::env::HEAP_SAMPLE, bytes.to_string());
    }
    let said = child.output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().parse().unwrap()
}

fn nanos_a_block() -> f64 {
    let mut held: Vec<Vec<u8>> = (0..HELD).map(|_| Vec::new()).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let before = cpu_nanos();
    for _ in 0..BLOCKS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        held[(random >> 32) as usize % HELD] = deep(DEPTH, 16 << (random % 9));
    }
    let spent = cpu_nanos() - before;
    black_box(&held);
    spent as f64 / BLOCKS as f64
}

/// A block that is asked for so many frames deep.
#[inline(never)]
fn deep(frames: u32, bytes: usize) -> Vec<u8> {
    match frames {
        0 => Vec::with_capacity(bytes),
        _ => black_box(deep(black_box(frames - 1), bytes)),
    }
}

fn cpu_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the time to the place that is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
