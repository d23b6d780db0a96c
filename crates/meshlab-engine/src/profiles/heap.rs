//! What a node's heap holds at a moment, by its own book.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use meshlab_model::{
    ClaimId, HeapAmount, HeapGain, HeapGrowth, HeapSnapshot, NodeId, RunEventKind, RunTime,
};
use meshlab_profile::{
    Names, Title, files,
    heap::{Dump, HeapRecording, HeapTable},
};
use meshlab_wire::{Reply, Request};

use super::{prefix, raw};
use crate::{Engine, HostError, engine::lock};

/// Longest wait for a node to write its book.
const DUMPED: Duration = Duration::from_secs(30);

/// Sites that the record keeps of a snapshot.
const SITES: usize = 20;

/// A snapshot of before, to compare with.
#[derive(Debug)]
pub(super) struct Kept {
    pid: u32,
    at: RunTime,
    ended: u32,
    table: HeapTable,
}

/// A dump that was read.
struct Read {
    table: HeapTable,
    recorder: String,
    problem: Option<String>,
}

/// A dump that a node wrote, to be read.
#[derive(Debug)]
pub(super) struct Dumped {
    node: NodeId,
    number: u32,
    pid: u32,
    at: RunTime,
    ended: u32,
    from: PathBuf,
    program: PathBuf,
    claim: Option<ClaimId>,
}

impl Engine {
    /// Asks a node what its heap holds, names the sites, and compares with its first snapshot.
    pub(crate) async fn heap_of(
        &self,
        node: &NodeId,
        claim: Option<ClaimId>,
    ) -> Result<HeapSnapshot, HostError> {
        self.read_heaps().await;
        let dumped = self.dump_heap(node, claim).await?;
        self.read_heap(dumped).await
    }

    /// Reads the dumps that were put off, in their order: reading takes seconds, which are not the
    /// scenario's.
    pub(crate) async fn read_heaps(&self) {
        let put_off = std::mem::take(&mut lock(&self.shared.profiles).dumped);
        for dumped in put_off {
            let node = dumped.node.clone();
            if let Err(error) = self.read_heap(dumped).await {
                self.shared.warn(format!("{node} has no heap profile: {error}"));
            }
        }
    }

    /// Lets a node write its book.
    pub(super) async fn dump_heap(
        &self,
        node: &NodeId,
        claim: Option<ClaimId>,
    ) -> Result<Dumped, HostError> {
        let shared = &self.shared;
        let life = self.life(node)?;
        let pid = life.process.pid();
        let raw = raw(&shared.folder.profiles);
        fs::create_dir_all(&raw).map_err(|error| {
            HostError::Harness(format!("failed to make {}: {error}", raw.display()))
        })?;
        let (number, ended) = {
            let mut profiles = lock(&shared.profiles);
            (profiles.next(node), profiles.ended)
        };
        let from = raw.join(format!("{node}-{number}.heap.json"));
        let program = PathBuf::from(format!("/proc/{pid}/exe"));
        let program = fs::canonicalize(&program).unwrap_or(program);
        let request = Request::Heap { path: from.display().to_string() };
        let at = shared.clock.now();
        let asking = life.process.control().ask(request, DUMPED);
        let why = match self.unless_stopped(claim, asking).await? {
            Ok(Reply::Heap { .. }) => {
                let node = node.clone();
                return Ok(Dumped { node, number, pid, at, ended, from, program, claim });
            }
            Ok(Reply::Refused { why }) => format!("{node} cannot say what it holds: {why}"),
            Ok(other) => format!("{node} answered something else: {other:?}"),
            Err(error) => format!(
                "{node} did not finish its heap profile, and left none: failed to {error}; did it \
                 end meanwhile?"
            ),
        };
        Err(HostError::Node(why))
    }

