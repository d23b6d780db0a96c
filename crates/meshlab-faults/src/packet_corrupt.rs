//! `packet_corrupt`: the switch flips a bit in a share of a node's packets.

use std::time::Duration;

use async_trait::async_trait;
use meshlab_lab::{Checksum, Corruption, LinkState};
use meshlab_model::Percent;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target,
    fault::DEATH,
    node_links::{NodeLinks, SEEN_WITHIN, Way, is_share, probes_for},
};

const NAME: &str = "packet_corrupt";

/// Flips a bit in a share of the packets of a node and makes the checksum match, so that what is
/// flipped reaches the program and its own integrity check is all that is left.
#[derive(Debug, Clone, Copy)]
pub struct PacketCorrupt;

#[async_trait]
impl Fault for PacketCorrupt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksOfNode
    }

    fn evidence(&self) -> Evidence {
        let why = "a packet that fails its integrity check is as good as lost, and sent again";
        Evidence::Unnoticed { none_of: DEATH, why }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let share = target.settings.corrupt;
        let share = share.ok_or(FaultError::NotSet { fault: NAME, setting: "corrupt" })?.0;
        let links = NodeLinks::of(NAME, target)?;
        let ways = links.ways()?;
        let corrupt = Corruption { share, checksum: Checksum::Fixed };
        let set = move |link: &mut LinkState| link.corrupt = Some(corrupt);
        let reset = |link: &mut LinkState| link.corrupt = None;
        links
            .apply(set, reset, "no bit is flipped any more", are_altered(&ways, share, SEEN_WITHIN))
            .await
    }
}

/// The witness: the share asked of our own probes arrives with another bit.
async fn are_altered(ways: &[Way], share: f64, within: Duration) -> Result<String, FaultError> {
    let mut said = Vec::new();
    for way in ways {
        let seen = way.until(probes_for(share), within, |seen| {
            let asked = Percent(share);
            let told = format!(
                "of {} probes from {} {} arrived altered ({asked} asked)",
                seen.sent,
                way.ends(),
                seen.altered
            );
            match is_share(seen.altered, seen.arrived + seen.altered, share, 1.0) {
                true => Ok(told),
                false => Err(format!("{told}, which is another share")),
            }
        });
        said.push(seen.await?);
    }
    Ok(said.join("; "))
}

#[cfg(test)]
mod tests {
    use meshlab_lab::Side;

    use super::*;
    use crate::{Settings, fixture::Talkers};

    fn settings(share: f64) -> Settings {
        Settings { corrupt: Some(Percent(share)), ..Settings::default() }
    }

    #[tokio::test]
    async fn it_flips_bits_until_it_is_taken_back() {
        let nodes = Talkers::new();
        let applied = PacketCorrupt.apply(&nodes.target("a", settings(0.3)).await).await.unwrap();
        assert!(applied.witness.ends_with("arrived altered (30.00 % asked)"), "{applied:?}");
        applied.undo.unwrap().carry_out().await.unwrap();
        assert!(nodes.lab.node_link(&"a".into(), Side::Sends).unwrap().is_nothing());
    }

    #[tokio::test]
    async fn a_switch_that_flips_nothing_is_found_out() {
        let nodes = Talkers::new();
        let links = NodeLinks::of(NAME, &nodes.target("a", settings(0.3)).await).unwrap();
        let ways = links.ways().unwrap();
        let witness = are_altered(&ways, 0.3, Duration::from_millis(50));
        let error = links.apply(|_| {}, |_| {}, "", witness).await.unwrap_err().to_string();
        assert!(error.contains(" 0 arrived altered (30.00 % asked), which is another"), "{error}");
    }
}
