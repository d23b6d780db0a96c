//! Two programs compared by rounds that belong together: effect, interval, a word.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::drift;
use crate::signed_rank::{at_most, critical, pairs_min};

/// Share of comparisons without any difference that may call a measure better or worse, over all of
/// their measures.
pub const FALSE_ALARMS: f64 = 0.01;

/// What is spent of [`FALSE_ALARMS`]. The test is exact for normal noise; recorded noise is not quite
/// normal, and all of it came to 1.1 % there (10,000 comparisons; docs/statistics.md).
const SPARE: f64 = 0.8;

/// What of [`FALSE_ALARMS`] the measures that were named first have to themselves.
const PRIMARY_SHARE: f64 = 0.8;

/// Why measurements cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PairedError {
    /// Not as many before as after, or none.
    Unpaired {
        /// Measurements of the first program.
        before: usize,
        /// Measurements of the second program.
        after: usize,
    },
    /// A measurement of which there is no ratio: zero, below it, or no number.
    NoRatio(f64),
}

/// What a comparison comes to. Smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Less than before.
    Better,
    /// More than before.
    Worse,
    /// Within the margin of before, whether or not a little better or worse.
    Same,
    /// The rounds do not say.
    Undecided,
}

impl Word {
    /// The word, the same in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Undecided => "undecided",
        }
    }
}

/// One measure of two programs, in rounds. A round is the replicate: what was measured within it
/// does not count as more than one.
///
/// All of it is about ratios of after to before, and so on logarithms. It assumes that where both
/// programs are alike a round is as likely to come out for one as for the other, and nothing about
/// the shape of the noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// Logarithms of both, by round.
    sides: [Vec<f64>; 2],
    /// Logarithms of after over before, by round.
    logs: Vec<f64>,
    /// Means of all pairs of them, each with itself too, smallest first.
    walsh: Vec<f64>,
}

impl Paired {
    /// The measurements of the rounds, in one order; in any unit, above zero.
    ///
    /// # Errors
    /// They do not belong together, or one of them has no ratio to another.
    pub fn new(before: &[f64], after: &[f64]) -> Result<Self, PairedError> {
        if before.len() != after.len() || before.is_empty() {
            return Err(PairedError::Unpaired { before: before.len(), after: after.len() });
        }
        let fit = |value: &&f64| !(value.is_finite() && **value > 0.0);
        if let Some(value) = before.iter().chain(after).find(fit) {
            return Err(PairedError::NoRatio(*value));
        }
        let sides = [before, after].map(|side| side.iter().map(|value| value.ln()).collect());
        let [one, other]: &[Vec<f64>; 2] = &sides;
        let logs: Vec<f64> = one.iter().zip(other).map(|(before, after)| after - before).collect();
        let mut walsh: Vec<f64> = (0..logs.len())
            .flat_map(|i| logs[i..].iter().map(move |other| (i, other)))
            .map(|(i, other)| f64::midpoint(logs[i], *other))
            .collect();
        walsh.sort_by(f64::total_cmp);
        Ok(Self { sides, logs, walsh })
    }

    /// How many rounds.
    pub fn rounds(&self) -> usize {
        self.logs.len()
    }

    /// The ratio of after to before: the median of the means of all pairs (Hodges and Lehmann,
    /// "Estimates of location based on rank tests", 1963).
    pub fn effect(&self) -> f64 {
        let middle = self.walsh.len() / 2;
        let log = match self.walsh.len() % 2 {
            1 => self.walsh[middle],
            _ => f64::midpoint(self.walsh[middle - 1], self.walsh[middle]),
        };
        log.exp()
    }

    /// The ratios that the signed-rank test does not refuse (Tukey's interval; Hollander, Wolfe and
    /// Chicken, "Nonparametric statistical methods", 2014, 3.3), two-sided, at this confidence, 0.0
    /// to 1.0; `None` if there are too few rounds for it. With ties it is wider than it need be.
    pub fn interval(&self, confidence: f64) -> Option<(f64, f64)> {
        let cut = critical(self.rounds(), (1.0 - confidence) / 2.0)?;
        let low = self.walsh.get(cut)?;
        let high = self.walsh.get(self.walsh.len().checked_sub(cut + 1)?)?;
        (low <= high).then(|| (low.exp(), high.exp()))
    }

