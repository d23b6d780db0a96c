//! Steps that an allocator makes: a level that jumps is no slope.

/// What is left unexplained by a line has to fall to this share of it by a step, for the step to be
/// taken out. Noise with a memory of half the time looks like a step of about a third.
const REST_MAX: f64 = 0.4;
/// Points on either side of a step.
const SIDE_MIN: usize = 3;
/// Steps of one life that are taken out.
const STEPS_MAX: usize = 3;

/// The points without their steps: a line with one jump is fitted at each place (least squares),
/// and the best jump is taken out if it explains most of what a line alone does not. Line and jump
/// are fitted together, so that the slope beside a jump stays what it was.
pub fn without_steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut points = points.to_vec();
    for _ in 0..STEPS_MAX {
        let Some((place, jump)) = step(&points) else { break };
        points[place..].iter_mut().for_each(|(_, value)| *value -= jump);
    }
    points
}

/// The place of the best step, and how high it is, if it is one.
fn step(points: &[(f64, f64)]) -> Option<(usize, f64)> {
    let n = points.len();
    if n < 2 * SIDE_MIN + 2
        || points.iter().any(|(at, value)| !(at.is_finite() && value.is_finite()))
    {
        return None;
    }
    let count = n as f64;
    let mean_at = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_value = points.iter().map(|point| point.1).sum::<f64>() / count;
    let at: Vec<f64> = points.iter().map(|point| point.0 - mean_at).collect();
    let value: Vec<f64> = points.iter().map(|point| point.1 - mean_value).collect();
    let spread: f64 = at.iter().map(|at| at * at).sum();
    if spread <= 0.0 {
        return None;
    }
    let slope = at.iter().zip(&value).map(|(a, v)| a * v).sum::<f64>() / spread;
    let rest: Vec<f64> = at.iter().zip(&value).map(|(at, value)| value - slope * at).collect();
    let line: f64 = rest.iter().map(|rest| rest * rest).sum();
    // Of the part of a jump that a line does not explain: what it takes from the rest.
    let (mut tail_at, mut tail_rest) = (0.0, 0.0);
    let mut best: Option<(usize, f64, f64)> = None;
    for place in (SIDE_MIN..n).rev() {
        tail_at += at[place];
        tail_rest += rest[place];
        if n - place < SIDE_MIN {
            continue;
        }
        let tail = (n - place) as f64;
        // Squares of the indicator of the tail, without its mean and its slope.
        let own = tail * (1.0 - tail / count) - tail_at * tail_at / spread;
        if own <= 1e-9 {
            continue;
        }
        let gain = tail_rest * tail_rest / own;
        if best.is_none_or(|(_, most, _)| gain > most) {
            best = Some((place, gain, tail_rest / own));
        }
    }
    let (place, gain, jump) = best?;
    let scale = points.iter().map(|point| point.1.abs()).fold(0.0, f64::max);
    let told = line > (scale * 1e-9).powi(2) * count && line - gain <= REST_MAX * line;
    told.then_some((place, jump))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Slope, Stream, noise::memory};

    fn stepped(slope: f64, steps: &[(usize, f64)]) -> Vec<(f64, f64)> {
        let jumps = |n: usize| -> f64 {
            steps.iter().filter(|(place, _)| n >= *place).map(|(_, jump)| jump).sum()
        };
        (0..40).map(|n| (n as f64 * 60.0, 1e6 + slope * n as f64 * 60.0 + jumps(n))).collect()
    }

    #[test]
    fn steps_go_and_the_slope_beside_them_stays() {
        for slope in [0.0, 100.0] {
            let points = without_steps(&stepped(slope, &[(11, 4e6)]));
            let found = Slope::of(&[points]).unwrap();
            assert!((found.value - slope).abs() < 1.0, "{slope}: {found:?}");
        }
        let line = stepped(100.0, &[]);
        assert_eq!(without_steps(&line), line);
        assert_eq!(without_steps(&line[..5]), line[..5]);
        let broken = [(0.0, f64::NAN); 12];
        assert_eq!(without_steps(&broken).len(), 12);
    }

    /// Noise alone has few steps, and steps of four times the noise are found.
    #[test]
    fn noise_is_left_alone_and_what_stands_out_is_not() {
        let mut stream = Stream::new(21, "steps");
        let (mut touched, mut found) = (0, 0);
        for _ in 0..300 {
            let noise = memory(&mut stream, 40, 0.0, 0.0);
            touched += u32::from(without_steps(&noise) != noise);
            let mut jumps = noise;
            jumps[17..].iter_mut().for_each(|point| point.1 += 3e6);
            found += u32::from(without_steps(&jumps) != jumps);
        }
        assert!(touched < 60 && found > 240, "{touched} and {found} of 300");
    }

    proptest! {
        #[test]
        fn what_comes_out_has_the_same_times_and_is_a_number(
            values in proptest::collection::vec(-1e9..1e9_f64, 0..40),
        ) {
            let points: Vec<(f64, f64)> =
                values.iter().enumerate().map(|(n, value)| (n as f64, *value)).collect();
            let without = without_steps(&points);
            prop_assert_eq!(without.len(), points.len());
            for (one, other) in without.iter().zip(&points) {
                prop_assert!(one.0 == other.0 && one.1.is_finite());
            }
        }
    }
}
