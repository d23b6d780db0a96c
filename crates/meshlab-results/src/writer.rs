//! Appends frames to segments, and seals a segment once it is large.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    frame::{Encoder, Head, Place},
    index::SegmentIndex,
    record::Record,
};

/// Bytes at which a segment is sealed and the next one begins: 20 minutes of spans at 500 a
/// second, 15 hours of samples of 19 processes. The index of one that is not sealed yet is read
/// from the heads of its frames, a few thousand.
pub(crate) const SEGMENT_BYTES: u64 = 32 << 20;

/// Lines at which a frame is full, where a second brings more than this.
const CHUNK_BYTES: usize = 256 << 10;

/// Lines that wait to be written, as the frames that they will be.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) lines: Vec<u8>,
    pub(crate) head: Head,
}

impl Batch {
    pub(crate) fn push<T: Record>(&mut self, record: &T) -> Result<(), serde_json::Error> {
        if self.chunks.last().is_none_or(|chunk| chunk.lines.len() >= CHUNK_BYTES) {
            self.chunks.push(Chunk::default());
        }
        let Some(chunk) = self.chunks.last_mut() else { return Ok(()) };
        let before = chunk.lines.len();
        if let Err(error) = serde_json::to_writer(&mut chunk.lines, record) {
            chunk.lines.truncate(before);
            return Err(error);
        }
        chunk.lines.push(b'\n');
        self.bytes += chunk.lines.len() - before;
        let moment = record.moment().micros;
        let head = &mut chunk.head;
        head.from = if head.records == 0 { moment } else { head.from.min(moment) };
        head.until = head.until.max(moment);
        head.records += 1;
        count(&mut head.counts, record.name(), record.node(), 1);
        Ok(())
    }

    pub(crate) fn records(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.head.records)).sum()
    }
}

/// Adds to the count of a name and a node; names and nodes are few, so keys are copied seldom.
pub(crate) fn count(counts: &mut crate::Counts, name: &str, node: &str, records: u64) {
    if !counts.contains_key(name) {
        counts.insert(name.to_owned(), Default::default());
    }
    let Some(nodes) = counts.get_mut(name) else { return };
    match nodes.get_mut(node) {
        Some(known) => *known = known.saturating_add(records),
        None => {
            nodes.insert(node.to_owned(), records);
        }
    }
}

/// The segments of one kind of record, as they are written.
pub(crate) struct Segments {
    folder: PathBuf,
    number: u32,
    segment_bytes: u64,
    path: PathBuf,
    file: File,
    length: u64,
    index: SegmentIndex,
    encoder: Encoder,
    frame: Vec<u8>,
    /// Bytes in the segments before this one.
    sealed: u64,
    /// A write failed: the end of the file is not known any more, so nothing follows it.
    broken: bool,
    /// Whether something was written that is not on the disk for sure.
    dirty: bool,
}

/// The file of a segment.
pub(crate) fn segment_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:06}.jsonl.zst"))
}

impl Segments {
    /// Makes the folder and the first segment.
    pub(crate) fn create(run: &Path, folder: &str, segment_bytes: u64) -> io::Result<Self> {
        let folder = run.join(folder);
        fs::create_dir(&folder)?;
        let path = segment_path(&folder, 1);
        let file = create(&path)?;
        Self::with(folder, path, file, segment_bytes)
    }

    /// Begins a segment after those that are there: what a killed harness left stays as it is.
    pub(crate) fn go_on(run: &Path, folder: &str, segment_bytes: u64) -> io::Result<Self> {
        let folder = run.join(folder);
        // A run from before there were records of this kind has none.
        fs::create_dir_all(&folder)?;
        let (mut last, mut sealed) = (0, 0);
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_suffix(".jsonl.zst")?.parse().ok());
            if let Some(number) = number {
                last = last.max(number);
                sealed += entry.metadata()?.len();
            }
        }
        let number = last + 1;
        let path = segment_path(&folder, number);
        let file = create(&path)?;
        let segments = Self::with(folder, path, file, segment_bytes)?;
        Ok(Self { number, sealed, ..segments })
    }

    fn with(folder: PathBuf, path: PathBuf, file: File, segment_bytes: u64) -> io::Result<Self> {
        Ok(Self {
            folder,
            number: 1,
            segment_bytes,
            path,
            file,
            length: 0,
            index: SegmentIndex::default(),
            encoder: Encoder::new()?,
            frame: Vec::new(),
            sealed: 0,
            broken: false,
            dirty: false,
        })
    }

    /// One segment, in a file that is there already.
    #[cfg(test)]
    pub(crate) fn to(path: &Path, file: File) -> Self {
        let folder = std::env::temp_dir();
        Self::with(folder, path.to_owned(), file, u64::MAX).expect("an encoder")
    }

    /// Bytes of all segments.
    pub(crate) fn written(&self) -> u64 {
        self.sealed + self.length
    }

    /// Writes a batch, a frame for each of its chunks.
    ///
    /// # Errors
    /// The file that cannot be written, and why; from then on every call fails.
    pub(crate) fn write(&mut self, batch: Batch) -> Result<(), String> {
        for chunk in batch.chunks {
            self.write_chunk(chunk).map_err(|error| {
                self.broken = true;
                format!("{} cannot be written: {error}", self.path.display())
            })?;
        }
        Ok(())
    }

    fn write_chunk(&mut self, mut chunk: Chunk) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("a write failed before"));
        }
        self.encoder.encode(&chunk.lines, &mut chunk.head, &mut self.frame)?;
        self.file.write_all(&self.frame)?;
        self.dirty = true;
        let head_bytes = self.frame.len() as u32 - chunk.head.bytes;
        self.index.add(&Place { offset: self.length, head_bytes, head: chunk.head });
        self.length += self.frame.len() as u64;
        if self.length >= self.segment_bytes {
            self.seal()?;
            self.number += 1;
            self.sealed += self.length;
            self.path = segment_path(&self.folder, self.number);
            self.file = create(&self.path)?;
            (self.length, self.index) = (0, SegmentIndex::default());
        }
        Ok(())
    }

    /// Brings what was written to the disk, so that a host that loses its power loses little.
    ///
    /// # Errors
    /// The file that cannot be synced, and why.
    pub(crate) fn sync(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.dirty) || self.broken {
            return Ok(());
        }
        sync(&self.file)
            .map_err(|error| format!("{} cannot be synced: {error}", self.path.display()))
    }

    /// Seals the last segment.
    ///
    /// # Errors
    /// The file that cannot be written, and why.
    pub(crate) fn close(&mut self) -> Result<(), String> {
        if self.broken || self.length == 0 {
            return Ok(());
        }
        self.seal().map_err(|error| format!("{} cannot be closed: {error}", self.path.display()))
    }

    /// Brings the segment to the disk and writes its index beside it.
    fn seal(&mut self) -> io::Result<()> {
        sync(&self.file)?;
        self.dirty = false;
        self.index.bytes = self.length;
        self.index.write(&self.path)
    }
}

fn create(path: &Path) -> io::Result<File> {
    let file = File::options().append(true).create_new(true).open(path)?;
    // Its name too is to be there after the host lost its power.
    path.parent().map_or(Ok(()), |folder| sync(&File::open(folder)?))?;
    Ok(file)
}

/// Brings a file's data to the disk; what is no file on a disk has none to bring.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    match file.sync_data() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}