    /// The probability of rounds that differ as much, to either side, if there were no difference:
    /// Wilcoxon's signed-rank test. A tie counts for there being none.
    pub fn p_value(&self) -> f64 {
        let above = self.walsh.iter().filter(|mean| **mean > 0.0).count();
        let below = self.walsh.iter().filter(|mean| **mean < 0.0).count();
        // Of the larger side, what is left to the other side at least.
        let rest = self.walsh.len() - above.max(below);
        (2.0 * at_most(self.rounds(), rest)).min(1.0)
    }

    /// The same, where the rounds are in the order before, after, after, before and so on, and what
    /// is measured scatters as its logarithm about a straight drift of the host: more powerful
    /// than [`Paired::p_value`], which assumes neither. With less than six rounds it is 1.
    pub fn drift_p_value(&self) -> f64 {
        drift::p_value(&self.sides[0], &self.sides[1]).unwrap_or(1.0)
    }

    /// The fewest rounds that can have an interval at this confidence.
    pub fn rounds_min(confidence: f64) -> usize {
        pairs_min((1.0 - confidence) / 2.0)
    }

    /// About how many rounds, with the effect and the noise of these, would tell the effect from
    /// `limit`, a ratio, four times of five; `None` if the two are so close that no number would.
    ///
    /// The size for a t-test, divided by the efficiency of the signed-rank test, 3 / pi (Lehmann,
    /// "Nonparametrics", 1975, 4.3).
    pub fn rounds_to_decide(&self, limit: f64, confidence: f64) -> Option<usize> {
        let least = Self::rounds_min(confidence);
        let n = self.logs.len() as f64;
        let mean = self.logs.iter().sum::<f64>() / n;
        let squares: f64 = self.logs.iter().map(|log| (log - mean).powi(2)).sum();
        let deviation = (squares / (n - 1.0).max(1.0)).sqrt();
        let distance = (self.effect().ln() - limit.ln()).abs();
        let normal = Normal::standard();
        let quantiles =
            normal.inverse_cdf(1.0 - (1.0 - confidence) / 2.0) + normal.inverse_cdf(0.8);
        let rounds = (quantiles * deviation / distance).powi(2) * std::f64::consts::PI / 3.0;
        (rounds < 10_000.0).then(|| least.max(self.rounds() + 1).max(rounds.ceil() as usize))
    }
}

/// P-values corrected for there being several (Holm, "A simple sequentially rejective multiple test
/// procedure", 1979), in the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    holm_weighted(p_values, &vec![1.0; p_values.len()])
}

/// The same where some count for more than others: each has a weight above zero, and gets that
/// share of the false alarms (Benjamini and Hochberg, "Multiple hypotheses testing with weights",
/// 1997, procedure 1). The share of reports with any false alarm stays what it was.
pub fn holm_weighted(p_values: &[f64], weights: &[f64]) -> Vec<f64> {
    let of = |place: usize| p_values[place] / weights.get(place).copied().unwrap_or(1.0);
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| of(*a).total_cmp(&of(*b)));
    let mut left: f64 = (0..p_values.len()).map(|n| weights.get(n).copied().unwrap_or(1.0)).sum();
    let mut corrected = vec![1.0; p_values.len()];
    let mut worst: f64 = 0.0;
    for place in order {
        // What is left is never less than its own weight, whatever rounding made of the sum.
        let weight = weights.get(place).copied().unwrap_or(1.0);
        worst = worst.max(of(place) * left.max(weight)).min(1.0);
        corrected[place] = worst;
        left -= weight;
    }
    corrected
}

/// The word for each of several measures of one comparison, none of which comes first.
///
/// See [`words_with_primary`].
pub fn words(measures: &[Paired], margin: f64, confidence: f64) -> Vec<Word> {
    words_with_primary(measures, &[], margin, confidence)
}

