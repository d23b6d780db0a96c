//! What the node counts: numbers that only grow, by name.
//!
//! Counts, not inferences: who wants to know whether something leaks compares what was opened with
//! what was closed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A counter of the node.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Counter {
            $($(#[$doc])* $name,)*
        }

        impl Counter {
            const NAMES: &'static [&'static str] = &[$($text),*];
        }
    };
}

counters! {
    /// Digests broadcast.
    DigestsSent = "digests.sent",
    /// Digests of others, accepted.
    DigestsReceived = "digests.received",
    /// Digests refused, for whatever reason.
    DigestsRefused = "digests.refused",
    /// Connections that this node began, gossip's too, whatever became of them.
    ConnectionsTried = "connections.tried",
    /// Connections that completed their handshake, in both directions.
    ConnectionsOpened = "connections.opened",
    /// Of those, the ones that have ended, as far as was looked.
    ConnectionsClosed = "connections.closed",
    /// Gossip connections that the guard closed because nobody needed them.
    ConnectionsGuarded = "connections.guarded",
    /// Dials of this node's own protocols (gossip's are its own affair).
    Dials = "dials",
    /// Dials of those that failed.
    DialsFailed = "dials.failed",
    /// Dials of ids that nobody has.
    DialsStrange = "dials.strange",
    /// Frames of peers that were refused.
    FramesRefused = "frames.refused",
    /// Orders carried out.
    OrdersAccepted = "orders.accepted",
    /// Orders refused.
    OrdersRefused = "orders.refused",
    /// Work refused while draining.
    WorkRefused = "work.refused",
    /// Streams of work accepted.
    WorkAccepted = "work.accepted",
    /// Tasks spawned by this node's own protocols.
    TasksSpawned = "tasks.spawned",
    /// Tasks of those that ended.
    TasksFinished = "tasks.finished",
    /// Times that the membership loop woke.
    Wakes = "membership.wakes",
    /// Times that watchers of the directory were told of a change.
    Changes = "directory.changes",
    /// Summaries of meshes published.
    SummariesSent = "summaries.sent",
    /// Summaries of other meshes, accepted.
    SummariesReceived = "summaries.received",
    /// Summaries refused.
    SummariesRefused = "summaries.refused",
}

/// All counters of a node. Clones share the numbers.
#[derive(Debug, Clone)]
pub(crate) struct Counters(Arc<[AtomicU64]>);

impl Default for Counters {
    fn default() -> Self {
        Self(Counter::NAMES.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Counters {
    /// Adds to a counter.
    pub(crate) fn add(&self, counter: Counter, by: u64) {
        if let Some(cell) = self.0.get(counter as usize) {
            cell.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// One more.
    pub(crate) fn one(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Every number by name.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, u64> {
        let values = self.0.iter().map(|cell| cell.load(Ordering::Relaxed));
        Counter::NAMES.iter().map(|name| (*name).to_owned()).zip(values).collect()
    }

    /// Counts a task as spawned now and as finished when the value is dropped.
    pub(crate) fn task(&self) -> TaskGuard {
        self.one(Counter::TasksSpawned);
        TaskGuard(self.clone())
    }
}

/// Lives as long as the task that holds it.
#[derive(Debug)]
pub(crate) struct TaskGuard(Counters);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.one(Counter::TasksFinished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_has_its_own_name_and_number() {
        let counters = Counters::default();
        counters.add(Counter::SummariesRefused, 2);
        let task = counters.task();
        let now = counters.snapshot();
        assert_eq!(now.len(), Counter::NAMES.len(), "no name twice");
        assert_eq!(
            (now["summaries.refused"], now["tasks.spawned"], now["tasks.finished"]),
            (2, 1, 0)
        );
        drop(task);
        assert_eq!(counters.snapshot()["tasks.finished"], 1);
    }
}
