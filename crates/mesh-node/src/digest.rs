//! The digest: what a node says of itself, signed, in a few hundred bytes whatever the mesh's size.
//!
//! Gossip forwards messages, and what it calls their sender is only the last hop. So a digest
//! carries the public key it belongs to and a signature over the topic and the content: a digest of
//! another mesh, or in another node's name, is refused.
//!
//! Layout: version (1 byte), public key (32), signature (64), content (JSON).

use iroh::{PublicKey, SecretKey, Signature};
use meshlab_wire::State;
use serde::{Deserialize, Serialize};

/// First byte of every digest.
const VERSION: u8 = 1;

/// Where the content begins.
const CONTENT: usize = 1 + PublicKey::LENGTH + Signature::LENGTH;

/// Longest digest that is looked at, in bytes.
const BYTES_MAX: usize = 1024;

/// What is signed begins with this, so that no other use of the key yields a digest.
const DOMAIN: &[u8] = b"mesh-node digest 1\0";

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Digest {
    /// `<mesh>.<role>.<6 hex>`.
    pub(crate) name: String,
    /// Where it is in its life; never [`State::Dead`].
    pub(crate) state: State,
    /// Grows from one start of the node to the next.
    pub(crate) incarnation: u64,
    /// Grows from one digest of an incarnation to the next.
    pub(crate) seq: u64,
}

/// Why a digest is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too short, too long, or no content of a digest.
    Malformed,
    /// Of a version that this node does not know.
    Version,
    /// Not signed by the key that it carries, or for another mesh.
    Signature,
    /// The name does not belong to the key or the mesh.
    Name,
    /// Announces a state that nobody announces.
    State,
    /// Signed with this node's own key, by somebody else.
    OwnKey,
}

impl Refusal {
    /// The reason in a word, as spans carry it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Signature => "signature",
            Self::Name => "name",
            Self::State => "state",
            Self::OwnKey => "own-key",
        }
    }
}

/// Digests of one mesh, as one node writes and reads them.
#[derive(Debug, Clone)]
pub(crate) struct Codec {
    mesh: String,
    topic: [u8; 32],
    key: SecretKey,
}

impl Codec {
    pub(crate) fn new(mesh: &str, key: SecretKey) -> Self {
        Self { mesh: mesh.to_owned(), topic: topic(mesh), key }
    }

    /// Signs and writes a digest.
    pub(crate) fn encode(&self, digest: &Digest) -> Vec<u8> {
        // Plain numbers and text: this type always serialises.
        let content = serde_json::to_vec(digest).unwrap_or_default();
        let signature = self.key.sign(&signed(&self.topic, &content));
        let mut bytes = Vec::with_capacity(CONTENT + content.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(self.key.public().as_bytes());
        bytes.extend_from_slice(&signature.to_bytes());
        bytes.extend_from_slice(&content);
        bytes
    }

    /// Reads a digest of another node, whoever delivered it.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<(PublicKey, Digest), Refusal> {
        match bytes.first() {
            None => return Err(Refusal::Malformed),
            Some(&VERSION) => {}
            Some(_) => return Err(Refusal::Version),
        }
        if bytes.len() <= CONTENT || bytes.len() > BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let (head, content) = bytes.split_at(CONTENT);
        let (key, signature) = head[1..].split_at(PublicKey::LENGTH);
        let key = PublicKey::try_from(key).map_err(|_| Refusal::Malformed)?;
        let signature = Signature::try_from(signature).map_err(|_| Refusal::Malformed)?;
        key.verify(&signed(&self.topic, content), &signature).map_err(|_| Refusal::Signature)?;
        let digest: Digest = serde_json::from_slice(content).map_err(|_| Refusal::Malformed)?;
        self.check(&key, &digest)?;
        Ok((key, digest))
    }

    fn check(&self, key: &PublicKey, digest: &Digest) -> Result<(), Refusal> {
        let mut parts = digest.name.split('.');
        let (mesh, role) = (parts.next(), parts.next());
        let role = role.filter(|role| !role.is_empty()).ok_or(Refusal::Name)?;
        if mesh != Some(self.mesh.as_str())
            || digest.name != crate::identity::name(&self.mesh, role, key)
        {
            return Err(Refusal::Name);
        }
        if digest.state == State::Dead {
            return Err(Refusal::State);
        }
        if *key == self.key.public() {
            return Err(Refusal::OwnKey);
        }
        Ok(())
    }
}

/// The gossip topic of a mesh.
pub(crate) fn topic(mesh: &str) -> [u8; 32] {
    *blake3::hash(mesh.as_bytes()).as_bytes()
}

fn signed(topic: &[u8; 32], content: &[u8]) -> Vec<u8> {
    [DOMAIN, topic, content].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codec(mesh: &str, seed: u8) -> Codec {
        Codec::new(mesh, SecretKey::from_bytes(&[seed; 32]))
    }

    fn digest(codec: &Codec) -> Digest {
        let name = crate::identity::name(&codec.mesh, "broker", &codec.key.public());
        Digest { name, state: State::Alive, incarnation: 1_800_000_000_000_000, seq: 7 }
    }

    #[test]
    fn a_digest_survives_the_wire_and_is_small() {
        let (sender, reader) = (codec("m", 1), codec("m", 2));
        let bytes = sender.encode(&digest(&sender));
        assert!(bytes.len() < 256, "{} bytes", bytes.len());
        assert_eq!(reader.decode(&bytes), Ok((sender.key.public(), digest(&sender))));
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let (sender, reader) = (codec("m", 1), codec("m", 2));
        let bytes = sender.encode(&digest(&sender));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(reader.decode(&changed).is_err(), "byte {at}");
        }
        let mut content = bytes.clone();
        *content.last_mut().unwrap() ^= 1;
        assert_eq!(reader.decode(&content), Err(Refusal::Signature));
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let (sender, reader) = (codec("m", 1), codec("m", 2));
        let mut unknown = sender.encode(&digest(&sender));
        unknown[0] = VERSION + 1;
        assert_eq!(reader.decode(&unknown), Err(Refusal::Version));
        let other = codec("other", 1);
        assert_eq!(reader.decode(&other.encode(&digest(&other))), Err(Refusal::Signature));
        let borrowed = Digest { name: digest(&reader).name, ..digest(&sender) };
        assert_eq!(reader.decode(&sender.encode(&borrowed)), Err(Refusal::Name));
        let dead = Digest { state: State::Dead, ..digest(&sender) };
        assert_eq!(reader.decode(&sender.encode(&dead)), Err(Refusal::State));
        assert_eq!(sender.decode(&sender.encode(&digest(&sender))), Err(Refusal::OwnKey));
        assert_eq!(reader.decode(&[VERSION; BYTES_MAX + 1]), Err(Refusal::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(codec("m", 2).decode(&bytes).is_err());
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            prop_assert!(codec("m", 2).decode(&bytes).is_err());
        }
    }
}
