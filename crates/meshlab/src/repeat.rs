//! `meshlab run --repeat`: a scenario again and again, until it is clear whether it is flaky.

use std::path::Path;

use anyhow::{Result, bail};
use meshlab_model::ExitCode;
use meshlab_stats::{Decision, Proportion, SequentialTest};

use crate::{cli::RunArguments, run};

/// How often a scenario at the lower rate may be called flaky, and one at the upper one not flaky.
pub(crate) const ERRORS: f64 = 0.05;

pub(crate) fn repeat(scenario: &Path, arguments: &RunArguments, times: u32) -> Result<ExitCode> {
    let (low, high) = (arguments.flaky_below, arguments.flaky_above);
    let Some(test) = SequentialTest::new(low, high, ERRORS, ERRORS) else {
        bail!("no test can tell {low} from {high}");
    };
    let mut series = Series::new(test);
    let mut worst = ExitCode::Passed;
    for number in 1..=times {
        println!("\nrun {number} of at most {times}");
        let (code, folder) = run::execute(scenario, arguments, run::Settled::default())?;
        let run = folder.map(|folder| format!(" ({})", folder.name)).unwrap_or_default();
        println!("run {number}: {}{run}", if code == ExitCode::Passed { "green" } else { "red" });
        worst = run::worse(worst, code);
        match code {
            // These say nothing of the scenario's nodes, and the next run would say no more.
            ExitCode::Usage | ExitCode::ScriptError | ExitCode::HarnessFailed => {
                println!("it is not repeated: this run says nothing about the nodes");
                break;
            }
            ExitCode::Interrupted => break,
            ExitCode::Passed | ExitCode::Inconclusive | ExitCode::ClaimFailed => {}
        }
        if series.observe(code == ExitCode::Passed) != Decision::Undecided {
            break;
        }
    }
    if let Some(summary) = series.summary(low, high) {
        println!("\n{}: {summary}", scenario.display());
    }
    Ok(worst)
}

/// The runs so far, each counted as it came out the first time.
pub(crate) struct Series {
    test: SequentialTest,
    green: u64,
    of: u64,
}

impl Series {
    pub(crate) fn new(test: SequentialTest) -> Self {
        Self { test, green: 0, of: 0 }
    }

    pub(crate) fn observe(&mut self, green: bool) -> Decision {
        self.of += 1;
        self.green += u64::from(green);
        self.test.observe(!green)
    }

    /// What the runs say; `None` if there was none.
    pub(crate) fn summary(&self, low: f64, high: f64) -> Option<String> {
        let (green, of) = (self.green, self.of);
        let (least, most) = Proportion::new(of - green, of)?.interval();
        let red = (of - green) as f64 / of as f64;
        let (low, high) = (percent(low), percent(high));
        let decided = match self.test.decision() {
            Decision::Low => format!("not flaky (red {high} of the time or more is ruled out)"),
            Decision::High => format!("flaky (red {low} of the time or less is ruled out)"),
            Decision::Undecided => format!("undecided after {of}"),
        };
        let mut text = format!(
            "{green} of {of} green, red {} of the time (95 %: {} to {}); the test says: {decided}",
            percent(red),
            percent(least),
            percent(most)
        );
        if self.test.decision() == Decision::Undecided && green == of {
            text += &format!(
                "\n{green} of {of} green shows only that it is red less than {} of the time; \
                 {} green runs in a row would decide it",
                percent(most),
                self.test.clean_needed()
            );
        }
        Some(text)
    }
}

/// Two digits are more than so few runs can tell.
fn percent(share: f64) -> String {
    match share * 100.0 {
        all if all == 0.0 || all >= 10.0 => format!("{all:.0} %"),
        few => {
            let text = format!("{few:.1}");
            format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(runs: &[bool]) -> String {
        let test = SequentialTest::new(0.01, 0.05, ERRORS, ERRORS).expect("a test");
        let mut series = Series::new(test);
        for green in runs {
            series.observe(*green);
        }
        series.summary(0.01, 0.05).expect("there were some")
    }

    #[test]
    fn what_the_runs_say_is_said_with_its_uncertainty() {
        let mut one_red = [true; 20];
        one_red[3] = false;
        insta::assert_snapshot!(
            [
                series(&[true; 10]),
                series(&[true; 72]),
                series(&[true, false, true, false]),
                series(&[false, false]),
                series(&one_red),
            ]
            .join("\n")
        );
        let test = SequentialTest::new(0.01, 0.05, ERRORS, ERRORS).expect("a test");
        assert_eq!(Series::new(test).summary(0.01, 0.05), None);
    }
}
