//! A frame: some lines, compressed by themselves, behind a head that says what they are.
//!
//! ```text
//! 54 2a 4d 18 | length, 4 bytes LE | CRC-32 of the head, 4 bytes LE | head, JSON   (skippable)
//! 28 b5 2f fd | ...                                          lines, zstd with its checksum
//! ```
//!
//! The head is what zstd calls a skippable frame (RFC 8878, 3.1.2), so `zstdcat` and libraries
//! show the lines alone. Nothing in a frame refers to another one: what is damaged costs itself.

use std::{collections::BTreeMap, fs::File, io, ops::Range, os::unix::fs::FileExt};

use serde::{Deserialize, Serialize};

/// First bytes of a head: one of the sixteen numbers that zstd skips.
const MAGIC: [u8; 4] = [0x54, 0x2a, 0x4d, 0x18];
/// Magic number and length.
const PRELUDE: usize = 8;
/// Longest head. A frame has at most as many kinds as lines, so ours stay far below.
const HEAD_MAX: usize = 1 << 20;
/// Most bytes that a frame may hold: a head that claims more is not believed.
pub(crate) const LINES_MAX: usize = 64 << 20;
/// Bytes that are looked through at once for the next head after damage.
const SEARCH: usize = 1 << 20;
/// Level 1: on spans of real runs it compresses as well as 9 does (49 bytes a span), with a fifth
/// of the time; most of what is left are random ids.
const LEVEL: i32 = 1;

/// How many records there are of each name and each node.
pub type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// What a frame holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Bytes of the zstd frame.
    pub(crate) bytes: u32,
    /// Bytes of the lines.
    pub(crate) raw: u32,
    /// Lines.
    pub(crate) records: u32,
    /// Time of the first record, microseconds since the run started.
    pub(crate) from: u64,
    /// Time of the last one.
    pub(crate) until: u64,
    /// Records by name and node.
    pub(crate) counts: Counts,
}

/// A frame as it lies in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where its head begins.
    pub(crate) offset: u64,
    /// Length of the head with all that belongs to it.
    pub(crate) head_bytes: u32,
    pub(crate) head: Head,
}

impl Place {
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.head_bytes) + u64::from(self.head.bytes)
    }
}

/// Turns lines into frames.
pub(crate) struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
}

impl Encoder {
    pub(crate) fn new() -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Self { compressor })
    }

    /// Puts a frame with `lines` into `out`, which is emptied first. `head` has everything but the
    /// lengths, which are filled in.
    pub(crate) fn encode(
        &mut self,
        lines: &[u8],
        head: &mut Head,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "a frame is too long");
        let packed = self.compressor.compress(lines)?;
        head.bytes = u32::try_from(packed.len()).map_err(|_| too_long())?;
        head.raw = u32::try_from(lines.len()).map_err(|_| too_long())?;
        let text = serde_json::to_vec(head)?;
        let length = u32::try_from(text.len() + 4).map_err(|_| too_long())?;
        if text.len() + 4 > HEAD_MAX || lines.len() > LINES_MAX {
            return Err(too_long());
        }
        out.clear();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&text).to_le_bytes());
        out.extend_from_slice(&text);
        out.extend_from_slice(&packed);
        Ok(())
    }
}

/// What stands at an offset of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A frame with a sound head, whole by its length.
    Frame(Place),
    /// Bytes that are no frame; after them comes a frame, or the end.
    Damage(Range<u64>),
    /// Nothing more.
    End,
}

/// Looks at `offset` of a file of `length` bytes.
pub(crate) fn look(file: &File, offset: u64, length: u64) -> io::Result<Found> {
    if offset >= length {
        return Ok(Found::End);
    }
    match head_at(file, offset, length)? {
        Some(place) => Ok(Found::Frame(place)),
        None => Ok(Found::Damage(offset..next_head(file, offset + 1, length)?)),
    }
}

/// The frame at `offset`, if there is a whole one.
pub(crate) fn head_at(file: &File, offset: u64, length: u64) -> io::Result<Option<Place>> {
    let mut prelude = [0; PRELUDE];
    if length.saturating_sub(offset) < PRELUDE as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut prelude, offset)?;
    let (magic, size) = prelude.split_at(4);
    let size = size.try_into().map_or(0, u32::from_le_bytes) as usize;
    let fits = (4..=HEAD_MAX).contains(&size) && offset + (PRELUDE + size) as u64 <= length;
    if magic != MAGIC || !fits {
        return Ok(None);
    }
    let mut payload = vec![0; size];
    file.read_exact_at(&mut payload, offset + PRELUDE as u64)?;
    let Some(head) = head_of(&payload) else { return Ok(None) };
    let place = Place { offset, head_bytes: (PRELUDE + size) as u32, head };
    Ok((place.end() <= length).then_some(place))
}

fn head_of(payload: &[u8]) -> Option<Head> {
    let (sum, text) = payload.split_at_checked(4)?;
    if sum != crc32fast::hash(text).to_le_bytes() {
        return None;
    }
    let head: Head = serde_json::from_slice(text).ok()?;
    (head.raw as usize <= LINES_MAX).then_some(head)
}

