//! Digests of other nodes, as gossip delivers them. Random bytes stop at the signature, so the
//! same content is signed here too and has to pass every check behind it.
#![no_main]

use std::sync::LazyLock;

use iroh::SecretKey;
use libfuzzer_sys::fuzz_target;
use mesh_node::digest::Codec;

static READER: LazyLock<Codec> = LazyLock::new(|| Codec::new("m", SecretKey::from_bytes(&[2; 32])));
static SENDER: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_bytes(&[1; 32]));

fuzz_target!(|bytes: &[u8]| {
    let _ = READER.decode(bytes);
    if let Ok((_, digest)) = READER.decode(&READER.sign(&SENDER, bytes)) {
        // What is accepted is written as it was read.
        let again = Codec::new("m", SENDER.clone()).encode(&digest);
        assert_eq!(READER.decode(&again).map(|(_, digest)| digest), Ok(digest));
    }
});
