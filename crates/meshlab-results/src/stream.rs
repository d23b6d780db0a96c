//! Spans and samples of a run, read one after the other in bounded memory.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use memchr::memmem;
use meshlab_model::RunTime;

use crate::{
    Counts, Filter, Record,
    frame::{Decoder, head_at},
    index::{FrameEntry, SegmentIndex, shown},
    writer::{count, segment_path},
};

/// All records of one kind. Cheap to clone; reading holds a frame at a time, and the index of the
/// run's frames: 40 bytes for each second of it.
#[derive(Debug, Clone)]
pub struct Recorded<T> {
    source: Source<T>,
    found: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Debug, Clone)]
enum Source<T> {
    Memory(Arc<Vec<T>>),
    Lines(PathBuf),
    Segments(Arc<Vec<Segment>>),
}

#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    index: SegmentIndex,
}

impl<T> From<Vec<T>> for Recorded<T> {
    fn from(records: Vec<T>) -> Self {
        Self { source: Source::Memory(Arc::new(records)), found: Arc::default() }
    }
}

impl<T> Default for Recorded<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: Record> Recorded<T> {
    /// Those in the segments of a run's folder. What can be seen to be damaged without reading
    /// the frames themselves is told in `damage`.
    pub(crate) fn in_segments(run: &Path, damage: &mut Vec<String>) -> Self {
        let mut segments = Vec::new();
        match paths(&run.join(T::FOLDER)) {
            Ok(paths) => {
                damage.extend(missing(&run.join(T::FOLDER), &paths));
                for path in paths {
                    match SegmentIndex::of(&path, damage) {
                        Ok(index) => segments.push(Segment { path, index }),
                        Err(error) => {
                            damage.push(format!("{} cannot be read: {error}", shown(&path)));
                        }
                    }
                }
            }
            Err(error) => damage.push(format!("{} cannot be read: {error}", T::FOLDER)),
        }
        Self { source: Source::Segments(Arc::new(segments)), found: Arc::default() }
    }

    /// Those in the one file that schema 1 had, with the damage that is in it.
    pub(crate) fn in_lines(run: &Path, damage: &mut Vec<String>) -> Self {
        let path = run.join(T::FILE_OF_SCHEMA_1);
        let recorded = Self { source: Source::Lines(path), found: Arc::default() };
        recorded.iter().for_each(drop);
        damage.extend(recorded.damage());
        recorded
    }

    /// All of them, in order of arrival.
    pub fn iter(&self) -> Records<T> {
        self.select(Filter::default())
    }

    /// Those that the filter wants. Segments and frames without any of them are not read.
    pub fn select(&self, filter: Filter) -> Records<T> {
        let needle = filter.needle::<T>();
        Records {
            recorded: self.clone(),
            needle: needle.map(|needle| memmem::Finder::new(needle.as_bytes()).into_owned()),
            filter,
            lines: Vec::new(),
            at: 0,
            place: 0,
            frame: 0,
            open: Open::Nothing,
            decoder: None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        match &self.source {
            Source::Memory(records) => records.len() as u64,
            Source::Lines(_) => self.iter().count() as u64,
            Source::Segments(segments) => {
                segments.iter().fold(0, |sum, each| sum.saturating_add(each.index.records))
            }
        }
    }

    /// The time of the last one, and the segment that it is in: `spans/000003.jsonl.zst`.
    /// Known without reading them; `None` if there are none, or of schema 1.
    pub fn last(&self) -> Option<(RunTime, String)> {
        let Source::Segments(segments) = &self.source else { return None };
        let held = segments.iter().filter(|segment| segment.index.records > 0);
        let last = held.max_by_key(|segment| segment.index.until)?;
        Some((RunTime { micros: last.index.until }, shown(&last.path)))
    }

    /// Frames that may have records of that name, and are read where it is asked for.
    pub fn frames_with(&self, name: &str) -> u64 {
        let Source::Segments(segments) = &self.source else { return 0 };
        let named = |counts: &Counts| counts.contains_key(name);
        let may = segments.iter().filter(|each| each.index.counts.as_ref().is_none_or(named));
        let frames = |each: &Segment| {
            (0..each.index.frames.len()).filter(|frame| each.index.may_name(*frame, name)).count()
        };
        may.map(|each| frames(each) as u64).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are by name and node: from the indexes, without reading the records.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        let mut add = |more: &Counts| {
            for (name, nodes) in more {
                for (node, records) in nodes {
                    count(&mut counts, name, node, *records);
                }
            }
        };
        if let Source::Segments(segments) = &self.source {
            for segment in segments.iter() {
                match &segment.index.counts {
                    Some(known) => add(known),
                    None => self.heads(segment).for_each(|head| add(&head)),
                }
            }
        } else {
            for record in self.iter() {
                count(&mut counts, record.name(), record.node(), 1);
            }
        }
        counts
    }

    /// Counts as they are in the heads of a segment's frames.
    fn heads(&self, segment: &Segment) -> impl Iterator<Item = Counts> {
        let file = File::open(&segment.path);
        let file = file.inspect_err(|error| self.tell(&segment.path, 0, error)).ok();
        let index = &segment.index;
        index.frames.iter().filter_map(move |frame| {
            let place = head_at(file.as_ref()?, frame.0, index.bytes).ok()??;
            Some(place.head.counts)
        })
    }

    /// What was found to be damaged while records were read, a sentence each.
    pub fn damage(&self) -> Vec<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn note(&self, damage: String) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(damage);
    }

