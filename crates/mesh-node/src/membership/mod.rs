//! The node's one loop: digests out and in, who is silent, whom to ask for entry, what it is told.
//!
//! Every wake-up has a cause: an event of the topic, a digest that is due, a peer whose silence
//! became too long, a try that is due, a gossip connection that nobody needs any more, an
//! instruction, or the request to stop. `peers.rs` is what it does about others.

mod peers;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::{PublicKey, SecretKey};
use iroh_gossip::{
    api::{ApiError, Event, GossipReceiver, GossipSender, GossipTopic},
    proto::TopicId,
};
use meshlab_agent::StopReason;
use meshlab_wire::State;
use n0_future::StreamExt;
use tokio::sync::mpsc;
use tracing::info_span;

use crate::{
    acquaintances::Acquaintances,
    cadence::Cadence,
    connections::Connections,
    control::Instruction,
    counters::{Counter, Counters},
    defects::{self, Defects},
    dial::Dialer,
    digest::{Codec, Digest},
    entry::Entry,
    identity::hex,
    lifecycle::Lifecycle,
    load::{Budget, OwnLoad},
    own_disk::OwnDisk,
    seeds::Seeds,
    view::SharedView,
};

/// Longest wait for the gossip actor to take a command.
const COMMAND: Duration = Duration::from_secs(1);

/// How long the announcement of leaving may take to go out. Over a lazy link of plumtree a
/// neighbour is first told that there is something (after 5 ms), waits 80 ms for somebody else to
/// bring it, asks for it, and only then is sent it: the node has to be there for all of that.
const LEAVING: Duration = Duration::from_millis(400);

/// From which lateness on the loop takes itself for paused, at most; at a fast cadence it is a
/// quarter of the time after which a peer is dead. A peer is heard each third of that time, and the
/// loop wakes at least as often, so a shorter pause makes nobody look dead.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_SHARE: u32 = 4;

/// Waits between two attempts to subscribe again; the last one repeats.
const RESUBSCRIBE_MS: [u64; 4] = [0, 100, 1000, 5000];

/// By how much the loop woke too late. What was due before it woke the last time became due just
/// then: who is dead needs no connection any more, and the time to close that one may be long past.
fn lateness(due: Instant, woken_before: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(due.max(woken_before))
}

/// The node's part in its mesh.
pub(crate) struct Membership {
    topic: TopicId,
    sender: GossipSender,
    receiver: GossipReceiver,
    codec: Codec,
    digest: Digest,
    lifecycle: Lifecycle,
    cadence: Cadence,
    seeds: Seeds,
    talks: bool,
    load: OwnLoad,
    budget: Budget,
    /// When the load is held against the budget next; `None` without a budget.
    budget_due: Option<Instant>,
    disk: OwnDisk,
    digest_every: Duration,
    resubscribed: usize,
    acquaintances: Acquaintances,
    view: Arc<SharedView>,
    connections: Connections,
    dialer: Dialer,
    entry: Entry,
    instructions: mpsc::Receiver<Instruction>,
    counters: Counters,
    defects: Defects,
}

/// What the loop needs of the node.
pub(crate) struct Parts {
    pub(crate) topic: TopicId,
    pub(crate) subscription: GossipTopic,
    pub(crate) key: SecretKey,
    pub(crate) mesh: String,
    pub(crate) digest: Digest,
    pub(crate) seeds: Vec<PublicKey>,
    pub(crate) cadence: Cadence,
    pub(crate) digest_every: Duration,
    pub(crate) talks: bool,
    pub(crate) budget: Budget,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) acquaintances: Acquaintances,
    pub(crate) disk: OwnDisk,
    pub(crate) view: Arc<SharedView>,
    pub(crate) connections: Connections,
    pub(crate) dialer: Dialer,
    pub(crate) entry: Entry,
    pub(crate) instructions: mpsc::Receiver<Instruction>,
    pub(crate) counters: Counters,
}

/// What ended the loop's wait.
enum Woken {
    Stop(StopReason),
    Instruction(Option<Instruction>),
    Event(Option<Result<Event, ApiError>>),
    Connections,
    Time,
}

/// Why the loop goes on or ends.
enum Next {
    GoOn,
    End,
}

