//! Whether many nodes grow: each node is one observation, however often it was sampled.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::{
    slope::{Slope, thinned},
    steps::without_steps,
};

/// Nodes that it takes to know how much nodes differ.
pub const NODES_MIN: usize = 3;

/// Points of a life that its warm-up is found in.
const WARMUP_POINTS: usize = 120;
/// Starts that are tried, up to half of the time there is.
const WARMUP_STEPS: u32 = 20;

/// The growth of a fleet, from one slope for each node, in their unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// How many nodes.
    pub nodes: usize,
    /// Mean slope.
    pub mean: f64,
    /// Lower end of its two-sided 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The probability of as much growth if there were none: a one-sided t-test over the nodes.
    pub p_value: f64,
}

impl Growth {
    /// Student's t over the slopes of the nodes ("The probable error of a mean", 1908). The samples
    /// of one node depend on each other, those of two do not: so the node is the replicate. `None`
    /// with less than three nodes, or a slope that is no number.
    pub fn of(slopes: &[f64]) -> Option<Self> {
        if slopes.len() < NODES_MIN || slopes.iter().any(|slope| !slope.is_finite()) {
            return None;
        }
        let (mean, deviation) = moments(slopes);
        let error = deviation / (slopes.len() as f64).sqrt();
        let t = StudentsT::new(0.0, 1.0, (slopes.len() - 1) as f64).ok()?;
        let half = t.inverse_cdf(0.975) * error;
        let p_value = match error > 0.0 {
            true => 1.0 - t.cdf(mean / error),
            false => f64::from(u8::from(mean <= 0.0)),
        };
        Some(Self { nodes: slopes.len(), mean, low: mean - half, high: mean + half, p_value })
    }
}

/// The node whose slope is too far above those of all others to be one of them: leaving it out, it
/// is predicted by the others (the externally studentized residual; Cook and Weisberg, "Residuals
/// and influence in regression", 1982, 2.2.2), at 1 % over all nodes (Bonferroni). Its place, if
/// there is one.
pub fn odd_one(slopes: &[f64]) -> Option<usize> {
    if slopes.len() <= NODES_MIN || slopes.iter().any(|slope| !slope.is_finite()) {
        return None;
    }
    let (place, largest) = slopes.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let others: Vec<f64> =
        slopes.iter().enumerate().filter(|(n, _)| *n != place).map(|(_, slope)| *slope).collect();
    let (mean, deviation) = moments(&others);
    let n = others.len() as f64;
    let error = deviation * (1.0 + 1.0 / n).sqrt();
    if error <= 0.0 {
        return (largest > mean).then_some(place);
    }
    let t = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    let p_value = 1.0 - t.cdf((largest - mean) / error);
    (p_value * slopes.len() as f64 <= 0.01).then_some(place)
}

/// How long processes warm up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warmup {
    /// From this age on they are warm, in seconds.
    pub until: f64,
    /// Whether that is known; if not they still settle in the first half of the time there is, and
    /// what grows after it may be no more than the rest of that.
    pub settled: bool,
    /// Whether there was one for sure (1 %), rather than a slope that fell by chance.
    pub sure: bool,
}

/// What is left out beyond the age from which the slope no longer falls, as a share of it: a
/// slope that falls by a tenth in the noise still adds up over hours.
const WARMUP_MARGIN: f64 = 0.5;
/// Points that a slope of a part is worked out of, at least.
const PART_MIN: usize = 3;

/// The same as [`settling`], for a fall of any size, without whether it is known.
pub fn warmup(lives: &[Vec<(f64, f64)>]) -> f64 {
    settling(lives, 0.0).until
}

