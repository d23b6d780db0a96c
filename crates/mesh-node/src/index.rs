//! An index over the directory: by name, role, mesh, state, tag, and by number.
//!
//! A question is answered from its smallest set: each equality names a set of keys, a bound names
//! a stretch of an ordered set, and what the smallest of them holds is checked against the rest.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::RangeInclusive,
};

use iroh::PublicKey;
use meshlab_wire::State;

use crate::directory::Peer;

/// A number of a peer that can be asked for by bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Number {
    /// Share of one core, in thousandths.
    CpuPermille,
    /// Resident memory, in MiB.
    RssMib,
    /// How many peers it knows.
    Peers,
}

impl Number {
    const ALL: [Self; 3] = [Self::CpuPermille, Self::RssMib, Self::Peers];

    fn of(self, peer: &Peer) -> u32 {
        match self {
            Self::CpuPermille => peer.cpu_permille,
            Self::RssMib => peer.rss_mib,
            Self::Peers => peer.peers,
        }
    }
}

/// Conditions that must all hold.
#[derive(Debug, Clone, Default)]
pub struct Query {
    words: Vec<Word>,
    bounds: Vec<(Number, RangeInclusive<u32>)>,
}

/// A condition of equality.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Word {
    Mesh(String),
    Role(String),
    State(State),
    Tag(String),
}

impl Word {
    fn matches(&self, peer: &Peer) -> bool {
        match self {
            Self::Mesh(mesh) => peer.mesh() == mesh,
            Self::Role(role) => peer.role() == role,
            Self::State(state) => peer.state == *state,
            Self::Tag(tag) => peer.tags.contains(tag),
        }
    }
}

impl Query {
    /// Everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of that mesh.
    #[must_use]
    pub fn mesh(mut self, mesh: &str) -> Self {
        self.words.push(Word::Mesh(mesh.to_owned()));
        self
    }

    /// In that role.
    #[must_use]
    pub fn role(mut self, role: &str) -> Self {
        self.words.push(Word::Role(role.to_owned()));
        self
    }

    /// In that state.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.words.push(Word::State(state));
        self
    }

    /// With that tag: a word, or `model=small`, `tool=search`.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.words.push(Word::Tag(tag.to_owned()));
        self
    }

    /// With a number within these bounds.
    #[must_use]
    pub fn between(mut self, number: Number, bounds: RangeInclusive<u32>) -> Self {
        self.bounds.push((number, bounds));
        self
    }

    /// Whether a peer meets every condition: the full scan that the index saves.
    pub fn matches(&self, peer: &Peer) -> bool {
        self.words.iter().all(|word| word.matches(peer))
            && self.bounds.iter().all(|(number, bounds)| bounds.contains(&number.of(peer)))
    }
}

/// Sets of keys by what they have in common. Whoever owns it tells it of each entry that comes,
/// and of the same entry when it goes.
#[derive(Debug, Default)]
pub(crate) struct Index {
    names: HashMap<String, BTreeSet<PublicKey>>,
    words: HashMap<Word, BTreeSet<PublicKey>>,
    numbers: BTreeMap<Number, BTreeMap<u32, BTreeSet<PublicKey>>>,
}

impl Index {
    pub(crate) fn insert(&mut self, key: &PublicKey, peer: &Peer) {
        self.names.entry(peer.name.clone()).or_default().insert(*key);
        for word in words(peer) {
            self.words.entry(word).or_default().insert(*key);
        }
        for number in Number::ALL {
            let sets = self.numbers.entry(number).or_default();
            sets.entry(number.of(peer)).or_default().insert(*key);
        }
    }

