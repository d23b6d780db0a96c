//! Who may order what: capabilities that root in the operator's key.
//!
//! The format and its checks are those of the `rcan` crate: a chain of signed, expiring tokens,
//! each from one key to the next, the first one signed by the operator. What is added here is a
//! reason in a word for each refusal, a bound, and a memory against repeated orders.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use data_encoding::BASE32_NOPAD;
use iroh::{PublicKey, SecretKey};
use rcan::{Authorizer, CapabilityOrigin, Expires, Rcan};
use serde::{Deserialize, Serialize};

/// Longest chain that is looked at.
const CHAIN_MAX: usize = 8;

/// Longest encoded token, in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

/// Senders whose last order is remembered.
const SENDERS_MAX: usize = 1024;

/// A set of acts that can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acts(u8);

impl Acts {
    /// To leave and exit.
    pub const SHUTDOWN: Self = Self(1);
    /// To enter a state.
    pub const SET_STATE: Self = Self(2);

    /// The set with these names: `shutdown`, `set-state`.
    ///
    /// # Errors
    /// A name that is none of them.
    pub fn from_names(names: &str) -> Result<Self, String> {
        names.split(',').map(str::trim).try_fold(Self(0), |acts, name| match name {
            "shutdown" => Ok(Self(acts.0 | Self::SHUTDOWN.0)),
            "set-state" | "set_state" => Ok(Self(acts.0 | Self::SET_STATE.0)),
            other => Err(format!("`{other}` is none of shutdown, set-state")),
        })
    }

    fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// The mesh whose nodes may be ordered; `None` for every mesh of this operator.
    pub mesh: Option<String>,
    /// What they may be ordered to do.
    pub acts: Acts,
}

impl rcan::Capability for Capability {
    fn permits(&self, other: &Self) -> bool {
        (self.mesh.is_none() || self.mesh == other.mesh) && self.acts.includes(other.acts)
    }
}

/// Why an order is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// This node was given no operator, so nobody may order it.
    NoOperator,
    /// No token that can be read, or a chain that is too long.
    Malformed,
    /// The chain does not begin with the operator, or one of its links is not joined to the next.
    Unrooted,
    /// The chain ends in another key than the sender's.
    NotYours,
    /// A token is past its time.
    Expired,
    /// A token gives more than the one it rests on.
    Widened,
    /// The chain is good and does not cover this.
    NotPermitted,
    /// The order was seen before.
    Replayed,
    /// The order is for another node.
    NotForMe,
}

impl Denial {
    /// The reason in a word, as spans carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoOperator => "no-operator",
            Self::Malformed => "malformed",
            Self::Unrooted => "unrooted",
            Self::NotYours => "not-yours",
            Self::Expired => "expired",
            Self::Widened => "widened",
            Self::NotPermitted => "not-permitted",
            Self::Replayed => "replayed",
            Self::NotForMe => "not-for-me",
        }
    }
}

/// Signs a token: `from` allows `to` what `capability` says. With a `parent` it hands on a part of
/// what it was given itself.
pub fn grant(
    from: &SecretKey,
    to: &PublicKey,
    capability: Capability,
    valid_for: Option<Duration>,
    parent: Option<&Rcan<Capability>>,
) -> Rcan<Capability> {
    let (issuer, audience) = (from.as_signing_key(), to.as_verifying_key());
    let builder = match parent {
        None => Rcan::issuing_builder(issuer, audience, capability),
        Some(parent) => {
            Rcan::delegating_builder(issuer, audience, *parent.capability_issuer(), capability)
        }
    };
    builder.sign(valid_for.map_or(Expires::Never, Expires::valid_for))
}

/// A chain of tokens as one text: each in base32, with dots between.
pub fn to_text(chain: &[Vec<u8>]) -> String {
    chain.iter().map(|token| BASE32_NOPAD.encode(token)).collect::<Vec<_>>().join(".")
}

