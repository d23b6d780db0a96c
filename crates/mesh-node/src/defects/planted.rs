//! The mistakes themselves, each as small as it was where it was made.

mod leak;
mod lookalikes;
mod network;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use clap::ValueEnum;
use iroh::PublicKey;
use iroh_gossip::api::GossipSender;
use meshlab_agent::Exported;
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

pub(crate) use self::leak::connection_opened;
use self::network::Network;
use crate::{digest::Digest, entry::Entry, view::SharedView};

/// A mistake, or something that looks like one and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Defect {
    /// The digest goes out each 500 ms, whether anything changed or not
    GossipFirehose,
    /// A span at INFO for each frame and each packet
    InfoPerFrame,
    /// Every node dials every node and keeps the connection
    MdnsFullMesh,
    /// Every known peer is joined again each 100 ms, a handshake each time
    JoinStorm,
    /// The membership loop runs inside a span, which never ends and keeps its events
    SpanForever,
    /// A closed channel is waited for again and again
    BusyClosedChannel,
    /// A reconnect takes the old connection's place in the registry and leaves it open
    GhostConnections,
    /// Digests of those who went are never forgotten
    DigestMapGrows,
    /// A map beside the directory is not cleaned when a peer goes
    MeshIdMapGrows,
    /// Who was joined once is never joined again
    JoinedSetGrows,
    /// A seed is dialled once, at the start
    SeedOneShot,
    /// Nothing closes what iroh-gossip leaves open when its send loop goes dark
    SelectGoesDark,
    /// A connection's task waits for both halves, and one of them never ends
    JoinNotSelect,
    /// DEBUG events of spans that never end are kept for the export
    OtelDebugFloor,
    /// The load is read from the whole process table
    EnumerateProcesses,
    /// Dead peers are dialled, and the attempts are kept for ever
    AbandonedHandshake,
    /// Addresses of those who went are never forgotten
    AddressCache,
    /// Who is stale is judged by the sender's clock
    WallClockStaleness,
    /// A kilobyte is kept for each connection, for ever: what a profile of the heap has to name
    KilobytePerConnection,
    /// No mistake: 3 MB more in the first minute, and then no more
    LookalikeWarmUp,
    /// No mistake: the allocator takes 1 MB at once, three times in the first three minutes
    LookalikeSteps,
    /// No mistake: a cache of 2 MB that fills with what is heard, and is then full
    LookalikeCache,
    /// No mistake: dead peers are dialled now and then, and the attempts are given up
    LookalikeHandshakes,
}

static PLANTED: OnceLock<BTreeSet<Defect>> = OnceLock::new();

/// Names that the map beside the directory holds.
static MESH_IDS: AtomicU64 = AtomicU64::new(0);

/// Plants what was asked for. The first call counts.
pub(crate) fn plant(planted: &[Defect]) {
    let set = PLANTED.get_or_init(|| planted.iter().copied().collect());
    if !set.is_empty() {
        tracing::debug!(?set, "planted");
    }
}

