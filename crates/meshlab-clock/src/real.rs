//! The C library's own functions, behind the hooks.

use std::{
    ffi::CStr,
    mem, ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use libc::{c_int, c_void, clockid_t, timespec, timeval};

type ClockGettime = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
type Gettimeofday = unsafe extern "C" fn(*mut timeval, *mut c_void) -> c_int;

static CLOCK_GETTIME: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static GETTIMEOFDAY: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Looks them up. Until then, while other libraries are loaded, the kernel is asked.
pub(crate) fn find() {
    let next = |name: &CStr| {
        // SAFETY: the name ends in zero.
        unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
    };
    CLOCK_GETTIME.store(next(c"clock_gettime"), Ordering::Release);
    GETTIMEOFDAY.store(next(c"gettimeofday"), Ordering::Release);
}

pub(crate) unsafe fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let found = CLOCK_GETTIME.load(Ordering::Acquire);
    // SAFETY: it is null or what the C library has by that name, of that type; the arguments are
    // the caller's.
    unsafe {
        if found.is_null() {
            return libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int;
        }
        mem::transmute::<*mut c_void, ClockGettime>(found)(clock, time)
    }
}

pub(crate) unsafe fn gettimeofday(time: *mut timeval, zone: *mut c_void) -> c_int {
    let found = GETTIMEOFDAY.load(Ordering::Acquire);
    // SAFETY: as above.
    unsafe {
        if found.is_null() {
            return libc::syscall(libc::SYS_gettimeofday, time, zone) as c_int;
        }
        mem::transmute::<*mut c_void, Gettimeofday>(found)(time, zone)
    }
}
