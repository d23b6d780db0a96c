//! The program's wall clock, which the harness can set wrong.
//!
//! A program that asks here for the time, and nowhere else, can be tried with a clock that is
//! ahead, behind or of another pace. The clock of the host, and of every other program, stays as
//! it is; so do the times of spans and metrics, which the harness goes by.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use meshlab_wire::ClockShift;

/// How far this program's clock is from the host's.
#[derive(Debug, Clone, Copy)]
struct Set {
    shift: ClockShift,
    at: Instant,
}

/// A clock of one program.
#[derive(Debug)]
pub(crate) struct WallClock {
    set: Mutex<(Option<Set>, bool)>,
}

/// One for the process, as the host has one for all.
pub(crate) static CLOCK: WallClock = WallClock::new();

/// The time by this program's wall clock: the host's, unless the harness has set it otherwise.
pub fn wall_clock() -> SystemTime {
    CLOCK.now()
}

impl WallClock {
    pub(crate) const fn new() -> Self {
        Self { set: Mutex::new((None, false)) }
    }

    fn now(&self) -> SystemTime {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.1 = true;
        match set.0 {
            None => SystemTime::now(),
            Some(set) => shifted(SystemTime::now(), set.shift, set.at.elapsed()),
        }
    }

    /// Sets it, and says what it shows then, in microseconds since 1970.
    ///
    /// # Errors
    /// The program has never asked for the time here, so that a clock set wrong would tell nothing.
    pub(crate) fn ask(&self, shift: Option<ClockShift>) -> Result<i64, String> {
        {
            let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
            if !set.1 {
                return Err(
                    "this program does not read the time by way of its agent, so its clock \
                            cannot be set"
                        .to_owned(),
                );
            }
            if let Some(shift) = shift {
                let is_none = shift == ClockShift::default();
                set.0 = (!is_none).then(|| Set { shift, at: Instant::now() });
            }
        }
        let since = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A time, with what was added to it `elapsed` ago. A clock ends at 1970 and at what it can show.
fn shifted(now: SystemTime, shift: ClockShift, elapsed: Duration) -> SystemTime {
    let gained = elapsed.as_micros() as f64 * shift.drift_ppm as f64 / 1e6;
    let micros = shift.offset_micros.saturating_add(gained as i64);
    let by = Duration::from_micros(micros.unsigned_abs());
    let moved = if micros < 0 { now.checked_sub(by) } else { now.checked_add(by) };
    moved.unwrap_or(now).max(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_and_a_pace_add_up() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let at = |offset_micros, drift_ppm, secs| {
            let shift = ClockShift { offset_micros, drift_ppm };
            let shown = shifted(now, shift, Duration::from_secs(secs));
            shown.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
        };
        assert_eq!(at(30_000_000, 0, 50), 1030.0);
        assert_eq!(at(-30_000_000, 20_000, 50), 971.0);
        assert_eq!(at(0, -20_000, 50), 999.0);
        assert_eq!(at(-2_000_000_000, 0, 0), 0.0, "no time before 1970");
        assert!(at(i64::MAX, i64::MAX, 50) >= 1000.0, "and none that overflows");
    }

    #[test]
    fn it_can_be_set_once_the_program_has_asked_for_the_time() {
        let clock = WallClock::new();
        let ahead = ClockShift { offset_micros: 3_600_000_000, drift_ppm: 0 };
        assert!(clock.ask(Some(ahead)).is_err());
        let before = clock.now();
        let shown = clock.ask(Some(ahead)).unwrap();
        let hour = Duration::from_secs(3600);
        assert!(clock.now() >= before + hour && shown > 3_600_000_000);
        assert!(clock.ask(None).unwrap() >= shown, "to be asked changes nothing");
        assert!(clock.ask(Some(ClockShift::default())).unwrap() < shown);
        assert!(clock.now() < before + hour);
    }
}
