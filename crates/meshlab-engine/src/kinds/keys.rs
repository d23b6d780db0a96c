//! Identities that the harness makes for programs that take one.

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::SigningKey;
use meshlab_model::NodeId;
use sha2::{Digest, Sha256};

/// An Ed25519 key that belongs to a node for the length of a run.
#[derive(Clone)]
pub(crate) struct KeyPair(SigningKey);

impl KeyPair {
    /// That of a node: the same for the same seed of a run, so that a run can be replayed. It
    /// guards nothing but the traffic of a lab.
    pub(crate) fn of(run_seed: u64, node: &NodeId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"meshlab kind identity 1");
        hash.update(run_seed.to_le_bytes());
        hash.update(node.as_str().as_bytes());
        Self(SigningKey::from_bytes(&hash.finalize().into()))
    }

    pub(crate) fn secret_hex(&self) -> String {
        HEXLOWER.encode(&self.0.to_bytes())
    }

    pub(crate) fn secret_base64(&self) -> String {
        BASE64.encode(&self.0.to_bytes())
    }

    pub(crate) fn public_hex(&self) -> String {
        HEXLOWER.encode(self.0.verifying_key().as_bytes())
    }

    pub(crate) fn public_base64(&self) -> String {
        BASE64.encode(self.0.verifying_key().as_bytes())
    }
}