    fn tell(&self, segment: &Path, offset: u64, why: &dyn std::fmt::Display) {
        self.note(format!("{} is damaged at byte {offset}: {why}", shown(segment)));
    }
}

/// The first segment of the row that is not there.
fn missing(folder: &Path, paths: &[PathBuf]) -> Option<String> {
    let mut wanted = (1..).map(|number| segment_path(folder, number));
    let gap = paths.iter().find_map(|path| wanted.next().filter(|wanted| wanted != path))?;
    Some(format!("{} is missing, and there are later ones", shown(&gap)))
}

fn paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "zst") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

impl<T: Record> IntoIterator for &Recorded<T> {
    type Item = T;
    type IntoIter = Records<T>;

    fn into_iter(self) -> Records<T> {
        self.iter()
    }
}

/// Records as they are read.
#[derive(Debug)]
pub struct Records<T> {
    recorded: Recorded<T>,
    filter: Filter,
    /// What every line with the wanted name has in it.
    needle: Option<memmem::Finder<'static>>,
    /// The lines of the frame that is being read.
    lines: Vec<u8>,
    at: usize,
    /// The segment; in memory and in schema 1, the record.
    place: usize,
    frame: usize,
    open: Open,
    decoder: Option<DecoderBox>,
}

#[derive(Debug)]
enum Open {
    Nothing,
    Segment(File),
    Lines(BufReader<File>),
}

struct DecoderBox(Decoder);

impl std::fmt::Debug for DecoderBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

impl<T: Record> Iterator for Records<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            let record = match &self.recorded.source {
                Source::Memory(records) => {
                    let record = records.get(self.place)?.clone();
                    self.place += 1;
                    record
                }
                Source::Lines(path) => {
                    let path = path.clone();
                    self.next_line_of(&path)?
                }
                Source::Segments(segments) => {
                    let segments = Arc::clone(segments);
                    match self.next_in_frame(&segments) {
                        Some(record) => record,
                        None => {
                            self.load(&segments)?;
                            continue;
                        }
                    }
                }
            };
            if self.filter.wants(&record) {
                return Some(record);
            }
        }
    }
}

