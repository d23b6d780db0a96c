//! Loaded before a program's own libraries (`LD_PRELOAD`), it answers for the wall clock: the
//! host's time plus what the harness wrote to a page that both map, see
//! [`ClockPage`](meshlab_wire::ClockPage). It notes each answer there.
//!
//! `clock_gettime` of the wall clocks, `gettimeofday`, `time` and `timespec_get` are answered so;
//! the monotonic clocks are the host's. Without a page, or before the clock is first set, it only
//! passes on.
//!
//! What a program calls from a signal handler must be safe there: the hooks allocate nothing, lock
//! nothing and look nothing up; what they need is found once, when the library is loaded.

#![allow(clippy::missing_safety_doc, reason = "the C library's own contracts hold")]

mod page;
mod real;

use libc::{c_int, c_void, clockid_t, time_t, timespec, timeval};
use meshlab_wire::ToldTime;

const NANOS: i64 = 1_000_000_000;

/// Runs when the library is loaded, before the program's `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static LOADED: extern "C" fn() = {
    extern "C" fn loaded() {
        real::find();
        page::map();
    }
    loaded
};

/// The clocks that somebody can set. What counts from the start of the host is none of them.
fn is_wall(clock: clockid_t) -> bool {
    matches!(
        clock,
        libc::CLOCK_REALTIME
            | libc::CLOCK_REALTIME_COARSE
            | libc::CLOCK_REALTIME_ALARM
            | libc::CLOCK_TAI
    )
}

/// What the program is told when the host's clock shows that, in nanoseconds since 1970.
fn told(real_nanos: i64) -> i64 {
    let Some(page) = page::mapped() else { return real_nanos };
    let Some((change, ahead)) = page.ahead(real_nanos) else { return real_nanos };
    // Before 1970 is no time that programs can write down.
    let told_nanos = real_nanos.saturating_add(ahead).max(0);
    page.note(change, ToldTime { real_nanos, told_nanos });
    told_nanos
}

/// Turns a time that was read into the one that is told.
fn shift(time: &mut timespec) {
    let real = time.tv_sec.saturating_mul(NANOS).saturating_add(time.tv_nsec);
    let told = told(real);
    time.tv_sec = told / NANOS;
    time.tv_nsec = told % NANOS;
}

/// The host's wall clock, told.
fn now() -> timespec {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one structure of that type, to be filled.
    if unsafe { real::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) } == 0 {
        shift(&mut time);
    }
    time
}

/// See clock_gettime(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: what the caller gave, passed on.
    let result = unsafe { real::clock_gettime(clock, time) };
    if result == 0 && is_wall(clock) {
        // SAFETY: the call above has filled it, so it can be read and written.
        if let Some(time) = unsafe { time.as_mut() } {
            shift(time);
        }
    }
    result
}

/// See gettimeofday(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut timeval, zone: *mut c_void) -> c_int {
    // SAFETY: what the caller gave, passed on.
    let result = unsafe { real::gettimeofday(time, zone) };
    // SAFETY: if there is one, the call above has filled it.
    if result == 0
        && let Some(time) = unsafe { time.as_mut() }
    {
        let mut precise = timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_usec * 1000 };
        shift(&mut precise);
        time.tv_sec = precise.tv_sec;
        time.tv_usec = precise.tv_nsec / 1000;
    }
    result
}

/// See time(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(out: *mut time_t) -> time_t {
    let seconds = now().tv_sec;
    // SAFETY: if there is one, the caller wants it filled.
    if let Some(out) = unsafe { out.as_mut() } {
        *out = seconds;
    }
    seconds
}

/// See timespec_get(3). Of other bases than `TIME_UTC` it says that they are not supported, which
/// the standard allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timespec_get(time: *mut timespec, base: c_int) -> c_int {
    const TIME_UTC: c_int = 1;
    if base != TIME_UTC {
        return 0;
    }
    // SAFETY: the caller wants it filled.
    match unsafe { time.as_mut() } {
        Some(time) => {
            *time = now();
            base
        }
        None => 0,
    }
}
