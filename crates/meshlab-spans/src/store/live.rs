//! Counts of selectors that somebody asks for again and again: they follow each span as it comes
//! and goes, so that an answer costs nothing and a span touches only selectors of its name.

use std::collections::BTreeMap;

use meshlab_model::{NodeId, RunTime};

use super::{Map, kept::Kept};
use crate::Selector;

/// Selectors that are followed at a time; further ones are counted anew each time.
const LIVE_MAX: usize = 512;

/// A wait asks four times a second at least. What nobody asked for since costs spans no more.
const FORGOTTEN_AFTER_MICROS: u64 = 2_000_000;

#[derive(Default)]
pub(super) struct Live {
    by_name: Map<String, Vec<Followed>>,
    swept: RunTime,
}

struct Followed {
    selector: Selector,
    counts: Map<NodeId, u64>,
    asked: RunTime,
}

impl Followed {
    fn wants(&self, kept: &Kept) -> bool {
        let selector = &self.selector;
        kept.happened >= selector.since
            && selector.nodes.as_ref().is_none_or(|nodes| nodes.contains(&*kept.node))
            && selector.matches(|name| kept.attribute(name))
    }
}

impl Live {
    /// The counts of a selector, if it is followed.
    pub(super) fn counts(
        &mut self,
        selector: &Selector,
        now: RunTime,
    ) -> Option<BTreeMap<NodeId, u64>> {
        let followed = self.by_name.get_mut(&selector.name)?;
        let found = followed.iter_mut().find(|each| each.selector == *selector)?;
        found.asked = now;
        Some(found.counts.iter().map(|(node, count)| (node.clone(), *count)).collect())
    }

    /// Follows a selector from now on that has these counts, if it can be: whether a span is under
    /// another may become known after the span.
    pub(super) fn follow(
        &mut self,
        selector: &Selector,
        counts: &BTreeMap<NodeId, u64>,
        now: RunTime,
    ) {
        self.sweep(now);
        let all: usize = self.by_name.values().map(Vec::len).sum();
        if selector.under.is_some() || all >= LIVE_MAX {
            return;
        }
        let counts = counts.iter().map(|(node, count)| (node.clone(), *count)).collect();
        let followed = Followed { selector: selector.clone(), counts, asked: now };
        self.by_name.entry(selector.name.clone()).or_default().push(followed);
    }

    /// A span came.
    pub(super) fn came(&mut self, kept: &Kept) {
        let Some(followed) = self.by_name.get_mut(&*kept.name) else { return };
        for each in followed.iter_mut().filter(|each| each.wants(kept)) {
            match each.counts.get_mut(&*kept.node) {
                Some(count) => *count += 1,
                None => {
                    each.counts.insert((*kept.node).clone(), 1);
                }
            }
        }
    }

    /// A span is no longer in memory.
    pub(super) fn went(&mut self, kept: &Kept) {
        let Some(followed) = self.by_name.get_mut(&*kept.name) else { return };
        for each in followed.iter_mut().filter(|each| each.wants(kept)) {
            if let Some(count) = each.counts.get_mut(&*kept.node) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    each.counts.remove(&*kept.node);
                }
            }
        }
    }

    /// Forgets what nobody asks for any more.
    pub(super) fn sweep(&mut self, now: RunTime) {
        let late = |then: RunTime| now.micros.saturating_sub(then.micros) > FORGOTTEN_AFTER_MICROS;
        if !late(self.swept) {
            return;
        }
        self.swept = now;
        self.by_name.retain(|_, followed| {
            followed.retain(|each| !late(each.asked));
            !followed.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::{Condition, IncomingSpan, RunClock, SpanStore};

    fn span(name: &str, peer: u64, bytes: usize) -> IncomingSpan {
        let text = "y".repeat(bytes);
        IncomingSpan {
            name: name.into(),
            trace_id: String::new(),
            span_id: String::new(),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes: BTreeMap::from([
                ("peer".to_owned(), peer.into()),
                ("text".to_owned(), text.into()),
            ]),
        }
    }

    fn selectors() -> Vec<Selector> {
        let with = |name: &str, condition| Selector {
            conditions: vec![("peer".to_owned(), condition)],
            ..Selector::named(name)
        };
        vec![
            Selector::named("x"),
            Selector::named("x").of(&"b".into()),
            with("x", Condition::AtLeast(2.0)),
            with("y", Condition::Equal(1.into())),
            Selector { under: Some("x".to_owned()), ..Selector::named("y") },
        ]
    }

    proptest! {
        /// A store that is asked all the time, and one that is asked once, say the same.
        #[test]
        fn what_is_followed_is_what_a_look_at_everything_finds(
            came in proptest::collection::vec((0..2_usize, 0..2_usize, 0..4_u64), 1..80),
            capacity in 1..40_usize,
        ) {
            let clock = RunClock { started: Instant::now(), started_unix_nanos: 0 };
            let (followed, fresh) =
                (SpanStore::new(clock, capacity), SpanStore::new(clock, capacity));
            for (node, name, peer) in came {
                let node: NodeId = ["a", "b"][node].into();
                for store in [&followed, &fresh] {
                    store.add(&node, vec![span(["x", "y"][name], peer, 3)]);
                }
                selectors().iter().for_each(|selector| drop(followed.count_by_node(selector)));
            }
            for selector in selectors() {
                prop_assert_eq!(followed.count_by_node(&selector), fresh.count_by_node(&selector));
            }
        }
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten_and_there_is_a_bound() {
        let mut live = Live::default();
        let at = |seconds: u64| RunTime { micros: seconds * 1_000_000 };
        let none = BTreeMap::new();
        for n in 0..2 * LIVE_MAX {
            live.follow(&Selector::named(n.to_string()), &none, at(10));
        }
        assert_eq!(live.by_name.len(), LIVE_MAX);
        assert!(live.counts(&Selector::named("7"), at(12)).is_some());
        live.sweep(at(14));
        assert_eq!(live.by_name.keys().collect::<Vec<_>>(), ["7"]);
    }
}
