//! Chains of capabilities, as orders carry them and as operators paste them.
#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use iroh::SecretKey;
use libfuzzer_sys::fuzz_target;
use mesh_node::authority::{Acts, Capability, check, from_text, to_text};

static OPERATOR: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_bytes(&[1; 32]));
static SENDER: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_bytes(&[2; 32]));

/// Nobody signed for the sender: whatever the bytes are, it may do nothing.
fn refused(chain: &[Vec<u8>]) {
    let wanted = Capability { mesh: Some("m".to_owned()), acts: Acts::SHUTDOWN };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let verdict = check(Some(&OPERATOR.public()), &SENDER.public(), &wanted, chain, now);
    assert!(verdict.is_err(), "a chain out of nothing was accepted");
}

fuzz_target!(|bytes: &[u8]| {
    refused(&[bytes.to_vec()]);
    let chain: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'.').map(<[u8]>::to_vec).collect();
    refused(&chain);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(chain) = from_text(text)
    {
        refused(&chain);
        assert_eq!(from_text(&to_text(&chain)).as_ref(), Ok(&chain));
    }
});
