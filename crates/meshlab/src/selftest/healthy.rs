//! The healthy node again and again: how often does a scenario alarm over nothing?

use anyhow::Result;
use meshlab_model::ExitCode;
use meshlab_stats::SequentialTest;

use super::{
    cases::HEALTHY,
    matrix::{Bench, Seen, each},
};
use crate::repeat::{ERRORS, Series};

/// A share of alarms that is no nuisance yet, and one that is.
const RARE: f64 = 0.01;
const OFTEN: f64 = 0.05;

/// Runs each scenario so often, each time with the next seed, the scenarios in turn.
pub(super) fn healthy(bench: &Bench, scenarios: &[&str], times: u32) -> Result<ExitCode> {
    let runs: Vec<(u32, &str)> =
        (0..times).flat_map(|time| scenarios.iter().map(move |name| (time, *name))).collect();
    let mut seen: Vec<Seen> = Vec::new();
    each(
        bench.jobs,
        &runs,
        |(time, scenario)| {
            let seed = bench.seed.wrapping_add(u64::from(*time));
            let folder = bench.output.join(HEALTHY).join(format!("seed-{seed}"));
            Ok((seed, bench.run(HEALTHY, scenario, seed, &folder)?))
        },
        |(_, one)| one.is_interrupted(),
        |_, (seed, one)| {
            println!("{}", line(seed, &one));
            seen.push(one);
        },
    )?;
    println!();
    for scenario in scenarios {
        println!("{scenario}: {}", summary(scenario, &seen));
    }
    Ok(code(&seen))
}

fn line(seed: u64, one: &Seen) -> String {
    let came = match (one.is_green(), one.is_red()) {
        (true, _) => "green".to_owned(),
        (_, true) => format!("ALARM: {}", one.red.first().map(String::as_str).unwrap_or_default()),
        _ => format!("says nothing: exit code {}", one.code),
    };
    format!("{:<12} seed {seed}: {came}", one.scenario)
}

/// What the runs of one scenario say of its rate of false alarms. Runs that were undecided or
/// broken say nothing of it, and are told.
fn summary(scenario: &str, seen: &[Seen]) -> String {
    let of_it = || seen.iter().filter(|one| one.scenario == scenario);
    let mut series = SequentialTest::new(RARE, OFTEN, ERRORS, ERRORS).map(Series::new);
    for one in of_it().filter(|one| one.is_green() || one.is_red()) {
        if let Some(series) = &mut series {
            series.observe(one.is_green());
        }
    }
    let said = series.and_then(|series| series.summary(RARE, OFTEN));
    let mut text = said.unwrap_or_else(|| "no run says anything".to_owned());
    let silent = of_it().filter(|one| !one.is_green() && !one.is_red()).count();
    if silent > 0 {
        text.push_str(&format!("; besides, undecided or broken: {silent}"));
    }
    text
}

fn code(seen: &[Seen]) -> ExitCode {
    let any = |code: ExitCode| seen.iter().any(|one| one.code == code as i32);
    if any(ExitCode::Interrupted) {
        ExitCode::Interrupted
    } else if any(ExitCode::ClaimFailed) {
        ExitCode::ClaimFailed
    } else if seen.iter().all(Seen::is_green) && !seen.is_empty() {
        ExitCode::Passed
    } else {
        ExitCode::Inconclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_and_runs_that_say_nothing_are_told_apart() {
        let one = |scenario: &str, code: i32, red: &[&str]| Seen {
            scenario: scenario.to_owned(),
            code,
            tries: 1,
            after: None,
            red: red.iter().map(|text| (*text).to_owned()).collect(),
        };
        let green = vec![one("idle", 0, &[]); 20];
        let mixed = [
            one("idle", 0, &[]),
            one("idle", 1, &["CPU of node-1: 9 % > 4 %"]),
            one("idle", 4, &[]),
        ];
        let broken = [one("idle", 5, &[])];
        let mut text: Vec<String> = mixed.iter().map(|one| line(7, one)).collect();
        for seen in [&green[..], &mixed, &broken, &[]] {
            let code = code(seen) as i32;
            text.push(format!("{}: exit code {code}", summary("idle", seen)));
        }
        text.push(format!("exit code {}", code(&[one("idle", 130, &[])]) as i32));
        insta::assert_snapshot!(text.join("\n"));
    }
}
