//! `firewall_inbound`: a firewall at a node lets in only what answers what the node sent.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use meshlab_lab::{FirewallSettings, Lab, LabError, Probes};
use meshlab_model::NodeId;

use crate::{
    Applied, Direction, Evidence, Fault, FaultError, Hurts, Settings, Target, Undo,
    fault::DEATH,
    node_links::{NodeLinks, SEEN_WITHIN, Way},
    undo::Rollback,
};

const NAME: &str = "firewall_inbound";

const PROBES: Probes = Probes {
    count: 3,
    every: Duration::from_millis(5),
    bytes: 64,
    // None of them is the witness: one that crosses late must not be taken for one that does not.
    patience: Duration::from_secs(1),
};

/// Puts a stateful firewall at a node: flows that it opens live, new ones from outside do not come
/// in.
#[derive(Debug, Clone, Copy)]
pub struct FirewallInbound;

#[async_trait]
impl Fault for FirewallInbound {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksOfNode
    }

    fn evidence(&self) -> Evidence {
        let why = "it keeps the flows that it opens, and so stays a member";
        Evidence::Unnoticed { none_of: DEATH, why }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let lab = target.lab(NAME)?;
        let node = target.one(NAME)?.node.clone();
        let rollback = Rollback::new(|| {
            // What failed before is the reason that is told.
            let _ = lab.set_firewall(&node, None);
        });
        lab.set_firewall(&node, Some(FirewallSettings::default()))?;
        let witness = is_closed(target, SEEN_WITHIN).await?;
        rollback.keep();
        let target = target.clone();
        let undo = Undo::needed("new flows come in again", move || async move {
            open(&lab, &node)?;
            comes_in(&target, SEEN_WITHIN).await
        });
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// A flow of probes that nobody has seen before, in that direction.
fn way(target: &Target, direction: Direction) -> Result<Way, FaultError> {
    let settings = Settings { direction, ..target.settings };
    let links = NodeLinks::of(NAME, &Target { settings, ..target.clone() })?;
    links.ways()?.into_iter().next().ok_or(FaultError::NoFarEnd { fault: NAME })
}

/// The witness: a new flow from outside is dropped, and one from inside lives.
async fn is_closed(target: &Target, within: Duration) -> Result<String, FaultError> {
    let inward = way(target, Direction::In)?;
    let dropped = inward.until(PROBES, within, |seen| match seen.arrived {
        0 => Ok(format!("a new flow from {} was dropped", inward.ends())),
        arrived => Err(format!("{arrived} of {} probes of a new flow came in", seen.sent)),
    });
    let dropped = dropped.await?;
    let out = way(target, Direction::Out)?;
    let lives = out.until(PROBES, within, |seen| match seen.answered {
        0 => Err("nothing answers the node's own flows any more".to_owned()),
        _ => Ok(format!("one from {} is answered", out.ends())),
    });
    Ok(format!("{dropped}, {}", lives.await?))
}

fn open(lab: &Arc<Lab>, node: &NodeId) -> Result<(), FaultError> {
    match lab.set_firewall(node, None) {
        // A node that has left the lab has no firewall.
        Ok(()) | Err(LabError::NoNode(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a new flow comes in again.
async fn comes_in(target: &Target, within: Duration) -> Result<(), FaultError> {
    let inward = match way(target, Direction::In) {
        Ok(inward) => inward,
        Err(FaultError::Lab(LabError::NoNode(_))) => return Ok(()),
        Err(error) => return Err(error),
    };
    let on = inward.to.to_string();
    let came = inward.until(PROBES, within, |seen| match seen.arrived {
        0 => Err(format!("a new flow from {} is still dropped", inward.from)),
        _ => Ok(()),
    });
    came.await.map_err(|error| FaultError::Undo { fault: NAME, on, why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Talkers;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn it_drops_new_flows_from_outside_only_and_is_taken_back() {
        let nodes = Talkers::new();
        let target = nodes.target("a", Settings::default()).await;
        let applied = FirewallInbound.apply(&target).await.unwrap();
        let said = "a new flow from b to a was dropped, one from a to b is answered";
        assert_eq!(applied.witness, said);
        let error = comes_in(&target, SOON).await.unwrap_err().to_string();
        assert!(error.contains("a new flow from b is still dropped"), "{error}");
        let undo = applied.undo.unwrap();
        assert!(undo.is_needed());
        undo.carry_out().await.unwrap();
        assert_eq!(nodes.lab.firewall(&"a".into()).unwrap(), None);
    }

    #[tokio::test]
    async fn a_firewall_that_lets_all_in_or_nothing_out_is_found_out() {
        let nodes = Talkers::new();
        let target = nodes.target("a", Settings::default()).await;
        let error = is_closed(&target, SOON).await.unwrap_err().to_string();
        assert!(error.contains("3 of 3 probes of a new flow came in"), "{error}");
        for (from, to) in [("a", "b"), ("b", "a")] {
            nodes.lab.set_cut(&from.into(), &to.into(), true).unwrap();
        }
        let error = is_closed(&target, SOON).await.unwrap_err().to_string();
        assert!(error.contains("nothing answers the node's own flows"), "{error}");
    }
}
