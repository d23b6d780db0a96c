//! What sets the wall clock of a program that links no agent: a page of memory that the harness
//! and the program share. The harness writes how far the clock is to be off; a library that is
//! loaded before the program's own (`meshlab-clock`) reads that at each question for the time, and
//! notes what it answered.
//!
//! Both sides may stop at any instruction, for good: nothing here is a lock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering, fence};

use crate::ClockShift;

/// Environment variable: the file that the page is mapped from.
pub const CLOCK_PAGE: &str = "MESHLAB_CLOCK_PAGE";

/// Tells this layout from any other: "meshclk" and its version.
const LAYOUT: u64 = u64::from_be_bytes(*b"meshclk\x01");
/// Answers that are kept. More than a program asks for at once from all its threads.
const KEPT: usize = 64;
/// A writer that stops half way has changed what nobody reads, so this is never met in practice.
const TRIES: usize = 8;

/// The page. All zeroes, as the kernel gives it, is one that was not [laid out](Self::lay_out).
#[repr(C)]
#[derive(Debug)]
pub struct ClockPage {
    layout: AtomicU64,
    /// How often the clock was set. The last setting is the one at its lowest bit; the other one is
    /// where the next goes.
    change: AtomicU64,
    settings: [Setting; 2],
    answered: AtomicU64,
    answers: [Answer; KEPT],
}

#[repr(C)]
#[derive(Debug)]
struct Setting {
    offset_micros: AtomicI64,
    drift_ppm: AtomicI64,
    since_nanos: AtomicI64,
}

#[repr(C)]
#[derive(Debug)]
struct Answer {
    /// Its number plus one, once it is whole.
    stamp: AtomicU64,
    change: AtomicU64,
    real_nanos: AtomicI64,
    told_nanos: AtomicI64,
}

/// An answer that a program was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldTime {
    /// What the host's wall clock showed, in nanoseconds since 1970.
    pub real_nanos: i64,
    /// What the program was told.
    pub told_nanos: i64,
}

impl ClockPage {
    /// Bytes that a page takes in its file.
    pub const BYTES: usize = size_of::<Self>();

    /// Makes an empty page one. Before anybody else has it.
    pub fn lay_out(&self) {
        self.layout.store(LAYOUT, Ordering::Release);
    }

    /// Whether it has the layout that this code knows.
    pub fn is_known(&self) -> bool {
        self.layout.load(Ordering::Acquire) == LAYOUT
    }

    /// Sets the clock, from `now_nanos` on, nanoseconds since 1970; the number of this change. One
    /// at a time.
    pub fn set(&self, shift: ClockShift, now_nanos: i64) -> u64 {
        let change = self.change.load(Ordering::Acquire).wrapping_add(1);
        let setting = &self.settings[(change & 1) as usize];
        setting.offset_micros.store(shift.offset_micros, Ordering::Relaxed);
        setting.drift_ppm.store(shift.drift_ppm, Ordering::Relaxed);
        setting.since_nanos.store(now_nanos, Ordering::Relaxed);
        self.change.store(change, Ordering::Release);
        change
    }

    /// How far the clock is to be ahead when the host's shows `real_nanos`, in nanoseconds, and by
    /// which change; `None` if it was never set.
    pub fn ahead(&self, real_nanos: i64) -> Option<(u64, i64)> {
        for _ in 0..TRIES {
            let change = self.change.load(Ordering::Acquire);
            if change == 0 {
                return None;
            }
            let setting = &self.settings[(change & 1) as usize];
            let offset = setting.offset_micros.load(Ordering::Relaxed);
            let drift = setting.drift_ppm.load(Ordering::Relaxed);
            let since = setting.since_nanos.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if self.change.load(Ordering::Relaxed) == change {
                // In microseconds, or a day's worth does not fit.
                let passed = real_nanos.saturating_sub(since) / 1000;
                let gained = passed.saturating_mul(drift) / 1000;
                return Some((change, offset.saturating_mul(1000).saturating_add(gained)));
            }
        }
        None
    }

    /// Notes an answer that a program was given by the setting of that change.
    pub fn note(&self, change: u64, told: ToldTime) {
        let number = self.answered.fetch_add(1, Ordering::Relaxed);
        let answer = &self.answers[number as usize % KEPT];
        answer.stamp.store(0, Ordering::Release);
        answer.change.store(change, Ordering::Relaxed);
        answer.real_nanos.store(told.real_nanos, Ordering::Relaxed);
        answer.told_nanos.store(told.told_nanos, Ordering::Relaxed);
        answer.stamp.store(number.wrapping_add(1), Ordering::Release);
    }

    /// Answers that were given, since the clock was first set.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }

    /// The newest whole answer by the setting of that change.
    pub fn last_by(&self, change: u64) -> Option<ToldTime> {
        let newest = self.answered();
        (newest.saturating_sub(KEPT as u64)..newest).rev().find_map(|number| {
            let answer = &self.answers[number as usize % KEPT];
            let stamp = || answer.stamp.load(Ordering::Acquire) == number.wrapping_add(1);
            if !stamp() || answer.change.load(Ordering::Relaxed) != change {
                return None;
            }
            let told = ToldTime {
                real_nanos: answer.real_nanos.load(Ordering::Relaxed),
                told_nanos: answer.told_nanos.load(Ordering::Relaxed),
            };
            fence(Ordering::Acquire);
            stamp().then_some(told)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Box<ClockPage> {
        let setting = || Setting {
            offset_micros: AtomicI64::new(0),
            drift_ppm: AtomicI64::new(0),
            since_nanos: AtomicI64::new(0),
        };
        let answer = |_| Answer {
            stamp: AtomicU64::new(0),
            change: AtomicU64::new(0),
            real_nanos: AtomicI64::new(0),
            told_nanos: AtomicI64::new(0),
        };
        Box::new(ClockPage {
            layout: AtomicU64::new(0),
            change: AtomicU64::new(0),
            settings: [setting(), setting()],
            answered: AtomicU64::new(0),
            answers: std::array::from_fn(answer),
        })
    }

    #[test]
    fn a_clock_that_was_never_set_is_right_and_one_that_was_is_off_by_both() {
        let page = page();
        assert!(!page.is_known());
        page.lay_out();
        assert!(page.is_known() && ClockPage::BYTES <= 4096);
        assert_eq!(page.ahead(5), None);
        let day = 86_400_000_000_000;
        let change = page.set(ClockShift { offset_micros: -7, drift_ppm: 500_000 }, 1_000);
        assert_eq!(page.ahead(1_000), Some((change, -7_000)));
        assert_eq!(page.ahead(1_000 + day), Some((change, day / 2 - 7_000)));
        let again = page.set(ClockShift::default(), 9);
        assert_eq!(page.ahead(1_000 + day), Some((again, 0)));
    }

    #[test]
    fn the_newest_answer_of_a_change_is_told_and_none_of_another_one() {
        let page = page();
        let told = |at: i64| ToldTime { real_nanos: at, told_nanos: at + 1 };
        for at in 0..200 {
            page.note(1, told(at));
        }
        assert_eq!(
            (page.answered(), page.last_by(1), page.last_by(2)),
            (200, Some(told(199)), None)
        );
        page.note(2, told(7));
        assert_eq!((page.last_by(1), page.last_by(2)), (Some(told(199)), Some(told(7))));
    }
}
