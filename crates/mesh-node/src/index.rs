//! An index over the directory: by name, role, mesh, state, tag, and by number.
//!
//! Each entry has a slot, a small number. A condition of equality names a bitmap of slots, a bound
//! names the union of a stretch of them, and the answer is what all of them have in common: no
//! entry is looked at, and no key is compared.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::RangeInclusive,
};

use iroh::PublicKey;
use meshlab_wire::State;
use roaring::RoaringBitmap;

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

/// Sets of entries by what they have in common. Whoever owns it tells it of each entry that comes,
/// and of the same entry when it goes.
#[derive(Debug, Default)]
pub(crate) struct Index {
    names: HashMap<String, BTreeSet<PublicKey>>,
    slots: Slots,
    words: HashMap<Word, RoaringBitmap>,
    numbers: BTreeMap<Number, BTreeMap<u32, RoaringBitmap>>,
}

/// Which entry has which slot. The slot of one that went is given to the next that comes.
#[derive(Debug, Default)]
struct Slots {
    of: HashMap<PublicKey, u32>,
    keys: Vec<PublicKey>,
    free: Vec<u32>,
}

impl Slots {
    fn take(&mut self, key: &PublicKey) -> u32 {
        if let Some(slot) = self.of.get(key) {
            return *slot;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.keys.get_mut(slot as usize) {
                    *place = *key;
                }
                slot
            }
            None => {
                self.keys.push(*key);
                // A directory is bounded far below this.
                u32::try_from(self.keys.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.of.insert(*key, slot);
        slot
    }

    fn give_back(&mut self, key: &PublicKey) -> Option<u32> {
        let slot = self.of.remove(key)?;
        self.free.push(slot);
        Some(slot)
    }

    fn keys(&self, slots: &RoaringBitmap) -> Vec<PublicKey> {
        slots.iter().filter_map(|slot| self.keys.get(slot as usize).copied()).collect()
    }
}

impl Index {
    pub(crate) fn insert(&mut self, key: &PublicKey, peer: &Peer) {
        let slot = self.slots.take(key);
        self.names.entry(peer.name.clone()).or_default().insert(*key);
        for word in words(peer) {
            self.words.entry(word).or_default().insert(slot);
        }
        for number in Number::ALL {
            let sets = self.numbers.entry(number).or_default();
            sets.entry(number.of(peer)).or_default().insert(slot);
        }
    }

    pub(crate) fn remove(&mut self, key: &PublicKey, peer: &Peer) {
        let Some(slot) = self.slots.give_back(key) else { return };
        if let Some(keys) = self.names.get_mut(&peer.name) {
            keys.remove(key);
            if keys.is_empty() {
                self.names.remove(&peer.name);
            }
        }
        for word in words(peer) {
            if let Some(set) = self.words.get_mut(&word) {
                set.remove(slot);
                if set.is_empty() {
                    self.words.remove(&word);
                }
            }
        }
        for number in Number::ALL {
            let Some(sets) = self.numbers.get_mut(&number) else { continue };
            if let Some(set) = sets.get_mut(&number.of(peer)) {
                set.remove(slot);
                if set.is_empty() {
                    sets.remove(&number.of(peer));
                }
            }
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<PublicKey> {
        self.names.get(name)?.first().copied()
    }

    /// Keys of the entries that meet the query, in no order.
    pub(crate) fn find(&self, query: &Query) -> Vec<PublicKey> {
        let mut sets = Vec::new();
        for word in &query.words {
            let Some(set) = self.words.get(word) else { return Vec::new() };
            sets.push(Cow::Borrowed(set));
        }
        for (number, bounds) in &query.bounds {
            sets.push(Cow::Owned(self.stretch(*number, bounds)));
        }
        // The smallest first: what is in common only shrinks from there.
        sets.sort_by_key(|set| set.len());
        let mut sets = sets.into_iter();
        let Some(first) = sets.next() else { return self.slots.of.keys().copied().collect() };
        if sets.len() == 0 {
            return self.slots.keys(&first);
        }
        let mut common = first.into_owned();
        for set in sets {
            common &= set.as_ref();
        }
        self.slots.keys(&common)
    }

    fn stretch(&self, number: Number, bounds: &RangeInclusive<u32>) -> RoaringBitmap {
        let mut within = RoaringBitmap::new();
        // An empty range would panic in the map.
        if let Some(sets) = self.numbers.get(&number).filter(|_| !bounds.is_empty()) {
            for (_, set) in sets.range(bounds.clone()) {
                within |= set;
            }
        }
        within
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
            && self.slots.of.is_empty()
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
                let mut found = directory.find(&query);
                found.sort_unstable();
                prop_assert_eq!(found, scan, "{:?}", query);
            }
        }
    }
}
