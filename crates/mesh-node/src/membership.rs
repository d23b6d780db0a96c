//! The node's one loop: digests out and in, who is silent, whom to ask for entry.
//!
//! Every wake-up has a cause: an event of the topic, a digest that is due, a peer whose silence
//! became too long, a try that is due, or the request to stop.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use iroh::{PublicKey, SecretKey};
use iroh_gossip::{
    api::{ApiError, Event, GossipReceiver, GossipSender, GossipTopic},
    net::Gossip,
    proto::TopicId,
};
use meshlab_agent::{StopReason, View, ViewSource};
use meshlab_wire::{State, ViewEntry};
use n0_future::StreamExt;
use tracing::info_span;

use crate::{
    cadence::Cadence,
    cli::{self, Cli},
    connections::Connections,
    digest::{self, Codec, Digest},
    directory::{Directory, Heard},
    identity::hex,
    seeds::Seeds,
};

/// Longest wait for the gossip actor to take a command.
const COMMAND: Duration = Duration::from_secs(1);

/// How long the announcement of leaving may take to go out.
const LEAVING: Duration = Duration::from_millis(150);

/// What the loop knows and the control channel may ask for.
#[derive(Debug)]
pub(crate) struct SharedView(Mutex<Known>);

#[derive(Debug)]
struct Known {
    directory: Directory,
    neighbors: BTreeSet<PublicKey>,
}

