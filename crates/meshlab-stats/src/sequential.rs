//! A sequential test of a rate: it stops as soon as enough was seen.

use meshlab_mutants::{Mutant, on};

/// The sequential probability ratio test of a rate of failures (Wald, "Sequential tests of
/// statistical hypotheses", Annals of Mathematical Statistics, 1945): of all tests with its errors
/// it needs the fewest observations on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SequentialTest {
    /// What one failure adds to the logarithm of the likelihood ratio; above 0.
    failure: f64,
    /// What one success adds; below 0.
    success: f64,
    /// At or above it, the rate is held to be the high one.
    upper: f64,
    /// At or below it, the low one.
    lower: f64,
    failures: u64,
    of: u64,
}

/// What a sequential test says so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The rate is not above the low one.
    Low,
    /// The rate is not below the high one.
    High,
    /// More has to be seen.
    Undecided,
}

impl SequentialTest {
    /// A test between two rates of failures, 0 < `low` < `high` < 1. `alpha` is how often a rate of
    /// `low` may be called high, `beta` how often one of `high` may be called low; each above 0
    /// and together below 1. `None` where these do not hold.
    pub fn new(low: f64, high: f64, alpha: f64, beta: f64) -> Option<Self> {
        let sound = 0.0 < low && low < high && high < 1.0;
        let errors = alpha > 0.0 && beta > 0.0 && alpha + beta < 1.0;
        (sound && errors).then(|| Self {
            failure: (high / low).ln(),
            success: ((1.0 - high) / (1.0 - low)).ln(),
            upper: ((1.0 - beta) / alpha).ln(),
            lower: (beta / (1.0 - alpha)).ln(),
            failures: 0,
            of: 0,
        })
    }

    /// Takes in one observation.
    pub fn observe(&mut self, failed: bool) -> Decision {
        self.of += 1;
        self.failures += u64::from(failed);
        self.decision()
    }

    /// What is decided. The first decision counts: who goes on observing after it has a test with
    /// other errors.
    pub fn decision(&self) -> Decision {
        let ratio =
            self.failures as f64 * self.failure + (self.of - self.failures) as f64 * self.success;
        if on(Mutant::SequentialAtOnce) {
            Decision::Low
        } else if ratio >= self.upper {
            Decision::High
        } else if ratio <= self.lower {
            Decision::Low
        } else {
            Decision::Undecided
        }
    }

    /// How many observations without any failure decide for the low rate; at least 1.
    pub fn clean_needed(&self) -> u64 {
        // Both are below 0 and finite, so the quotient is above 0.
        (self.lower / self.success).ceil().max(1.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Stream;

    /// Wald's lines: after m observations, reject at r(m) = h1 + s m failures, accept at
    /// a(m) = -h0 + s m.
    fn lines(p0: f64, p1: f64, alpha: f64, beta: f64) -> (f64, f64, f64) {
        let g = (p1 / p0).ln() + ((1.0 - p0) / (1.0 - p1)).ln();
        let h0 = ((1.0 - alpha) / beta).ln() / g;
        let h1 = ((1.0 - beta) / alpha).ln() / g;
        (h0, h1, ((1.0 - p0) / (1.0 - p1)).ln() / g)
    }

    /// Wald's lines, worked out from his formulas apart from the code, for p0 = 0.01, p1 = 0.10,
    /// alpha = 0.05, beta = 0.10: it accepts at 0.0397 n - 0.939 and rejects at 0.0397 n + 1.205,
    /// so that none of 24 is the first that is accepted, and 2 of 2 the first that is rejected.
    #[test]
    fn walds_lines_are_met() {
        let (h0, h1, slope) = lines(0.01, 0.10, 0.05, 0.10);
        let round = |x: f64, digits: f64| (x * digits).round() / digits;
        assert_eq!((round(h0, 1e3), round(h1, 1e3), round(slope, 1e4)), (0.939, 1.205, 0.0397));
        let fresh = SequentialTest::new(0.01, 0.10, 0.05, 0.10).unwrap();
        assert_eq!(fresh.clean_needed(), 24);
        let mut clean = fresh;
        let first = (1..).find(|_| clean.observe(false) == Decision::Low);
        assert_eq!(first, Some(24));
        let mut bad = fresh;
        assert_eq!(bad.observe(true), Decision::Undecided);
        assert_eq!(bad.observe(true), Decision::High);
    }

    #[test]
    fn what_is_no_test_is_refused() {
        for (low, high, alpha, beta) in [
            (0.0, 0.1, 0.05, 0.05),
            (0.1, 0.1, 0.05, 0.05),
            (0.2, 0.1, 0.05, 0.05),
            (0.1, 1.0, 0.05, 0.05),
            (0.01, 0.1, 0.0, 0.05),
            (0.01, 0.1, 0.5, 0.5),
            (f64::NAN, 0.1, 0.05, 0.05),
        ] {
            assert_eq!(SequentialTest::new(low, high, alpha, beta), None, "{low} {high} {alpha}");
        }
    }

    /// Of 2000 series with a rate on either side, no more than the promised share is judged wrong;
    /// three standard errors of slack for the 2000.
    #[test]
    fn errors_are_as_rare_as_promised() {
        for (rate, wrong) in [(0.01, Decision::High), (0.05, Decision::Low)] {
            let mistaken = (0..2000_u64).filter(|series| {
                let mut test = SequentialTest::new(0.01, 0.05, 0.05, 0.05).unwrap();
                let found = (0..).map(|number| {
                    let draw = Stream::numbered(*series, number).below(1_000_000);
                    test.observe((draw as f64) < rate * 1e6)
                });
                let mut found = found;
                found.find(|decision| *decision != Decision::Undecided) == Some(wrong)
            });
            let share = mistaken.count() as f64 / 2000.0;
            assert!(share <= 0.05 + 3.0 * (0.05_f64 * 0.95 / 2000.0).sqrt(), "{rate}: {share}");
        }
    }

    proptest! {
        #[test]
        fn it_decides_on_walds_lines(
            seen in prop::collection::vec(any::<bool>(), 1..400),
            low in 0.001..0.3_f64,
            times in 1.5..3.0_f64,
            alpha in 0.01..0.3_f64,
            beta in 0.01..0.3_f64,
        ) {
            let high = low * times;
            let mut test = SequentialTest::new(low, high, alpha, beta).unwrap();
            let (h0, h1, slope) = lines(low, high, alpha, beta);
            let mut failures = 0.0;
            for (place, failed) in seen.into_iter().enumerate() {
                failures += f64::from(u8::from(failed));
                let middle = slope * (place + 1) as f64;
                let decision = test.observe(failed);
                // Beside the lines rounding decides, differently in the two forms.
                if failures > middle + h1 + 1e-9 {
                    prop_assert_eq!(decision, Decision::High);
                } else if failures < middle - h0 - 1e-9 {
                    prop_assert_eq!(decision, Decision::Low);
                } else if failures < middle + h1 - 1e-9 && failures > middle - h0 + 1e-9 {
                    prop_assert_eq!(decision, Decision::Undecided);
                }
            }
        }

        #[test]
        fn a_failure_never_speaks_for_the_low_rate(failures in 0..50_u64, more in 0..500_u64) {
            let rank = |decision| match decision {
                Decision::Low => 0,
                Decision::Undecided => 1,
                Decision::High => 2,
            };
            let after = |failures: u64| {
                let fresh = SequentialTest::new(0.01, 0.05, 0.05, 0.05).unwrap();
                let of = failures + more;
                rank(SequentialTest { failures, of, ..fresh }.decision())
            };
            prop_assert!(after(failures) <= after(failures + 1));
        }
    }
}
