//! Where a series of measurements changed.

use meshlab_mutants::{Mutant, on};

use crate::Stream;

/// Points that there are at least before and after a change.
pub const SEGMENT_MIN: usize = 4;

/// Points of a series that are looked at; of a longer one the last ones.
pub const SERIES_MAX: usize = 200;

/// Shuffles that a change is held against: the least probability that can be told is one over one
/// more.
const SHUFFLES: u32 = 299;

/// A change of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first place after it.
    pub at: usize,
    /// How often a shuffled series has a change as clear, 0.0 to 1.0.
    pub p_value: f64,
}

/// Where a series changed, in order of place: E-divisive (Matteson and James, "A nonparametric
/// approach for multiple change point analysis of multivariate data", Journal of the American
/// Statistical Association, 2014; on benchmarks: Daly and others, "The use of change point
/// detection to identify software performance regressions", ICPE 2020). It assumes nothing about
/// the shape of the noise, and finds changes of level and of spread.
///
/// The clearest change splits the series, and each part is looked at again, as long as shuffles
/// within the parts come to as clear a one with a probability of at most `alpha`. So a constant
/// series has a false change in that share of all cases. The shuffles are drawn from a fixed seed:
/// the same series has the same changes. Of more than [`SERIES_MAX`] points the last are taken.
/// Values that are no numbers have no place in it: there is none then.
pub fn changes(series: &[f64], alpha: f64) -> Vec<Change> {
    let left = series.len().saturating_sub(SERIES_MAX);
    let series = &series[left..];
    if series.iter().any(|value| !value.is_finite()) {
        return Vec::new();
    }
    let mut bounds = vec![0, series.len()];
    let mut found: Vec<Change> = Vec::new();
    let mut stream = Stream::new(series.len() as u64, "change points");
    while let Some((at, clear)) = clearest(series, &bounds) {
        let mut as_clear = || {
            let shuffled = shuffled(series, &bounds, &mut stream);
            clearest(&shuffled, &bounds).is_some_and(|(_, other)| other >= clear)
        };
        let p_of = |count: u32| f64::from(count + 1) / f64::from(SHUFFLES + 1);
        let (mut count, mut shuffles) = (0, 0);
        // More of them could only make it less clear.
        while shuffles < SHUFFLES && p_of(count) <= alpha && !on(Mutant::ShufflesUnmade) {
            count += u32::from(as_clear());
            shuffles += 1;
        }
        let p_value = p_of(count);
        if p_value > alpha {
            break;
        }
        found.push(Change { at: left + at, p_value });
        bounds.push(at);
        bounds.sort_unstable();
    }
    found.sort_by_key(|change| change.at);
    found
}

