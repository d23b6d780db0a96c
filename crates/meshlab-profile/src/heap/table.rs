//! Retained bytes by bucket and by site, and what became of them from one dump to another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    buckets::{BUCKETS, RULE},
    dump::Dump,
};

/// Sites that a table keeps, the largest.
const SITES_MAX: usize = 200;

/// What a heap held, added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapTable {
    /// Version of the rule that made the buckets.
    pub rule: u32,
    /// Bytes that are allocated and not freed.
    pub bytes: u64,
    /// Blocks that they are in.
    pub blocks: u64,
    /// All buckets, in the order of [`BUCKETS`].
    pub buckets: Vec<BucketRow>,
    /// Where most was allocated, the largest first.
    pub sites: Vec<SiteRow>,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketRow {
    /// Its name.
    pub bucket: String,
    /// Retained bytes.
    pub bytes: u64,
    /// Retained blocks.
    pub blocks: u64,
}

/// An allocation site: the function that its bucket was decided by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteRow {
    /// Its bucket.
    pub bucket: String,
    /// The function and its line.
    pub site: String,
    /// Retained bytes.
    pub bytes: u64,
    /// Retained blocks.
    pub blocks: u64,
}

impl HeapTable {
    /// Adds up a dump.
    pub fn of(dump: &Dump) -> Self {
        let mut buckets: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut sites: BTreeMap<(&str, String), (u64, u64)> = BTreeMap::new();
        let (mut bytes, mut blocks) = (0, 0);
        let add = |to: &mut (u64, u64), size, count| {
            to.0 += size;
            to.1 += count;
        };
        for (size, count, decision) in dump.retained() {
            bytes += size;
            blocks += count;
            add(buckets.entry(decision.bucket).or_default(), size, count);
            let site = decision
                .frame
                .map_or("no frame of a known crate".to_owned(), |frame| frame.to_string());
            add(sites.entry((decision.bucket, site)).or_default(), size, count);
        }
        let row = |bucket: &&str| {
            let (bytes, blocks) = buckets.get(bucket).copied().unwrap_or_default();
            BucketRow { bucket: (*bucket).to_owned(), bytes, blocks }
        };
        let mut sites: Vec<SiteRow> = sites
            .into_iter()
            .map(|((bucket, site), (bytes, blocks))| SiteRow {
                bucket: bucket.to_owned(),
                site,
                bytes,
                blocks,
            })
            .collect();
        sites.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.site.cmp(&b.site)));
        sites.truncate(SITES_MAX);
        Self { rule: RULE, bytes, blocks, buckets: BUCKETS.iter().map(row).collect(), sites }
    }

    /// The share of the bytes that the rule found a subsystem for, from 0 to 1.
    pub fn attributed(&self) -> f64 {
        let other = self.buckets.iter().find(|row| row.bucket == "other");
        let other = other.map_or(0, |row| row.bytes);
        if self.bytes == 0 { 1.0 } else { 1.0 - other as f64 / self.bytes as f64 }
    }

    /// Bytes that each bucket gained since `before`; less than nothing where it lost some.
    pub fn growth(&self, before: &Self) -> Vec<(String, i64)> {
        let was: BTreeMap<&str, u64> =
            before.buckets.iter().map(|row| (row.bucket.as_str(), row.bytes)).collect();
        let gained = |row: &BucketRow| {
            let was = was.get(row.bucket.as_str()).copied().unwrap_or_default();
            (row.bucket.clone(), difference(row.bytes, was))
        };
        self.buckets.iter().map(gained).collect()
    }

    /// Sites that gained most since `before`, at most `limit`, each with what it gained.
    pub fn grown_sites(&self, before: &Self, limit: usize) -> Vec<(SiteRow, i64)> {
        let was: BTreeMap<(&str, &str), u64> = before
            .sites
            .iter()
            .map(|row| ((row.bucket.as_str(), row.site.as_str()), row.bytes))
            .collect();
        let mut grown: Vec<(SiteRow, i64)> = self
            .sites
            .iter()
            .map(|row| {
                let key = (row.bucket.as_str(), row.site.as_str());
                let was = was.get(&key).copied().unwrap_or_default();
                (row.clone(), difference(row.bytes, was))
            })
            .filter(|(_, gained)| *gained > 0)
            .collect();
        grown.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.site.cmp(&b.0.site)));
        grown.truncate(limit);
        grown
    }
}

fn difference(after: u64, before: u64) -> i64 {
    i64::try_from(i128::from(after) - i128::from(before)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::dump::tests::dump, *};

    #[test]
    fn growth_names_the_bucket_and_the_site() {
        let before = HeapTable::of(&dump((300, 3), (50, 1)));
        let after = HeapTable::of(&dump((200, 2), (5050, 6)));
        assert_eq!((after.bytes, after.blocks), (5250, 8));
        assert_eq!(after.attributed(), 1.0);
        let gained: Vec<_> =
            after.growth(&before).into_iter().filter(|(_, bytes)| *bytes != 0).collect();
        assert_eq!(gained, [("quic".to_owned(), -100), ("app".to_owned(), 5000)]);
        let grown = after.grown_sites(&before, 9);
        assert_eq!(grown.len(), 1);
        assert_eq!(grown[0].0.site, "mesh_node::g (mesh-node/src/lib.rs:7)");
        assert_eq!(grown[0].1, 5000);
    }
}
