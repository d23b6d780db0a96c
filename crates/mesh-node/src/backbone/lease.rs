//! Who publishes a mesh's summary: a soft lease, as a pure state machine.
//!
//! A node that hears its mesh's summary from another lets it be. When none came for a lease's
//! length, or the publisher is known to be gone, the node with the lowest key among those that are
//! there takes over; the others wait a little longer each, by their rank, so that one claims and
//! the rest hear it. Should two publish at once, the higher key yields.

use std::time::{Duration, Instant};

use iroh::PublicKey;

/// A lease lasts so many publications: losing two in a row does not move it.
const LEASE: u32 = 3;

/// How much longer each next rank waits before it claims.
const RANK_STEP: Duration = Duration::from_millis(250);

/// Ranks beyond this wait no longer than it.
const RANK_MAX: u32 = 20;

/// The lease of one mesh, as one of its nodes sees it.
#[derive(Debug)]
pub(crate) struct Lease {
    own: PublicKey,
    every: Duration,
    holder: Holder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// Nobody that is known; a claim may be made from then on.
    Nobody { from: Instant },
    /// Another node, last heard then.
    Other { publisher: PublicKey, heard: Instant },
    /// This node; it published last then.
    This { published: Option<Instant> },
}

/// What a node does about its mesh's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It publishes from now on.
    Claimed,
    /// It publishes no longer.
    Yielded,
}

impl Lease {
    /// A node that has just started listens for a while before it claims.
    pub(crate) fn new(own: PublicKey, every: Duration, now: Instant) -> Self {
        Self { own, every, holder: Holder::Nobody { from: now + every } }
    }

    /// After this without a summary the publisher's own mesh looks for another one.
    pub(crate) fn length(every: Duration) -> Duration {
        every * LEASE
    }

    /// How long a summary stands for its mesh with others: long enough for another publisher to
    /// take over in the meantime.
    pub(crate) fn stands(every: Duration) -> Duration {
        Self::length(every) * 2
    }

    pub(crate) fn is_held(&self) -> bool {
        matches!(self.holder, Holder::This { .. })
    }

    /// The other node that publishes, if one does.
    pub(crate) fn other(&self) -> Option<PublicKey> {
        match self.holder {
            Holder::Other { publisher, .. } => Some(publisher),
            _ => None,
        }
    }

    /// When [`Lease::on_time`] has something to do, for a node of that rank: the number of nodes
    /// of its mesh with a lower key.
    pub(crate) fn due(&self, rank: u32) -> Option<Instant> {
        let patience = RANK_STEP * rank.min(RANK_MAX);
        Some(match self.holder {
            Holder::Nobody { from } => from + patience,
            Holder::Other { heard, .. } => heard + Self::length(self.every) + patience,
            Holder::This { published: Some(published) } => published + self.every,
            // Due at once; any moment of the past says so.
            Holder::This { published: None } => return None,
        })
    }

    /// Claims if it is time to.
    pub(crate) fn on_time(&mut self, rank: u32, now: Instant) -> Option<Change> {
        if self.is_held() || self.due(rank).is_some_and(|due| now < due) {
            return None;
        }
        self.holder = Holder::This { published: None };
        Some(Change::Claimed)
    }

    /// Whether this node should publish now.
    pub(crate) fn publishes(&self, now: Instant) -> bool {
        match self.holder {
            Holder::This { published } => published.is_none_or(|at| now >= at + self.every),
            _ => false,
        }
    }

    /// Someone needs the summary: it is published at the next look.
    pub(crate) fn wanted(&mut self) {
        if let Holder::This { published } = &mut self.holder {
            *published = None;
        }
    }

    pub(crate) fn published(&mut self, now: Instant) {
        if let Holder::This { published } = &mut self.holder {
            *published = Some(now);
        }
    }

    /// The own mesh's summary came from another node.
    pub(crate) fn heard(&mut self, publisher: PublicKey, now: Instant) -> Option<Change> {
        match self.holder {
            Holder::This { .. } if publisher > self.own => {
                // The other one will hear this node and yield.
                self.wanted();
                None
            }
            Holder::This { .. } => {
                self.holder = Holder::Other { publisher, heard: now };
                Some(Change::Yielded)
            }
            Holder::Other { publisher: known, heard }
                if publisher > known && now < heard + Self::length(self.every) =>
            {
                None
            }
            Holder::Other { .. } | Holder::Nobody { .. } => {
                self.holder = Holder::Other { publisher, heard: now };
                None
            }
        }
    }

    /// A node of the mesh is gone.
    pub(crate) fn gone(&mut self, peer: &PublicKey, now: Instant) {
        if matches!(self.holder, Holder::Other { publisher, .. } if publisher == *peer) {
            self.holder = Holder::Nobody { from: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::*;

    const EVERY: Duration = Duration::from_secs(4);

    /// Two keys, the lower one first.
    fn keys() -> (PublicKey, PublicKey) {
        let (a, b) =
            (SecretKey::from_bytes(&[1; 32]).public(), SecretKey::from_bytes(&[2; 32]).public());
        if a < b { (a, b) } else { (b, a) }
    }

    #[test]
    fn a_mesh_of_one_publishes_after_it_has_listened() {
        let now = Instant::now();
        let mut lease = Lease::new(keys().0, EVERY, now);
        assert_eq!(lease.on_time(0, now), None);
        assert_eq!(lease.on_time(0, now + EVERY), Some(Change::Claimed));
        assert!(lease.publishes(now + EVERY), "at once");
        lease.published(now + EVERY);
        assert!(!lease.publishes(now + EVERY));
        assert_eq!(lease.due(0), Some(now + EVERY * 2));
        assert!(lease.publishes(now + EVERY * 2));
    }

    #[test]
    fn who_hears_a_publisher_waits_for_its_lease_to_end() {
        let now = Instant::now();
        let (low, high) = keys();
        let mut lease = Lease::new(low, EVERY, now);
        assert_eq!(lease.heard(high, now), None, "a lower key does not take a living lease");
        assert_eq!(lease.on_time(0, now + EVERY * 2), None);
        assert_eq!(lease.on_time(0, now + EVERY * LEASE), Some(Change::Claimed));
    }

    #[test]
    fn a_publisher_that_is_gone_is_replaced_at_once_by_the_lowest_rank() {
        let now = Instant::now();
        let (low, high) = keys();
        let mut lease = Lease::new(high, EVERY, now);
        lease.heard(low, now);
        lease.gone(&high, now);
        assert_eq!(lease.on_time(0, now), None, "another one went");
        lease.gone(&low, now);
        assert_eq!(lease.on_time(1, now), None, "rank 1 lets rank 0 go first");
        assert_eq!(lease.on_time(1, now + RANK_STEP), Some(Change::Claimed));
    }

    #[test]
    fn of_two_publishers_the_higher_key_yields() {
        let now = Instant::now();
        let (low, high) = keys();
        let claim = |own| {
            let mut lease = Lease::new(own, EVERY, now);
            lease.on_time(0, now + EVERY);
            lease.published(now + EVERY);
            lease
        };
        let (mut of_low, mut of_high) = (claim(low), claim(high));
        assert_eq!(of_low.heard(high, now + EVERY), None);
        assert!(of_low.publishes(now + EVERY), "to be heard by the other");
        assert_eq!(of_high.heard(low, now + EVERY), Some(Change::Yielded));
        assert!(!of_high.is_held());
    }
}