/// The clearest split of any part, and how clear it is.
fn clearest(series: &[f64], bounds: &[usize]) -> Option<(usize, f64)> {
    let of = |part: &[usize]| {
        let (at, clear) = split(&series[part[0]..part[1]])?;
        Some((part[0] + at, clear))
    };
    bounds.windows(2).filter_map(of).max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The split of `values` at which the energy distance of what is before it and what comes after,
/// up to any later place, is greatest. Without that place a step that is taken back would hide
/// itself: what comes after is half of each level.
///
/// Of n values before and m after it is n m / (n + m) times twice their mean distance from each
/// other less the mean distances within each.
fn split(values: &[f64]) -> Option<(usize, f64)> {
    let all = values.len();
    if all < 2 * SEGMENT_MIN {
        return None;
    }
    // Of each value the sum of its distances to the first ones.
    let to_first: Vec<Vec<f64>> = values
        .iter()
        .map(|value| {
            let mut sum = 0.0;
            let sums = values.iter().map(|other| {
                sum += (value - other).abs();
                sum
            });
            [0.0].into_iter().chain(sums).collect()
        })
        .collect();
    let pairs = |n: f64| n * (n - 1.0) / 2.0;
    let mut best: Option<(usize, f64)> = None;
    let mut within_before: f64 = (0..SEGMENT_MIN).map(|i| to_first[i][i]).sum();
    for at in SEGMENT_MIN..=all - SEGMENT_MIN {
        let (mut within_after, mut between) = (0.0, 0.0);
        for (end, distances) in to_first.iter().enumerate().skip(at) {
            between += distances[at];
            within_after += distances[end] - distances[at];
            let (n, m) = (at as f64, (end + 1 - at) as f64);
            if end + 1 - at < SEGMENT_MIN {
                continue;
            }
            let energy =
                2.0 * between / (n * m) - within_before / pairs(n) - within_after / pairs(m);
            let clear = energy * n * m / (n + m);
            if best.is_none_or(|(_, most)| clear > most) {
                best = Some((at, clear));
            }
        }
        within_before += to_first[at][at];
    }
    best
}

/// The series with the values of each part in another order (Fisher and Yates).
fn shuffled(series: &[f64], bounds: &[usize], stream: &mut Stream) -> Vec<f64> {
    let mut values = series.to_vec();
    for part in bounds.windows(2) {
        let part = &mut values[part[0]..part[1]];
        for last in (1..part.len()).rev() {
            part.swap(last, stream.below(last + 1));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Flow of the Nile at Aswan, 1871 to 1970, in 10^8 m^3 a year (Cobb, "The problem of the Nile:
    /// conditional solution to a change-point problem", Biometrika, 1978): it fell after 1898.
    const NILE: [f64; 100] = [
        1120.0, 1160.0, 963.0, 1210.0, 1160.0, 1160.0, 813.0, 1230.0, 1370.0, 1140.0, 995.0, 935.0,
        1110.0, 994.0, 1020.0, 960.0, 1180.0, 799.0, 958.0, 1140.0, 1100.0, 1210.0, 1150.0, 1250.0,
        1260.0, 1220.0, 1030.0, 1100.0, 774.0, 840.0, 874.0, 694.0, 940.0, 833.0, 701.0, 916.0,
        692.0, 1020.0, 1050.0, 969.0, 831.0, 726.0, 456.0, 824.0, 702.0, 1120.0, 1100.0, 832.0,
        764.0, 821.0, 768.0, 845.0, 864.0, 862.0, 698.0, 845.0, 744.0, 796.0, 1040.0, 759.0, 781.0,
        865.0, 845.0, 944.0, 984.0, 897.0, 822.0, 1010.0, 771.0, 676.0, 649.0, 846.0, 812.0, 742.0,
        801.0, 1040.0, 860.0, 874.0, 848.0, 890.0, 744.0, 749.0, 838.0, 1050.0, 918.0, 986.0,
        797.0, 923.0, 975.0, 815.0, 1020.0, 906.0, 901.0, 1170.0, 912.0, 746.0, 919.0, 718.0,
        714.0, 740.0,
    ];

    #[test]
    fn the_nile_fell_after_1898() {
        let found = changes(&NILE, 0.01);
        assert_eq!(found.iter().map(|change| 1871 + change.at).collect::<Vec<_>>(), [1899]);
        assert_eq!(found[0].p_value, 1.0 / 300.0, "no shuffle is as clear");
    }

    fn noise(stream: &mut Stream, level: f64, count: usize) -> Vec<f64> {
        (0..count).map(|_| level * (stream.normal() * 0.0266).exp()).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is_and_so_is_its_end() {
        let mut stream = Stream::new(3, "steps");
        let series =
            [noise(&mut stream, 1.0, 20), noise(&mut stream, 1.1, 15), noise(&mut stream, 1.0, 20)];
        let found: Vec<usize> =
            changes(&series.concat(), 0.01).iter().map(|change| change.at).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].abs_diff(20) <= 1 && found[1].abs_diff(35) <= 1, "{found:?}");
    }

    #[test]
    fn what_does_not_change_or_is_too_short_has_no_change() {
        assert_eq!(changes(&[1.0; 40], 0.05), []);
        assert_eq!(changes(&[1.0, 1.0, 1.0, 9.0, 9.0, 9.0], 0.05), []);
        assert_eq!(changes(&[1.0, f64::NAN, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0], 0.05), []);
        assert_eq!(changes(&[], 0.05), []);
    }

    /// Of 200 series that do not change, as many have a change as they say: 5 %, and three standard
    /// errors of 200.
    #[test]
    fn without_a_change_alarms_are_as_rare_as_they_say() {
        let mut stream = Stream::new(17, "constant");
        let alarms =
            (0..200).filter(|_| !changes(&noise(&mut stream, 1.0, 24), 0.05).is_empty()).count();
        assert!(alarms <= 19, "{alarms} of 200");
    }

    #[test]
    fn of_a_long_series_the_end_is_looked_at() {
        let mut stream = Stream::new(5, "long");
        let series = [noise(&mut stream, 1.0, 190), noise(&mut stream, 2.0, 20)].concat();
        let found: Vec<usize> = changes(&series, 0.01).iter().map(|change| change.at).collect();
        assert_eq!(found, [190]);
    }

    /// As the definition has it, without sums that follow from each other.
    fn energy(before: &[f64], after: &[f64]) -> f64 {
        let mean = |a: &[f64], b: &[f64], of: f64| -> f64 {
            let all = a.iter().flat_map(|x| b.iter().map(move |y| (x - y).abs()));
            all.sum::<f64>() / of
        };
        let (n, m) = (before.len() as f64, after.len() as f64);
        let within = |a: &[f64], n: f64| mean(a, a, n * (n - 1.0));
        (2.0 * mean(before, after, n * m) - within(before, n) - within(after, m)) * n * m / (n + m)
    }

    proptest! {
        #[test]
        fn the_split_is_that_of_the_definition(
            values in proptest::collection::vec(-100.0..100.0_f64, 8..40),
        ) {
            let (at, clear) = split(&values).unwrap();
            let mut most = f64::NEG_INFINITY;
            for other in SEGMENT_MIN..=values.len() - SEGMENT_MIN {
                for end in other + SEGMENT_MIN..=values.len() {
                    let by_hand = energy(&values[..other], &values[other..end]);
                    prop_assert!(by_hand <= clear + 1e-6);
                    if other == at {
                        most = most.max(by_hand);
                    }
                }
            }
            prop_assert!((clear - most).abs() < 1e-6);
        }
    }
}
