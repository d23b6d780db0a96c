//! Lines that a node sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshlab_wire::{decode_message, encode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = decode_message(bytes) {
        assert!(decode_message(&encode(&message)).is_ok(), "what was read can be written and read");
    }
});
