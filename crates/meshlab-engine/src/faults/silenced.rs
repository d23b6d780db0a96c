//! How long those whom nobody may hold dead could not have spoken, for want of a processor.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Mutex,
    time::Duration,
};

use meshlab_model::NodeId;
use meshlab_sampler::{RunQueue, ThreadTime};
use tokio::time::Instant;

use crate::engine::lock;

/// The least time between two looks at all of them.
const LOOK_MIN: Duration = Duration::from_millis(250);

/// By the kernel's word, as for those who have to notice: what a node says of itself would excuse
/// one that stands still by its own fault.
pub(super) enum Silenced {
    Looked {
        pids: BTreeMap<NodeId, u32>,
        /// As long as the silence that is asked about: what a node waited for long before it, or
        /// over a long fault in small parts, silenced nobody.
        window: Duration,
        looks: Mutex<VecDeque<Look>>,
    },
    #[cfg(test)]
    By(Stretch),
}

/// A stretch of time that ends now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stretch {
    /// The window, and up to a look more.
    pub(super) length: Duration,
    /// Of the thread that waited longest.
    pub(super) time: ThreadTime,
}

pub(super) struct Look {
    at: Instant,
    queues: BTreeMap<NodeId, RunQueue>,
}

impl Silenced {
    /// From now on, nodes with these processes.
    pub(super) fn of(pids: BTreeMap<NodeId, u32>, window: Duration) -> Self {
        let looks = Mutex::new(VecDeque::from([Look::at(&pids)]));
        Self::Looked { pids, window, looks }
    }

    /// Looks at them for as long as it is asked to.
    pub(super) async fn keep_looking(&self) -> Infallible {
        loop {
            match self {
                Self::Looked { pids, window, looks } => {
                    tokio::time::sleep((*window / 4).max(LOOK_MIN)).await;
                    let look = Look::at(pids);
                    let mut looks = lock(looks);
                    looks.push_back(look);
                    forget(&mut looks, *window);
                }
                #[cfg(test)]
                Self::By(_) => std::future::pending().await,
            }
        }
    }

    /// What this node had of the processors since the oldest look.
    pub(super) fn stretch(&self, node: &NodeId) -> Stretch {
        match self {
            Self::Looked { looks, .. } => {
                let looks = lock(looks);
                let Some(oldest) = looks.front() else { return Stretch::default() };
                let time = oldest.queues.get(node).map(RunQueue::longest).unwrap_or_default();
                Stretch { length: oldest.at.elapsed(), time }
            }
            #[cfg(test)]
            Self::By(stretch) => *stretch,
        }
    }
}

/// The oldest look that is kept is the newest that is as old as the window.
fn forget(looks: &mut VecDeque<Look>, window: Duration) {
    while looks.get(1).is_some_and(|next| next.at.elapsed() >= window) {
        looks.pop_front();
    }
}

impl Look {
    fn at(pids: &BTreeMap<NodeId, u32>) -> Self {
        let queues = pids.iter().map(|(node, pid)| (node.clone(), RunQueue::of(*pid))).collect();
        Self { at: Instant::now(), queues }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_last_stretch_is_looked_at() {
        let hour = Duration::from_secs(3600);
        let aged = |hours: u32| Look { at: Instant::now() - hour * hours, queues: BTreeMap::new() };
        let mut looks: VecDeque<Look> = (0..=5).rev().map(aged).collect();
        forget(&mut looks, hour * 2);
        let ages: Vec<u64> = looks.iter().map(|look| look.at.elapsed().as_secs() / 3600).collect();
        assert_eq!(ages, [2, 1, 0]);
        forget(&mut looks, hour * 9);
        assert_eq!(looks.len(), 3, "all is younger than that");
    }
}
