//! Growth by what happens, not by time: bytes for each peer that came and went.

use crate::{Growth, Slope};

/// A cycle of a value: between two events at which it starts again.
const CYCLE_POINTS_MIN: usize = 2;

/// How much grows for each event: the robust slope of each node's points over how many events there
/// had been (see [`Slope::of`]), and Student's t over the nodes (see [`Growth::of`]).
///
/// `nodes` are the points of each node, by time in seconds, a process at a time; `events` the times
/// of the events, in any order. A common shock moves all nodes at once, so that they are no
/// replicates by time; by event each has met the same shocks. `None` with less than three nodes
/// that lived through two events.
pub fn per_event(nodes: &[Vec<Vec<(f64, f64)>>], events: &[f64]) -> Option<Growth> {
    let mut events: Vec<f64> = events.iter().copied().filter(|at| at.is_finite()).collect();
    events.sort_by(f64::total_cmp);
    let so_far = |at: f64| events.partition_point(|event| *event <= at) as f64;
    let slope = |node: &Vec<Vec<(f64, f64)>>| {
        let by_event = |life: &Vec<(f64, f64)>| -> Vec<(f64, f64)> {
            // Between two events only the last value counts: what an event left behind.
            let mut last: Vec<(f64, f64)> = Vec::new();
            for (at, value) in life {
                let events = so_far(*at);
                match last.last_mut().filter(|point| point.0 == events) {
                    Some(point) => point.1 = *value,
                    None => last.push((events, *value)),
                }
            }
            last
        };
        Some(Slope::of(&node.iter().map(by_event).collect::<Vec<_>>())?.value)
    };
    Growth::of(&nodes.iter().filter_map(slope).collect::<Vec<_>>())
}

/// The least value of each cycle, at its time: between two events, in order. What is used and given
/// back again is above it; what is kept lifts it.
///
/// A cycle without two points has no trough.
pub fn troughs(points: &[(f64, f64)], events: &[f64]) -> Vec<(f64, f64)> {
    let mut events: Vec<f64> = events.iter().copied().filter(|at| at.is_finite()).collect();
    events.sort_by(f64::total_cmp);
    let cycle = |at: f64| events.partition_point(|event| *event <= at);
    let mut troughs = Vec::new();
    for same in points.chunk_by(|one, other| cycle(one.0) == cycle(other.0)) {
        let least = same.iter().copied().min_by(|one, other| one.1.total_cmp(&other.1));
        troughs.extend(least.filter(|_| same.len() >= CYCLE_POINTS_MIN));
    }
    troughs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stream, noise::memory};

    /// Nodes that keep so many bytes of each event, and use 2 MB for some time after it.
    fn fleet(seed: u64, events: &[f64], kept: f64) -> Vec<Vec<Vec<(f64, f64)>>> {
        let mut stream = Stream::new(seed, "churn");
        let node = |_| {
            let points = memory(&mut stream, 60, 0.0, 0.0).into_iter().map(|(at, value)| {
                let before: Vec<f64> =
                    events.iter().copied().filter(|event| *event <= at).collect();
                let used = before.last().map_or(0.0, |last| 2e6 * (-(at - last) / 60.0).exp());
                (at, value + before.len() as f64 * kept + used)
            });
            vec![points.collect()]
        };
        (0..8).map(node).collect()
    }

    fn events() -> Vec<f64> {
        (1..12).map(|n| f64::from(n) * 300.0).collect()
    }

    #[test]
    fn a_leak_of_each_event_is_told_in_its_own_unit() {
        let leak = per_event(&fleet(1, &events(), 300e3), &events()).unwrap();
        assert!(leak.low <= 300e3 && 300e3 <= leak.high && leak.p_value < 0.01, "{leak:?}");
        let none = per_event(&fleet(2, &events(), 0.0), &events()).unwrap();
        assert!(none.p_value > 0.001 && none.high < 100e3, "{none:?}");
        assert_eq!(per_event(&fleet(3, &events(), 1e3)[..2], &events()), None);
        assert_eq!(per_event(&fleet(4, &[], 0.0), &[]), None, "nothing happened");
    }

    #[test]
    fn troughs_leave_out_what_is_given_back() {
        let points = [(0.0, 5.0), (1.0, 3.0), (2.0, 9.0), (3.0, 4.0), (4.0, 8.0), (5.0, 6.0)];
        assert_eq!(troughs(&points, &[2.0, 4.0]), [(1.0, 3.0), (3.0, 4.0), (5.0, 6.0)]);
        assert_eq!(troughs(&points, &[5.0]), [(1.0, 3.0)], "the last cycle has one point");
        assert_eq!(troughs(&[], &[1.0]), []);
        assert_eq!(troughs(&points, &[f64::NAN]), [(1.0, 3.0)]);
    }
}
