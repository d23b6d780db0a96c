//! Gives back what answers needed. A report is drawn from all of a record: the allocator keeps
//! what that took for the next one, in each thread that ever drew one, and the harness is charged
//! for it.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Answers that are worked out at the same time; the others wait. Each holds a record.
pub(crate) const AT_ONCE: usize = 4;

/// Giving back takes the allocator's locks: not after every answer of many.
const EVERY: Duration = Duration::from_secs(5);

/// An answer has been worked out.
pub(crate) fn give_back() {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    // Who is at it does it for all.
    let Ok(mut last) = LAST.try_lock() else { return };
    if last.is_some_and(|last| last.elapsed() < EVERY) {
        return;
    }
    *last = Some(Instant::now());
    // SAFETY: it has no conditions; it returns free pages to the system.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
