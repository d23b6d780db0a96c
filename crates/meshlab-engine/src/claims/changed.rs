//! What rounds with two programs must show: improved by so much, or not worse by so much.

use std::time::Duration;

use meshlab_model::{ClaimEvidence, Measure, Percent, Severity, SourceLine, Verdict};
use meshlab_stats::{Paired, PairedError, Summary};

use crate::{Changed, ClaimOutcome, Engine, Gain, HostError, noise};

impl Engine {
    pub(crate) fn judge_changed(
        &self,
        changed: &Changed,
        severity: Severity,
        at: SourceLine,
    ) -> Result<ClaimOutcome, HostError> {
        let (before, after, unit, several, began) = {
            let state = self.shared.state();
            let comparing = state.comparisons.get(&changed.comparison).ok_or_else(|| {
                HostError::Misuse("this comparison belongs to a test that has ended".to_owned())
            })?;
            let (before, after) = comparing.pairs(&changed.measure);
            let rounds = comparing.measures.get(&changed.measure);
            let first = rounds.and_then(|rounds| rounds.values().next()?.before.clone());
            let unit = first.map(|measure| measure.unit).unwrap_or_default();
            (before, after, unit, comparing.measures.len(), comparing.began)
        };
        let call = match changed.gain {
            Gain::Improved => "expect.improved",
            Gain::NotWorse => "expect.not_worse",
        };
        let claim = self.start_claim(call, text(changed), severity, Duration::ZERO, at)?;
        let (verdict, found) = judge(changed, &before, &after, several);
        let mut evidence = ClaimEvidence::default();
        if verdict.is_passed() {
            evidence.notes.push(found);
        }
        let verdict = match unit.as_str() {
            // Memory does not depend on who else runs on the host.
            "B" => verdict,
            _ => {
                let host = self.host_noise(began);
                evidence.notes.push(host.line());
                noise::undecided(verdict, &host)
            }
        };
        let median = |values: &[f64]| Summary::of(values).map(|s| Measure::show(s.median, &unit));
        if let (Some(before), Some(after)) = (median(&before), median(&after)) {
            evidence.notes.push(format!("medians: {before} before, {after} after"));
        }
        self.finish_claim(claim, verdict, Duration::ZERO, evidence, severity, Duration::ZERO)
    }
}

fn text(changed: &Changed) -> String {
    let Changed { measure, by, confidence, .. } = changed;
    let (by, sure) = (percent(*by), percent(*confidence));
    match changed.gain {
        Gain::Improved => format!("`{measure}` is at least {by} less after than before, at {sure}"),
        Gain::NotWorse => format!("`{measure}` is at most {by} more after than before, at {sure}"),
    }
}

/// The verdict, and what was found.
///
/// It holds where the whole interval of the effect does. All claims of a test must hold for it to
/// be green, so that no correction for several is needed on this side (the intersection-union test;
/// Berger, "Multiparameter hypothesis testing and acceptance sampling", 1982). It fails where the
/// whole interval does not hold, of a confidence that is corrected for the number of measures
/// (Bonferroni): one false red is enough to make a test red.
fn judge(changed: &Changed, before: &[f64], after: &[f64], several: usize) -> (Verdict, String) {
    let paired = match Paired::new(before, after) {
        Ok(paired) => paired,
        Err(PairedError::Unpaired { before, after }) => {
            let why = format!("nothing to compare: {before} rounds before, {after} after");
            return (Verdict::Inconclusive(why.clone()), why);
        }
        Err(PairedError::NoRatio(value)) => {
            let why = format!("{value} cannot be compared: a ratio needs values above 0");
            return (Verdict::Failed(why.clone()), why);
        }
    };
    let limit = match changed.gain {
        Gain::Improved => 1.0 - changed.by.0,
        Gain::NotWorse => 1.0 + changed.by.0,
    };
    let (rounds, confidence) = (paired.rounds(), changed.confidence.0);
    let Some((low, high)) = paired.interval(confidence) else {
        let found = format!(
            "undecided: {}, and {rounds} rounds have no {} interval; {} are the fewest that do",
            change(paired.effect()),
            percent(changed.confidence),
            Paired::rounds_min(confidence)
        );
        return (Verdict::Inconclusive(found.clone()), found);
    };
    let found = format!(
        "{} ({} interval {} to {}, {rounds} rounds)",
        change(paired.effect()),
        percent(changed.confidence),
        change(low),
        change(high)
    );
    let corrected = 1.0 - (1.0 - confidence) / several.max(1) as f64;
    if high <= limit {
        return (Verdict::Passed, found);
    }
    if paired.interval(corrected).is_some_and(|(low, _)| low > limit) {
        return (Verdict::Failed(found.clone()), found);
    }
    // What is red but for the correction needs rounds enough for that.
    let needed = if low > limit { corrected } else { confidence };
    let more = match paired.rounds_to_decide(limit, needed) {
        Some(more) => format!("about {more} would decide"),
        None => "the effect is too close to what is claimed for any number to decide".to_owned(),
    };
    let found = format!("undecided: {found}; {more}");
    (Verdict::Inconclusive(found.clone()), found)
}

