//! A segment of spans, and what stands beside it as its index.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshlab_results::fuzz_segment;

fuzz_target!(|input: (&[u8], &[u8])| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    fuzz_segment(folder.path(), input.0, input.1);
});
