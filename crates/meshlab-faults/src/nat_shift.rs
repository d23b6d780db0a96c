//! `nat_shift`: a node comes out of another address, as behind a NAT that rebinds.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use meshlab_lab::{Probes, Rebind};

use crate::{
    Applied, Direction, Evidence, Fault, FaultError, Hurts, Settings, Target,
    fault::DEATH,
    node_links::{NodeLinks, SEEN_WITHIN, Way},
};

const NAME: &str = "nat_shift";

const PROBES: Probes = Probes {
    count: 3,
    every: Duration::from_millis(5),
    bytes: 64,
    // As much as a busy host may hold up one that crosses.
    patience: Duration::from_secs(1),
};

/// Has a node come out of another address from now on, its process untouched: its NAT drops its
/// mappings and redials, or, without a NAT, the switch translates its address. It is over as soon
/// as it acted: the node stays where it is.
#[derive(Debug, Clone, Copy)]
pub struct NatShift;

#[async_trait]
impl Fault for NatShift {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksOfNode
    }

    fn evidence(&self) -> Evidence {
        let why = "it is the same node, and its connections move over";
        Evidence::Unnoticed { none_of: DEATH, why }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let lab = target.lab(NAME)?;
        let node = &target.one(NAME)?.node;
        let settings = Settings { direction: Direction::Out, ..target.settings };
        let links = NodeLinks::of(NAME, &Target { settings, ..target.clone() })?;
        let way = links.ways()?.remove(0);
        let before = seen_as(&way, None, SEEN_WITHIN).await?;
        match lab.nat(node)?.and_then(|nat| nat.settings) {
            Some(_) => lab.rebind(node, Rebind::Address)?,
            None => lab.roam(node)?,
        };
        let after = seen_as(&way, Some(before), SEEN_WITHIN).await?;
        let other = &way.to;
        let witness = format!("{other} saw {node} at {before}, and sees it at {after}");
        Ok(Applied { witness, undo: None })
    }
}

/// The witness: where the far end of the same flow sees the node, which must not be where it was.
async fn seen_as(way: &Way, was: Option<IpAddr>, within: Duration) -> Result<IpAddr, FaultError> {
    way.until(PROBES, within, |seen| match seen.seen_as.iter().next() {
        None => Err(format!("{} saw nothing of it", way.to)),
        Some(at) if Some(at.ip()) == was => Err(format!("{} still sees it at {}", way.to, at.ip())),
        Some(at) => Ok(at.ip()),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Talkers;

    #[tokio::test]
    async fn others_see_the_node_elsewhere_each_time() {
        let nodes = Talkers::new();
        let target = nodes.target("a", Settings::default()).await;
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let applied = NatShift.apply(&target).await.unwrap();
            assert!(applied.undo.is_none(), "it stays where it is");
            assert!(applied.witness.starts_with("b saw a at 198."), "{applied:?}");
            seen.insert(applied.witness);
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
    }

    #[tokio::test]
    async fn a_node_that_stays_where_it_was_or_is_silent_is_no_witness() {
        let nodes = Talkers::new();
        let soon = Duration::from_millis(50);
        let links = NodeLinks::of(NAME, &nodes.target("a", Settings::default()).await).unwrap();
        let way = links.ways().unwrap().remove(0);
        let here = seen_as(&way, None, SEEN_WITHIN).await.unwrap();
        let error = seen_as(&way, Some(here), soon).await.unwrap_err().to_string();
        assert!(error.contains(&format!("b still sees it at {here}")), "{error}");
        nodes.lab.set_cut(&"a".into(), &"b".into(), true).unwrap();
        let error = seen_as(&way, None, soon).await.unwrap_err().to_string();
        assert!(error.contains("b saw nothing of it"), "{error}");
    }
}
