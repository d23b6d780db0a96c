//! The page that the harness and this program share.

use std::{
    mem, ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use meshlab_wire::{CLOCK_PAGE, ClockPage};

static PAGE: AtomicPtr<ClockPage> = AtomicPtr::new(ptr::null_mut());

/// The page, if there is one. It stays mapped as long as the program runs, and is shared with what
/// it forks.
pub(crate) fn mapped() -> Option<&'static ClockPage> {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: it is null, or a mapping of that type that is never taken away; all of it is atomic.
    unsafe { page.as_ref() }
}

/// Maps the page that the environment names. A program that the harness did not start for this has
/// none, and its clock stays right.
pub(crate) fn map() {
    let mut name = [0_u8; 64];
    if CLOCK_PAGE.len() >= name.len() {
        return;
    }
    name[..CLOCK_PAGE.len()].copy_from_slice(CLOCK_PAGE.as_bytes());
    // SAFETY: the names and paths end in zero, the structures are plain numbers, and the mapping is
    // as long as what is read of it, which the file is held against before.
    unsafe {
        let path = libc::getenv(name.as_ptr().cast());
        if path.is_null() {
            return;
        }
        let file = libc::open(path, libc::O_RDWR | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        let mut facts: libc::stat = mem::zeroed();
        let fits = libc::fstat(file, &raw mut facts) == 0
            && usize::try_from(facts.st_size).is_ok_and(|bytes| bytes >= ClockPage::BYTES);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let mapping = match fits {
            true => {
                libc::mmap(ptr::null_mut(), ClockPage::BYTES, protection, libc::MAP_SHARED, file, 0)
            }
            false => libc::MAP_FAILED,
        };
        libc::close(file);
        if mapping == libc::MAP_FAILED {
            return;
        }
        let page: *mut ClockPage = mapping.cast();
        if (*page).is_known() {
            PAGE.store(page, Ordering::Release);
        }
    }
}
