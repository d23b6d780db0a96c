//! A rate of few observations, with its interval.

use meshlab_mutants::{Mutant, on};

/// The standard normal quantile of a two-sided 95 % interval.
const Z_95: f64 = 1.959_963_984_540_054;

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proportion {
    hits: u64,
    of: u64,
}

impl Proportion {
    /// `hits` of `of`; `None` if there are none to be counted, or more hits than that.
    pub fn new(hits: u64, of: u64) -> Option<Self> {
        (of > 0 && hits <= of).then_some(Self { hits, of })
    }

    /// The share, 0.0 to 1.0.
    pub fn share(self) -> f64 {
        self.hits as f64 / self.of as f64
    }

    /// Lower and upper end of the 95 % score interval (Wilson, "Probable inference, the law of
    /// succession, and statistical inference", 1927), each 0.0 to 1.0. Unlike the share plus and
    /// minus its standard error, it says something for none of few: 0 of 10 is up to 28 %.
    pub fn interval(self) -> (f64, f64) {
        if on(Mutant::ShareCertain) {
            return (self.share(), self.share());
        }
        let (n, p, z2) = (self.of as f64, self.share(), Z_95 * Z_95);
        let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z_95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        // Rounding must not leave the ends of a share.
        let low = if self.hits == 0 { 0.0 } else { (middle - half).max(0.0) };
        let high = if self.hits == self.of { 1.0 } else { (middle + half).min(1.0) };
        (low, high)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval(hits: u64, of: u64) -> (f64, f64) {
        let (low, high) = Proportion::new(hits, of).unwrap().interval();
        ((low * 1e4).round() / 1e4, (high * 1e4).round() / 1e4)
    }

    /// Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I.
    #[test]
    fn published_values_are_met() {
        assert_eq!(interval(81, 263), (0.2553, 0.3662));
        assert_eq!(interval(15, 148), (0.0624, 0.1605));
        assert_eq!(interval(0, 20), (0.0, 0.1611));
        assert_eq!(interval(1, 29), (0.0061, 0.1718));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        assert_eq!(Proportion::new(0, 0), None);
        assert_eq!(Proportion::new(3, 2), None);
        assert_eq!(interval(10, 10), (0.7225, 1.0));
    }

    proptest! {
        #[test]
        fn the_share_lies_within(of in 1..10_000_u64, part in 0.0..=1.0_f64) {
            let proportion = Proportion::new((of as f64 * part) as u64, of).unwrap();
            let (low, high) = proportion.interval();
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
            prop_assert!(low <= proportion.share() && proportion.share() <= high);
        }
    }
}