impl SharedView {
    pub(crate) fn new(dead_after: Duration) -> Self {
        let directory = Directory::new(dead_after);
        Self(Mutex::new(Known { directory, neighbors: BTreeSet::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ViewSource for SharedView {
    fn view(&self) -> View {
        let (known, now) = (self.lock(), Instant::now());
        let peers = known.directory.peers().map(|(key, peer)| ViewEntry {
            public_key: hex(key),
            name: peer.name.clone(),
            state: peer.state,
            heard_ms_ago: now.duration_since(peer.heard).as_millis() as u64,
        });
        View { peers: peers.collect(), neighbors: known.neighbors.iter().map(hex).collect() }
    }
}

/// The node's part in its mesh.
pub(crate) struct Membership {
    gossip: Gossip,
    topic: TopicId,
    sender: GossipSender,
    receiver: GossipReceiver,
    codec: Codec,
    digest: Digest,
    cadence: Cadence,
    seeds: Seeds,
    talks: bool,
    view: Arc<SharedView>,
    connections: Connections,
}

impl Membership {
    pub(crate) fn new(
        cli: &Cli,
        key: SecretKey,
        name: String,
        gossip: Gossip,
        subscription: GossipTopic,
        view: Arc<SharedView>,
    ) -> Self {
        let now = Instant::now();
        let seeds = cli.seeds();
        // The first node of a mesh has nobody to wait for.
        let state = if seeds.is_empty() { State::Alive } else { State::Joining };
        let (sender, receiver) = subscription.split();
        Self {
            gossip,
            topic: TopicId::from_bytes(digest::topic(&cli.mesh)),
            sender,
            receiver,
            seeds: Seeds::new(seeds.into_iter().map(|s| s.id).filter(|s| *s != key.public()), now),
            codec: Codec::new(&cli.mesh, key),
            digest: Digest { name, state, incarnation: incarnation(), seq: 0 },
            cadence: Cadence::new(cli.digest_every, cli.digest_gated, now),
            talks: cli.gossip == cli::Gossip::On,
            view,
            connections: Connections::default(),
        }
    }

    /// Has the node close its `connections` to peers that it infers to be dead.
    pub(crate) fn closing(self, connections: Connections) -> Self {
        Self { connections, ..self }
    }

    /// Takes part until it is asked to stop, then announces that it leaves.
    pub(crate) async fn run(
        mut self,
        stop: impl Future<Output = StopReason>,
    ) -> anyhow::Result<()> {
        tokio::pin!(stop);
        loop {
            let wake = tokio::time::sleep_until(self.next_wake().into());
            tokio::select! {
                reason = &mut stop => {
                    tracing::info!(reason = reason.as_str(), "stopping");
                    self.leave().await;
                    return Ok(());
                }
                event = self.receiver.next() => self.on_event(event).await?,
                () = wake => self.on_time().await?,
            }
        }
    }

    /// The earliest of all deadlines; far away when there is none.
    fn next_wake(&self) -> Instant {
        let digest = self.talks.then(|| self.cadence.due());
        let expiry = self.view.lock().directory.next_expiry();
        let far = Instant::now() + Duration::from_secs(3600);
        [digest, expiry, self.seeds.due()].into_iter().flatten().min().unwrap_or(far)
    }

    async fn on_time(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        self.expire(now);
        if self.seeds.due().is_some_and(|due| due <= now) {
            self.ask_for_entry(now).await?;
        }
        if self.talks && self.cadence.due() <= now {
            self.send_digest().await?;
        }
        Ok(())
    }

    async fn on_event(&mut self, event: Option<Result<Event, ApiError>>) -> anyhow::Result<()> {
        match event {
            Some(Ok(Event::Received(message))) if self.talks => self.on_digest(&message.content),
            Some(Ok(Event::Received(_))) => {}
            Some(Ok(Event::NeighborUp(peer))) => self.neighbor_up(peer),
            Some(Ok(Event::NeighborDown(peer))) => self.neighbor_down(peer),
            Some(Ok(Event::Lagged)) => self.resubscribe("lagged").await?,
            Some(Err(error)) => anyhow::bail!("the gossip topic failed: {error}"),
            None => self.resubscribe("closed").await?,
        }
        Ok(())
    }

    fn neighbor_up(&mut self, peer: PublicKey) {
        // The place for a guard on gossip's connections: it would note here who is a neighbour,
        // and in `neighbor_down` since when it is not.
        info_span!(parent: None, "neighbor.up", peer.id = hex(&peer)).in_scope(|| ());
        self.view.lock().neighbors.insert(peer);
        self.seeds.neighbor_up(peer);
        let now = Instant::now();
        self.cadence.neighbor_up(now);
        if self.digest.state == State::Joining {
            self.announce(State::Alive);
        }
    }

    fn neighbor_down(&mut self, peer: PublicKey) {
        info_span!(parent: None, "neighbor.down", peer.id = hex(&peer)).in_scope(|| ());
        let mut known = self.view.lock();
        known.neighbors.remove(&peer);
        if known.neighbors.is_empty() {
            self.seeds.alone(Instant::now());
        }
    }

    fn announce(&mut self, state: State) {
        self.digest.state = state;
        self.cadence.changed(Instant::now());
        info_span!(parent: None, "node.state_changed", state = state.as_str()).in_scope(|| ());
    }

    fn on_digest(&mut self, bytes: &[u8]) {
        let (key, digest) = match self.codec.decode(bytes) {
            Ok(decoded) => decoded,
            Err(refusal) => {
                info_span!(parent: None, "gossip.digest_refused", reason = refusal.as_str())
                    .in_scope(|| ());
                return;
            }
        };
        let heard = self.view.lock().directory.hear(key, &digest, Instant::now());
        if matches!(heard, Heard::Old | Heard::Full) {
            return;
        }
        let (id, name, state) = (hex(&key), digest.name.as_str(), digest.state.as_str());
        let (id, seq) = (id.as_str(), digest.seq);
        info_span!(
            parent: None, "gossip.digest_received", peer.id = id, peer.name = name, seq
        )
        .in_scope(|| ());
        match heard {
            Heard::Entered => {
                connected(id, name);
                state_heard(id, state);
                self.cadence.peer_entered();
            }
            Heard::Changed | Heard::LeftUnknown => state_heard(id, state),
            Heard::Left => {
                state_heard(id, state);
                disconnected(id, name, "left");
            }
            Heard::Refreshed | Heard::Old | Heard::Full => {}
        }
        if digest.state == State::Leaving {
            self.seeds.forget(&key);
        }
    }

    fn expire(&mut self, now: Instant) {
        let silent = self.view.lock().directory.expire(now);
        for (key, peer) in silent {
            let id = hex(&key);
            info_span!(
                parent: None, "node.state_inferred", peer.id = id, state = State::Dead.as_str()
            )
            .in_scope(|| ());
            disconnected(&id, &peer.name, "silence");
            let closed = self.connections.close(&key);
            if closed > 0 {
                tracing::info!(name = peer.name, closed, "closed connections to a dead peer");
            }
        }
    }

    async fn ask_for_entry(&mut self, now: Instant) -> anyhow::Result<()> {
        let attempt = self.seeds.take_try(now);
        if let Some(wait) = attempt.retry_after {
            let after_ms = wait.as_millis() as u64;
            info_span!(parent: None, "seed.retry", retry.after_ms = after_ms).in_scope(|| ());
        }
        for peer in &attempt.peers {
            info_span!(parent: None, "seed.dialed", peer.id = hex(peer)).in_scope(|| ());
        }
        command(self.sender.join_peers(attempt.peers)).await
    }

    async fn send_digest(&mut self) -> anyhow::Result<()> {
        self.digest.seq += 1;
        let bytes = self.codec.encode(&self.digest);
        self.cadence.sent(Instant::now());
        command(self.sender.broadcast(bytes.into())).await?;
        let seq = self.digest.seq;
        info_span!(parent: None, "gossip.digest_sent", seq).in_scope(|| ());
        Ok(())
    }

    /// A subscription that was too slow is closed by gossip; what it missed comes with the next
    /// digests.
    async fn resubscribe(&mut self, reason: &'static str) -> anyhow::Result<()> {
        tracing::warn!(reason, "the gossip subscription ended; subscribing again");
        let bootstrap = self.view.lock().neighbors.iter().copied().collect();
        let subscribe = self.gossip.subscribe(self.topic, bootstrap);
        let subscription = tokio::time::timeout(COMMAND, subscribe).await??;
        (self.sender, self.receiver) = subscription.split();
        Ok(())
    }

    async fn leave(&mut self) {
        self.announce(State::Leaving);
        if !self.talks {
            return;
        }
        if let Err(error) = self.send_digest().await {
            tracing::warn!(%error, "leaving could not be announced");
            return;
        }
        // Gossip does not say when a broadcast is on the wire. A node without neighbours has
        // nobody to tell.
        if !self.view.lock().neighbors.is_empty() {
            tokio::time::sleep(LEAVING).await;
        }
    }
}

fn connected(id: &str, name: &str) {
    info_span!(parent: None, "peer.connected", peer.id = id, peer.name = name, reason = "heard")
        .in_scope(|| ());
    tracing::info!(name, "peer entered");
}

fn disconnected(id: &str, name: &str, reason: &'static str) {
    info_span!(parent: None, "peer.disconnected", peer.id = id, peer.name = name, reason)
        .in_scope(|| ());
    tracing::info!(name, reason, "peer gone");
}

fn state_heard(id: &str, state: &'static str) {
    info_span!(parent: None, "node.state_heard", peer.id = id, state).in_scope(|| ());
}

async fn command(sent: impl Future<Output = Result<(), ApiError>>) -> anyhow::Result<()> {
    let sent = tokio::time::timeout(COMMAND, sent).await;
    sent.map_err(|_| anyhow::anyhow!("gossip did not take a command within {COMMAND:?}"))?
        .map_err(|error| anyhow::anyhow!("gossip is gone: {error}"))
}

/// Microseconds since 1970 at the start of the node. Only its order from start to start counts;
/// after a clock that was set back, peers accept the node once they forgot its last life.
fn incarnation() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