/// Where the next whole frame begins at or after `from`; `length` if there is none.
fn next_head(file: &File, from: u64, length: u64) -> io::Result<u64> {
    let mut buffer = vec![0; SEARCH];
    let mut at = from;
    while at + (PRELUDE as u64) <= length {
        let want = usize::try_from(length - at).unwrap_or(SEARCH).min(SEARCH);
        file.read_exact_at(&mut buffer[..want], at)?;
        for (place, window) in buffer[..want].windows(4).enumerate() {
            if window == MAGIC {
                let offset = at + place as u64;
                if head_at(file, offset, length)?.is_some() {
                    return Ok(offset);
                }
            }
        }
        // The magic number may stand across the edge.
        at += (want - 3) as u64;
    }
    Ok(length)
}

/// Reads lines back.
pub(crate) struct Decoder {
    decompressor: zstd::bulk::Decompressor<'static>,
    packed: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { decompressor: zstd::bulk::Decompressor::new()?, packed: Vec::new() })
    }

    /// The lines of a frame, in the place of what `lines` held.
    ///
    /// # Errors
    /// They cannot be read, or are not what was written: zstd's checksum says so.
    pub(crate) fn lines(
        &mut self,
        file: &File,
        offset: u64,
        bytes: u32,
        raw: u32,
        lines: &mut Vec<u8>,
    ) -> io::Result<()> {
        lines.clear();
        self.packed.resize(bytes as usize, 0);
        file.read_exact_at(&mut self.packed, offset)?;
        lines.reserve(raw as usize);
        let got = self.decompressor.decompress_to_buffer(&self.packed, lines)?;
        if got != raw as usize {
            let why = format!("it has {got} bytes and should have {raw}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn written(frames: &[&str]) -> (File, Vec<u8>) {
        let mut encoder = Encoder::new().unwrap();
        let (mut all, mut one) = (Vec::new(), Vec::new());
        for lines in frames {
            let mut head = Head { records: 1, ..Head::default() };
            encoder.encode(lines.as_bytes(), &mut head, &mut one).unwrap();
            all.extend_from_slice(&one);
        }
        (holding(&all), all)
    }

    fn holding(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn read(file: &File, length: u64) -> (Vec<String>, Vec<Range<u64>>) {
        let (mut texts, mut damage) = (Vec::new(), Vec::new());
        let (mut decoder, mut lines, mut offset) = (Decoder::new().unwrap(), Vec::new(), 0);
        loop {
            match look(file, offset, length).unwrap() {
                Found::End => return (texts, damage),
                Found::Damage(range) => {
                    offset = range.end;
                    damage.push(range);
                }
                Found::Frame(place) => {
                    let data = place.offset + u64::from(place.head_bytes);
                    let Head { bytes, raw, .. } = place.head;
                    match decoder.lines(file, data, bytes, raw, &mut lines) {
                        Ok(()) => texts.push(String::from_utf8(lines.clone()).unwrap()),
                        Err(_) => damage.push(place.offset..place.end()),
                    }
                    offset = place.end();
                }
            }
        }
    }

    #[test]
    fn a_cut_at_any_byte_costs_the_last_frame_alone() {
        let (file, all) = written(&["one\n", "two\n", "three\n"]);
        let (texts, damage) = read(&file, all.len() as u64);
        assert_eq!(
            (texts.as_slice(), damage.len()),
            (&["one\n", "two\n", "three\n"].map(String::from)[..], 0)
        );
        let Found::Frame(first) = look(&file, 0, all.len() as u64).unwrap() else { panic!() };
        for cut in 0..all.len() as u64 {
            let (texts, damage) = read(&file, cut);
            assert_eq!(texts.is_empty(), cut < first.end(), "cut at {cut}");
            assert!(damage.iter().all(|range| range.end == cut), "cut at {cut}: {damage:?}");
        }
    }

    #[test]
    fn a_flipped_bit_costs_its_frame_and_is_told() {
        let (_, all) = written(&["one\n", "two\n", "three\n"]);
        for bit in 0..all.len() * 8 {
            let mut bytes = all.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (texts, damage) = read(&holding(&bytes), all.len() as u64);
            let whole = ["one\n", "two\n", "three\n"];
            assert!(
                texts.iter().all(|text| whole.contains(&text.as_str())),
                "bit {bit}: {texts:?}"
            );
            // One bit of a zstd frame's descriptor is unused: nothing is lost by it.
            assert!(
                matches!((texts.len(), damage.len()), (2, 1) | (3, 0)),
                "bit {bit}: {texts:?} {damage:?}"
            );
        }
    }

    #[test]
    fn other_tools_see_the_lines_alone() {
        let (_, all) = written(&["one\n", "two\n"]);
        assert_eq!(zstd::stream::decode_all(all.as_slice()).unwrap(), b"one\ntwo\n");
    }
}
