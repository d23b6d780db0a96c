//! Growth by what happens, not by time: bytes for each peer that came and went.
//!
//! A common shock moves all nodes at once, so that by time they are no replicates; by event each
//! has met the same shocks.

use crate::Slope;

/// Troughs that are kept of a process.
const KEPT_MAX: usize = 8192;
/// Troughs at its beginning that are its warm-up: peers that meet for the first time.
const SKIPPED: usize = 2;
/// The fewest troughs of a node that its slope is worked out of.
pub const TROUGHS_MIN: usize = 8;

/// The least value of each cycle, from one event to the next: what is used and given back again is
/// above it, what is kept lifts it.
///
/// Bounded: of more than 8,192 cycles every second one is dropped, which tells as much of the
/// slope.
#[derive(Clone, Debug, Default)]
pub struct Troughs {
    /// How many events there had been, and the least value until the next.
    kept: Vec<(f64, f64)>,
}

impl Troughs {
    /// Takes a value in, at which there had been so many events; later ones come later.
    pub fn add(&mut self, events: u64, value: f64) {
        let events = events as f64;
        match self.kept.last_mut().filter(|trough| trough.0 == events) {
            Some(trough) => trough.1 = trough.1.min(value),
            None => self.kept.push((events, value)),
        }
        if self.kept.len() > KEPT_MAX {
            let mut place = 0_usize;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
    }

    /// The troughs by number of events, without the first two: then it grew for another reason.
    pub fn settled(&self) -> &[(f64, f64)] {
        self.kept.get(SKIPPED..).unwrap_or_default()
    }
}

/// How much a node keeps of each event: the robust slope of the troughs of its processes (see
/// [`Slope::of`]), and how many they are.
///
/// No slope with fewer than [`TROUGHS_MIN`] of them.
pub fn per_event<'a>(lives: impl Iterator<Item = &'a Troughs>) -> (Option<Slope>, usize) {
    let troughs = lives.map(|life| life.settled().to_vec()).filter(|life| life.len() > 1);
    let troughs: Vec<_> = troughs.collect();
    let count = troughs.iter().map(Vec::len).sum();
    (Slope::of(&troughs).filter(|_| count >= TROUGHS_MIN), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Growth, Stream, noise::memory};

    fn troughs(points: &[(f64, f64)], events: &[f64]) -> Troughs {
        let mut troughs = Troughs::default();
        for (at, value) in points {
            troughs.add(events.iter().filter(|event| *event <= at).count() as u64, *value);
        }
        troughs
    }

    /// Nodes that keep so many bytes of each event, and use 2 MB for some time after it.
    fn fleet(seed: u64, events: &[f64], kept: f64) -> Vec<Troughs> {
        let mut stream = Stream::new(seed, "churn");
        let node = |_| {
            let points = memory(&mut stream, 60, 0.0, 0.0).into_iter().map(|(at, value)| {
                let before: Vec<f64> =
                    events.iter().copied().filter(|event| *event <= at).collect();
                let used = before.last().map_or(0.0, |last| 2e6 * (-(at - last) / 60.0).exp());
                (at, value + before.len() as f64 * kept + used)
            });
            troughs(&points.collect::<Vec<_>>(), events)
        };
        (0..8).map(node).collect()
    }

    fn growth(nodes: &[Troughs]) -> Option<Growth> {
        let slope = |node| per_event(std::iter::once(node)).0;
        Growth::of(&nodes.iter().filter_map(slope).map(|slope| slope.value).collect::<Vec<_>>())
    }

    fn events() -> Vec<f64> {
        (1..12).map(|n| f64::from(n) * 300.0).collect()
    }

    #[test]
    fn a_leak_of_each_event_is_told_in_its_own_unit() {
        let leak = growth(&fleet(1, &events(), 300e3)).unwrap();
        assert!(leak.low <= 300e3 && 300e3 <= leak.high && leak.p_value < 0.01, "{leak:?}");
        let none = growth(&fleet(2, &events(), 0.0)).unwrap();
        assert!(none.p_value > 0.001 && none.high < 100e3, "{none:?}");
        assert_eq!(growth(&fleet(4, &[], 0.0)), None, "nothing happened");
        let few = fleet(5, &events()[..4], 300e3);
        assert_eq!(per_event(few.iter().take(1)).0, None, "too few events");
    }

    #[test]
    fn troughs_leave_out_what_is_given_back_and_the_warm_up() {
        let points = [(0.0, 5.0), (1.0, 3.0), (2.0, 9.0), (3.0, 4.0), (4.0, 8.0), (5.0, 6.0)];
        assert_eq!(troughs(&points, &[2.0, 4.0]).kept, [(0.0, 3.0), (1.0, 4.0), (2.0, 6.0)]);
        assert_eq!(troughs(&points, &[2.0, 4.0]).settled(), [(2.0, 6.0)]);
        assert_eq!(troughs(&points, &[]).settled(), []);
    }

    #[test]
    fn many_cycles_stay_bounded_and_keep_their_slope() {
        let mut many = Troughs::default();
        for event in 0..50_000 {
            many.add(event, event as f64 * 10.0);
        }
        assert!(many.kept.len() <= KEPT_MAX, "{}", many.kept.len());
        let slope = per_event(std::iter::once(&many)).0.unwrap();
        assert!((slope.value - 10.0).abs() < 1e-9, "{slope:?}");
    }
}
