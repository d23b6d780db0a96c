//! What a segment holds, so that a reader can pass it by.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    Counts, checked,
    frame::{Found, Place, look},
    writer::count,
};

/// Pairs of name and node that an index counts. A node may send a name of its own with each span;
/// an index of such a segment has no counts, and its frames are looked at.
const PAIRS_MAX: usize = 10_000;

/// Frames by name that are remembered while a segment is written.
const NAMED_MAX: usize = 100_000;

/// Of its frames, the share in which a name may be to be listed: one in so many. Others are in
/// nearly every frame, and a list would only make the index large.
const RARE: usize = 8;

/// A frame in an index: offset, length of its head, length of its data, of its lines, how many,
/// and the times of the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FrameEntry(
    pub(crate) u64,
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) u64,
    pub(crate) u64,
);

impl FrameEntry {
    /// Where its data begins.
    pub(crate) fn data(&self) -> u64 {
        self.0.saturating_add(self.1.into())
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> u64 {
        self.data().saturating_add(self.2.into())
    }
}

/// Everything that a segment's heads say together. Derived: it can be made again from them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentIndex {
    /// Length of the segment that it was made for.
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    /// Times of the first and the last record, microseconds since the run started.
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// Records by name and node; absent where there are too many of them.
    pub(crate) counts: Option<Counts>,
    pub(crate) frames: Vec<FrameEntry>,
    /// Of a name that is rare, the frames in which it is, by their places in `frames`.
    #[serde(default)]
    rare: BTreeMap<String, Vec<u32>>,
    #[serde(skip)]
    pairs: usize,
    #[serde(skip)]
    named: usize,
}

impl SegmentIndex {
    pub(crate) fn add(&mut self, place: &Place) {
        let head = &place.head;
        if self.frames.is_empty() {
            self.counts = Some(Counts::new());
            self.from = head.from;
        }
        self.from = self.from.min(head.from);
        self.until = self.until.max(head.until);
        self.records = self.records.saturating_add(head.records.into());
        self.frames.push(FrameEntry(
            place.offset,
            place.head_bytes,
            head.bytes,
            head.raw,
            head.records,
            head.from,
            head.until,
        ));
        self.remember(head.counts.keys());
        let Some(counts) = &mut self.counts else { return };
        for (name, nodes) in &head.counts {
            for (node, records) in nodes {
                let known = counts.get(name).is_some_and(|nodes| nodes.contains_key(node));
                self.pairs += usize::from(!known);
                count(counts, name, node, *records);
            }
        }
        if self.pairs > PAIRS_MAX {
            self.counts = None;
        }
    }

    /// Notes which names are in the last frame.
    fn remember<'a>(&mut self, names: impl ExactSizeIterator<Item = &'a String>) {
        let Ok(place) = u32::try_from(self.frames.len() - 1) else { return };
        self.named += names.len();
        if self.named > NAMED_MAX {
            // Names without end: none of them is listed.
            self.rare.clear();
            return;
        }
        for name in names {
            match self.rare.get_mut(name) {
                Some(places) => places.push(place),
                None => {
                    self.rare.insert(name.clone(), vec![place]);
                }
            }
        }
    }

    /// Whether a frame may have records of that name, as far as the index knows.
    pub(crate) fn may_name(&self, frame: usize, name: &str) -> bool {
        let place = u32::try_from(frame).unwrap_or(u32::MAX);
        self.rare.get(name).is_none_or(|places| places.binary_search(&place).is_ok())
    }

    /// Writes it beside its segment, in one step.
    pub(crate) fn write(&mut self, segment: &Path) -> io::Result<()> {
        let frames = self.frames.len();
        self.rare.retain(|_, places| places.len() * RARE <= frames);
        let path = beside(segment);
        let fresh = path.with_extension("new");
        fs::write(&fresh, checked::seal(serde_json::to_vec(self)?))?;
        fs::rename(&fresh, &path)
    }

    /// The index of a segment: the one beside it if it fits, else from its heads. What is damaged
    /// is told.
    pub(crate) fn of(segment: &Path, damage: &mut Vec<String>) -> io::Result<Self> {
        let length = fs::metadata(segment)?.len();
        let kept = fs::read(beside(segment)).ok().and_then(|bytes| {
            let index: Self = serde_json::from_slice(checked::open(&bytes)?).ok()?;
            (index.bytes == length && index.is_sound()).then_some(index)
        });
        match kept {
            Some(index) => Ok(index),
            None => Self::scan(segment, damage),
        }
    }

    /// Whether its frames lie one after the other within the segment.
    fn is_sound(&self) -> bool {
        let ordered = self.frames.windows(2).all(|pair| pair[0].end() <= pair[1].0);
        let lengths = self.frames.iter().all(|frame| frame.3 as usize <= crate::frame::LINES_MAX);
        ordered && lengths && self.frames.last().is_none_or(|last| last.end() <= self.bytes)
    }

    fn scan(segment: &Path, damage: &mut Vec<String>) -> io::Result<Self> {
        let file = File::open(segment)?;
        let length = file.metadata()?.len();
        let mut index = Self { bytes: length, ..Self::default() };
        let mut offset = 0;
        loop {
            match look(&file, offset, length)? {
                Found::End => return Ok(index),
                Found::Frame(place) => {
                    offset = place.end();
                    index.add(&place);
                }
                Found::Damage(range) => {
                    let what = if range.end == length { "ends in" } else { "has" };
                    damage.push(format!(
                        "{} {what} {} bytes that are no frame, from byte {} on",
                        shown(segment),
                        range.end - range.start,
                        range.start
                    ));
                    offset = range.end;
                }
            }
        }
    }
}

/// A segment's name within its run: `spans/000001.jsonl.zst`.
pub(crate) fn shown(segment: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let folder = segment.parent().and_then(name).unwrap_or_default();
    format!("{folder}/{}", name(segment).unwrap_or_default())
}

fn beside(segment: &Path) -> PathBuf {
    segment.with_extension("").with_extension("index.json")
}
