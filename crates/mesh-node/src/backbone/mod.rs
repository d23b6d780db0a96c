//! The backbone: one topic that all meshes share, with one summary for each mesh.
//!
//! `lease.rs` decides who publishes, `summary.rs` is what goes over the wire, and [`Backbone`] is
//! the loop of this node's part. It wakes for a summary, a publication that is due, a mesh whose
//! lease ran out, and a change of its own mesh.

mod lease;
pub mod summary;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use iroh::{PublicKey, SecretKey};
use iroh_gossip::{
    api::{Event, GossipReceiver, GossipSender},
    proto::TopicId,
};
use meshlab_wire::{Contact, State};
use n0_future::StreamExt;
use tokio::sync::watch;
use tracing::info_span;

use self::{
    lease::{Change, Lease},
    summary::{CONTACTS_MAX, Summary, SummaryContact},
};
use crate::{
    counters::{Counter, Counters},
    entry::Entry,
    identity::hex,
    seeds::Seeds,
    view::SharedView,
};

/// Meshes at most; further ones are refused.
const MESHES_MAX: usize = 256;

/// Longest lease that is believed.
const LEASE_MAX: Duration = Duration::from_secs(3600);

/// Shortest time between two summaries that new neighbours cause.
const WANTED_EVERY: Duration = Duration::from_millis(250);

/// Other meshes that the node knows of. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meshes(Arc<Mutex<BTreeMap<String, Known>>>);

#[derive(Debug)]
struct Known {
    position: (u64, u64),
    publisher: PublicKey,
    contacts: Vec<Contact>,
    until: Instant,
}

impl Meshes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who can be asked about the nodes of a mesh.
    pub(crate) fn contacts(&self, mesh: &str) -> Vec<Contact> {
        self.lock().get(mesh).map(|known| known.contacts.clone()).unwrap_or_default()
    }

    fn next_end(&self) -> Option<Instant> {
        self.lock().values().map(|known| known.until).min()
    }

    fn hear(&self, key: PublicKey, summary: Summary, now: Instant) -> bool {
        let mesh = summary.mesh().to_owned();
        let mut meshes = self.lock();
        let position = (summary.incarnation, summary.seq);
        let known = meshes.get(&mesh);
        let old = known.is_some_and(|known| known.publisher == key && position <= known.position);
        if old || (known.is_none() && meshes.len() >= MESHES_MAX) {
            return false;
        }
        let is_new = known.is_none();
        let contact = |contact: SummaryContact| {
            Some(Contact {
                name: contact.name,
                public_key: hex(&PublicKey::from_bytes(&contact.key).ok()?),
                addresses: contact.addresses.iter().map(ToString::to_string).collect(),
            })
        };
        let until = now + Duration::from_millis(summary.lease_ms).min(LEASE_MAX);
        let contacts = summary.contacts.into_iter().filter_map(contact).collect();
        meshes.insert(mesh, Known { position, publisher: key, contacts, until });
        is_new
    }

    fn expire(&self, now: Instant) -> Vec<String> {
        let mut meshes = self.lock();
        let over: Vec<String> =
            meshes.iter().filter(|(_, known)| known.until <= now).map(|(m, _)| m.clone()).collect();
        for mesh in &over {
            meshes.remove(mesh);
        }
        over
    }
}

/// This node's part in the backbone.
pub(crate) struct Backbone {
    key: SecretKey,
    name: String,
    mesh: String,
    incarnation: u64,
    seq: u64,
    addresses: Vec<std::net::SocketAddr>,
    every: Duration,
    lease: Lease,
    /// The publisher, once it was seen in the directory. One that was heard here first is not
    /// taken for gone.
    present: Option<PublicKey>,
    seeds: Seeds,
    neighbors: BTreeSet<PublicKey>,
    last_wanted: Option<Instant>,
    sender: GossipSender,
    receiver: GossipReceiver,
    view: Arc<SharedView>,
    changes: watch::Receiver<u64>,
    meshes: Meshes,
    entry: Entry,
    counters: Counters,
}

/// What the backbone needs of the node.
pub(crate) struct BackboneParts {
    pub(crate) key: SecretKey,
    pub(crate) name: String,
    pub(crate) mesh: String,
    pub(crate) incarnation: u64,
    pub(crate) addresses: Vec<std::net::SocketAddr>,
    pub(crate) every: Duration,
    pub(crate) seeds: Vec<PublicKey>,
    pub(crate) view: Arc<SharedView>,
    pub(crate) meshes: Meshes,
    pub(crate) entry: Entry,
    pub(crate) counters: Counters,
}

impl Backbone {
    pub(crate) async fn join(parts: BackboneParts) -> anyhow::Result<Self> {
        let topic = TopicId::from_bytes(summary::topic());
        let (sender, receiver) = parts.entry.gossip.subscribe(topic, Vec::new()).await?.split();
        let (now, own) = (Instant::now(), parts.key.public());
        Ok(Self {
            lease: Lease::new(own, parts.every, now),
            seeds: Seeds::new(parts.seeds.into_iter().filter(|seed| *seed != own), now),
            present: None,
            changes: parts.view.watch(),
            neighbors: BTreeSet::new(),
            last_wanted: None,
            seq: 0,
            sender,
            receiver,
            key: parts.key,
            name: parts.name,
            mesh: parts.mesh,
            incarnation: parts.incarnation,
            addresses: parts.addresses,
            every: parts.every,
            view: parts.view,
            meshes: parts.meshes,
            entry: parts.entry,
            counters: parts.counters,
        })
    }