    async fn read_heap(&self, dumped: Dumped) -> Result<HeapSnapshot, HostError> {
        let shared = &self.shared;
        let Dumped { node, number, pid, at, ended, from, program, claim } = dumped;
        let folder = shared.folder.profiles.join("heap");
        let names = lock(&shared.profiles).names_of(&program);
        let name = format!("{node}-{number}");
        let work = move || read(&from, &folder, &name, &names);
        let done = shared.runtime.spawn_blocking(work).await;
        let read = done.unwrap_or_else(|error| Err(error.to_string()));
        let read = read.map_err(HostError::Harness)?;
        if let Some(problem) = &read.problem {
            shared.warn(format!("the heap of {node}: {problem}"));
        }
        let since = self.compare_heap(&node, pid, at, ended, &read.table);
        let snapshot = HeapSnapshot {
            file: format!("{}/heap/{node}-{number}.dhat.json", prefix(shared)),
            number,
            pid,
            taken: at,
            since,
            claim,
            ..record(node, &read)
        };
        shared.event(RunEventKind::HeapTaken(snapshot.clone()));
        Ok(snapshot)
    }

    /// What became of it since the first snapshot of this process.
    fn compare_heap(
        &self,
        node: &NodeId,
        pid: u32,
        at: RunTime,
        ended: u32,
        table: &HeapTable,
    ) -> Option<HeapGrowth> {
        let mut profiles = lock(&self.shared.profiles);
        let kept = profiles.heaps.entry(node.clone()).or_default();
        kept.retain(|kept| kept.pid == pid);
        let Some(first) = kept.first() else {
            kept.push(Kept { pid, at, ended, table: table.clone() });
            return None;
        };
        let buckets = table.growth(&first.table).into_iter();
        let sites = table.grown_sites(&first.table, SITES).into_iter();
        Some(HeapGrowth {
            micros: u64::try_from(at.since(first.at).as_micros()).unwrap_or(u64::MAX),
            churn: ended.saturating_sub(first.ended),
            buckets: buckets
                .map(|(bucket, bytes)| HeapGain { bucket, site: None, bytes })
                .collect(),
            sites: sites
                .map(|(row, bytes)| HeapGain { bucket: row.bucket, site: Some(row.site), bytes })
                .collect(),
        })
    }
}

/// Reads a dump, puts names to its sites and writes it for people.
fn read(from: &Path, folder: &Path, name: &str, names: &Mutex<Names>) -> Result<Read, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut dump = Dump::read(from).map_err(|error| error.to_string())?;
    // Without names it still says how much; everything is in `other` then, and the reason is told.
    let problem = dump.resolve(&mut lock(names)).err().map(|error| error.to_string());
    dump.write(&folder.join(format!("{name}.dhat.json"))).map_err(|error| error.to_string())?;
    let table = HeapTable::of(&dump);
    let recorder = dump.recording().map_or_else(|| "DHAT".to_owned(), told);
    let title = Title {
        title: format!("Heap of {}", name.rsplit_once('-').map_or(name, |(node, _)| node)),
        rests_on: format!("{} bytes in {} blocks; {recorder}", table.bytes, table.blocks),
        unit: "bytes".to_owned(),
    };
    files::write(folder, name, &dump.folded(), &title).map_err(|error| error.to_string())?;
    let _ = fs::remove_file(from);
    Ok(Read { table, recorder, problem })
}

/// How it was recorded, and what that cost.
fn told(recording: &HeapRecording) -> String {
    let what = match recording.sample_bytes {
        0 | 1 => "each allocation was recorded".to_owned(),
        bytes => format!("sampled: one allocation in {bytes} bytes, each stands for many"),
    };
    // What the node would have used without the recording.
    let own = recording.cpu_micros.saturating_sub(recording.spent_micros).max(1);
    let slower = 100.0 * recording.spent_micros as f64 / own as f64;
    format!("{what}, which took the node {slower:.1} % more CPU time: its CPU is no measure of it")
}

fn record(node: NodeId, read: &Read) -> HeapSnapshot {
    let table = &read.table;
    let amount = |bucket: &str, site: Option<String>, bytes, blocks| HeapAmount {
        bucket: bucket.to_owned(),
        site,
        bytes,
        blocks,
    };
    let buckets = table.buckets.iter();
    let sites = table.sites.iter().take(SITES);
    HeapSnapshot {
        node,
        number: 0,
        pid: 0,
        taken: RunTime::default(),
        file: String::new(),
        bytes: table.bytes,
        blocks: table.blocks,
        rule: table.rule,
        recorder: read.recorder.clone(),
        buckets: buckets.map(|row| amount(&row.bucket, None, row.bytes, row.blocks)).collect(),
        sites: sites
            .map(|row| amount(&row.bucket, Some(row.site.clone()), row.bytes, row.blocks))
            .collect(),
        since: None,
        claim: None,
    }
}
