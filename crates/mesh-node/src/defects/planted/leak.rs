//! A kilobyte that is kept for each connection and never given back, for the heap profile to name.

use std::sync::{Mutex, PoisonError};

use super::{Defect, has};

/// What is kept for a connection.
const BYTES: usize = 1024;

static KEPT: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

pub(crate) fn connection_opened() {
    if has(Defect::KilobytePerConnection) {
        keep_a_kilobyte();
    }
}

/// The allocation site that the profile has to name.
#[inline(never)]
fn keep_a_kilobyte() {
    let kilobyte = vec![1; BYTES].into_boxed_slice();
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(kilobyte);
}