    /// Takes part until the node ends. A topic that fails ends the node's part in the backbone,
    /// not the node.
    pub(crate) async fn run(mut self) {
        loop {
            let rank = self.rank();
            if let Some(change) = self.lease.on_time(rank, Instant::now()) {
                self.tell(change);
            }
            if self.lease.publishes(Instant::now()) && self.publish().await.is_err() {
                tracing::warn!("the backbone's topic is gone");
                return;
            }
            let far = Instant::now() + Duration::from_secs(3600);
            let due = [self.lease.due(rank), self.meshes.next_end(), self.seeds.due()];
            let wake = due.into_iter().flatten().min().unwrap_or(far);
            tokio::select! {
                event = self.receiver.next() => match event {
                    Some(Ok(event)) => self.on_event(event),
                    Some(Err(_)) | None => {
                        tracing::warn!("the backbone's topic ended");
                        return;
                    }
                },
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.own_mesh_changed();
                }
                () = tokio::time::sleep_until(wake.into()) => self.on_time(),
            }
        }
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        for mesh in self.meshes.expire(now) {
            info_span!(parent: None, "mesh.lost", mesh).in_scope(|| ());
        }
        if self.seeds.due().is_some_and(|due| due <= now) {
            let attempt = self.seeds.take_try(now);
            self.entry.ask(&self.sender, attempt.peers);
        }
    }

    fn on_event(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Received(message) => self.on_summary(&message.content, now),
            Event::NeighborUp(peer) => {
                self.neighbors.insert(peer);
                self.view.lock().backbone_neighbors.insert(peer);
                self.seeds.heard(&peer);
                self.seeds.neighbor_up(peer, now);
                // What was published before never reached it.
                if self.last_wanted.is_none_or(|last| now - last >= WANTED_EVERY) {
                    self.last_wanted = Some(now);
                    self.lease.wanted();
                }
            }
            Event::NeighborDown(peer) => {
                self.neighbors.remove(&peer);
                self.view.lock().backbone_neighbors.remove(&peer);
                if self.neighbors.is_empty() {
                    self.seeds.alone(now);
                }
            }
            Event::Lagged => {}
        }
    }

    fn on_summary(&mut self, bytes: &[u8], now: Instant) {
        let (key, summary) = match summary::decode(bytes) {
            Ok(decoded) => decoded,
            Err(refusal) => {
                self.counters.one(Counter::SummariesRefused);
                info_span!(parent: None, "backbone.refused", reason = refusal.as_str())
                    .in_scope(|| ());
                return;
            }
        };
        self.counters.one(Counter::SummariesReceived);
        if summary.mesh() == self.mesh {
            if let Some(change) = self.lease.heard(key, now) {
                self.tell(change);
            }
            return;
        }
        let mesh = summary.mesh().to_owned();
        if self.meshes.hear(key, summary, now) {
            info_span!(parent: None, "mesh.discovered", mesh, peer.id = hex(&key)).in_scope(|| ());
            // Its nodes have not heard of this mesh either.
            self.lease.wanted();
        }
    }

    /// The publisher may be among those who went.
    fn own_mesh_changed(&mut self) {
        let now = Instant::now();
        let Some(publisher) = self.lease.other() else { return };
        let present = self.view.lock().directory.get(&publisher).is_some();
        if present {
            self.present = Some(publisher);
        } else if self.present == Some(publisher) {
            self.present = None;
            self.lease.gone(&publisher, now);
        }
    }

    /// How many nodes of the mesh have a lower key.
    fn rank(&self) -> u32 {
        let own = self.key.public();
        let known = self.view.lock();
        let lower = known.directory.peers().filter(|(key, _)| **key < own).count();
        u32::try_from(lower).unwrap_or(u32::MAX)
    }

    fn tell(&self, change: Change) {
        match change {
            Change::Claimed => {
                info_span!(parent: None, "backbone.claimed", mesh = self.mesh).in_scope(|| ());
            }
            Change::Yielded => {
                info_span!(parent: None, "backbone.yielded", mesh = self.mesh).in_scope(|| ());
            }
        }
    }

    async fn publish(&mut self) -> anyhow::Result<()> {
        self.seq += 1;
        let bytes = summary::encode(&self.key, &self.summary());
        self.lease.published(Instant::now());
        self.sender.broadcast(bytes.into()).await?;
        self.counters.one(Counter::SummariesSent);
        info_span!(parent: None, "backbone.published", mesh = self.mesh, seq = self.seq)
            .in_scope(|| ());
        Ok(())
    }

    fn summary(&self) -> Summary {
        let known = self.view.lock();
        let own = SummaryContact {
            name: self.name.clone(),
            key: *self.key.public().as_bytes(),
            addresses: self.addresses.clone(),
        };
        let others = known.directory.peers().filter(|(_, peer)| peer.state == State::Alive);
        let others = others.map(|(key, peer)| SummaryContact {
            name: peer.name.clone(),
            key: *key.as_bytes(),
            addresses: peer.addresses.clone(),
        });
        Summary {
            publisher: self.name.clone(),
            incarnation: self.incarnation,
            seq: self.seq,
            lease_ms: Lease::stands(self.every).as_millis() as u64,
            nodes: u32::try_from(known.directory.len() + 1).unwrap_or(u32::MAX),
            contacts: std::iter::once(own).chain(others).take(CONTACTS_MAX).collect(),
        }
    }
}