/// Reads what [`to_text`] wrote. Whether it is any good is for whoever is ordered to say.
///
/// # Errors
/// No base32, or too much of it.
pub fn from_text(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let tokens: Vec<&str> = text.trim().split('.').collect();
    if tokens.len() > CHAIN_MAX {
        return Err(format!("a chain of {} tokens, at most {CHAIN_MAX} are used", tokens.len()));
    }
    let decode = |token: &&str| {
        BASE32_NOPAD.decode(token.as_bytes()).map_err(|error| format!("no base32: {error}"))
    };
    tokens.iter().map(decode).collect()
}

/// Whether `sender` may have `wanted` done, by this chain of tokens, at `now`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check(
    operator: Option<&PublicKey>,
    sender: &PublicKey,
    wanted: &Capability,
    chain: &[Vec<u8>],
    now: SystemTime,
) -> Result<(), Denial> {
    let operator = operator.ok_or(Denial::NoOperator)?.as_verifying_key();
    if chain.len() > CHAIN_MAX || chain.iter().any(|token| token.len() > TOKEN_BYTES_MAX) {
        return Err(Denial::Malformed);
    }
    // Decoding verifies each signature.
    let chain: Vec<Rcan<Capability>> = chain
        .iter()
        .map(|token| Rcan::decode(token).map_err(|_| Denial::Malformed))
        .collect::<Result<_, _>>()?;
    let mut issuer = operator;
    for (place, token) in chain.iter().enumerate() {
        let roots = match token.capability_origin() {
            CapabilityOrigin::Issuer => place == 0,
            CapabilityOrigin::Delegation(root) => place > 0 && *root == operator,
        };
        if *token.issuer() != issuer || !roots {
            return Err(Denial::Unrooted);
        }
        if !token.expires().is_valid_at(now) {
            return Err(Denial::Expired);
        }
        issuer = *token.audience();
    }
    let widened = |pair: &[Rcan<Capability>]| {
        !rcan::Capability::permits(pair[0].capability(), pair[1].capability())
    };
    if chain.windows(2).any(widened) {
        return Err(Denial::Widened);
    }
    if issuer != sender.as_verifying_key() {
        return Err(if chain.is_empty() { Denial::Unrooted } else { Denial::NotYours });
    }
    let chain: Vec<&Rcan<Capability>> = chain.iter().collect();
    Authorizer::new(operator)
        .check_invocation_from(sender.as_verifying_key(), wanted.clone(), &chain)
        .map_err(|_| Denial::NotPermitted)
}

/// Place of an order among all orders of its sender: the start of the sender, then a count.
pub type Serial = (u64, u64);

/// The last order of each sender, so that none is carried out twice.
#[derive(Debug, Default)]
pub struct Seen {
    last: BTreeMap<PublicKey, Serial>,
    order: std::collections::VecDeque<PublicKey>,
}

