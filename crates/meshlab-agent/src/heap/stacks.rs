//! The callers of the function that runs, by frame pointers.
//!
//! Unwinding by tables costs 10 to 50 times as much, and an allocator is asked often. Programs need
//! `-C force-frame-pointers=yes`; where a caller was built without, the stack ends there.

use std::cell::Cell;

/// Most frames of a stack: those of a debug build are many, and the innermost say the most.
pub(crate) const FRAMES_MAX: usize = 64;

thread_local! {
    /// Lowest and highest address of this thread's stack; zero until they were asked for.
    static STACK: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Writes return addresses, the innermost first, and says how many there are.
#[inline(always)]
pub(crate) fn callers(into: &mut [usize; FRAMES_MAX]) -> usize {
    let (low, high) = STACK.with(|stack| {
        if stack.get().1 == 0 {
            stack.set(bounds());
        }
        stack.get()
    });
    let word = size_of::<usize>();
    let mut frame = frame_pointer();
    let mut found = 0;
    while found < FRAMES_MAX {
        // A frame that is not within this stack is no frame, but a register used otherwise.
        if frame < low || frame.saturating_add(2 * word) > high || !frame.is_multiple_of(word) {
            break;
        }
        // SAFETY: both words lie on this thread's stack, which is mapped up to `high`; `frame` is
        // above the stack pointer, because it began as a frame pointer and only grows.
        let (next, back) = unsafe { (*(frame as *const usize), *(frame as *const usize).add(1)) };
        if back == 0 {
            break;
        }
        into[found] = back;
        found += 1;
        // Outer frames lie higher: anything else would never end.
        if next <= frame {
            break;
        }
        frame = next;
    }
    found
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn frame_pointer() -> usize {
    let pointer: usize;
    // SAFETY: a register is read.
    unsafe { std::arch::asm!("mov {}, rbp", out(reg) pointer, options(nomem, nostack)) };
    pointer
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn frame_pointer() -> usize {
    let pointer: usize;
    // SAFETY: a register is read.
    unsafe { std::arch::asm!("mov {}, x29", out(reg) pointer, options(nomem, nostack)) };
    pointer
}

/// Elsewhere there are no stacks.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn frame_pointer() -> usize {
    0
}

/// Where this thread's stack lies; an empty place if the system does not say.
fn bounds() -> (usize, usize) {
    let nowhere = (usize::MAX, usize::MAX);
    // SAFETY: the attributes are written by the first call before they are read, and freed by the
    // last; what they point to is only compared with.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return nowhere;
        }
        let (mut low, mut size) = (std::ptr::null_mut(), 0);
        let asked = libc::pthread_attr_getstack(&attributes, &mut low, &mut size);
        libc::pthread_attr_destroy(&mut attributes);
        if asked == 0 { (low as usize, low as usize + size) } else { nowhere }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn deep(depth: usize) -> Vec<usize> {
        if depth > 0 {
            let mut found = deep(depth - 1);
            found.reserve(1);
            return found;
        }
        let mut frames = [0; FRAMES_MAX];
        let found = callers(&mut frames);
        frames[..found].to_vec()
    }

    #[test]
    fn a_stack_grows_with_its_calls_and_is_bounded() {
        let on_thread = |depth| std::thread::spawn(move || deep(depth)).join().unwrap();
        let (few, more) = (on_thread(1).len(), on_thread(11).len());
        assert_eq!(more, (few + 10).min(FRAMES_MAX));
        assert_eq!(deep(200).len(), FRAMES_MAX);
    }
}