/// The word for each of several measures of one comparison.
///
/// `margin` is the change that nobody minds, as a share: 0.05 is from 1 / 1.05 to 1.05 times. A
/// measure whose interval at `confidence` lies within it is the same (two one-sided tests;
/// Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", 1987).
/// Else it is better or worse by [`Paired::drift_p_value`], so that over all measures together at
/// most [`FALSE_ALARMS`] of the comparisons of a program with itself say so of any.
///
/// `primary` are the places of those that the comparison is about, named before it was made. They
/// share four fifths of the false alarms among them, the others the last fifth; so what was looked
/// for is not lost for what was measured beside it.
pub fn words_with_primary(
    measures: &[Paired],
    primary: &[usize],
    margin: f64,
    confidence: f64,
) -> Vec<Word> {
    let first = |place: &usize| primary.contains(place);
    let firsts = (0..measures.len()).filter(first).count();
    let others = measures.len() - firsts;
    let weight = |place: usize| match (firsts, others) {
        (0, _) | (_, 0) => 1.0,
        _ if first(&place) => PRIMARY_SHARE / firsts as f64,
        _ => (1.0 - PRIMARY_SHARE) / others as f64,
    };
    let weights: Vec<f64> = (0..measures.len()).map(weight).collect();
    let p_values: Vec<f64> = measures.iter().map(Paired::drift_p_value).collect();
    let corrected = holm_weighted(&p_values, &weights);
    let word = |(measure, p): (&Paired, f64)| {
        let same = |(low, high): (f64, f64)| low >= 1.0 / (1.0 + margin) && high <= 1.0 + margin;
        if measure.interval(confidence).is_some_and(same) {
            return Word::Same;
        }
        match p <= FALSE_ALARMS * SPARE {
            true if measure.effect() < 1.0 => Word::Better,
            true => Word::Worse,
            false => Word::Undecided,
        }
    };
    measures.iter().zip(corrected).map(word).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Stream;

    /// Rounds of a measure with this coefficient of variation, the second program's times `ratio`.
    fn drawn(stream: &mut Stream, rounds: usize, variation: f64, ratio: f64) -> Paired {
        let mut side = |ratio: f64| -> Vec<f64> {
            (0..rounds).map(|_| (stream.normal() * variation).exp() * ratio).collect()
        };
        let before = side(1.0);
        Paired::new(&before, &side(ratio)).unwrap()
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        let unpaired = PairedError::Unpaired { before: 2, after: 1 };
        assert_eq!(Paired::new(&[1.0, 2.0], &[1.0]), Err(unpaired));
        assert!(Paired::new(&[], &[]).is_err());
        assert_eq!(Paired::new(&[1.0], &[0.0]), Err(PairedError::NoRatio(0.0)));
        assert!(Paired::new(&[f64::NAN], &[1.0]).is_err());
    }

    #[test]
    fn a_worked_example() {
        let before = [10.0, 12.0, 11.0, 13.0, 9.0, 10.0];
        let after: Vec<f64> = before.iter().map(|value| value * 0.5).collect();
        let half = Paired::new(&before, &after).unwrap();
        assert!((half.effect() - 0.5).abs() < 1e-12);
        assert!((half.p_value() - 2.0 / 64.0).abs() < 1e-12, "{}", half.p_value());
        let (low, high) = half.interval(0.95).unwrap();
        assert!((low - 0.5).abs() < 1e-12 && (high - 0.5).abs() < 1e-12);
        let few = Paired::new(&before[..5], &after[..5]).unwrap();
        assert_eq!((few.interval(0.95), Paired::rounds_min(0.95)), (None, 6));
        let alike = Paired::new(&before, &before).unwrap();
        assert_eq!((alike.p_value(), alike.interval(0.95)), (1.0, Some((1.0, 1.0))));
    }

    /// Holm's own example is not to be had; this one is worked out by hand.
    #[test]
    fn several_are_corrected_in_their_order() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (got, wanted) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got - wanted).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[]), Vec::<f64>::new());
        // Of two with weights of 4 and 1: 0.02 / 4 * 5, and no less than that for the other.
        let weighted = holm_weighted(&[0.02, 0.02], &[4.0, 1.0]);
        assert!(weighted.iter().all(|p| (p - 0.025).abs() < 1e-12), "{weighted:?}");
    }

    #[test]
    fn the_four_words() {
        let mut stream = Stream::new(1, "words");
        let word = |paired: Paired| words(&[paired], 0.05, 0.95)[0];
        assert_eq!(word(drawn(&mut stream, 12, 0.03, 0.7)), Word::Better);
        assert_eq!(word(drawn(&mut stream, 12, 0.03, 1.4)), Word::Worse);
        assert_eq!(word(drawn(&mut stream, 30, 0.03, 1.0)), Word::Same);
        assert_eq!(word(drawn(&mut stream, 6, 0.4, 1.0)), Word::Undecided);
    }

    /// Share of comparisons of 18 measures, none of which differs, in which any is called better or
    /// worse.
    #[test]
    fn without_a_difference_alarms_are_as_rare_as_they_say() {
        let mut stream = Stream::new(42, "false alarms");
        let rounds = 14;
        let alone = (0..2000).filter(|_| drawn(&mut stream, rounds, 0.1, 1.0).p_value() <= 0.05);
        // 5 % of 2000, and five standard errors of it.
        let alone = alone.count();
        assert!((50..150).contains(&alone), "{alone}");
        let alarms = |_: &usize| {
            let all: Vec<Paired> = (0..18).map(|_| drawn(&mut stream, rounds, 0.1, 1.0)).collect();
            let decided = |word: &Word| matches!(word, Word::Better | Word::Worse);
            words(&all, 0.0, 0.95).iter().any(decided)
        };
        // 1 % of 1000, and three standard errors of it.
        let together = (0..1000).filter(alarms).count();
        assert!(together <= 20, "{together} of 1000");
    }

    /// 14 pairs with a noise of 2.66 % show a change of 5 % in the measure that a comparison of 18
    /// is about, and 20 in any of them.
    #[test]
    fn a_change_is_seen_as_often_as_the_table_says() {
        let mut stream = Stream::new(7, "power");
        let mut seen = |rounds: usize, primary: &[usize]| {
            let one = |_: &u32| {
                let mut all: Vec<Paired> =
                    (0..17).map(|_| drawn(&mut stream, rounds, 0.0266, 1.0)).collect();
                all.push(drawn(&mut stream, rounds, 0.0266, 1.05));
                words_with_primary(&all, primary, 0.0, 0.95)[17] == Word::Worse
            };
            (0..200).filter(one).count()
        };
        let (first, any) = (seen(14, &[17]), seen(20, &[]));
        assert!(first >= 182 && any >= 176, "{first} and {any} of 200");
    }

    #[test]
    fn how_many_rounds_would_do_is_told() {
        let mut stream = Stream::new(3, "more");
        let few = drawn(&mut stream, 6, 0.2, 0.85);
        let more = few.rounds_to_decide(1.0, 0.95).unwrap();
        assert!((7..200).contains(&more), "{more}");
        let alike = Paired::new(&[1.0; 6], &[1.0; 6]).unwrap();
        assert_eq!(alike.rounds_to_decide(1.0, 0.95), None);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_which_is_first_nor_the_unit(
            rounds in proptest::collection::vec((0.01..100.0_f64, 0.01..100.0_f64), 6..20),
            unit in 0.001..1000.0_f64,
        ) {
            let (before, after): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
            let one = Paired::new(&before, &after).unwrap();
            let other = Paired::new(&after, &before).unwrap();
            prop_assert!((one.effect() * other.effect() - 1.0).abs() < 1e-9);
            prop_assert!((one.p_value() - other.p_value()).abs() < 1e-12);
            let (low, high) = one.interval(0.95).unwrap();
            let (other_low, other_high) = other.interval(0.95).unwrap();
            prop_assert!((low * other_high - 1.0).abs() < 1e-9);
            prop_assert!((high * other_low - 1.0).abs() < 1e-9);
            prop_assert!(low <= one.effect() && one.effect() <= high);
            let scaled = |values: &[f64]| values.iter().map(|v| v * unit).collect::<Vec<_>>();
            let scaled = Paired::new(&scaled(&before), &scaled(&after)).unwrap();
            prop_assert!((scaled.effect() / one.effect() - 1.0).abs() < 1e-9);
        }

        #[test]
        fn correction_never_makes_anything_likelier(
            p_values in proptest::collection::vec(0.0..=1.0_f64, 1..20),
        ) {
            for (corrected, p) in holm(&p_values).iter().zip(&p_values) {
                prop_assert!(corrected >= p && *corrected <= 1.0);
            }
        }
    }
}
