//! What looks like a leak in its first minutes and is none: nobody may be alarmed by it.

use std::time::Duration;

use super::{Defect, has};

const MIB: usize = 1024 * 1024;

/// An entry of the cache, and how much it holds when it is full.
const ENTRY: usize = 64 * 1024;
const CACHE: usize = 2 * MIB;

/// Starts those that need no cause.
pub(super) fn begin() {
    if has(Defect::LookalikeWarmUp) {
        // Half of what is missing each 10 s: 3 MB, nearly all of it in the first minute.
        tokio::spawn(hold((0..10).map(|step| (Duration::from_secs(10), (3 * MIB) >> (step + 1)))));
    }
    if has(Defect::LookalikeSteps) {
        tokio::spawn(hold((0..3).map(|_| (Duration::from_secs(55), MIB))));
    }
}

/// Takes so much memory after each wait, and holds it for as long as the process lives.
async fn hold(steps: impl Iterator<Item = (Duration, usize)>) {
    let mut held = Vec::new();
    for (wait, bytes) in steps {
        tokio::time::sleep(wait).await;
        held.push(touched(bytes));
    }
    std::future::pending::<()>().await;
    drop(held);
}

/// One more entry, until the cache is full; then the oldest goes.
pub(super) fn fill(cache: &mut Vec<Vec<u8>>) {
    if !has(Defect::LookalikeCache) {
        return;
    }
    if cache.len() * ENTRY >= CACHE {
        cache.remove(0);
    }
    cache.push(touched(ENTRY));
}

/// Memory that is resident: a page that was never written is not.
fn touched(bytes: usize) -> Vec<u8> {
    vec![0xa5; bytes]
}
