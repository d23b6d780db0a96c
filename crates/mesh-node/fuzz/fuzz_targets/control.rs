//! What a peer says on the control protocol, and what it answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_node::{
    control::{Answer, Request},
    frame::parse,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = parse::<Request>(bytes) {
        let again = postcard::to_stdvec(&request).expect("what was read can be written");
        assert_eq!(parse::<Request>(&again).expect("and read again"), request);
    }
    let _ = parse::<Answer>(bytes);
});