/// From which age on processes are warm: since then their slope has stopped falling.
///
/// Each life is the points of one process by its age in seconds. From a start on, the slope of the
/// first third of what is left is held against that of the rest, life by life; the warm-up ends
/// with the first start from which the former is not above the latter by more than `least`, in
/// their unit a second (one-sided t-test over the lives), and half as long again is left out with
/// it. The test is a lenient one, at 20 %: a start that is too late costs data, one that is too
/// early is taken for a leak. At most the first half is a warm-up. With less than three lives
/// nothing can be told, and the start is 0.
pub fn settling(lives: &[Vec<(f64, f64)>], least: f64) -> Warmup {
    let last = |life: &Vec<(f64, f64)>| life.last().map(|point| point.0);
    let end = lives.iter().filter_map(last).fold(0.0, f64::max);
    let thin = |life: &Vec<(f64, f64)>| thinned(life, life.len().div_ceil(WARMUP_POINTS));
    let lives: Vec<_> = lives.iter().map(thin).collect();
    // The probability of such a fall where there is none; `None` where it cannot be told.
    let falls = |start: f64| {
        let third = start + (end - start) / 3.0;
        let fall = |life: &Vec<(f64, f64)>| {
            let part = |from: f64, to: f64| {
                let within = life.iter().filter(|(at, _)| (from..to).contains(at));
                let points: Vec<(f64, f64)> = within.copied().collect();
                (points.len() >= PART_MIN).then(|| Slope::of(&[points]).map(|slope| slope.value))?
            };
            Some(part(start, third)? - part(third, f64::INFINITY)?)
        };
        let falls: Vec<f64> = lives.iter().filter_map(fall).collect();
        Growth::of(&falls).map(|fall| if fall.mean < least { 1.0 } else { fall.p_value })
    };
    let steps = 0..=WARMUP_STEPS;
    let start = |step: u32| end / 2.0 * f64::from(step) / f64::from(WARMUP_STEPS);
    let told: Vec<(f64, f64)> =
        steps.map(start).filter_map(|start| Some((start, falls(start)?))).collect();
    let sure = told.first().is_some_and(|(_, p_value)| *p_value < 0.01);
    match (told.iter().find(|(_, p_value)| *p_value >= 0.2), told.last()) {
        (Some((start, _)), _) => {
            Warmup { until: start * (1.0 + WARMUP_MARGIN), settled: true, sure }
        }
        // Nothing can be told of so little.
        (None, None) => Warmup { until: 0.0, settled: true, sure },
        (None, Some((_, p_value))) => Warmup { until: end / 2.0, settled: *p_value >= 0.05, sure },
    }
}

/// Whether growth goes on: whether it is there in the second half of the points too, at 5 %. The
/// rest of a warm-up does not go on, a leak does. The points of each node are those after the
/// warm-up. True with too little data to tell: then the whole has to say it.
pub fn goes_on(nodes: &[Vec<Vec<(f64, f64)>>]) -> bool {
    let end = nodes.iter().flatten().filter_map(|life| life.last()).map(|point| point.0);
    let begin = nodes.iter().flatten().filter_map(|life| life.first()).map(|point| point.0);
    let middle = f64::midpoint(begin.fold(f64::INFINITY, f64::min), end.fold(0.0, f64::max));
    let late = |node: &Vec<Vec<(f64, f64)>>| {
        let half = |life: &Vec<(f64, f64)>| -> Vec<(f64, f64)> {
            life.iter().filter(|point| point.0 >= middle).copied().collect()
        };
        Some(Slope::of(&node.iter().map(half).collect::<Vec<_>>())?.value)
    };
    let slopes: Vec<f64> = nodes.iter().filter_map(late).collect();
    Growth::of(&slopes).is_none_or(|growth| growth.p_value < 0.05)
}

/// What is told of a whole fleet: how long it warmed up, and how it grew after that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leak {
    /// Its warm-up.
    pub warmup: Warmup,
    /// Its growth, without steps.
    pub growth: Growth,
    /// Whether that goes on; true where there was no warm-up that it could be the rest of.
    pub goes_on: bool,
}

impl Leak {
    /// Of the points of each process by its age in seconds, a process a node. `limit` is how much
    /// may grow, in their unit a second; a slope that falls by less than half of it does not fall.
    pub fn of(lives: &[Vec<(f64, f64)>], limit: f64) -> Option<Self> {
        let warmup = settling(lives, limit / 2.0);
        let warm = |life: &Vec<(f64, f64)>| -> Vec<(f64, f64)> {
            let points = life.iter().filter(|point| point.0 >= warmup.until);
            without_steps(&points.copied().collect::<Vec<_>>())
        };
        let nodes: Vec<Vec<Vec<(f64, f64)>>> = lives.iter().map(|life| vec![warm(life)]).collect();
        let slopes: Vec<f64> =
            nodes.iter().filter_map(|node| Some(Slope::of(node)?.value)).collect();
        let growth = Growth::of(&slopes)?;
        Some(Self { warmup, growth, goes_on: !warmup.sure || goes_on(&nodes) })
    }

