//! The schedule of a chaos: drawn from the run's seed before its first fault, from nothing else.

use std::time::Duration;

use meshlab_model::{ChaosFault, ChaosId};
use meshlab_stats::Stream;

use crate::ChaosOptions;

/// Longest schedule. A chaos that would be longer is told so before it begins.
pub(super) const FAULTS_MAX: usize = 20_000;

/// Draws the faults of `length`. When, what and whom each have a stream of their own, and so has
/// each kind of fault for its targets: another weight or another length does not shift whom a kind
/// hurts first.
pub(super) fn draw(
    seed: u64,
    chaos: ChaosId,
    options: &ChaosOptions,
    length: Duration,
) -> Vec<ChaosFault> {
    let stream = |purpose: &str| Stream::new(seed, &format!("chaos {chaos} {purpose}"));
    let (mut when, mut what) = (stream("when"), stream("what"));
    let mut whom: Vec<Stream> =
        options.kinds.iter().map(|kind| stream(&format!("whom {}", kind.fault))).collect();
    let weights: f64 = options.kinds.iter().map(|kind| kind.weight).sum();
    let mut plan: Vec<ChaosFault> = Vec::new();
    for turn in 1..=count(options, length) {
        let due = options.every.as_secs_f64() * turn as f64;
        let jitter = options.jitter.as_secs_f64() * (2.0 * when.share() - 1.0);
        let at = Duration::from_secs_f64((due + jitter).clamp(0.0, length.as_secs_f64()));
        let mut place = what.share() * weights;
        let heavier = options.kinds.iter().position(|kind| {
            place -= kind.weight;
            place < 0.0
        });
        // Rounding may leave the last one over.
        let drawn = heavier.unwrap_or(options.kinds.len().saturating_sub(1));
        let (Some(kind), Some(whom)) = (options.kinds.get(drawn), whom.get_mut(drawn)) else {
            break;
        };
        let Some(target) = options.on.get(whom.below(options.on.len())) else { break };
        plan.push(ChaosFault {
            at_micros: u64::try_from(at.as_micros()).unwrap_or(u64::MAX),
            name: kind.fault.clone(),
            target: target.clone(),
        });
    }
    // With a jitter of more than half the interval, one may come before its predecessor.
    plan.sort_by_key(|fault| fault.at_micros);
    plan
}

/// Turns that are due before the end.
pub(super) fn count(options: &ChaosOptions, length: Duration) -> usize {
    if options.every.is_zero() {
        return 0;
    }
    // One that is due at the very end would not act any more.
    let turns = (length.as_secs_f64() / options.every.as_secs_f64()).ceil() - 1.0;
    turns.max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meshlab_model::{NodeId, Percent};
    use proptest::prelude::*;

    use super::*;
    use crate::{Aim, ChaosKind, FaultSettings};

    fn kind(fault: &str, weight: f64) -> ChaosKind {
        let settings = FaultSettings::default();
        let aim = Aim::Node;
        ChaosKind { fault: fault.to_owned(), weight, aim, settings, hold: None }
    }

    fn options(kinds: Vec<ChaosKind>) -> ChaosOptions {
        ChaosOptions {
            on: (1..=6).map(|place| NodeId(format!("node-{place}"))).collect(),
            kinds,
            every: Duration::from_secs(20),
            jitter: Duration::from_secs(5),
            duration: None,
            at_once: 1,
            detect_within: Duration::from_secs(30),
            flake_budget: Percent(0.0),
            skip_budget: Percent(0.1),
        }
    }

    fn three() -> ChaosOptions {
        options(vec![kind("kill_node", 1.0), kind("wedge_node", 2.0), kind("lossy_link", 1.0)])
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_same_seed_draws_the_same_and_another_another() {
        let plan = |seed, chaos| draw(seed, ChaosId(chaos), &three(), HOUR);
        assert_eq!(plan(42, 1), plan(42, 1));
        assert_ne!(plan(42, 1), plan(43, 1));
        assert_ne!(plan(42, 1), plan(42, 2), "a second one of the same run");
        let first: Vec<String> = plan(42, 1)
            .iter()
            .take(4)
            .map(|fault| format!("{} {} {}", fault.at_micros, fault.name, fault.target))
            .collect();
        // The same on every machine.
        let drawn = [
            "22309906 kill_node node-1",
            "44930473 wedge_node node-1",
            "64193378 wedge_node node-1",
            "79506990 wedge_node node-6",
        ];
        assert_eq!(first, drawn);
    }

    #[test]
    fn weights_and_times_are_kept() {
        let plan = draw(1, ChaosId(1), &three(), 10 * HOUR);
        assert_eq!(plan.len(), 1799);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for fault in &plan {
            *counts.entry(&fault.name).or_default() += 1;
        }
        // Four standard deviations of 1799 draws at a quarter are 74, at a half 85.
        assert!((375..525).contains(&counts["kill_node"]), "{counts:?}");
        assert!((814..985).contains(&counts["wedge_node"]), "{counts:?}");
        for (turn, fault) in plan.iter().enumerate() {
            let due = (turn as u64 + 1) * 20_000_000;
            assert!(fault.at_micros.abs_diff(due) <= 5_000_000, "{fault:?}");
        }
    }

    #[test]
    fn another_weight_does_not_shift_whom_a_kind_hurts() {
        let of = |weight| {
            let kinds = vec![kind("kill_node", 1.0), kind("wedge_node", weight)];
            let plan = draw(9, ChaosId(1), &options(kinds), HOUR);
            let kills = plan.into_iter().filter(|fault| fault.name == "kill_node");
            kills.map(|fault| fault.target).take(20).collect::<Vec<_>>()
        };
        assert_eq!(of(1.0)[..15], of(0.5)[..15]);
    }

    #[test]
    fn a_length_without_a_turn_has_no_plan() {
        assert_eq!(draw(1, ChaosId(1), &three(), Duration::from_secs(20)), []);
        assert_eq!(draw(1, ChaosId(1), &options(Vec::new()), HOUR), []);
        assert_eq!(count(&ChaosOptions { every: Duration::ZERO, ..three() }, HOUR), 0);
    }

    proptest! {
        #[test]
        fn every_plan_is_in_order_and_in_time(
            seed: u64,
            every in 1..100_u64,
            jitter in 0..200_u64,
            length in 0..4000_u64,
        ) {
            let options = ChaosOptions {
                every: Duration::from_secs(every),
                jitter: Duration::from_secs(jitter),
                ..three()
            };
            let plan = draw(seed, ChaosId(1), &options, Duration::from_secs(length));
            prop_assert!(plan.is_sorted_by_key(|fault| fault.at_micros));
            prop_assert!(plan.iter().all(|fault| fault.at_micros <= length * 1_000_000));
            prop_assert_eq!(plan.len(), count(&options, Duration::from_secs(length)));
        }
    }
}
