//! Captures: what crossed the switch and what it did to each packet, as pcapng files.
//!
//! `pcapng.rs` has the format, `ring.rs` the last packets in memory. Here are the tap, which the
//! switch fills and never waits for, and the handle of a capture that is written while it runs.

pub(crate) mod pcapng;
mod ring;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
};

use meshlab_model::NodeId;

pub use self::ring::RecentSettings;
use self::{pcapng::Writer, ring::Ring};
use crate::clock::{self, Nanos};

/// Records between the switch and a writer: 10 ms of a switch that does nothing else, 8 MB.
const WAITING_MAX: usize = 4096;

/// A packet as one node's interface saw it.
#[derive(Debug)]
pub(crate) struct Record {
    /// Nanoseconds since 1970.
    pub(crate) at: Nanos,
    /// Whose interface.
    pub(crate) node: Arc<NodeId>,
    /// The node at the other end, if there is one.
    pub(crate) peer: Option<Arc<NodeId>>,
    pub(crate) packet: Vec<u8>,
    /// What the switch did.
    pub(crate) comment: String,
    /// Whether it left the node.
    pub(crate) outbound: bool,
}

/// What a capture takes.
///
/// Each packet is there twice: on its sender's interface when it was sent and as it was sent, with
/// what the switch decided (`to b: delayed 100 ms`, `to b: dropped: loss`), and on its receiver's
/// when and as it arrived (`from a: arrived after 100.1 ms`, `from a: dropped: firewall`), which
/// is after a NAT and a flipped bit. What a node sends to nobody in the lab is there as
/// `dropped: outside`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureFilter {
    /// Packets from or to one of these nodes; empty for all.
    pub nodes: BTreeSet<NodeId>,
    /// Most that is written, in bytes of the file; `None` for no limit. What comes after is
    /// counted.
    pub bytes_max: Option<u64>,
}

/// How a capture came out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureReport {
    /// Packets written.
    pub packets: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Packets that are not in the file because it could not be written as fast as they came.
    pub lost: u64,
    /// Packets that are not in the file because of its limit.
    pub beyond_limit: u64,
}

/// What the switch fills. Off, it costs a look at two fields a packet.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    sinks: Vec<Sink>,
    ring: Option<Ring>,
    /// From the monotonic clock to 1970.
    wall_offset: Nanos,
}

#[derive(Debug)]
struct Sink {
    number: u64,
    nodes: BTreeSet<NodeId>,
    records: SyncSender<Arc<Record>>,
    lost: Arc<AtomicU64>,
}

impl Tap {
    pub(crate) fn is_on(&self) -> bool {
        self.ring.is_some() || !self.sinks.is_empty()
    }

    pub(crate) fn set_ring(&mut self, settings: Option<RecentSettings>) {
        self.mind_the_clock();
        self.ring = settings.map(Ring::new);
    }

    /// What the ring has; `None` if there is none.
    pub(crate) fn recent(&self) -> Option<Vec<Arc<Record>>> {
        Some(self.ring.as_ref()?.records())
    }

    pub(crate) fn attach(&mut self, sink: SinkEnd) {
        self.mind_the_clock();
        let SinkEnd { number, nodes, records, lost } = sink;
        self.sinks.push(Sink { number, nodes, records, lost });
    }

    pub(crate) fn detach(&mut self, number: u64) {
        self.sinks.retain(|sink| sink.number != number);
    }

    /// The monotonic clock is not stepped, so the offset is taken when nothing else goes by it.
    fn mind_the_clock(&mut self) {
        if !self.is_on() {
            self.wall_offset = clock::wall().saturating_sub(clock::now());
        }
    }

    /// Hands a packet to whoever wants it; `record.at` is of the monotonic clock.
    pub(crate) fn offer(&mut self, mut record: Record) {
        record.at = record.at.saturating_add(self.wall_offset);
        let record = Arc::new(record);
        self.sinks.retain(|sink| {
            let wanted = sink.nodes.is_empty()
                || sink.nodes.contains(&record.node)
                || record.peer.as_ref().is_some_and(|peer| sink.nodes.contains(peer));
            if !wanted {
                return true;
            }
            match sink.records.try_send(Arc::clone(&record)) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    sink.lost.fetch_add(1, Ordering::Relaxed);
                    true
                }
                // Its writer failed, and says so when it is finished.
                Err(TrySendError::Disconnected(_)) => false,
            }
        });
        if let Some(ring) = &mut self.ring {
            ring.push(record);
        }
    }
}