    /// Whether that is a leak of more than `limit`, in their unit a second, at 1 %: growth that is
    /// there for sure, goes on, and may reach the limit.
    pub fn alarm(&self, limit: f64) -> bool {
        let Growth { high, p_value, .. } = self.growth;
        self.warmup.settled && self.goes_on && p_value < 0.01 && high >= limit
    }
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stream, noise::memory};

    /// Slopes of a fleet whose nodes grow so many bytes a second.
    fn fleet(stream: &mut Stream, nodes: usize, minutes: u32, growth: f64) -> Vec<f64> {
        let one = |_| {
            let points = memory(stream, minutes, growth, 0.0);
            Slope::of(&[points]).unwrap().value
        };
        (0..nodes).map(one).collect()
    }

    #[test]
    fn a_worked_example() {
        // Student's table: t of 4 degrees of freedom at 97.5 % is 2.776.
        let growth = Growth::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let half = 2.776_445 * (2.5_f64 / 5.0).sqrt();
        assert!((growth.mean - 3.0).abs() < 1e-12 && (growth.high - 3.0 - half).abs() < 1e-4);
        assert!((growth.p_value - 0.006_6).abs() < 1e-3, "{growth:?}");
        assert_eq!(Growth::of(&[1.0, 2.0]), None);
        assert_eq!(Growth::of(&[1.0, 2.0, f64::NAN]), None);
        let flat = Growth::of(&[0.0; 4]).unwrap();
        assert_eq!((flat.low, flat.high, flat.p_value), (0.0, 0.0, 1.0));
    }

    #[test]
    fn one_among_many_is_found_and_none_where_all_are_alike() {
        assert_eq!(odd_one(&[1.0, 1.1, 0.9, 1.05, 9.0, 0.95]), Some(4));
        assert_eq!(odd_one(&[1.0, 1.1, 0.9, 1.05, 1.2, 0.95]), None);
        assert_eq!(odd_one(&[0.0, 0.0, 0.0, 1.0]), Some(3));
        assert_eq!(odd_one(&[0.0, 1.0, 9.0]), None, "too few to say");
    }

    /// Samples that depend on each other do not make alarms: the share stays near 1 % where nothing
    /// grows, where a test on the samples of one node would give 13 to 20.
    #[test]
    fn noise_with_a_memory_raises_no_more_alarms_than_it_may() {
        let mut stream = Stream::new(11, "alarms");
        let alarm = |_: &u32| Growth::of(&fleet(&mut stream, 18, 20, 0.0)).unwrap().p_value < 0.01;
        let alarms = (0..150).filter(alarm).count();
        assert!(alarms <= 8, "{alarms} of 150");
    }

    #[test]
    fn a_leak_is_seen() {
        let mut stream = Stream::new(12, "leak");
        // 34 KB a minute in 20 minutes.
        let seen =
            |_: &u32| Growth::of(&fleet(&mut stream, 18, 20, 34e3 / 60.0)).unwrap().p_value < 0.01;
        let seen = (0..50).filter(seen).count();
        assert!(seen >= 42, "{seen} of 50");
    }

    #[test]
    fn a_warm_up_is_no_leak() {
        let mut stream = Stream::new(13, "warm");
        let mut alarms = [0, 0];
        for _ in 0..30 {
            let fleet: Vec<_> = (0..18).map(|_| memory(&mut stream, 120, 0.0, 3e6)).collect();
            let starts = [0.0, warmup(&fleet)];
            for (count, start) in alarms.iter_mut().zip(starts) {
                let one = |points: &Vec<(f64, f64)>| {
                    let warm = points.iter().filter(|(at, _)| *at >= start).copied().collect();
                    Slope::of(&[warm]).unwrap().value
                };
                let slopes: Vec<f64> = fleet.iter().map(one).collect();
                *count += u32::from(Growth::of(&slopes).unwrap().p_value < 0.01);
            }
        }
        assert!(alarms[0] > 27 && alarms[1] < 6, "{alarms:?}");
    }

    #[test]
    fn what_still_settles_is_told_and_does_not_go_on() {
        let mut stream = Stream::new(15, "settles");
        // In the first 20 minutes of a warm-up with a time constant of five.
        let quiet = |minutes: u32, growth: f64, warm: f64| -> Vec<Vec<(f64, f64)>> {
            let one = |minute: u32| {
                let at = f64::from(minute) * 60.0;
                (at, 2e7 + growth * at + warm * (1.0 - (-at / 300.0).exp()))
            };
            (0..6).map(|_| (0..minutes).map(one).collect()).collect()
        };
        let settles = settling(&quiet(20, 0.0, 3e6), 0.0);
        assert!(!settles.settled, "{settles:?}");
        let noisy: Vec<_> = (0..18).map(|_| memory(&mut stream, 120, 0.0, 3e6)).collect();
        assert!(settling(&noisy, 36.0).settled && settling(&noisy, 36.0).sure);
        let lives = |nodes: Vec<Vec<(f64, f64)>>| nodes.into_iter().map(|n| vec![n]).collect();
        let leak: Vec<Vec<Vec<(f64, f64)>>> = lives(quiet(60, 500.0, 0.0));
        assert!(goes_on(&leak));
        let flat: Vec<Vec<Vec<(f64, f64)>>> =
            lives((0..18).map(|_| memory(&mut stream, 60, 0.0, 0.0)).collect());
        assert!(!goes_on(&flat) && goes_on(&[]));
    }

    #[test]
    fn a_steady_growth_is_no_warm_up() {
        let mut stream = Stream::new(14, "steady");
        let fleet: Vec<_> = (0..8).map(|_| memory(&mut stream, 120, 1000.0, 0.0)).collect();
        assert!(warmup(&fleet) < 1800.0, "{}", warmup(&fleet));
        assert_eq!((warmup(&fleet[..2]), warmup(&[])), (0.0, 0.0));
    }
}
