//! Looks at trends while they go on: a leak that is certain ends the run.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{ClaimId, NodeId, Resource, RunTime, Trend, Verdict};

use super::trends::{self, Series};

/// Share of runs without a leak that are ended, over all looks of a trend.
const ALPHA: f64 = 0.01;
/// The first look comes after this share of what a trend needs.
const FIRST: f64 = 0.25;
/// A look is later than the one before by this factor: 20 looks reach from an hour to four days.
const FACTOR: f64 = 1.25;

/// When the next look is due, and how many there were, by trend.
#[derive(Debug, Default)]
pub(super) struct Looks {
    of: BTreeMap<ClaimId, (RunTime, u32)>,
}

/// What a look has for sure: the claim, since when it is open, of what, its verdict with notes.
type Certain = (ClaimId, RunTime, Resource, Verdict, Vec<String>);

impl Looks {
    /// The trends that are broken for sure.
    ///
    /// The k-th look may spend ALPHA / (k (k + 1)) of the false alarms; the sum over all looks,
    /// however many there are, is ALPHA. So looking again and again raises no more of them than one
    /// test (alpha spending; Lan and DeMets, "Discrete sequential boundaries for clinical trials",
    /// 1983), whatever the looks have to do with each other (Bonferroni).
    pub(super) fn look(
        &mut self,
        now: RunTime,
        trends: &[(ClaimId, RunTime, Resource, Trend)],
        series: &BTreeMap<NodeId, Series>,
    ) -> Vec<Certain> {
        let mut certain = Vec::new();
        for (claim, opened, resource, trend) in trends {
            if !trend.stop_when_certain {
                continue;
            }
            let first = trend.after + trend.needs.mul_f64(FIRST);
            let due = |length: Duration| RunTime::from_duration(opened.as_duration() + length);
            let (next, count) = self.of.entry(*claim).or_insert_with(|| (due(first), 0));
            if now < *next {
                continue;
            }
            *count += 1;
            *next = due(now.since(*opened).mul_f64(FACTOR));
            let spent = spent(*count);
            let excess = trends::excess(*resource, *trend, series);
            let Some(p_value) = excess.filter(|p_value| *p_value < spent) else { continue };
            // What is certain needs no more data.
            let so_far = Trend { needs: Duration::from_secs(60), ..*trend };
            let (verdict, mut notes) = trends::judge(*resource, so_far, series);
            let why = match verdict {
                Verdict::Failed(why) | Verdict::Inconclusive(why) => why,
                other => format!("{resource}: {other}"),
            };
            notes.push(format!(
                "look {count}: p = {p_value:.1e} that less is grown by, {spent:.1e} was to spend"
            ));
            let why = format!("a leak is certain, so the run ends here: {why}");
            certain.push((*claim, *opened, *resource, Verdict::Failed(why), notes));
        }
        certain
    }
}

/// What the k-th look may spend.
fn spent(look: u32) -> f64 {
    let look = f64::from(look);
    ALPHA / (look * (look + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_looks_together_spend_no_more_than_one() {
        let all: f64 = (1..100_000).map(spent).sum();
        assert!(all < ALPHA && all > 0.99 * ALPHA, "{all}");
    }
}
