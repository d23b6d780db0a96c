//! Two programs in interleaved rounds, on a host that drifts.

use meshlab_mutants::{Mutant, on};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The fewest rounds with each program that it says anything of: with less a t-test rests on so few
/// degrees of freedom that its assumptions carry it.
pub(crate) const ROUNDS_MIN: usize = 6;

/// The probability of programs that differ as much, to either side, if they did not: the t-test of
/// the program in a linear model of log values, on the program and the place in the order of
/// rounds (analysis of covariance; Fisher, "Statistical methods for research workers", 1932, 49.1).
///
/// The rounds are in the order before, after, after, before and so on. It assumes that the log
/// values scatter normally about a straight drift of the host and independently of each other. A
/// drift that is not straight, and noise with a memory, only widen the scatter: programs that take
/// turns meet both alike, so false alarms get rarer and not more. It has 2 n - 3 degrees of freedom
/// where a test on n pairs has n - 1; that is what it is for.
///
/// `None` with less than six rounds.
pub(crate) fn p_value(before: &[f64], after: &[f64]) -> Option<f64> {
    let rounds = before.len();
    if rounds < ROUNDS_MIN || after.len() != rounds {
        return None;
    }
    let (mut values, mut programs, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (round, (before, after)) in before.iter().zip(after).enumerate() {
        let first = 2.0 * round as f64;
        // The one that comes second in this round.
        let (before_at, after_at) =
            if round % 2 == 0 { (first, first + 1.0) } else { (first + 1.0, first) };
        values.extend([*before, *after]);
        programs.extend([-0.5, 0.5]);
        places.extend([before_at, after_at]);
    }
    for of in [&mut values, &mut programs, &mut places] {
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        of.iter_mut().for_each(|value| *value -= mean);
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // What the drift explains is taken out of both (Frisch and Waugh, 1933).
    let spread = dot(&places, &places);
    let without_drift = |of: &[f64]| -> Vec<f64> {
        let slope = dot(of, &places) / spread;
        of.iter().zip(&places).map(|(value, place)| value - slope * place).collect()
    };
    let (values, programs) = (without_drift(&values), without_drift(&programs));
    let weight = dot(&programs, &programs);
    let effect = dot(&programs, &values) / weight;
    let rest: f64 =
        values.iter().zip(&programs).map(|(v, program)| (v - effect * program).powi(2)).sum();
    let freedom = (2 * rounds - 3) as f64;
    let error = (rest / freedom / weight).sqrt();
    if error <= effect.abs() * 1e-12 {
        return Some(f64::from(u8::from(effect == 0.0)));
    }
    let t = StudentsT::new(0.0, 1.0, freedom).ok()?;
    let sides = if on(Mutant::PValueHalved) { 1.0 } else { 2.0 };
    Some(sides * t.cdf(-(effect / error).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    #[test]
    fn a_worked_example() {
        // Worked out with the normal equations by hand: a drift of 1 each place, an effect of 0.5.
        let before: Vec<f64> = [0.0, 3.0, 4.0, 7.0, 8.0, 11.0].to_vec();
        let after: Vec<f64> = [1.0, 2.0, 5.0, 6.0, 9.0, 10.0].map(|x| x + 0.5).to_vec();
        assert_eq!(p_value(&before, &after), Some(0.0), "nothing is left to chance");
        assert_eq!(p_value(&before, &before[..5]), None);
        assert_eq!(p_value(&before[..5], &after[..5]), None);
        let same = [1.0; 6];
        assert_eq!(p_value(&same, &same), Some(1.0));
        // By the full normal equations of three unknowns: t = 1.517459 at 9 degrees of freedom.
        let noise = [0.1, -0.1, -0.1, 0.1, 0.0, 0.0];
        let shifted: Vec<f64> = noise.iter().map(|x| 0.0826 - x).collect();
        let p = p_value(&noise, &shifted).unwrap();
        assert!((p - 0.163_462_2).abs() < 1e-6, "{p}");
    }

    /// A drift of 5 % over the rounds, and steps of the host, raise no alarms.
    #[test]
    fn a_host_that_drifts_or_steps_raises_no_more_alarms_than_it_may() {
        let mut stream = Stream::new(31, "drift");
        let mut alarms = [0, 0];
        for _ in 0..2000 {
            let hosts: [fn(usize) -> f64; 2] =
                [|place| place as f64 * 0.05 / 28.0, |place| f64::from(place > 13) * 0.05];
            for (count, host) in alarms.iter_mut().zip(hosts) {
                let (mut before, mut after) = (Vec::new(), Vec::new());
                for round in 0..14 {
                    let mut draw = |place: usize| host(place) + 0.0266 * stream.normal();
                    let (first, second) = (draw(2 * round), draw(2 * round + 1));
                    let turn = round % 2 == 0;
                    before.push(if turn { first } else { second });
                    after.push(if turn { second } else { first });
                }
                *count += u32::from(p_value(&before, &after).unwrap() < 0.05);
            }
        }
        // 5 % of 2000 is 100, its standard error 10.
        assert!((60..140).contains(&alarms[0]) && alarms[1] < 140, "{alarms:?}");
    }
}
