//! Which spans may stand in one row: a row shows as nested whatever lies within another in time,
//! so only a child may lie within its parent.

use std::collections::VecDeque;

/// Rows of a process; what finds no place in them is drawn by itself.
const LANES_MAX: usize = 32;

/// Spans of a row that later ones are held against. What began before the oldest of them finds no
/// place in the row.
const RECENT_MAX: usize = 512;

/// A span in time, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) from: u64,
    pub(super) until: u64,
}

/// Who a span is and whose child, each with its trace; empty where it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kin {
    pub(super) id: String,
    pub(super) parent: String,
}

/// The rows of one process. Spans come in the order of their ends, children before their parents.
#[derive(Debug, Default)]
pub(super) struct Lanes(Vec<Lane>);

#[derive(Debug, Default)]
struct Lane {
    /// Those that lie in no other, in order of time and apart from each other.
    recent: VecDeque<(Extent, Kin)>,
    /// Where those that were forgotten end.
    forgotten: u64,
}

impl Lanes {
    /// The row that the span is put into; `None` if there is none for it.
    pub(super) fn place(&mut self, extent: Extent, kin: &Kin) -> Option<usize> {
        // Where its children are, if that may be.
        let mut with_child = None;
        let mut free = None;
        for (place, lane) in self.0.iter().enumerate() {
            match lane.room(extent, kin) {
                Some(0) if free.is_none() => free = Some(place),
                Some(1..) if with_child.is_none() => with_child = Some(place),
                _ => {}
            }
        }
        let place = match with_child.or(free) {
            Some(place) => place,
            None if self.0.len() < LANES_MAX => {
                self.0.push(Lane::default());
                self.0.len() - 1
            }
            None => return None,
        };
        self.0[place].put(extent, kin);
        Some(place)
    }
}

impl Lane {
    /// How many children it would take in; `None` if it would lie across another, or around one
    /// that is no child of it.
    fn room(&self, extent: Extent, kin: &Kin) -> Option<usize> {
        if extent.from < self.forgotten {
            return None;
        }
        let mut children = 0;
        for (other, of) in self.recent.iter().rev() {
            if other.until <= extent.from {
                break;
            }
            // One that begins as this ends is beside it.
            if other.from >= extent.until {
                continue;
            }
            let within = other.from >= extent.from && other.until <= extent.until;
            if !within || of.parent != kin.id || kin.id.is_empty() {
                return None;
            }
            children += 1;
        }
        Some(children)
    }

    fn put(&mut self, extent: Extent, kin: &Kin) {
        self.recent.retain(|(other, _)| other.until <= extent.from || other.from >= extent.until);
        let place = self
            .recent
            .partition_point(|(other, _)| (other.from, other.until) < (extent.from, extent.until));
        self.recent.insert(place, (extent, kin.clone()));
        if self.recent.len() > RECENT_MAX
            && let Some((oldest, _)) = self.recent.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kin(id: &str, parent: &str) -> Kin {
        Kin { id: id.to_owned(), parent: parent.to_owned() }
    }

    #[test]
    fn only_a_child_lies_within_another() {
        let mut lanes = Lanes::default();
        let mut place = |from, until, id: &str, parent: &str| {
            lanes.place(Extent { from, until }, &kin(id, parent))
        };
        assert_eq!(place(2, 4, "child", "root"), Some(0));
        assert_eq!(place(3, 5, "sibling", "root"), Some(1), "it lies across the child");
        assert_eq!(place(6, 8, "later", "root"), Some(0));
        assert_eq!(place(1, 9, "other", ""), Some(2), "it is nobody's parent here");
        assert_eq!(place(1, 9, "root", ""), Some(0), "around two children");
        assert_eq!(place(9, 12, "next", ""), Some(0));
    }

    #[test]
    fn memory_and_rows_have_a_bound() {
        let mut lanes = Lanes::default();
        for n in 0..10_000 {
            let extent = Extent { from: n * 10, until: n * 10 + 5 };
            assert_eq!(lanes.place(extent, &kin("", "")), Some(0));
        }
        assert!(lanes.0[0].recent.len() <= RECENT_MAX);
        let long = Extent { from: 3, until: 200_000 };
        let placed: Vec<_> = (0..99).map(|_| lanes.place(long, &kin("", ""))).collect();
        assert_eq!(placed[0], Some(1), "it began before what is remembered");
        assert_eq!((placed[30], placed[31], placed[98]), (Some(31), None, None));
    }

    proptest! {
        #[test]
        fn no_two_of_a_row_lie_across_each_other(
            spans in proptest::collection::vec((0_u64..60, 0_u64..20, 0_usize..8), 0..120),
        ) {
            let extent = |from: u64, length| Extent { from, until: from + length };
            let one = |(from, length, parent): &_| (extent(*from, *length), *parent);
            let mut all: Vec<(Extent, usize)> = spans.iter().map(one).collect();
            all.sort_by_key(|(extent, _)| extent.until);
            let mut lanes = Lanes::default();
            let mut rows: Vec<(usize, Extent, Kin)> = Vec::new();
            for (n, (extent, parent)) in all.into_iter().enumerate() {
                let kin = kin(&n.to_string(), &(n + parent).to_string());
                if let Some(row) = lanes.place(extent, &kin) {
                    rows.push((row, extent, kin));
                }
            }
            for (place, (row, a, of)) in rows.iter().enumerate() {
                for (other, b, _) in &rows[place + 1..] {
                    let apart = a.until <= b.from || b.until <= a.from;
                    let within = a.from >= b.from && a.until <= b.until;
                    prop_assert!(row != other || apart || within, "{a:?} {b:?} {of:?}");
                }
            }
        }
    }
}
