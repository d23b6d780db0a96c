//! The summary of a mesh, as its publisher broadcasts it to all meshes.

use iroh::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};

use crate::{
    digest::Refusal,
    signed::{self, Bounds},
};

/// Contacts that a summary carries.
pub const CONTACTS_MAX: usize = 4;

const BOUNDS: Bounds = Bounds { version: 1, bytes_max: 2048, domain: b"mesh-node summary 1\0" };

/// What a mesh says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the publishing node; its mesh is what the summary is about.
    pub publisher: String,
    /// Grows from one start of the publisher to the next.
    pub incarnation: u64,
    /// Grows from one summary of an incarnation to the next.
    pub seq: u64,
    /// How long it stands, in milliseconds, counted from when it is heard.
    pub lease_ms: u64,
    /// How many nodes the mesh has.
    pub nodes: u32,
    /// Nodes that can be asked about others of the mesh.
    pub contacts: Vec<SummaryContact>,
}

/// A node that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryContact {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: [u8; 32],
    /// Where it can be dialled.
    pub addresses: Vec<std::net::SocketAddr>,
}

impl Summary {
    /// The mesh that it is about.
    pub fn mesh(&self) -> &str {
        self.publisher.split('.').next().unwrap_or_default()
    }
}

/// The topic that all meshes share.
pub fn topic() -> [u8; 32] {
    *blake3::hash(b"mesh-node backbone 1").as_bytes()
}

/// Signs and writes a summary.
pub fn encode(key: &SecretKey, summary: &Summary) -> Vec<u8> {
    signed::encode(BOUNDS, key, &topic(), summary)
}

/// Signs any bytes as a summary: fuzzing would not get past the signature.
#[doc(hidden)]
pub fn sign(key: &SecretKey, content: &[u8]) -> Vec<u8> {
    signed::sign(BOUNDS, key, &topic(), content)
}

/// Reads a summary, whoever delivered it.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<(PublicKey, Summary), Refusal> {
    let (key, summary): (_, Summary) = signed::decode(BOUNDS, &topic(), bytes)?;
    let role = summary.publisher.split('.').nth(1).filter(|role| !role.is_empty());
    let name = role.map(|role| crate::identity::name(summary.mesh(), role, &key));
    if summary.mesh().is_empty() || name.as_ref() != Some(&summary.publisher) {
        return Err(Refusal::Name);
    }
    let foreign = |contact: &SummaryContact| {
        contact.name.split('.').next() != Some(summary.mesh()) || contact.addresses.len() > 8
    };
    if summary.contacts.len() > CONTACTS_MAX || summary.contacts.iter().any(foreign) {
        return Err(Refusal::Malformed);
    }
    Ok((key, summary))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn summary(key: &SecretKey) -> Summary {
        let contact = SummaryContact {
            name: "mesh2.broker.aabbcc".to_owned(),
            key: [7; 32],
            addresses: vec![
                "198.18.0.9:7777".parse().unwrap(),
                "[2001:db8::9]:7777".parse().unwrap(),
            ],
        };
        Summary {
            publisher: crate::identity::name("mesh2", "broker", &key.public()),
            incarnation: 1_800_000_000_000_000,
            seq: 3,
            lease_ms: 12_000,
            nodes: 9,
            contacts: vec![contact; CONTACTS_MAX],
        }
    }

    #[test]
    fn a_summary_survives_the_wire_and_fits_a_gossip_message() {
        let key = SecretKey::from_bytes(&[3; 32]);
        let bytes = encode(&key, &summary(&key));
        assert!(bytes.len() < 700, "{} bytes", bytes.len());
        assert_eq!(decode(&bytes), Ok((key.public(), summary(&key))));
    }

    #[test]
    fn nobody_speaks_in_anothers_name_or_for_anothers_nodes() {
        let (key, other) = (SecretKey::from_bytes(&[3; 32]), SecretKey::from_bytes(&[4; 32]));
        assert_eq!(decode(&encode(&other, &summary(&key))), Err(Refusal::Name));
        let mut foreign = summary(&key);
        foreign.contacts[0].name = "mesh1.broker.aabbcc".to_owned();
        assert_eq!(decode(&encode(&key, &foreign)), Err(Refusal::Malformed));
        let bytes = encode(&key, &summary(&key));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&changed).is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(decode(&bytes).is_err());
            if let Some(first) = bytes.first_mut() {
                *first = BOUNDS.version;
            }
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
