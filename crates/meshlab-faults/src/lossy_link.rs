//! `lossy_link`: the switch loses, doubles or reorders a share of a node's packets.

use std::time::Duration;

use async_trait::async_trait;
use meshlab_lab::{Bursts, LinkState, ProbeReport, Reorder, Reordering};
use meshlab_model::Percent;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Settings, Target,
    fault::DEATH,
    node_links::{NodeLinks, SEEN_WITHIN, Way, is_share, probes_for},
};

const NAME: &str = "lossy_link";

/// How late a packet is that leaves its order: behind forty probes, and no more than a network is
/// late by itself.
const HELD_BACK: Duration = Duration::from_millis(20);

/// Loses a share of the packets of a node, each by itself or in bursts; has a share arrive twice,
/// or late.
#[derive(Debug, Clone, Copy)]
pub struct LossyLink;

#[async_trait]
impl Fault for LossyLink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksOfNode
    }

    fn evidence(&self) -> Evidence {
        Evidence::Unnoticed { none_of: DEATH, why: "lost packets are sent again" }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let shares = Shares::of(&target.settings)?;
        let links = NodeLinks::of(NAME, target)?;
        let ways = links.ways()?;
        let reset = |link: &mut LinkState| Shares::default().set(link);
        let witness = shares.are_seen(&ways, SEEN_WITHIN);
        links.apply(|link| shares.set(link), reset, "every packet arrives once", witness).await
    }
}

/// What happens to which share, 0.0 to 1.0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Shares {
    loss: f64,
    /// Mean number of packets lost in a row; 0.0: each by itself.
    burst: f64,
    duplicate: f64,
    reorder: f64,
}

impl Shares {
    fn of(settings: &Settings) -> Result<Self, FaultError> {
        let share = |share: Option<Percent>| share.map_or(0.0, |share| share.0);
        let shares = Self {
            loss: share(settings.loss),
            burst: settings.burst.unwrap_or(0.0),
            duplicate: share(settings.duplicate),
            reorder: share(settings.reorder),
        };
        if shares.loss + shares.duplicate + shares.reorder > 0.0 {
            return Ok(shares);
        }
        Err(FaultError::NotSet { fault: NAME, setting: "loss" })
    }

    fn set(self, link: &mut LinkState) {
        let in_bursts = self.burst > 0.0 && self.loss > 0.0;
        link.loss = if in_bursts { 0.0 } else { self.loss };
        link.bursts = in_bursts.then_some(Bursts { share: self.loss, mean_packets: self.burst });
        link.duplicate = self.duplicate;
        let how = Reordering::HoldBack(HELD_BACK);
        link.reorder = (self.reorder > 0.0).then_some(Reorder { share: self.reorder, how });
    }

    /// The witness: of our own probes, the share asked is lost, doubled, overtaken.
    async fn are_seen(self, ways: &[Way], within: Duration) -> Result<String, FaultError> {
        let least = [self.loss, self.duplicate, self.reorder]
            .into_iter()
            .filter(|share| *share > 0.0)
            .fold(1.0, f64::min);
        let mut said = Vec::new();
        for way in ways {
            let seen = way.until(probes_for(least), within, |seen| self.is_seen(seen));
            said.push(format!(
                "of {} probes from {}: {}",
                probes_for(least).count,
                way.ends(),
                seen.await?
            ));
        }
        Ok(said.join("; "))
    }

    fn is_seen(self, seen: &ProbeReport) -> Result<String, String> {
        let ProbeReport { sent, arrived, copies, overtaken, .. } = *seen;
        // Those that arrive are so many less; a burst is seen whole or not at all.
        let parts = [
            ("lost", sent.saturating_sub(arrived), sent, self.loss, self.burst.max(1.0)),
            ("doubled", copies, arrived, self.duplicate, 1.0),
            // One that is held back is overtaken only by those behind it.
            ("overtaken", overtaken, arrived, self.reorder, 1.0),
        ];
        let asked = parts.into_iter().filter(|(.., share, _)| *share > 0.0);
        let mut said = Vec::new();
        for (what, hits, of, share, row) in asked {
            let told = format!("{hits} {what} ({} asked)", Percent(share));
            // The last ones have nobody behind them.
            let slack = if what == "overtaken" { 0.3 } else { 0.0 };
            let fits = is_share(hits, of, share, row)
                || (slack > 0.0 && is_share(hits, of, share * (1.0 - slack), row));
            if !fits {
                return Err(format!("of {sent} probes {told}, which is another share"));
            }
            said.push(told);
        }
        Ok(said.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use meshlab_lab::Side;

    use super::*;
    use crate::{Direction, fixture::Talkers};

    const SOON: Duration = Duration::from_millis(50);

    fn loss(share: f64) -> Settings {
        Settings { loss: Some(Percent(share)), ..Settings::default() }
    }

    #[tokio::test]
    async fn it_loses_doubles_and_reorders_the_share_that_was_asked() {
        let some = Some(Percent(0.2));
        let cases = [
            (loss(0.5), "lost (50.00 % asked)"),
            (loss(1.0), "200 lost (100.00 % asked)"),
            (Settings { burst: Some(4.0), ..loss(0.2) }, "lost (20.00 % asked)"),
            (Settings { duplicate: some, ..loss(0.1) }, "doubled (20.00 % asked)"),
            (Settings { reorder: some, ..Settings::default() }, "overtaken (20.00 % asked)"),
            (Settings { direction: Direction::Both, ..loss(0.3) }, "probes from b to a: "),
        ];
        for (settings, said) in cases {
            let nodes = Talkers::new();
            let applied = LossyLink.apply(&nodes.target("a", settings).await).await.unwrap();
            assert!(applied.witness.contains(said), "{applied:?}");
            let undo = applied.undo.unwrap();
            assert!(undo.is_needed());
            undo.carry_out().await.unwrap();
            for side in [Side::Sends, Side::Receives] {
                assert!(nodes.lab.node_link(&"a".into(), side).unwrap().is_nothing());
            }
        }
    }

    #[tokio::test]
    async fn a_switch_that_loses_nothing_or_too_much_is_found_out_and_nothing_stays() {
        for (asked, lost) in [(0.5, 0.0), (0.1, 0.5)] {
            let nodes = Talkers::new();
            let links = NodeLinks::of(NAME, &nodes.target("a", loss(asked)).await).unwrap();
            let ways = links.ways().unwrap();
            let shares = Shares::of(&loss(asked)).unwrap();
            let witness = shares.are_seen(&ways, SOON);
            let set = move |link: &mut LinkState| link.loss = lost;
            let reset = |link: &mut LinkState| link.loss = 0.0;
            let error = links.apply(set, reset, "", witness).await.unwrap_err().to_string();
            assert!(error.contains("which is another share within 50"), "{error}");
            assert!(nodes.lab.node_link(&"a".into(), Side::Sends).unwrap().is_nothing());
        }
    }

    #[tokio::test]
    async fn without_any_share_it_is_refused() {
        let nodes = Talkers::new();
        let error = LossyLink.apply(&nodes.target("a", loss(0.0)).await).await.unwrap_err();
        assert_eq!(error.to_string(), "apply lossy_link: `loss` was not given");
    }
}
