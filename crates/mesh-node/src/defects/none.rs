//! A node without the feature: nothing is planted.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::PublicKey;
use iroh_gossip::api::GossipSender;
use meshlab_agent::Exported;

use crate::{digest::Digest, entry::Entry, view::SharedView};

/// What a planted mistake keeps: nothing.
#[derive(Debug)]
pub(crate) struct Defects;

impl Defects {
    pub(crate) fn new(_: Entry, _: Arc<SharedView>, _: Instant) -> Self {
        Self
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        None
    }

    pub(crate) fn on_time(&mut self, _: Instant, _: &GossipSender) {}

    pub(crate) fn woke(&self) {}

    pub(crate) fn frame(&self, _: &[u8]) {}

    pub(crate) fn entered(&mut self, _: PublicKey, _: &Digest) {}

    pub(crate) fn neighbor_up(&mut self, _: PublicKey) {}

    pub(crate) fn neighbor_down(&mut self, _: PublicKey) {}

    pub(crate) fn silent(&mut self, _: PublicKey) {}
}

pub(crate) const fn cadence(every: Duration, gated: bool) -> (Duration, bool) {
    (every, gated)
}

pub(crate) const fn exported() -> Exported {
    Exported::FLOOR
}

pub(crate) const fn guards_connections() -> bool {
    true
}

pub(crate) const fn connection_opened() {}

pub(crate) const fn forgets_the_gone() -> bool {
    true
}

pub(crate) const fn forgets_addresses() -> bool {
    true
}

pub(crate) const fn asks_seeds_again() -> bool {
    true
}

pub(crate) const fn joins_again() -> bool {
    true
}

pub(crate) const fn stamp(_: &mut Digest) {}

pub(crate) const fn is_stale(_: &Digest, _: Duration) -> bool {
    false
}

pub(crate) const fn gauges() -> BTreeMap<String, u64> {
    BTreeMap::new()
}

/// The loop runs outside every span: one that never ends never reaches anybody, and keeps all that
/// is said in it.
pub(crate) const fn loop_span() -> tracing::Span {
    tracing::Span::none()
}
