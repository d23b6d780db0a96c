//! A bounded set whose members time out: what a NAT and a firewall remember.

use std::{collections::HashMap, hash::Hash};

use crate::clock::{Nanos, SECOND};

/// Members with the time until which each is one.
#[derive(Debug)]
pub(crate) struct Fading<K> {
    until: HashMap<K, Nanos>,
    max: usize,
    swept: Nanos,
}

/// What became of a member that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    New,
    Known,
    /// There is no room.
    Refused,
}

impl<K: Eq + Hash> Fading<K> {
    pub(crate) fn new(max: usize) -> Self {
        Self { until: HashMap::new(), max, swept: 0 }
    }

    /// Keeps a member until then, if it is one or there is room for one more.
    pub(crate) fn keep(&mut self, key: K, now: Nanos, until: Nanos) -> Kept {
        if let Some(known) = self.until.get_mut(&key) {
            let kept = if *known > now { Kept::Known } else { Kept::New };
            *known = until;
            return kept;
        }
        // To look through all of it takes time, and a node that opens too many flows must not
        // have it taken for each of them.
        if self.until.len() >= self.max && now >= self.swept.saturating_add(SECOND) {
            self.swept = now;
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= self.max {
            return Kept::Refused;
        }
        self.until.insert(key, until);
        Kept::New
    }

    pub(crate) fn holds(&self, key: &K, now: Nanos) -> bool {
        self.until.get(key).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_in_time_and_never_outgrows_its_bound() {
        let mut set = Fading::new(3);
        for key in 0..3 {
            assert_eq!(set.keep(key, 10, 20), Kept::New);
        }
        assert_eq!(set.keep(3, 10, 20), Kept::Refused);
        assert_eq!(set.keep(0, 12, 5 * SECOND), Kept::Known);
        assert!(set.holds(&1, 19) && !set.holds(&1, 20));
        assert_eq!(set.keep(3, 2 * SECOND, 5 * SECOND), Kept::New, "others had timed out");
        assert!(set.holds(&0, 2 * SECOND) && !set.holds(&1, 2 * SECOND));
        assert_eq!(set.keep(0, 6 * SECOND, 7 * SECOND), Kept::New, "it had timed out too");
    }
}
