//! A kilobyte that is kept for each connection and never given back: a planted leak, for the heap
//! profile to name. `MESH_NODE_LEAK=on` plants it; it is in no program without the feature.

use std::sync::{LazyLock, Mutex, PoisonError};

/// What is kept for a connection.
const BYTES: usize = 1024;

static PLANTED: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("MESH_NODE_LEAK").is_some_and(|value| value == "on"));

static KEPT: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

pub(crate) fn connection_opened() {
    if *PLANTED {
        keep_a_kilobyte();
    }
}

/// The allocation site that the profile has to name.
#[inline(never)]
fn keep_a_kilobyte() {
    let kilobyte = vec![1; BYTES].into_boxed_slice();
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(kilobyte);
}