impl<T: Record> Records<T> {
    /// The next line of the frame that may be wanted.
    fn next_in_frame(&mut self, segments: &[Segment]) -> Option<T> {
        while self.at < self.lines.len() {
            let mut rest = self.lines.get(self.at..)?;
            if let Some(needle) = &self.needle {
                // Of a rare name most frames have one line: the others are not even counted.
                let Some(found) = needle.find(rest) else {
                    self.at = self.lines.len();
                    return None;
                };
                let begin = memchr::memrchr(b'\n', rest.get(..found)?).map_or(0, |end| end + 1);
                self.at += begin;
                rest = rest.get(begin..)?;
            }
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..end)?;
            self.at += end + 1;
            match serde_json::from_slice(line) {
                Ok(record) => return Some(record),
                Err(error) => {
                    let segment = segments.get(self.place)?;
                    let offset = segment.index.frames.get(self.frame.checked_sub(1)?)?.0;
                    let why = format!("a line of its frame cannot be read: {error}");
                    self.recorded.tell(&segment.path, offset, &why);
                }
            }
        }
        None
    }

    /// Loads the next frame that may hold wanted records; `None` after the last one.
    fn load(&mut self, segments: &[Segment]) -> Option<()> {
        loop {
            let segment = segments.get(self.place)?;
            if !self.opened(segment) {
                (self.place, self.frame, self.open) = (self.place + 1, 0, Open::Nothing);
                continue;
            }
            let Some(entry) = segment.index.frames.get(self.frame).copied() else {
                (self.place, self.frame, self.open) = (self.place + 1, 0, Open::Nothing);
                continue;
            };
            let named = self.filter.name.as_deref();
            self.frame += 1;
            if named.is_some_and(|name| !segment.index.may_name(self.frame - 1, name)) {
                continue;
            }
            match self.decode(segment, entry) {
                Ok(true) => return Some(()),
                Ok(false) => {}
                Err(error) => {
                    let lost = entry.4;
                    let why = format!("{error}; {lost} records are lost");
                    self.recorded.tell(&segment.path, entry.0, &why);
                }
            }
        }
    }

    /// Opens the segment if it is worth it.
    fn opened(&mut self, segment: &Segment) -> bool {
        if matches!(self.open, Open::Segment(_)) {
            return true;
        }
        let index = &segment.index;
        let counted = index.counts.as_ref().is_none_or(|counts| self.filter.is_among(counts));
        if !counted || !self.filter.wants_times(index.from, index.until) {
            return false;
        }
        match File::open(&segment.path) {
            Ok(file) => {
                self.open = Open::Segment(file);
                true
            }
            Err(error) => {
                self.recorded.tell(&segment.path, 0, &error);
                false
            }
        }
    }

    /// Reads the lines of a frame, if some of them may be wanted.
    fn decode(&mut self, segment: &Segment, entry: FrameEntry) -> io::Result<bool> {
        let Open::Segment(file) = &self.open else { return Ok(false) };
        (self.at, self.lines) = (0, std::mem::take(&mut self.lines));
        self.lines.clear();
        if !self.filter.wants_times(entry.5, entry.6) {
            return Ok(false);
        }
        if self.filter.name.is_some() || self.filter.node.is_some() {
            let place = head_at(file, entry.0, segment.index.bytes)?;
            let place = place.ok_or_else(|| io::Error::other("its head is not sound"))?;
            if !self.filter.is_among(&place.head.counts) {
                return Ok(false);
            }
        }
        if self.decoder.is_none() {
            self.decoder = Some(DecoderBox(Decoder::new()?));
        }
        let Some(DecoderBox(decoder)) = &mut self.decoder else { return Ok(false) };
        decoder
            .lines(file, entry.data(), entry.2, entry.3, &mut self.lines)
            .inspect_err(|_| self.lines.clear())?;
        Ok(true)
    }

    /// The next line of a file of schema 1, up to the first that is damaged: nothing tells whether
    /// what comes after it is whole.
    fn next_line_of(&mut self, path: &Path) -> Option<T> {
        if let Open::Nothing = self.open {
            if self.place > 0 {
                return None;
            }
            match File::open(path) {
                Ok(file) => self.open = Open::Lines(BufReader::new(file)),
                Err(error) => {
                    let name = T::FILE_OF_SCHEMA_1;
                    self.recorded.note(format!("{name} cannot be read: {error}"));
                    return None;
                }
            }
        }
        let Open::Lines(reader) = &mut self.open else { return None };
        self.place += 1;
        self.lines.clear();
        let read = match reader.read_until(b'\n', &mut self.lines) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_slice(&self.lines).map_err(|error| error.to_string())),
            Err(error) => Some(Err(error.to_string())),
        };
        match read {
            Some(Ok(record)) => Some(record),
            told => {
                if let Some(Err(why)) = told {
                    let name = T::FILE_OF_SCHEMA_1;
                    self.recorded.note(format!("{name} ends at line {}: {why}", self.place));
                }
                self.open = Open::Nothing;
                None
            }
        }
    }
}
