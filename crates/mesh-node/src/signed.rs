//! Signed messages on gossip topics: version (1 byte), public key (32), signature (64), content
//! (postcard). The signature covers a domain, the topic and the content, so a message of another
//! topic, of another kind, or in another node's name is refused.

use iroh::{PublicKey, SecretKey, Signature};
use serde::{Serialize, de::DeserializeOwned};

/// Where the content begins.
const CONTENT: usize = 1 + PublicKey::LENGTH + Signature::LENGTH;

/// What messages of one kind have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// First byte of each.
    pub(crate) version: u8,
    /// Longest one that is looked at, in bytes.
    pub(crate) bytes_max: usize,
    /// What is signed begins with this.
    pub(crate) domain: &'static [u8],
}

/// Why a message is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsigned {
    /// Too short, too long, or other content.
    Malformed,
    /// Of a version that this node does not know.
    Version,
    /// Not signed by the key that it carries, or for another topic.
    Signature,
}

pub(crate) fn encode<T: Serialize>(
    bounds: Bounds,
    key: &SecretKey,
    topic: &[u8; 32],
    content: &T,
) -> Vec<u8> {
    // Plain numbers and text: the types that come here always serialise.
    sign(bounds, key, topic, &postcard::to_stdvec(content).unwrap_or_default())
}

/// Signs content that is written already, whatever it is.
pub(crate) fn sign(bounds: Bounds, key: &SecretKey, topic: &[u8; 32], content: &[u8]) -> Vec<u8> {
    let signature = key.sign(&[bounds.domain, topic, content].concat());
    let mut bytes = Vec::with_capacity(CONTENT + content.len());
    bytes.push(bounds.version);
    bytes.extend_from_slice(key.public().as_bytes());
    bytes.extend_from_slice(&signature.to_bytes());
    bytes.extend_from_slice(content);
    bytes
}

pub(crate) fn decode<T: DeserializeOwned>(
    bounds: Bounds,
    topic: &[u8; 32],
    bytes: &[u8],
) -> Result<(PublicKey, T), Unsigned> {
    match bytes.first() {
        None => return Err(Unsigned::Malformed),
        Some(version) if *version == bounds.version => {}
        Some(_) => return Err(Unsigned::Version),
    }
    if bytes.len() <= CONTENT || bytes.len() > bounds.bytes_max {
        return Err(Unsigned::Malformed);
    }
    let (head, content) = bytes.split_at(CONTENT);
    let (key, signature) = head[1..].split_at(PublicKey::LENGTH);
    let key = PublicKey::try_from(key).map_err(|_| Unsigned::Malformed)?;
    let signature = Signature::try_from(signature).map_err(|_| Unsigned::Malformed)?;
    key.verify(&[bounds.domain, topic, content].concat(), &signature)
        .map_err(|_| Unsigned::Signature)?;
    let content = crate::frame::parse(content).map_err(|_| Unsigned::Malformed)?;
    Ok((key, content))
}
