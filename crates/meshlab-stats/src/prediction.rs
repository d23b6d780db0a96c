//! One more measurement beside earlier ones of the same thing.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Measurements that it takes to know how much they vary.
pub const PREDICTION_MIN: usize = 3;

/// Where one more measurement lies, by those before it, if nothing changed: Student's t for a new
/// observation (Hahn and Meeker, "Statistical intervals", 1991, 4.7), on logarithms, because what
/// is measured here varies by shares and is above zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    mean: f64,
    error: f64,
    freedom: f64,
}

/// Standard deviation of the logarithms of `values`; `None` with less than two, or one that is not
/// above zero.
pub fn spread(values: &[f64]) -> Option<f64> {
    if values.len() < 2 || values.iter().any(|value| !(value.is_finite() && *value > 0.0)) {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().map(|value| value.ln()).sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value.ln() - mean).powi(2)).sum();
    Some((squares / (n - 1.0)).sqrt())
}

impl Prediction {
    /// From earlier measurements, in any unit; `None` with less than [`PREDICTION_MIN`], or one
    /// that is not above zero.
    pub fn new(earlier: &[f64]) -> Option<Self> {
        let spread = spread(earlier).filter(|_| earlier.len() >= PREDICTION_MIN)?;
        let n = earlier.len() as f64;
        let mean = earlier.iter().map(|value| value.ln()).sum::<f64>() / n;
        Some(Self { mean, error: spread * (1.0 + 1.0 / n).sqrt(), freedom: n - 1.0 })
    }

    /// The ratio of `value`, above zero, to the earlier ones.
    pub fn ratio(&self, value: f64) -> f64 {
        (value.ln() - self.mean).exp()
    }

    /// The ratios that the noise leaves possible, two-sided at this confidence, 0.0 to 1.0.
    pub fn interval(&self, value: f64, confidence: f64) -> (f64, f64) {
        let quantile = StudentsT::new(0.0, 1.0, self.freedom)
            .map_or(f64::INFINITY, |t| t.inverse_cdf(0.5 + confidence / 2.0));
        // Without any noise there is none to be multiplied.
        let half = if self.error > 0.0 { quantile * self.error } else { 0.0 };
        let log = value.ln() - self.mean;
        ((log - half).exp(), (log + half).exp())
    }

    /// The probability of `value` or more if things were now `limit` times what they were.
    pub fn p_above(&self, value: f64, limit: f64) -> f64 {
        let off = value.ln() - self.mean - limit.ln();
        if self.error <= 0.0 {
            return f64::from(u8::from(off <= 0.0));
        }
        StudentsT::new(0.0, 1.0, self.freedom).map_or(1.0, |t| 1.0 - t.cdf(off / self.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    #[test]
    fn a_worked_example() {
        // Logarithms 0, 1, 2: mean 1, deviation 1; t of 2 degrees of freedom at 97.5 % is 4.303.
        let earlier = [1.0, 1_f64.exp(), 2_f64.exp()];
        assert!((spread(&earlier).unwrap() - 1.0).abs() < 1e-12);
        let prediction = Prediction::new(&earlier).unwrap();
        let (low, high) = prediction.interval(1_f64.exp(), 0.95);
        let half = 4.302_65 * (4.0_f64 / 3.0).sqrt();
        assert!((low.ln() + half).abs() < 1e-4 && (high.ln() - half).abs() < 1e-4);
        assert!((prediction.p_above(1_f64.exp(), 1.0) - 0.5).abs() < 1e-9);
        assert!((prediction.ratio(2_f64.exp()) - 1_f64.exp()).abs() < 1e-9);
    }

    #[test]
    fn too_few_and_what_has_no_ratio_predict_nothing() {
        assert_eq!(Prediction::new(&[1.0, 1.0]), None);
        assert_eq!(Prediction::new(&[1.0, 1.0, 0.0]), None);
        assert_eq!(Prediction::new(&[1.0, 1.0, f64::NAN]), None);
        let flat = Prediction::new(&[2.0; 3]).unwrap();
        assert_eq!((flat.p_above(2.0, 1.1), flat.p_above(3.0, 1.1)), (1.0, 0.0));
        let (low, high) = flat.interval(2.0, 0.95);
        assert!((low - 1.0).abs() < 1e-12 && (high - 1.0).abs() < 1e-12);
    }

    /// Where nothing changed, one of twenty lies above what 5 % lie above, within three standard
    /// errors of 4000 draws.
    #[test]
    fn without_a_change_alarms_are_as_rare_as_they_say() {
        let mut stream = Stream::new(21, "prediction");
        let mut draw = || (stream.normal() * 0.0266).exp();
        let alarm = |_: &u32| {
            let earlier: Vec<f64> = (0..5).map(|_| draw()).collect();
            Prediction::new(&earlier).unwrap().p_above(draw(), 1.0) < 0.05
        };
        let alarms = (0..4000).filter(alarm).count() as f64 / 4000.0;
        assert!((alarms - 0.05).abs() < 3.0 * (0.05_f64 * 0.95 / 4000.0).sqrt(), "{alarms}");
    }
}
