//! DHAT's file format, version 2: read, given names, written for its viewer.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::buckets::{Decision, decide};
use crate::{
    Folded,
    symbols::{Frame, Names, SymbolsError, hex},
};

/// The format that is read.
const VERSION: u32 = 2;

/// Why a dump cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeapError {
    /// A file.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It is no such dump, or not whole.
    #[error(
        "{} is no heap profile in DHAT's format: {why}; was it cut off? A process that ends while \
         it writes leaves a part", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Its addresses have no names.
    #[error(transparent)]
    Symbols(#[from] SymbolsError),
}

/// How a dump was recorded, where the program says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The program's file.
    pub program: PathBuf,
    /// Mean bytes between two recorded allocations; 1 is all of them.
    pub sample_bytes: u64,
    /// What the recording itself took so far, in microseconds of wall time.
    pub spent_micros: u64,
    /// CPU time of the process so far, in microseconds.
    pub cpu_micros: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[allow(non_snake_case, reason = "the names are those of the format")]
struct Json {
    dhatFileVersion: u32,
    mode: String,
    verb: String,
    bklt: bool,
    bkacc: bool,
    tu: String,
    Mtu: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tuth: Option<u64>,
    cmd: String,
    pid: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tg: Option<u64>,
    te: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meshlab: Option<Recording>,
    pps: Vec<Site>,
    ftbl: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Site {
    tb: u64,
    tbk: u64,
    tl: u64,
    mb: u64,
    mbk: u64,
    gb: u64,
    gbk: u64,
    eb: u64,
    ebk: u64,
    fs: Vec<usize>,
}

/// What a heap held at a moment.
#[derive(Debug)]
pub struct Dump {
    json: Json,
    frames: Vec<Frame>,
}

impl Dump {
    /// Reads a dump, of a node or of any program that the `dhat` crate or valgrind's DHAT recorded.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn read(path: &Path) -> Result<Self, HeapError> {
        let io = |error| HeapError::Io { path: path.to_owned(), error };
        let damaged = |why: String| HeapError::Damaged { path: path.to_owned(), why };
        let file = File::open(path).map_err(io)?;
        let json: Json = serde_json::from_reader(BufReader::new(file))
            .map_err(|error| damaged(error.to_string()))?;
        if json.dhatFileVersion != VERSION {
            return Err(damaged(format!("its version is {}, not {VERSION}", json.dhatFileVersion)));
        }
        if !json.bklt {
            return Err(damaged(format!("it counts {}, not what is retained", json.mode)));
        }
        let unknown = |site: &Site| site.fs.iter().copied().find(|at| *at >= json.ftbl.len());
        if let Some(at) = json.pps.iter().find_map(unknown) {
            let frames = json.ftbl.len();
            return Err(damaged(format!("a site names frame {at}, and there are {frames}")));
        }
        let frames = json.ftbl.iter().map(|text| Frame::parse(text)).collect();
        Ok(Self { json, frames })
    }

    /// Puts names in the place of addresses, where there are addresses. The names are those of the
    /// program that the dump says it is of.
    ///
    /// # Errors
    /// The program's symbols cannot be read.
    pub fn resolve(&mut self, names: &mut Names) -> Result<(), HeapError> {
        let Some(recording) = &self.json.meshlab else { return Ok(()) };
        let addresses: Vec<u64> = self.json.ftbl.iter().filter_map(|text| hex(text)).collect();
        if addresses.is_empty() {
            return Ok(());
        }
        names.learn(&recording.program, addresses, true)?;
        let mut table = Table::new();
        // An address is several frames where functions were inlined.
        let places: Vec<Vec<usize>> = self
            .json
            .ftbl
            .iter()
            .map(|text| match hex(text).map(|address| (address, names.frames(address))) {
                None => vec![table.place(text, &Frame::parse(text))],
                Some((_, [])) => {
                    let frame = Frame { function: "???".to_owned(), file: None, line: None };
                    vec![table.place(&format!("{text}: ??? (???:0:0)"), &frame)]
                }
                Some((_, frames)) => {
                    frames.iter().map(|frame| table.place(&written(text, frame), frame)).collect()
                }
            })
            .collect();
        for site in &mut self.json.pps {
            let places = site.fs.iter().filter_map(|at| places.get(*at)).flatten();
            site.fs = places.copied().collect();
        }
        self.json.ftbl = table.texts;
        self.frames = table.frames;
        Ok(())
    }

    /// Writes it for DHAT's viewer.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), HeapError> {
        let written = File::create(path).and_then(|file| {
            let mut out = BufWriter::new(file);
            serde_json::to_writer(&mut out, &self.json)?;
            out.flush()
        });
        written.map_err(|error| HeapError::Io { path: path.to_owned(), error })
    }

    /// How it was recorded, if it says so.
    pub fn recording(&self) -> Option<&Recording> {
        self.json.meshlab.as_ref()
    }

    /// Since when the program recorded, in microseconds.
    pub fn age_micros(&self) -> u64 {
        self.json.te
    }

    /// What is retained: bytes, blocks and where each site belongs.
    pub fn retained(&self) -> impl Iterator<Item = (u64, u64, Decision<'_>)> {
        let sites = self.json.pps.iter().filter(|site| site.eb > 0 || site.ebk > 0);
        sites.map(|site| (site.eb, site.ebk, decide(self.stack(site))))
    }

    /// What is retained as folded stacks of bytes, below the bucket of each.
    pub fn folded(&self) -> Folded {
        let mut folded = Folded::default();
        for site in self.json.pps.iter().filter(|site| site.eb > 0) {
            let mut frames = vec![decide(self.stack(site)).bucket.to_owned()];
            let names: Vec<String> =
                self.stack(site).map(|frame| frame.function.replace(';', ":")).collect();
            frames.extend(names.into_iter().rev());
            folded.add(&frames.join(";"), site.eb);
        }
        folded
    }

    fn stack<'a>(&'a self, site: &'a Site) -> impl Iterator<Item = &'a Frame> {
        site.fs.iter().filter_map(|at| self.frames.get(*at))
    }
}