pub(crate) fn has(defect: Defect) -> bool {
    PLANTED.get().is_some_and(|planted| planted.contains(&defect))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the planted mistakes keep.
#[derive(Debug)]
pub(crate) struct Defects {
    network: Network,
    view: Arc<SharedView>,
    /// Of every peer that was ever heard: the mesh it is of.
    mesh_ids: BTreeMap<PublicKey, String>,
    /// Ends a neighbour's sending half.
    halves: BTreeMap<PublicKey, mpsc::Sender<()>>,
    /// Nobody sends here, and nobody drops it.
    receiving: Vec<mpsc::Sender<()>>,
    cache: Vec<Vec<u8>>,
    next: Instant,
}

impl Defects {
    pub(crate) fn new(entry: Entry, view: Arc<SharedView>, now: Instant) -> Self {
        if has(Defect::BusyClosedChannel) {
            tokio::spawn(wait_for_nobody());
        }
        lookalikes::begin();
        Self {
            network: Network::new(entry),
            view,
            mesh_ids: BTreeMap::new(),
            halves: BTreeMap::new(),
            receiving: Vec::new(),
            cache: Vec::new(),
            next: now,
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let ticks = [Defect::JoinStorm, Defect::AbandonedHandshake, Defect::LookalikeHandshakes];
        ticks.into_iter().any(has).then_some(self.next)
    }

    pub(crate) fn on_time(&mut self, now: Instant, topic: &GossipSender) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        if has(Defect::JoinStorm) {
            self.next = now + Duration::from_millis(100);
            let known = self.view.lock().directory.peers().map(|(key, _)| *key).collect();
            self.network.join_all(topic, known);
        }
        if has(Defect::AbandonedHandshake) {
            self.next = now + Duration::from_millis(500);
            self.network.dial_the_dead(true);
        }
        if has(Defect::LookalikeHandshakes) {
            self.next = now + Duration::from_secs(2);
            self.network.dial_the_dead(false);
        }
    }

    /// The loop woke.
    pub(crate) fn woke(&self) {
        if has(Defect::SpanForever) {
            let known = self.view.lock();
            let (peers, neighbors) = (known.directory.len(), known.neighbors.len());
            tracing::info!(peers, neighbors, state = known.state.as_str(), "woke");
        }
        if has(Defect::OtelDebugFloor) {
            let known = self.view.lock();
            tracing::debug!(directory = ?known.directory, neighbors = ?known.neighbors, "woke");
        }
    }

    pub(crate) fn frame(&self, bytes: &[u8]) {
        if has(Defect::InfoPerFrame) {
            // Not a word of the wire's vocabulary, and meant not to be.
            tracing::span!(parent: None, tracing::Level::INFO, "frame", bytes = bytes.len())
                .in_scope(|| ());
        }
    }

    pub(crate) fn entered(&mut self, peer: PublicKey, digest: &Digest) {
        if has(Defect::MeshIdMapGrows) {
            let mesh = digest.name.split('.').next().unwrap_or_default();
            self.mesh_ids.insert(peer, mesh.to_owned());
            MESH_IDS.store(self.mesh_ids.len() as u64, Ordering::Relaxed);
        }
        if has(Defect::MdnsFullMesh) {
            self.network.keep_one(peer);
        }
        if has(Defect::GhostConnections) {
            self.network.replace(peer);
        }
        lookalikes::fill(&mut self.cache);
    }

    pub(crate) fn neighbor_up(&mut self, peer: PublicKey) {
        if has(Defect::GhostConnections) {
            self.network.replace(peer);
        }
        if has(Defect::JoinNotSelect) {
            let (end, mut ended) = mpsc::channel::<()>(1);
            let (never, mut frames) = mpsc::channel::<()>(1);
            self.halves.insert(peer, end);
            self.receiving.push(never);
            let task = self.network.counters().task();
            tokio::spawn(async move {
                // `select!` would end with the first of them.
                tokio::join!(ended.recv(), frames.recv());
                drop(task);
            });
        }
        lookalikes::fill(&mut self.cache);
    }

    pub(crate) fn neighbor_down(&mut self, peer: PublicKey) {
        self.halves.remove(&peer);
    }

    pub(crate) fn silent(&mut self, peer: PublicKey) {
        if has(Defect::AbandonedHandshake) || has(Defect::LookalikeHandshakes) {
            self.network.dead(peer);
        }
    }
}

/// The sender is gone before the first wait; `break` would be right.
async fn wait_for_nobody() {
    let (gone, mut orders) = mpsc::channel::<()>(1);
    drop(gone);
    loop {
        tokio::select! {
            order = orders.recv() => {
                if order.is_none() {
                    continue;
                }
            }
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
        }
    }
}

pub(crate) fn cadence(every: Duration, gated: bool) -> (Duration, bool) {
    match has(Defect::GossipFirehose) {
        true => (every.min(Duration::from_millis(500)), false),
        false => (every, gated),
    }
}

pub(crate) fn exported() -> Exported {
    let level = match has(Defect::OtelDebugFloor) {
        true => LevelFilter::DEBUG,
        false => LevelFilter::INFO,
    };
    let kept = has(Defect::OtelDebugFloor) || has(Defect::SpanForever);
    Exported {
        level,
        transport: has(Defect::InfoPerFrame),
        events_per_span: if kept { u32::MAX } else { Exported::FLOOR.events_per_span },
    }
}

pub(crate) fn guards_connections() -> bool {
    !has(Defect::SelectGoesDark)
}

pub(crate) fn forgets_the_gone() -> bool {
    !has(Defect::DigestMapGrows)
}

pub(crate) fn forgets_addresses() -> bool {
    !has(Defect::AddressCache)
}

pub(crate) fn asks_seeds_again() -> bool {
    !has(Defect::SeedOneShot)
}

pub(crate) fn joins_again() -> bool {
    !has(Defect::JoinedSetGrows)
}

pub(crate) fn looks_at_all_processes() -> bool {
    has(Defect::EnumerateProcesses)
}

/// The tag by which a digest says when it was sent, in milliseconds of the Unix epoch.
const SENT: &str = "sent=";

pub(crate) fn stamp(digest: &mut Digest) {
    if has(Defect::WallClockStaleness) {
        digest.tags.retain(|tag| !tag.starts_with(SENT));
        digest.tags.push(format!("{SENT}{}", unix_ms()));
    }
}

pub(crate) fn is_stale(digest: &Digest, dead_after: Duration) -> bool {
    let sent = digest.tags.iter().find_map(|tag| tag.strip_prefix(SENT)?.parse::<u64>().ok());
    sent.is_some_and(|sent| sent + (dead_after.as_millis() as u64) < unix_ms())
}

fn unix_ms() -> u64 {
    // As the harness has set it: nobody can set the host's clock for one process.
    let now = meshlab_agent::wall_clock().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}

pub(crate) fn gauges() -> BTreeMap<String, u64> {
    match has(Defect::MeshIdMapGrows) {
        true => BTreeMap::from([("mesh_ids.entries".to_owned(), MESH_IDS.load(Ordering::Relaxed))]),
        false => BTreeMap::new(),
    }
}

pub(crate) fn loop_span() -> tracing::Span {
    match has(Defect::SpanForever) || has(Defect::OtelDebugFloor) {
        true => tracing::span!(parent: None, tracing::Level::INFO, "membership.loop"),
        false => tracing::Span::none(),
    }
}