/// A ratio of after to before, as a change.
fn change(ratio: f64) -> String {
    let share = (ratio - 1.0) * 100.0;
    match share {
        share if share.abs() < 0.05 => "no change".to_owned(),
        share if share < 0.0 => format!("{:.1} % less", -share),
        share => format!("{share:.1} % more"),
    }
}

/// A share that somebody wrote, without the zeros that nobody did.
fn percent(share: Percent) -> String {
    // Six digits of a percent are more than anybody means; the rest is the binary fraction.
    format!("{} %", (share.0 * 100.0 * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use meshlab_model::ComparisonId;

    use super::*;

    fn changed(gain: Gain, by: f64) -> Changed {
        let measure = "rejoin".to_owned();
        let (by, confidence) = (Percent(by), Percent(0.95));
        Changed { comparison: ComparisonId(1), measure, gain, by, confidence }
    }

    /// Rounds that differ by this ratio, and by up to `noise` from each other.
    fn rounds(count: usize, ratio: f64, noise: f64) -> (Vec<f64>, Vec<f64>) {
        let wave = |n: usize| 1.0 + noise * ((n * 7 % 5) as f64 / 2.0 - 1.0);
        (0..count).map(|n| (2.0 * wave(n), 2.0 * ratio * wave(n + 3))).unzip()
    }

    fn said(gain: Gain, by: f64, (before, after): (Vec<f64>, Vec<f64>)) -> String {
        let (verdict, found) = judge(&changed(gain, by), &before, &after, 2);
        if verdict.is_passed() { format!("passed: {found}") } else { verdict.to_string() }
    }

    #[test]
    fn it_is_green_red_or_undecided_and_says_why() {
        use Gain::{Improved, NotWorse};
        let all = [
            said(Improved, 0.2, rounds(10, 0.6, 0.05)),
            said(Improved, 0.2, rounds(10, 1.0, 0.05)),
            said(Improved, 0.2, rounds(10, 0.9, 0.05)),
            said(Improved, 0.2, rounds(7, 0.75, 0.3)),
            said(Improved, 0.2, rounds(3, 0.5, 0.05)),
            said(NotWorse, 0.05, rounds(10, 1.0, 0.02)),
            said(NotWorse, 0.05, rounds(10, 1.0, 0.3)),
            said(NotWorse, 0.05, rounds(10, 1.5, 0.05)),
            said(NotWorse, 0.05, (vec![], vec![])),
            said(NotWorse, 0.05, (vec![1.0; 7], vec![0.0; 7])),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn with_more_measures_red_asks_for_more() {
        // Seven rounds, all worse: 1 of 64 by chance, which is too likely for one of 18 measures.
        let (before, after) = rounds(7, 1.5, 0.02);
        let not_worse = changed(Gain::NotWorse, 0.05);
        assert!(matches!(judge(&not_worse, &before, &after, 1).0, Verdict::Failed(_)));
        let (verdict, _) = judge(&not_worse, &before, &after, 18);
        assert!(verdict.to_string().ends_with("about 10 would decide"), "{verdict}");
    }
}
