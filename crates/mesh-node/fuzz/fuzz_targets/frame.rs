//! Frames: what the head says of the length, and bytes that should be one message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_node::frame::{MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX, length, parse};

fuzz_target!(|bytes: &[u8]| {
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return };
    for max in [MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX] {
        assert!(
            length(*head, max).is_ok_and(|length| length <= max) || length(*head, max).is_err()
        );
    }
    let _ = parse::<(String, u64)>(rest);
    let _ = parse::<Vec<Vec<u8>>>(rest);
});
