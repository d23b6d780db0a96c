//! A few measurements of one thing, summed up without pretending to know their distribution.

/// Median and range of repeated measurements, in their own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many measurements.
    pub count: usize,
    /// The smallest.
    pub min: f64,
    /// The middle one; the mean of the middle two where the count is even.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// Sums up `values`; `None` if there are none, or one of them is not a finite number, because
    /// a summary that silently leaves something out is worse than none.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { count: sorted.len(), min: sorted[0], median, max: sorted[sorted.len() - 1] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_middle_is_in_the_middle() {
        let odd = Summary::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.min, odd.median, odd.max, odd.count), (1.0, 2.0, 3.0, 3));
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn nothing_and_nonsense_have_no_summary() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
        assert_eq!(Summary::of(&[f64::INFINITY]), None);
    }

    proptest! {
        #[test]
        fn order_does_not_matter(mut values in proptest::collection::vec(-1e9..1e9_f64, 1..40)) {
            let forward = Summary::of(&values);
            values.reverse();
            prop_assert_eq!(forward, Summary::of(&values));
            let summary = forward.unwrap();
            prop_assert!(summary.min <= summary.median && summary.median <= summary.max);
        }
    }
}