/// The switch's end of a capture.
pub(crate) struct SinkEnd {
    number: u64,
    nodes: BTreeSet<NodeId>,
    records: SyncSender<Arc<Record>>,
    lost: Arc<AtomicU64>,
}

/// A capture that runs. [`finish`](Self::finish) it to have the file whole and to hear what is
/// missing from it; dropping it finishes it too, and tells nobody.
#[must_use = "a capture ends when its handle is dropped"]
pub struct Capture {
    detach: Option<Box<dyn FnOnce() + Send>>,
    writer: Option<JoinHandle<io::Result<CaptureReport>>>,
    lost: Arc<AtomicU64>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Capture {
    /// Starts the thread that writes. `detach` takes the sink of the number it is given off the
    /// switch.
    pub(crate) fn start(
        out: Box<dyn io::Write + Send>,
        filter: CaptureFilter,
        detach: impl FnOnce(u64) + Send + 'static,
    ) -> io::Result<(Self, SinkEnd)> {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (records, waiting) = mpsc::sync_channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let limit = filter.bytes_max.unwrap_or(u64::MAX);
        let builder = thread::Builder::new().name("capture".into());
        let writer = builder.spawn(move || write_all(out, &waiting, limit))?;
        let end = SinkEnd { number, nodes: filter.nodes, records, lost: Arc::clone(&lost) };
        let detach: Box<dyn FnOnce() + Send> = Box::new(move || detach(number));
        Ok((Self { detach: Some(detach), writer: Some(writer), lost }, end))
    }

    /// Ends the capture. Every packet that was handed on before is in the file, or counted.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn finish(mut self) -> io::Result<CaptureReport> {
        self.end()
    }

    fn end(&mut self) -> io::Result<CaptureReport> {
        if let Some(detach) = self.detach.take() {
            detach();
        }
        let Some(writer) = self.writer.take() else { return Ok(CaptureReport::default()) };
        let broke = |_| Err(io::Error::other("the thread that writes the capture broke"));
        let report = writer.join().unwrap_or_else(broke)?;
        Ok(CaptureReport { lost: self.lost.load(Ordering::Relaxed), ..report })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Whoever wants to know has finished it.
        let _ = self.end();
    }
}

fn write_all(
    out: Box<dyn io::Write + Send>,
    records: &Receiver<Arc<Record>>,
    limit: u64,
) -> io::Result<CaptureReport> {
    let mut report = CaptureReport::default();
    let mut writer = Writer::new(BufWriter::new(out))?;
    // Ends when the switch has let go of its end.
    for record in records {
        write_one(&mut writer, &record, limit, &mut report)?;
    }
    writer.flush()?;
    report.bytes = writer.bytes;
    Ok(report)
}

/// Writes what the ring had.
pub(crate) fn write_records(
    out: impl io::Write,
    records: &[Arc<Record>],
) -> io::Result<CaptureReport> {
    let mut report = CaptureReport::default();
    let mut writer = Writer::new(BufWriter::new(out))?;
    for record in records {
        write_one(&mut writer, record, u64::MAX, &mut report)?;
    }
    writer.flush()?;
    report.bytes = writer.bytes;
    Ok(report)
}

fn write_one(
    writer: &mut Writer<impl io::Write>,
    record: &Record,
    limit: u64,
    report: &mut CaptureReport,
) -> io::Result<()> {
    // More than the blocks around it ever are, so that a limit is kept.
    let about =
        (record.packet.len() + record.comment.len() + 192 + record.node.as_str().len()) as u64;
    if report.beyond_limit > 0 || writer.bytes.saturating_add(about) > limit {
        report.beyond_limit += 1;
        return Ok(());
    }
    writer.packet(record)?;
    report.packets += 1;
    Ok(())
}

/// The file of a capture, new or emptied.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    File::create(path).map_err(|error| {
        io::Error::new(error.kind(), format!("failed to create {}: {error}", path.display()))
    })
}
