//! `lossy_link`: the switch loses a share of the packets that a node sends.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use meshlab_lab::{DropReason, Lab, LabError};
use meshlab_model::{NodeId, Percent};

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo,
    fault::DEATH,
    links::{Pair, dropped, look_until, pairs},
    undo::Rollback,
};

const NAME: &str = "lossy_link";

/// Loses a share of the packets that a node sends to nodes that are in the lab now.
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
        let lab = target.lab(NAME)?;
        let node = &target.one(NAME)?.node;
        let loss = target.settings.loss;
        let loss = loss.ok_or(FaultError::NotSet { fault: NAME, setting: "loss" })?;
        apply_within(lab, node, &target.far, loss, first_loss_within(loss)).await
    }
}

/// How long the first loss may take. A quiet node sends about a packet a second: digests,
/// acknowledgements, and what keeps its connections alive. After seven times 1/share packets, the
/// first loss has not come once in a thousand times. Usually it comes much sooner.
fn first_loss_within(loss: Percent) -> Duration {
    let seconds = if loss.0 > 0.0 { 7.0 / loss.0 } else { 0.0 };
    Duration::from_secs_f64(seconds.clamp(10.0, 120.0))
}

async fn apply_within(
    lab: Arc<Lab>,
    node: &NodeId,
    far: &[NodeId],
    loss: Percent,
    within: Duration,
) -> Result<Applied, FaultError> {
    let links = pairs(std::slice::from_ref(node), far);
    let before = dropped(&lab, &links, DropReason::Loss);
    let lost = || dropped(&lab, &links, DropReason::Loss).saturating_sub(before);
    let rollback = Rollback::new(|| {
        // What failed before is the reason that is told.
        let _ = set_all(&lab, &links, 0.0);
    });
    set_all(&lab, &links, loss.0)?;
    let Some(lost) = look_until(within, || Some(lost()).filter(|lost| *lost > 0)).await else {
        let missing = format!("none of its packets was lost at a loss of {loss}");
        let on = node.to_string();
        return Err(FaultError::NotWitnessed { fault: NAME, on, missing, within });
    };
    rollback.keep();
    let witness = format!(
        "the switch loses {loss} of what {node} sends to {} others ({lost} packets so far)",
        far.len()
    );
    let node = node.clone();
    let undo = Undo::needed("no loss any more", move || mend(lab, links, node));
    Ok(Applied { witness, undo: Some(undo) })
}

fn set_all(lab: &Lab, links: &[Pair], share: f64) -> Result<(), LabError> {
    // A node that is not there does not keep the others from being changed back.
    let mut outcome = Ok(());
    for (from, to) in links {
        outcome = outcome.and(lab.set_loss(from, to, share));
    }
    outcome
}

/// Sets the loss to none, and reads that back from the switch.
async fn mend(lab: Arc<Lab>, links: Vec<Pair>, node: NodeId) -> Result<(), FaultError> {
    for (from, to) in &links {
        // A node that has left the lab meanwhile has no links to mend.
        if lab.set_loss(from, to, 0.0).is_ok() && lab.link(from, to)?.loss > 0.0 {
            let why = format!("the switch still loses packets to {to}");
            return Err(FaultError::Undo { fault: NAME, on: node.to_string(), why });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Talkers;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn it_loses_what_the_node_sends_and_is_taken_back() {
        let mut nodes = Talkers::new();
        nodes.talk("a", "b");
        nodes.talk("b", "a");
        let (a, b, c) = ("a".into(), "b".into(), "c".into());
        let far = [b, c];
        let lab = || Arc::clone(&nodes.lab);
        let applied = apply_within(lab(), &a, &far, Percent(0.5), LONG).await.unwrap();
        let witness = &applied.witness;
        assert!(witness.starts_with("the switch loses 50.00 % of what a sends to 2"), "{witness}");
        assert_eq!(
            dropped(&nodes.lab, &pairs(&far, std::slice::from_ref(&a)), DropReason::Loss),
            0
        );
        let undo = applied.undo.unwrap();
        assert!(undo.is_needed());
        undo.carry_out().await.unwrap();
        assert_eq!(nodes.lab.link(&a, &far[0]).unwrap().loss, 0.0);
    }

    #[tokio::test]
    async fn a_silent_node_is_no_witness_and_nothing_stays_lossy() {
        let nodes = Talkers::new();
        let (a, far) = ("a".into(), ["b".into()]);
        let soon = Duration::from_millis(100);
        let lab = Arc::clone(&nodes.lab);
        let error = apply_within(lab, &a, &far, Percent(1.0), soon).await.unwrap_err();
        assert!(error.to_string().contains("none of its packets was lost"), "{error}");
        assert_eq!(nodes.lab.link(&a, &far[0]).unwrap().loss, 0.0);
    }

    #[test]
    fn a_smaller_share_takes_longer_to_show() {
        let seconds = |share| first_loss_within(Percent(share)).as_secs();
        assert_eq!([seconds(1.0), seconds(0.1), seconds(0.01), seconds(0.0)], [10, 70, 120, 10]);
    }
}