    pub(crate) fn remove(&mut self, key: &PublicKey, peer: &Peer) {
        take(&mut self.names, &peer.name, key);
        for word in words(peer) {
            take(&mut self.words, &word, key);
        }
        for number in Number::ALL {
            let Some(sets) = self.numbers.get_mut(&number) else { continue };
            if let Some(set) = sets.get_mut(&number.of(peer)) {
                set.remove(key);
                if set.is_empty() {
                    sets.remove(&number.of(peer));
                }
            }
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<PublicKey> {
        self.names.get(name)?.first().copied()
    }

    /// Keys whose entries meet the query; `check` looks at an entry.
    pub(crate) fn find(
        &self,
        query: &Query,
        check: impl Fn(&PublicKey, &Query) -> bool,
    ) -> Vec<PublicKey> {
        let alone = query.words.len() + query.bounds.len() == 1;
        let keep = |key: &PublicKey| alone || check(key, query);
        let mut smallest: Option<&BTreeSet<PublicKey>> = None;
        for word in &query.words {
            let Some(set) = self.words.get(word) else { return Vec::new() };
            if smallest.is_none_or(|smallest| set.len() < smallest.len()) {
                smallest = Some(set);
            }
        }
        if let Some(set) = smallest {
            return set.iter().filter(|key| keep(key)).copied().collect();
        }
        if let Some((number, bounds)) = query.bounds.first() {
            return self.stretch(*number, bounds, keep);
        }
        self.names.values().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn stretch(
        &self,
        number: Number,
        bounds: &RangeInclusive<u32>,
        keep: impl Fn(&PublicKey) -> bool,
    ) -> Vec<PublicKey> {
        let Some(sets) = self.numbers.get(&number) else { return Vec::new() };
        if bounds.is_empty() {
            return Vec::new();
        }
        let within = sets.range(bounds.clone()).flat_map(|(_, set)| set);
        let mut found: Vec<PublicKey> = within.filter(|key| keep(key)).copied().collect();
        found.sort_unstable();
        found
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
            && self.words.is_empty()
            && self.numbers.values().all(BTreeMap::is_empty)
    }
}

fn words(peer: &Peer) -> impl Iterator<Item = Word> + '_ {
    let fixed = [
        Word::Mesh(peer.mesh().to_owned()),
        Word::Role(peer.role().to_owned()),
        Word::State(peer.state),
    ];
    fixed.into_iter().chain(peer.tags.iter().cloned().map(Word::Tag))
}

fn take<K: std::hash::Hash + Eq>(
    sets: &mut HashMap<K, BTreeSet<PublicKey>>,
    of: &K,
    key: &PublicKey,
) {
    if let Some(set) = sets.get_mut(of) {
        set.remove(key);
        if set.is_empty() {
            sets.remove(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use iroh::SecretKey;
    use proptest::prelude::*;

    use super::*;
    use crate::{digest::Digest, directory::Directory};

    fn digest(place: u8, load: u32) -> Digest {
        let state = if place.is_multiple_of(3) { State::Draining } else { State::Alive };
        let role = ["broker", "compute"][usize::from(place % 2)];
        Digest {
            name: format!("m{}.{role}.{place:06x}", place % 4),
            state,
            incarnation: 1,
            seq: u64::from(load) + 1,
            addresses: Vec::new(),
            tags: vec![format!("model={}", place % 5), "all".to_owned()],
            peers: u32::from(place),
            cpu_permille: load,
            rss_mib: load / 2,
        }
    }

    fn query() -> impl Strategy<Value = Query> {
        let word = prop_oneof![
            (0..5_u8).prop_map(|n| Word::Mesh(format!("m{n}"))),
            prop_oneof!["broker", "compute", "none"].prop_map(Word::Role),
            prop_oneof![Just(State::Alive), Just(State::Draining)].prop_map(Word::State),
            (0..6_u8).prop_map(|n| Word::Tag(format!("model={n}"))),
            Just(Word::Tag("all".to_owned())),
        ];
        let number =
            prop_oneof![Just(Number::CpuPermille), Just(Number::RssMib), Just(Number::Peers)];
        let bound = (number, 0..60_u32, 0..60_u32).prop_map(|(number, a, b)| (number, a..=b));
        let words = proptest::collection::vec(word, 0..4);
        (words, proptest::collection::vec(bound, 0..3))
            .prop_map(|(words, bounds)| Query { words, bounds })
    }

    proptest! {
        /// Whatever was put in, changed and taken out: the index finds what a full scan finds.
        #[test]
        fn the_index_agrees_with_a_full_scan(
            heard in proptest::collection::vec((0..40_u8, 0..60_u32), 0..120),
            queries in proptest::collection::vec(query(), 1..10),
        ) {
            let start = Instant::now();
            let mut directory = Directory::new(Duration::from_secs(50));
            for (second, (place, load)) in heard.into_iter().enumerate() {
                let now = start + Duration::from_secs(second as u64);
                let key = SecretKey::from_bytes(&[place; 32]).public();
                directory.hear(key, &digest(place, load), now);
                directory.expire(now);
            }
            for query in queries {
                let scan: Vec<PublicKey> = directory
                    .peers()
                    .filter(|(_, peer)| query.matches(peer))
                    .map(|(key, _)| *key)
                    .collect();
                prop_assert_eq!(directory.find(&query), scan, "{:?}", query);
            }
        }
    }
}
