//! Summaries of meshes, as gossip delivers them; signed here too, as digests are.
#![no_main]

use std::sync::LazyLock;

use iroh::SecretKey;
use libfuzzer_sys::fuzz_target;
use mesh_node::backbone::summary;

static SENDER: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_bytes(&[1; 32]));

fuzz_target!(|bytes: &[u8]| {
    let _ = summary::decode(bytes);
    if let Ok((_, read)) = summary::decode(&summary::sign(&SENDER, bytes)) {
        let again = summary::encode(&SENDER, &read);
        assert_eq!(summary::decode(&again).map(|(_, summary)| summary), Ok(read));
    }
});