impl Seen {
    /// Takes note of an order.
    ///
    /// # Errors
    /// It is not newer than the last one of the same sender.
    pub fn note(&mut self, sender: PublicKey, serial: Serial) -> Result<(), Denial> {
        if self.last.get(&sender).is_some_and(|last| serial <= *last) {
            return Err(Denial::Replayed);
        }
        if self.last.insert(sender, serial).is_none() {
            self.order.push_back(sender);
            if self.order.len() > SENDERS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.last.remove(&oldest);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_bytes(&[seed; 32])
    }

    fn shutdown(mesh: Option<&str>) -> Capability {
        Capability { mesh: mesh.map(str::to_owned), acts: Acts::SHUTDOWN }
    }

    fn hour() -> Option<Duration> {
        Some(Duration::from_secs(3600))
    }

    /// Asks as key 2, whose operator is key 1, to shut down a node of mesh2.
    fn ask(chain: &[&Rcan<Capability>]) -> Result<(), Denial> {
        let chain: Vec<Vec<u8>> = chain.iter().map(|token| token.encode()).collect();
        let now = SystemTime::now();
        check(Some(&key(1).public()), &key(2).public(), &shutdown(Some("mesh2")), &chain, now)
    }

    #[test]
    fn a_rooted_chain_is_accepted_directly_and_by_delegation() {
        let direct = grant(&key(1), &key(2).public(), shutdown(None), hour(), None);
        assert_eq!(ask(&[&direct]), Ok(()));
        let to_other = grant(&key(1), &key(3).public(), shutdown(None), hour(), None);
        let handed_on =
            grant(&key(3), &key(2).public(), shutdown(Some("mesh2")), hour(), Some(&to_other));
        assert_eq!(ask(&[&to_other, &handed_on]), Ok(()));
    }

    #[test]
    fn each_bad_chain_is_refused_with_its_reason() {
        assert_eq!(ask(&[]), Err(Denial::Unrooted), "no token at all");
        let self_made = grant(&key(2), &key(2).public(), shutdown(None), hour(), None);
        assert_eq!(ask(&[&self_made]), Err(Denial::Unrooted));
        let expired = grant(&key(1), &key(2).public(), shutdown(None), hour(), None);
        let later = SystemTime::now() + Duration::from_secs(3700);
        let late = check(
            Some(&key(1).public()),
            &key(2).public(),
            &shutdown(Some("mesh2")),
            &[expired.encode()],
            later,
        );
        assert_eq!(late, Err(Denial::Expired));
        let narrow = grant(&key(1), &key(3).public(), shutdown(Some("mesh1")), hour(), None);
        let widened = grant(&key(3), &key(2).public(), shutdown(None), hour(), Some(&narrow));
        assert_eq!(ask(&[&narrow, &widened]), Err(Denial::Widened));
        let elsewhere = grant(&key(1), &key(2).public(), shutdown(Some("mesh1")), hour(), None);
        assert_eq!(ask(&[&elsewhere]), Err(Denial::NotPermitted));
        let other_act = Capability { mesh: None, acts: Acts::SET_STATE };
        let other_act = grant(&key(1), &key(2).public(), other_act, hour(), None);
        assert_eq!(ask(&[&other_act]), Err(Denial::NotPermitted));
        let stolen = grant(&key(1), &key(4).public(), shutdown(None), hour(), None);
        assert_eq!(ask(&[&stolen]), Err(Denial::NotYours));
        let loose = grant(&key(5), &key(2).public(), shutdown(None), hour(), Some(&narrow));
        assert_eq!(ask(&[&narrow, &loose]), Err(Denial::Unrooted), "key 5 was given nothing");
    }

    #[test]
    fn what_is_no_token_is_malformed_and_no_operator_means_nobody() {
        let wanted = shutdown(None);
        let now = SystemTime::now();
        let (one, two) = (key(1).public(), key(2).public());
        let good = grant(&key(1), &two, wanted.clone(), hour(), None).encode();
        assert_eq!(
            check(None, &two, &wanted, std::slice::from_ref(&good), now),
            Err(Denial::NoOperator)
        );
        for place in 0..good.len() {
            let mut changed = good.clone();
            changed[place] ^= 1;
            assert!(check(Some(&one), &two, &wanted, &[changed], now).is_err(), "byte {place}");
        }
        let many = vec![good; CHAIN_MAX + 1];
        assert_eq!(check(Some(&one), &two, &wanted, &many, now), Err(Denial::Malformed));
    }

    #[test]
    fn an_order_is_carried_out_once_and_memory_is_bounded() {
        let mut seen = Seen::default();
        assert_eq!(seen.note(key(1).public(), (5, 1)), Ok(()));
        assert_eq!(seen.note(key(1).public(), (5, 1)), Err(Denial::Replayed));
        assert_eq!(seen.note(key(1).public(), (4, 9)), Err(Denial::Replayed));
        assert_eq!(seen.note(key(1).public(), (5, 2)), Ok(()));
        assert_eq!(seen.note(key(2).public(), (1, 1)), Ok(()), "another sender");
        for seed in 0..=u16::try_from(SENDERS_MAX).unwrap() {
            let mut bytes = [7; 32];
            bytes[..2].copy_from_slice(&seed.to_be_bytes());
            seen.note(SecretKey::from_bytes(&bytes).public(), (1, 1)).unwrap();
        }
        assert_eq!(seen.last.len(), SENDERS_MAX);
    }

    #[test]
    fn a_chain_survives_as_text() {
        let chain = vec![vec![1, 2, 3], vec![255; 40]];
        assert_eq!(from_text(&to_text(&chain)), Ok(chain));
        assert!(from_text("not base32!").is_err());
        assert!(from_text(&["AA"; CHAIN_MAX + 1].join(".")).is_err());
    }
}
