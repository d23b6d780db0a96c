//! The distribution of Wilcoxon's signed-rank statistic where nothing differs.

use statrs::distribution::{ContinuousCDF, Normal};

/// Pairs up to which the distribution is counted out; above, the normal one is closer than anybody
/// needs.
const EXACT_MAX: usize = 100;

/// The probability that the statistic of `pairs` pairs is at most `value`, where each difference is
/// as likely to be above zero as below it, by the same amount.
///
/// Counted exactly for up to 100 pairs (Wilcoxon, "Individual comparisons by ranking methods",
/// 1945, by the usual recursion over ranks), else by the normal distribution with its correction
/// for continuity (Hollander, Wolfe and Chicken, "Nonparametric statistical methods", 2014, 3.1).
pub(crate) fn at_most(pairs: usize, value: usize) -> f64 {
    if pairs > EXACT_MAX {
        let (mean, deviation) = moments(pairs);
        return Normal::standard().cdf((value as f64 + 0.5 - mean) / deviation);
    }
    exact(pairs).iter().take(value + 1).sum::<f64>().min(1.0)
}

/// The largest value that the statistic is at or below with a probability of at most `share`;
/// `None` if even zero is likelier than that: then no outcome of so few pairs decides anything.
pub(crate) fn critical(pairs: usize, share: f64) -> Option<usize> {
    if pairs > EXACT_MAX {
        let (mean, deviation) = moments(pairs);
        let value = mean + Normal::standard().inverse_cdf(share) * deviation - 0.5;
        return (value >= 0.0).then_some(value as usize);
    }
    let mut sum = 0.0;
    let mut within = |p: &f64| {
        sum += p;
        sum <= share
    };
    exact(pairs).iter().take_while(|p| within(p)).count().checked_sub(1)
}

/// The fewest pairs of which some outcome is that unlikely.
pub(crate) fn pairs_min(share: f64) -> usize {
    // All on one side has the probability of so many coins that fall alike.
    (1..=64).find(|pairs| 0.5_f64.powi(*pairs) <= share).map_or(65, |pairs| pairs as usize)
}

/// The probability of each value of the statistic.
fn exact(pairs: usize) -> Vec<f64> {
    let mut of = vec![0.0; pairs * (pairs + 1) / 2 + 1];
    of[0] = 1.0;
    for rank in 1..=pairs {
        // The rank counts or does not, each with probability one half; from above, so that what is
        // read is still that of the former ranks.
        for value in (0..of.len()).rev() {
            let with = if value >= rank { of[value - rank] } else { 0.0 };
            of[value] = f64::midpoint(of[value], with);
        }
    }
    of
}

fn moments(pairs: usize) -> (f64, f64) {
    let n = pairs as f64;
    (n * (n + 1.0) / 4.0, (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wilcoxon and Wilcox, "Some rapid approximate statistical procedures" (1964), table 2.
    #[test]
    fn published_critical_values_are_met() {
        let two_sided = |pairs| critical(pairs, 0.025);
        let table = [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (14, 21), (20, 52), (25, 89)];
        for (pairs, value) in table {
            assert_eq!(two_sided(pairs), Some(value), "{pairs}");
        }
        assert_eq!(two_sided(5), None);
        assert_eq!((pairs_min(0.025), pairs_min(0.0125), pairs_min(0.05)), (6, 7, 5));
    }

    #[test]
    fn it_is_symmetric_and_whole_and_the_approximation_joins_it() {
        for pairs in [1, 5, 12, 40, 100] {
            let all = pairs * (pairs + 1) / 2;
            assert!((at_most(pairs, all) - 1.0).abs() < 1e-9, "{pairs}");
            let middle = at_most(pairs, all / 2);
            assert!((0.5..0.85).contains(&middle), "{pairs} {middle}");
        }
        // P(V <= 2) of 5 pairs is 3 of 32.
        assert!((at_most(5, 2) - 3.0 / 32.0).abs() < 1e-12);
        let (mean, deviation) = moments(EXACT_MAX);
        let normal = |v: f64| Normal::standard().cdf((v + 0.5 - mean) / deviation);
        for value in [1900.0, 2200.0, 2525.0] {
            let off = at_most(EXACT_MAX, value as usize) - normal(value);
            assert!(off.abs() < 1e-3, "{value} {off}");
        }
        let (below, above) = (critical(100, 0.025), critical(101, 0.025));
        assert!(below < above && above.is_some_and(|v| v < 2100), "{below:?} {above:?}");
    }
}
