//! The digest: what a node says of itself, signed, in a few hundred bytes whatever the mesh's size.
//!
//! Gossip forwards messages, and what it calls their sender is only the last hop. So a digest
//! carries the public key it belongs to and a signature over the topic and the content: a digest of
//! another mesh, or in another node's name, is refused.
//!
//! Layout: version (1 byte), public key (32), signature (64), content (postcard).

use std::net::SocketAddr;

use iroh::{PublicKey, SecretKey};
use meshlab_wire::State;
use serde::{Deserialize, Serialize};

use crate::{
    load::Load,
    signed::{self, Bounds, Unsigned},
};

/// First byte of every digest.
const VERSION: u8 = 2;

/// Longest digest that is looked at, in bytes.
const BYTES_MAX: usize = 1024;

/// Addresses that a digest carries.
pub const ADDRESSES_MAX: usize = 4;

/// Tags that a digest carries.
pub const TAGS_MAX: usize = 8;

/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 32;

/// What is signed begins with this, so that no other use of the key yields a digest.
const BOUNDS: Bounds =
    Bounds { version: VERSION, bytes_max: BYTES_MAX, domain: b"mesh-node digest 2\0" };

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// `<mesh>.<role>.<6 hex>`.
    pub name: String,
    /// Where it is in its life; never [`State::Dead`].
    pub state: State,
    /// Grows from one start of the node to the next.
    pub incarnation: u64,
    /// Grows from one digest of an incarnation to the next.
    pub seq: u64,
    /// Where it can be dialled.
    pub addresses: Vec<SocketAddr>,
    /// What it is good for, as words or `key=value`.
    pub tags: Vec<String>,
    /// How many peers it knows.
    pub peers: u32,
    /// Share of one core that it uses, in thousandths.
    pub cpu_permille: u32,
    /// Its resident memory, in MiB.
    pub rss_mib: u32,
}

impl Digest {
    /// Takes over what the node uses.
    pub(crate) fn set_load(&mut self, load: Load) {
        (self.cpu_permille, self.rss_mib) = (load.cpu_permille, load.rss_mib);
    }
}

/// Why a digest is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
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
    pub fn as_str(self) -> &'static str {
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

impl From<Unsigned> for Refusal {
    fn from(why: Unsigned) -> Self {
        match why {
            Unsigned::Malformed => Self::Malformed,
            Unsigned::Version => Self::Version,
            Unsigned::Signature => Self::Signature,
        }
    }
}

/// Digests of one mesh, as one node writes and reads them.
#[derive(Debug, Clone)]
pub struct Codec {
    mesh: String,
    topic: [u8; 32],
    key: SecretKey,
}

impl Codec {
    /// For the node with `key` in `mesh`.
    pub fn new(mesh: &str, key: SecretKey) -> Self {
        Self { mesh: mesh.to_owned(), topic: topic(mesh), key }
    }

    /// Signs and writes a digest.
    pub fn encode(&self, digest: &Digest) -> Vec<u8> {
        signed::encode(BOUNDS, &self.key, &self.topic, digest)
    }

    /// Signs any bytes as a digest of this mesh: fuzzing would not get past the signature.
    #[doc(hidden)]
    pub fn sign(&self, key: &SecretKey, content: &[u8]) -> Vec<u8> {
        signed::sign(BOUNDS, key, &self.topic, content)
    }

    /// Reads a digest of another node, whoever delivered it.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(&self, bytes: &[u8]) -> Result<(PublicKey, Digest), Refusal> {
        let (key, digest) = signed::decode(BOUNDS, &self.topic, bytes)?;
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
        let tags = &digest.tags;
        if tags.len() > TAGS_MAX
            || tags.iter().any(|tag| tag.len() > TAG_BYTES_MAX)
            || digest.addresses.len() > ADDRESSES_MAX
        {
            return Err(Refusal::Malformed);
        }
        Ok(())
    }
}

/// The gossip topic of a mesh.
pub fn topic(mesh: &str) -> [u8; 32] {
    *blake3::hash(mesh.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codec(mesh: &str, seed: u8) -> Codec {
        Codec::new(mesh, SecretKey::from_bytes(&[seed; 32]))
    }

    fn digest(codec: &Codec) -> Digest {
        Digest {
            name: crate::identity::name(&codec.mesh, "broker", &codec.key.public()),
            state: State::Alive,
            incarnation: 1_800_000_000_000_000,
            seq: 7,
            addresses: vec!["198.18.0.1:7777".parse().unwrap()],
            tags: vec!["model=small".to_owned()],
            peers: 9_999,
            cpu_permille: 12,
            rss_mib: 14,
        }
    }

    #[test]
    fn a_digest_survives_the_wire_and_is_small() {
        let (sender, reader) = (codec("m", 1), codec("m", 2));
        let bytes = sender.encode(&digest(&sender));
        assert!(bytes.len() < 180, "{} bytes", bytes.len());
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
        let tags = vec!["x".to_owned(); TAGS_MAX + 1];
        let greedy = Digest { tags, ..digest(&sender) };
        assert_eq!(reader.decode(&sender.encode(&greedy)), Err(Refusal::Malformed));
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
