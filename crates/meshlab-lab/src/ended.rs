//! The end of a piece of work, for threads that go on until they are told of it.

use std::sync::atomic::{AtomicBool, Ordering};

/// Sets a flag when it is dropped, so also when the work panics: a scope waits for its threads
/// before it lets a panic through, and for ever if nobody tells them.
pub(crate) struct SetAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
