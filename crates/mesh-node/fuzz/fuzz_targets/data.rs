//! The beginning of a stream of work, and the other side's word on it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_node::{
    data::{Opening, Word},
    frame::parse,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(opening) = parse::<Opening>(bytes) {
        let again = postcard::to_stdvec(&opening).expect("what was read can be written");
        assert_eq!(parse::<Opening>(&again).expect("and read again"), opening);
    }
    if let Ok(word) = parse::<Word>(bytes) {
        let again = postcard::to_stdvec(&word).expect("what was read can be written");
        assert_eq!(parse::<Word>(&again).expect("and read again"), word);
    }
});
