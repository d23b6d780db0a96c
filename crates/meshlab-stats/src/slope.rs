//! How fast one thing grows: medians a minute, and the slope of them.

use statrs::distribution::{ContinuousCDF, Normal};

/// A minute, in seconds.
const MINUTE: u64 = 60;
/// Points that slopes are worked out of; more are taken together first.
const POINTS_MAX: usize = 600;

/// Values over time, kept as one median a minute: an outlier does not move it, and four days are
/// six thousand numbers.
#[derive(Debug, Clone, Default)]
pub struct MinuteMedians {
    points: Vec<(f64, f64)>,
    minute: u64,
    open: Vec<f64>,
}

impl MinuteMedians {
    /// Adds a value that was taken `at`, in seconds, not before the last one.
    pub fn add(&mut self, at: f64, value: f64) {
        let minute = (at.max(0.0) as u64) / MINUTE;
        if minute != self.minute {
            self.close();
            self.minute = minute;
        }
        self.open.push(value);
    }

    fn close(&mut self) {
        if let Some(median) = median(&mut self.open) {
            self.points.push(((self.minute * MINUTE + MINUTE / 2) as f64, median));
        }
        self.open.clear();
    }

    /// The medians, each at the middle of its minute, in seconds; the last one of a minute that is
    /// not over.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let mut all = self.clone();
        all.close();
        all.points
    }
}

/// The middle of `values`, which are sorted for it; `None` if there are none.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    let even = values.len().is_multiple_of(2);
    let (_, low, above) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f64::total_cmp).filter(|_| even);
    Some(high.map_or(low, |high| f64::midpoint(low, high)))
}

/// How fast something grows, in its unit a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// The slope.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Slope {
    /// The median of the slopes between all pairs of points of one life (Theil, "A rank-invariant
    /// method of linear and polynomial regression analysis", 1950), with Sen's interval ("Estimates
    /// of the regression coefficient based on Kendall's tau", 1968). Several lives are strata, as
    /// seasons are for Hirsch, Slack and Smith ("Techniques of trend analysis for monthly water
    /// quality data", 1982): no pair reaches over a restart.
    ///
    /// Points are seconds and values. The interval takes them for independent of each other; those
    /// of a process are not, so it is too narrow to judge by and shows no more than the scale.
    /// `None` without two points of one life at different times.
    pub fn of(lives: &[Vec<(f64, f64)>]) -> Option<Self> {
        let count: usize = lives.iter().map(Vec::len).sum();
        let together = count.div_ceil(POINTS_MAX).max(1);
        let (mut slopes, mut variance) = (Vec::new(), 0.0);
        for life in lives {
            let points = thinned(life, together);
            let n = points.len() as f64;
            variance += n * (n - 1.0).max(0.0) * (2.0 * n + 5.0) / 18.0;
            for (place, (at, value)) in points.iter().enumerate() {
                let later = points[place + 1..].iter().filter(|(other, _)| other > at);
                slopes.extend(later.map(|(other, next)| (next - value) / (other - at)));
            }
        }
        let value = median(&mut slopes)?;
        slopes.sort_by(f64::total_cmp);
        let all = slopes.len() as f64;
        let off = Normal::standard().inverse_cdf(0.975) * variance.sqrt();
        let rank = |rank: f64| slopes[(rank.max(0.0) as usize).min(slopes.len() - 1)];
        Some(Self { value, low: rank((all - off) / 2.0), high: rank((all + off) / 2.0 + 1.0) })
    }
}

/// The medians of so many points each, at their middle.
pub(crate) fn thinned(points: &[(f64, f64)], together: usize) -> Vec<(f64, f64)> {
    if together < 2 {
        return points.to_vec();
    }
    let one = |few: &[(f64, f64)]| {
        let (first, last) = (few.first()?.0, few.last()?.0);
        let mut values: Vec<f64> = few.iter().map(|(_, value)| *value).collect();
        Some((f64::midpoint(first, last), median(&mut values)?))
    };
    points.chunks(together).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minute_is_its_median() {
        let mut medians = MinuteMedians::default();
        for (at, value) in [(0.0, 1.0), (15.0, 9.0), (45.0, 2.0), (61.0, 5.0), (200.0, 7.0)] {
            medians.add(at, value);
        }
        assert_eq!(medians.points(), [(30.0, 2.0), (90.0, 5.0), (210.0, 7.0)]);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn a_line_with_an_outlier_keeps_its_slope() {
        let mut points: Vec<(f64, f64)> =
            (0..40).map(|n| (f64::from(n), 3.0 * f64::from(n))).collect();
        points[20].1 = 1e9;
        let slope = Slope::of(&[points]).unwrap();
        assert_eq!((slope.value, slope.low, slope.high), (3.0, 3.0, 3.0));
        assert_eq!(Slope::of(&[vec![(1.0, 2.0)], vec![(2.0, 9.0)]]), None, "not over a restart");
        assert_eq!(Slope::of(&[vec![(1.0, 2.0), (1.0, 3.0)]]), None);
    }

    #[test]
    fn a_restart_is_no_fall() {
        let life = |from: f64| (0..30).map(|n| (from + f64::from(n), f64::from(n))).collect();
        let slope = Slope::of(&[life(0.0), life(100.0), life(500.0)]).unwrap();
        assert_eq!(slope.value, 1.0);
    }

    #[test]
    fn long_series_are_thinned_and_keep_their_slope() {
        let points: Vec<(f64, f64)> =
            (0..5760).map(|n| (f64::from(n) * 60.0, f64::from(n) * 120.0)).collect();
        let slope = Slope::of(&[points]).unwrap();
        assert!((slope.value - 2.0).abs() < 1e-9, "{slope:?}");
    }

    proptest! {
        #[test]
        fn the_slope_lies_in_its_interval_and_follows_its_unit(
            values in proptest::collection::vec(-1e6..1e6_f64, 3..40),
            unit in 0.1..100.0_f64,
        ) {
            let points = |unit: f64| -> Vec<(f64, f64)> {
                values.iter().enumerate().map(|(n, v)| (n as f64, v * unit)).collect()
            };
            let slope = Slope::of(&[points(1.0)]).unwrap();
            prop_assert!(slope.low <= slope.value && slope.value <= slope.high);
            let scaled = Slope::of(&[points(unit)]).unwrap();
            let off = (scaled.value - slope.value * unit).abs();
            prop_assert!(off <= 1e-6 * (1.0 + scaled.value.abs()));
        }
    }
}
