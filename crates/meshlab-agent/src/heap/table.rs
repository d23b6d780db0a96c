//! What is allocated and not freed, by allocation site. No allocator and no thread: the caller
//! locks.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
};

/// A hasher of addresses: they are not chosen by anybody, so a multiplication spreads them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, value: usize) {
        let mixed = (self.0.rotate_left(5) ^ value as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

type Mixing = BuildHasherDefault<Mix>;

/// Where something was allocated, and how much. In a sample each block stands for many, so counts
/// are not whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    /// Return addresses, the innermost first.
    pub(crate) frames: Box<[usize]>,
    pub(crate) total: Amount,
    /// Not freed.
    pub(crate) live: Amount,
    /// The most that was not freed at a time.
    pub(crate) most: Amount,
    /// What was not freed when all sites together held the most.
    pub(crate) at_peak: Amount,
    /// How long the freed ones lived, in microseconds, added up.
    pub(crate) lifetimes: f64,
}

/// Bytes and the blocks that they are in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Amount {
    pub(crate) bytes: f64,
    pub(crate) blocks: f64,
}

impl Amount {
    fn add(&mut self, size: usize, stands_for: f64) {
        self.bytes += size as f64 * stands_for;
        self.blocks += stands_for;
    }
}

#[derive(Debug, Clone, Copy)]
struct Block {
    site: u32,
    size: usize,
    born: u64,
}

/// All sites and all blocks that live.
#[derive(Debug)]
pub(crate) struct Table {
    blocks: HashMap<usize, Block, Mixing>,
    /// By the hash of their frames; sites with the same hash are told apart by looking.
    places: HashMap<u64, Vec<u32>, Mixing>,
    pub(crate) sites: Vec<Site>,
    pub(crate) live: Amount,
    /// The most that was live, and when. A new one counts from 1 % more than the last, because
    /// every site is looked at for it.
    pub(crate) peak_bytes: f64,
    pub(crate) peak_at: u64,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self {
            blocks: HashMap::with_hasher(BuildHasherDefault::new()),
            places: HashMap::with_hasher(BuildHasherDefault::new()),
            sites: Vec::new(),
            live: Amount { bytes: 0.0, blocks: 0.0 },
            peak_bytes: 0.0,
            peak_at: 0,
        }
    }

    /// A block was allocated; it stands for so many like it.
    pub(crate) fn allocated(
        &mut self,
        block: usize,
        size: usize,
        frames: &[usize],
        stands_for: f64,
        now: u64,
    ) {
        let place = self.site(frames);
        let Some(site) = self.sites.get_mut(place as usize) else { return };
        site.total.add(size, stands_for);
        site.live.add(size, stands_for);
        if site.live.bytes > site.most.bytes {
            site.most = site.live;
        }
        self.live.add(size, stands_for);
        self.blocks.insert(block, Block { site: place, size, born: now });
    }

    /// A block was freed. False for one that was never recorded.
    pub(crate) fn freed(
        &mut self,
        block: usize,
        now: u64,
        stands_for: impl FnOnce(usize) -> f64,
    ) -> bool {
        let Some(Block { site, size, born }) = self.blocks.remove(&block) else { return false };
        // It goes down from here, so if there is a peak, it is now.
        self.note_peak(now);
        let stands_for = stands_for(size);
        if let Some(site) = self.sites.get_mut(site as usize) {
            site.live.add(size, -stands_for);
            site.lifetimes += now.saturating_sub(born) as f64 * stands_for;
        }
        self.live.add(size, -stands_for);
        true
    }

    /// Keeps what each site holds now, if it is the most so far.
    pub(crate) fn note_peak(&mut self, now: u64) {
        if self.live.bytes > self.peak_bytes * 1.01 {
            self.peak_bytes = self.live.bytes;
            self.peak_at = now;
            self.sites.iter_mut().for_each(|site| site.at_peak = site.live);
        }
    }

    fn site(&mut self, frames: &[usize]) -> u32 {
        let hash = Mixing::new().hash_one(frames);
        let same = self.places.entry(hash).or_default();
        let is = |place: &&u32| {
            self.sites.get(**place as usize).is_some_and(|site| *site.frames == *frames)
        };
        if let Some(place) = same.iter().find(is) {
            return *place;
        }
        let place = u32::try_from(self.sites.len()).unwrap_or(u32::MAX);
        same.push(place);
        self.sites.push(Site { frames: frames.into(), ..Site::default() });
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_is_not_held_and_the_peak_is_kept() {
        let mut table = Table::new();
        table.allocated(0x10, 100, &[1, 2], 1.0, 5);
        table.allocated(0x20, 50, &[1, 3], 1.0, 6);
        assert!(table.freed(0x10, 9, |_| 1.0));
        assert!(!table.freed(0x10, 9, |_| 1.0), "freed once");
        table.allocated(0x10, 10, &[1, 2], 1.0, 10);
        assert_eq!(table.sites.len(), 2, "equal stacks are one site");
        assert_eq!(table.live, Amount { bytes: 60.0, blocks: 2.0 });
        let site = &table.sites[0];
        assert_eq!(site.total, Amount { bytes: 110.0, blocks: 2.0 });
        assert_eq!(site.live, Amount { bytes: 10.0, blocks: 1.0 });
        assert_eq!(site.most, Amount { bytes: 100.0, blocks: 1.0 });
        assert_eq!(site.at_peak.bytes, 100.0);
        assert_eq!((table.peak_bytes, table.peak_at, site.lifetimes), (150.0, 9, 4.0));
    }

    #[test]
    fn a_sampled_block_stands_for_many_while_it_lives() {
        let mut table = Table::new();
        table.allocated(0x10, 100, &[1], 40.0, 0);
        assert_eq!(table.live, Amount { bytes: 4000.0, blocks: 40.0 });
        assert!(table.freed(0x10, 1, |size| { if size == 100 { 40.0 } else { 0.0 } }));
        assert_eq!(table.live, Amount::default());
    }
}