impl Membership {
    pub(crate) fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let own = parts.key.public();
        let (sender, receiver) = parts.subscription.split();
        Self {
            topic: parts.topic,
            sender,
            receiver,
            seeds: Seeds::new(parts.seeds.into_iter().filter(|seed| *seed != own), now),
            codec: Codec::new(&parts.mesh, parts.key),
            digest: parts.digest,
            lifecycle: parts.lifecycle,
            cadence: parts.cadence,
            talks: parts.talks,
            load: OwnLoad::new(),
            budget_due: parts.budget.is_set().then_some(now),
            budget: parts.budget,
            digest_every: parts.digest_every,
            resubscribed: 0,
            acquaintances: parts.acquaintances,
            disk: parts.disk,
            defects: Defects::new(parts.entry.clone(), Arc::clone(&parts.view), now),
            connections: parts.connections,
            dialer: parts.dialer,
            view: parts.view,
            entry: parts.entry,
            instructions: parts.instructions,
            counters: parts.counters,
        }
    }

    /// Takes part until it is asked or ordered to stop, then announces that it leaves.
    pub(crate) async fn run(
        mut self,
        stop: impl Future<Output = StopReason>,
    ) -> anyhow::Result<()> {
        tokio::pin!(stop);
        let mut woken_before = Instant::now();
        loop {
            let due = self.next_wake();
            let connections = self.connections.clone();
            let woken = tokio::select! {
                reason = &mut stop => Woken::Stop(reason),
                instruction = self.instructions.recv() => Woken::Instruction(instruction),
                event = self.receiver.next() => Woken::Event(event),
                () = connections.changed() => Woken::Connections,
                () = tokio::time::sleep_until(due.into()) => Woken::Time,
            };
            self.counters.one(Counter::Wakes);
            self.defects.woke();
            // Whatever woke it: after a pause several of these are ready at once, and what an event
            // changes may hide how late it is.
            let now = Instant::now();
            self.notice_pause(lateness(due, woken_before, now));
            woken_before = now;
            self.try_disk();
            if matches!(self.on_woken(woken).await?, Next::End) {
                self.leave().await;
                return Ok(());
            }
        }
    }

    async fn on_woken(&mut self, woken: Woken) -> anyhow::Result<Next> {
        match woken {
            Woken::Stop(reason) => {
                tracing::info!(reason = reason.as_str(), "stopping");
                return Ok(Next::End);
            }
            Woken::Instruction(Some(instruction)) => return Ok(self.on_instruction(instruction)),
            // Its sender lives in the router, which goes only after this loop.
            Woken::Instruction(None) => return Ok(Next::End),
            Woken::Event(event) => self.on_event(event).await?,
            Woken::Connections => {}
            Woken::Time => self.on_time().await?,
        }
        Ok(Next::GoOn)
    }

    /// The earliest of all deadlines; far away when there is none.
    fn next_wake(&self) -> Instant {
        let digest = self.talks.then(|| self.cadence.due());
        let (expiry, tidy) = {
            let known = self.view.lock();
            (known.directory.next_expiry(), self.connections.next_tidy(&known.needed()))
        };
        let far = Instant::now() + Duration::from_secs(3600);
        let due = [digest, expiry, tidy, self.seeds.due(), self.budget_due, self.defects.due()];
        due.into_iter().flatten().min().unwrap_or(far)
    }

    async fn on_time(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        self.expire(now);
        self.tidy(now);
        self.defects.on_time(now, &self.sender);
        if self.budget_due.is_some_and(|due| due <= now) {
            self.budget_due = Some(now + self.digest_every);
            self.hold_budget(now);
        }
        if self.seeds.due().is_some_and(|due| due <= now) {
            self.ask_for_entry(now);
        }
        if self.talks && self.cadence.due() <= now {
            self.send_digest().await?;
        }
        Ok(())
    }

    /// A process that was frozen wakes to a directory full of peers that it did not hear, and was
    /// not there to hear. It does not hold that against them.
    fn notice_pause(&mut self, late: Duration) {
        let dead_after = self.view.lock().directory.dead_after();
        if late < PAUSE_MIN.min(dead_after / PAUSE_SHARE) {
            return;
        }
        let gap_ms = late.as_millis() as u64;
        info_span!(parent: None, "node.paused", gap.ms = gap_ms).in_scope(|| ());
        tracing::warn!(gap_ms, "this process stood still");
        self.view.lock().directory.forgive(late);
        self.cadence.changed(Instant::now());
    }

    async fn on_event(&mut self, event: Option<Result<Event, ApiError>>) -> anyhow::Result<()> {
        match event {
            Some(Ok(Event::Received(message))) if self.talks => {
                self.defects.frame(&message.content);
                self.on_digest(&message.content);
            }
            Some(Ok(Event::Received(_))) => {}
            Some(Ok(Event::NeighborUp(peer))) => {
                // Before the first neighbour nobody could hear that this node joins.
                if self.talks && self.lifecycle.state() == State::Joining {
                    self.cadence.unheard();
                    self.send_digest().await?;
                }
                self.neighbor_up(peer);
            }
            Some(Ok(Event::NeighborDown(peer))) => self.neighbor_down(peer),
            Some(Ok(Event::Lagged)) => self.resubscribe("lagged").await?,
            Some(Err(error)) => anyhow::bail!("the gossip topic failed: {error}"),
            None => self.resubscribe("closed").await?,
        }
        Ok(())
    }

    fn on_instruction(&mut self, instruction: Instruction) -> Next {
        match instruction {
            Instruction::Shutdown => {
                tracing::info!(reason = "order", "stopping");
                return Next::End;
            }
            Instruction::SetState(state, reply) => {
                let entered = self.lifecycle.set(state);
                let told = entered.clone().map(|_| ());
                if let Ok(Some(state)) = entered {
                    self.announce(state);
                }
                // Who asked may have gone; the state is entered all the same.
                let _ = reply.send(told);
            }
        }
        Next::GoOn
    }

    fn hold_budget(&mut self, now: Instant) {
        let was_over = self.lifecycle.is_over_budget();
        let over = self.budget.is_over(self.load.read(now), was_over);
        if let Some(state) = self.lifecycle.budget(over) {
            self.announce(state);
        }
    }

    fn try_disk(&mut self) {
        let Some(refuses) = self.disk.refuses(Instant::now()) else { return };
        if let Some(state) = self.lifecycle.disk(refuses) {
            self.announce(state);
        }
    }

    fn announce(&mut self, state: State) {
        self.digest.state = state;
        {
            let mut known = self.view.lock();
            known.state = state;
            known.takes_work = self.lifecycle.takes_work();
        }
        self.cadence.changed(Instant::now());
        let reason = (state == State::Degraded).then(|| self.lifecycle.reason()).flatten();
        info_span!(parent: None, "node.state_changed", state = state.as_str(), reason)
            .in_scope(|| ());
    }

    /// Asks who is to be asked.
    fn ask_for_entry(&mut self, now: Instant) {
        let attempt = self.seeds.take_try(now);
        if let Some(wait) = attempt.retry_after {
            let after_ms = wait.as_millis() as u64;
            info_span!(parent: None, "seed.retry", retry.after_ms = after_ms).in_scope(|| ());
        }
        for peer in &attempt.peers {
            info_span!(parent: None, "seed.dialed", peer.id = hex(peer)).in_scope(|| ());
        }
        self.entry.ask(&self.sender, attempt.peers);
    }

    async fn send_digest(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        self.digest.seq += 1;
        self.digest.peers = u32::try_from(self.view.lock().directory.len()).unwrap_or(u32::MAX);
        // With a budget the load is read at its own times.
        let load = if self.budget.is_set() { self.load.latest() } else { self.load.read(now) };
        self.digest.set_load(load);
        defects::stamp(&mut self.digest);
        let bytes = self.codec.encode(&self.digest);
        self.cadence.sent(now);
        command(self.sender.broadcast(bytes.into())).await?;
        self.counters.one(Counter::DigestsSent);
        let seq = self.digest.seq;
        info_span!(parent: None, "gossip.digest_sent", seq).in_scope(|| ());
        self.acquaintances.store(self.neighbor_addresses());
        Ok(())
    }

    /// A subscription that was too slow is closed by gossip; what it missed comes with the next
    /// digests.
    async fn resubscribe(&mut self, reason: &'static str) -> anyhow::Result<()> {
        tracing::warn!(reason, "the gossip subscription ended; subscribing again");
        let wait = RESUBSCRIBE_MS[self.resubscribed.min(RESUBSCRIBE_MS.len() - 1)];
        self.resubscribed += 1;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let bootstrap = self.view.lock().neighbors.iter().copied().collect();
        let subscribe = self.entry.gossip.subscribe(self.topic, bootstrap);
        let subscription = tokio::time::timeout(COMMAND, subscribe).await??;
        // Gossip tells a new subscriber of every neighbour that it has.
        self.view.lock().neighbors.clear();
        (self.sender, self.receiver) = subscription.split();
        Ok(())
    }

    async fn leave(&mut self) {
        if let Some(state) = self.lifecycle.leave() {
            self.announce(state);
        }
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

async fn command(sent: impl Future<Output = Result<(), ApiError>>) -> anyhow::Result<()> {
    let sent = tokio::time::timeout(COMMAND, sent).await;
    sent.map_err(|_| anyhow::anyhow!("gossip did not take a command within {COMMAND:?}"))?
        .map_err(|error| anyhow::anyhow!("gossip is gone: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_due_by_what_just_happened_is_no_pause() {
        let woken = Instant::now();
        let after = |seconds| woken + Duration::from_secs(seconds);
        let before = woken.checked_sub(Duration::from_secs(2)).expect("the host is up for longer");
        // Due 2 s before the loop last woke, and served in the next turn.
        assert_eq!(lateness(before, woken, woken), Duration::ZERO);
        assert_eq!(lateness(after(3), woken, after(3)), Duration::ZERO, "in time");
        assert_eq!(lateness(after(3), woken, after(1)), Duration::ZERO, "woken by something else");
        assert_eq!(lateness(after(3), woken, after(50)), Duration::from_secs(47), "frozen");
        assert_eq!(lateness(before, woken, after(50)), Duration::from_secs(50), "frozen at work");
    }
}
