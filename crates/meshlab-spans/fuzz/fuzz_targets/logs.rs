//! Bodies of `POST /v1/logs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = meshlab_spans::fuzz_logs(bytes);
});
