//! Quantiles of any number of values in little memory.

use std::collections::BTreeMap;

/// Neighbouring buckets differ by this ratio, so that a value is told to within 0.1 %.
const GAMMA: f64 = 1.002;

/// Values of zero and more, counted in buckets whose width grows with the value: a DDSketch
/// (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
/// guarantees", 2019) with an error of at most 0.1 % of the value. Values between 1e-9 and 1e18
/// have at most 32,000 buckets; a node's memory over four days has some hundred.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    zeros: u64,
    buckets: BTreeMap<i32, u64>,
    count: u64,
    max: f64,
}

impl Distribution {
    /// Counts a value; `false`, and nothing is counted, if it is below zero or no number.
    pub fn add(&mut self, value: f64) -> bool {
        if !(value.is_finite() && value >= 0.0) {
            return false;
        }
        self.count += 1;
        self.max = self.max.max(value);
        match value > 0.0 {
            true => *self.buckets.entry((value.ln() / GAMMA.ln()).ceil() as i32).or_default() += 1,
            false => self.zeros += 1,
        }
        true
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest, exactly; 0 if there are none.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// The value that a share (0.0 to 1.0) of all did not exceed: the nearest rank (Hyndman and
    /// Fan, "Sample quantiles in statistical packages", 1996, type 1). `None` if there are none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        if self.count == 0 {
            return None;
        }
        if rank >= self.count {
            return Some(self.max);
        }
        let mut seen = self.zeros;
        if seen >= rank {
            return Some(0.0);
        }
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                let upper = GAMMA.powi(*bucket);
                return Some((2.0 * upper / (1.0 + GAMMA)).min(self.max));
            }
        }
        Some(self.max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_amount_is_not_counted() {
        let mut all = Distribution::default();
        assert!(!all.add(f64::NAN) && !all.add(-0.5) && !all.add(f64::INFINITY));
        assert_eq!((all.count(), all.quantile(0.5)), (0, None));
        assert!(all.add(0.0) && all.add(2.0));
        assert_eq!((all.quantile(0.5), all.quantile(0.95), all.max()), (Some(0.0), Some(2.0), 2.0));
    }

    proptest! {
        #[test]
        fn a_quantile_is_that_of_the_sorted_values_to_a_thousandth(
            values in proptest::collection::vec(prop_oneof![Just(0.0), 1e-6..1e12_f64], 1..300),
            share in 0.0..=1.0_f64,
        ) {
            let mut all = Distribution::default();
            values.iter().for_each(|value| assert!(all.add(*value)));
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let rank = (sorted.len() as f64 * share).ceil().max(1.0) as usize;
            let (wanted, got) = (sorted[rank - 1], all.quantile(share).unwrap());
            prop_assert!((got - wanted).abs() <= wanted * 0.001_01, "{got} {wanted}");
        }
    }
}
