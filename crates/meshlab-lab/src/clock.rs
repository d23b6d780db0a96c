//! The clock that the switch goes by.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of the host's monotonic clock: what its timers go by.
pub(crate) type Nanos = u64;

pub(crate) const SECOND: Nanos = 1_000_000_000;

/// Now; costs no system call.
pub(crate) fn now() -> Nanos {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970, for the stamps of captures.
pub(crate) fn wall() -> Nanos {
    read(ClockId::CLOCK_REALTIME)
}

fn read(clock: ClockId) -> Nanos {
    // Both clocks exist on every kernel with namespaces, and neither is before its start.
    let Ok(time) = clock_gettime(clock) else { return 0 };
    let seconds = Nanos::try_from(time.tv_sec()).unwrap_or(0);
    seconds.saturating_mul(SECOND).saturating_add(Nanos::try_from(time.tv_nsec()).unwrap_or(0))
}

/// A length of time in nanoseconds; saturates after 584 years.
pub(crate) fn nanos(time: std::time::Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX)
}
