//! Lines that the harness sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshlab_wire::{decode_request, encode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = decode_request(bytes) {
        assert!(decode_request(&encode(&message)).is_ok(), "what was read can be written and read");
    }
});
