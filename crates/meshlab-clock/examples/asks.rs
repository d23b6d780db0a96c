//! Asks both clocks, once for each line of its input, and writes them in nanoseconds: since 1970,
//! and since it was started.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::time::{Instant, SystemTime};

fn main() {
    let started = Instant::now();
    for _ in std::io::stdin().lines().map_while(Result::ok) {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        println!("{} {}", wall.as_nanos(), started.elapsed().as_nanos());
    }
}