/// The frames of a dump that is given names; equal ones are one.
struct Table {
    texts: Vec<String>,
    frames: Vec<Frame>,
    known: HashMap<String, usize>,
}

impl Table {
    fn new() -> Self {
        Self { texts: Vec::new(), frames: Vec::new(), known: HashMap::new() }
    }

    fn place(&mut self, text: &str, frame: &Frame) -> usize {
        if let Some(place) = self.known.get(text) {
            return *place;
        }
        let place = self.texts.len();
        self.known.insert(text.to_owned(), place);
        self.texts.push(text.to_owned());
        self.frames.push(frame.clone());
        place
    }
}

fn written(address: &str, frame: &Frame) -> String {
    let file = frame.file.as_deref().unwrap_or("???");
    format!("{address}: {} ({file}:{}:0)", frame.function, frame.line.unwrap_or(0))
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    /// A dump of two sites, as a program writes it: bytes and blocks that are retained by `noq` and
    /// by the program itself.
    pub(crate) fn dump(quic: (u64, u64), own: (u64, u64)) -> Dump {
        let text = text(quic, own);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        fs::write(&path, text).unwrap();
        Dump::read(&path).unwrap()
    }

    pub(crate) fn text(quic: (u64, u64), own: (u64, u64)) -> String {
        let site = |(bytes, blocks): (u64, u64), frames: &str| {
            format!("{{\"tb\":9,\"tbk\":9,\"eb\":{bytes},\"ebk\":{blocks},\"fs\":{frames}}}")
        };
        format!(
            "{{\"dhatFileVersion\":2,\"mode\":\"rust-heap\",\"verb\":\"Allocated\",\"bklt\":true,\
             \"bkacc\":false,\"tu\":\"µs\",\"Mtu\":\"s\",\"cmd\":\"n\",\"pid\":1,\"te\":5,\
             \"pps\":[{},{}],\"ftbl\":[\"[root]\",\
             \"0x1: noq_proto::f (/registry/src/i/noq-proto-1.4.0/src/a.rs:3:1)\",\
             \"0x2: mesh_node::g (/w/mesh-node/src/lib.rs:7:1)\"]}}",
            site(quic, "[1,2]"),
            site(own, "[2]")
        )
    }

    #[test]
    fn what_is_retained_is_folded_below_its_bucket() {
        let folded = dump((300, 3), (50, 1)).folded().to_string();
        assert_eq!(folded, "app;mesh_node::g 50\nquic;mesh_node::g;noq_proto::f 300\n");
    }

    #[test]
    fn a_damaged_dump_says_what_is_wrong_and_with_which_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let whole = text((1, 1), (1, 1));
        let said = |text: &str| {
            fs::write(&path, text).unwrap();
            Dump::read(&path).unwrap_err().to_string()
        };
        for (damaged, why) in [
            (whole[..whole.len() / 2].to_owned(), "was it cut off?"),
            (whole.replace("[1,2]", "[1,9]"), "names frame 9, and there are 3"),
            (whole.replace("Version\":2", "Version\":3"), "its version is 3, not 2"),
            (whole.replace("bklt\":true", "bklt\":false"), "not what is retained"),
            ("{}".to_owned(), "missing field"),
            (String::new(), "EOF"),
        ] {
            let said = said(&damaged);
            assert!(said.contains("x.json") && said.contains(why), "{said}");
        }
        let error = Dump::read(Path::new("/none.json")).unwrap_err().to_string();
        assert!(error.contains("/none.json: No such file"), "{error}");
    }

    #[test]
    fn addresses_get_names_and_the_viewer_reads_them() {
        let program = std::env::current_exe().unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let first = maps.lines().next().unwrap().split('-').next().unwrap().to_owned();
        let base = usize::from_str_radix(&first, 16).unwrap();
        let address = addresses_get_names_and_the_viewer_reads_them as *const () as usize - base;
        let recording = Recording { program, sample_bytes: 1, spent_micros: 1, cpu_micros: 2 };
        let mut dump = dump((300, 3), (50, 1));
        dump.json.meshlab = Some(recording);
        dump.json.ftbl[1] = format!("0x{:x}", address + 1);
        dump.resolve(&mut Names::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("y.json");
        dump.write(&path).unwrap();
        let again = Dump::read(&path).unwrap();
        let (_, _, decision) = again.retained().next().unwrap();
        assert_eq!(decision.bucket, "app");
        let named = decision.frame.unwrap().to_string();
        assert!(named.contains("addresses_get_names") && named.contains("dump.rs:"), "{named}");
        assert_eq!(again.recording().unwrap().cpu_micros, 2);
    }
}
