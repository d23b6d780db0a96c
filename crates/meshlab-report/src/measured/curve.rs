//! Values over time, as the least and the greatest of each stretch of it: no peak is lost.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Points of the picture that a page begins with.
const POINTS_MAX: usize = 1000;

/// Stretches of a curve that can be looked at closely: more than the minutes of four days.
const STRETCHES_MAX: usize = 6000;
const STRETCHES_MIN: usize = 100;

/// Stretches of all curves of a page together. One takes six bytes or so of it.
const ALL_STRETCHES: usize = 1_200_000;

/// Curves of a process: what it uses, and what it counts itself.
const CURVES: usize = 4 + crate::counted::FAMILIES.len();

/// How many stretches each curve may have in a run of so many nodes.
pub(crate) fn stretches(nodes: usize) -> usize {
    (ALL_STRETCHES / (CURVES * (nodes + 1))).clamp(STRETCHES_MIN, STRETCHES_MAX)
}

/// The points of a curve, thinned out twice: for a picture, and to be looked at closely.
#[derive(Debug, Default)]
pub(crate) struct Curve {
    end: f64,
    /// All points, as long as they are few.
    few: Vec<(f64, f64)>,
    /// Least and greatest point of each stretch, once they are many.
    coarse: BTreeMap<usize, [(f64, f64); 2]>,
    /// Least and greatest value of each stretch that has one, by its place.
    fine: BTreeMap<u32, (f64, f64)>,
    stretches: usize,
}

impl Curve {
    /// Of a run that lasted `end` seconds.
    pub(crate) fn new(end: f64, stretches: usize) -> Self {
        Self { end: end.max(0.001), stretches: stretches.max(1), ..Self::default() }
    }

    /// Adds a value at a time, in seconds.
    pub(crate) fn add(&mut self, at: f64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let place = self.place(at, self.stretches);
        let (least, most) =
            self.fine.entry(u32::try_from(place).unwrap_or(u32::MAX)).or_insert((value, value));
        (*least, *most) = (least.min(value), most.max(value));
        if self.coarse.is_empty() && self.few.len() < POINTS_MAX {
            self.few.push((at, value));
            return;
        }
        for point in std::mem::take(&mut self.few).into_iter().chain([(at, value)]) {
            let place = self.place(point.0, POINTS_MAX / 2);
            let [least, most] = self.coarse.entry(place).or_insert([point; 2]);
            if point.1 < least.1 {
                *least = point;
            }
            if point.1 > most.1 {
                *most = point;
            }
        }
    }

    fn place(&self, at: f64, of: usize) -> usize {
        ((at / self.end * of as f64) as usize).min(of.saturating_sub(1))
    }

    /// The points of the picture, in order of time.
    pub(crate) fn points(&self) -> Vec<(f64, f64)> {
        let both = |[a, b]: &[(f64, f64); 2]| match a.0 <= b.0 {
            _ if a.0 == b.0 => vec![*a],
            true => vec![*a, *b],
            false => vec![*b, *a],
        };
        self.few.iter().copied().chain(self.coarse.values().flat_map(both)).collect()
    }

    /// Length of a stretch, in seconds.
    pub(crate) fn step(&self) -> f64 {
        self.end / self.stretches as f64
    }

    /// Everything that is known, for the page's script: three numbers a stretch, how many places
    /// it is after the one before, how much more its least value is than that one's, and by how
    /// much its greatest is above its least; values in `unit`s.
    pub(crate) fn encoded(&self, unit: f64) -> Value {
        let mut numbers = Vec::with_capacity(self.fine.len() * 3);
        let (mut place, mut low) = (0_i64, 0_i64);
        for (at, (least, most)) in &self.fine {
            let least = (least / unit).round() as i64;
            let most = (most / unit).round() as i64;
            numbers.extend([i64::from(*at) - place, least - low, most - least]);
            (place, low) = (i64::from(*at), least);
        }
        json!(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_a_peak_and_a_dip() {
        let mut curve = Curve::new(100_000.0, 6000);
        for second in 0..100_000 {
            let value = match second {
                50_003 => 99.0,
                70_001 => 0.0,
                _ => 1.0,
            };
            curve.add(f64::from(second), value);
        }
        let points = curve.points();
        assert!(points.len() <= POINTS_MAX);
        assert!(points.contains(&(50_003.0, 99.0)) && points.contains(&(70_001.0, 0.0)));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let decoded = decoded(&curve);
        assert_eq!(decoded.len(), 6000);
        assert_eq!(decoded[3000], (3000, 1.0, 99.0));
        assert_eq!(decoded[4200], (4200, 0.0, 1.0));
        assert_eq!(decoded[4201], (4201, 1.0, 1.0));
    }

    /// As the page's script does it.
    fn decoded(curve: &Curve) -> Vec<(i64, f64, f64)> {
        let numbers: Vec<i64> = serde_json::from_value(curve.encoded(0.5)).unwrap();
        let (mut place, mut low) = (0, 0);
        numbers
            .chunks(3)
            .map(|three| {
                place += three[0];
                low += three[1];
                (place, low as f64 * 0.5, (low + three[2]) as f64 * 0.5)
            })
            .collect()
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let mut curve = Curve::new(10.0, 100);
        (0..1000).for_each(|second| curve.add(f64::from(second), 1.0));
        assert_eq!(curve.points().len(), 1000);
    }

    #[test]
    fn all_curves_of_any_fleet_fit_on_a_page() {
        for nodes in [0, 1, 18, 100, 250] {
            let all = stretches(nodes) * CURVES * (nodes + 1);
            assert!(all <= ALL_STRETCHES, "{nodes}: {all}");
        }
        assert_eq!(stretches(18), 6000, "minutes of four days");
    }
}
