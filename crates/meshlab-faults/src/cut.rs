//! A cut of links in the switch: what partitions and flapping links share.

use std::{sync::Arc, time::Duration};

use meshlab_lab::{DropReason, Lab, LabError};
use meshlab_model::NodeId;
use meshlab_mutants::{Mutant, on};

use crate::{
    Applied, FaultError, Target, Undo,
    links::{Pair, dropped, look_until, names},
    undo::Rollback,
};

/// A probe crosses the switch in microseconds; a busy host takes its time to look.
const DROPS_WITHIN: Duration = Duration::from_secs(5);

/// Links that are cut together, in both directions.
#[derive(Clone)]
pub(crate) struct Cut {
    fault: &'static str,
    lab: Arc<Lab>,
    /// Each link, in both directions.
    links: Vec<Pair>,
    /// Whom it is between, in words.
    pub(crate) on: String,
}

impl Cut {
    /// The cut of what a fault is aimed at.
    pub(crate) fn of(fault: &'static str, target: &Target) -> Result<Self, FaultError> {
        let left: Vec<NodeId> = target.nodes.iter().map(|victim| victim.node.clone()).collect();
        Ok(Self::between(fault, target.lab(fault)?, &left, &target.far))
    }

    pub(crate) fn between(
        fault: &'static str,
        lab: Arc<Lab>,
        left: &[NodeId],
        right: &[NodeId],
    ) -> Self {
        let once = crate::cut_links(left, right);
        let links = once.into_iter().flat_map(|(a, b)| [(a.clone(), b.clone()), (b, a)]).collect();
        let on = match right {
            [] => format!("a ring of {}", names(left)),
            right => format!("{} | {}", names(left), names(right)),
        };
        Self { fault, lab, links, on }
    }

    /// Cuts or mends all of them, between the same two packets.
    pub(crate) fn set(&self, cut: bool) -> Result<(), LabError> {
        self.lab.change_links(self.links.iter().map(|(from, to)| (from, to)), |link| link.cut = cut)
    }

    /// Cuts, sees it act, and says how to take it back.
    pub(crate) async fn apply(self) -> Result<Applied, FaultError> {
        let rollback = Rollback::new(|| {
            // What failed before is the reason that is told.
            let _ = self.set(false);
        });
        self.set(true)?;
        let witness = self.witness(DROPS_WITHIN).await?;
        rollback.keep();
        let undo =
            Undo::needed("forwards in both directions again", move || async move { self.mend() });
        Ok(Applied { witness, undo: Some(undo) })
    }

    /// The witness: the switch has dropped a packet of ours in each direction of each link. The
    /// nodes need not talk: not all that are members of one mesh do.
    pub(crate) async fn witness(&self, within: Duration) -> Result<String, FaultError> {
        if on(Mutant::CutBelieved)
            && self.links.iter().all(|(a, b)| self.lab.link(a, b).is_ok_and(|link| link.cut))
        {
            return Ok(format!("the switch cuts {}", self.on));
        }
        let before = self.lab.counters();
        let (lab, pairs) = (Arc::clone(&self.lab), self.links.clone());
        let fired = tokio::task::spawn_blocking(move || fire(&lab, &pairs)).await;
        fired.map_err(|error| self.unprobed(std::io::Error::other(error)))??;
        let silent = || {
            let now = self.lab.counters();
            let count = |counters, link| dropped(counters, link, DropReason::Cut);
            self.links.iter().find(|link| count(&now, link) <= count(&before, link))
        };
        if look_until(within, || silent().is_none().then_some(())).await.is_some() {
            return Ok(format!(
                "the switch dropped a probe in both directions of {} ({} links)",
                self.on,
                self.links.len() / 2
            ));
        }
        let missing = match silent() {
            Some((from, to)) => format!("the switch did not drop a probe from {from} to {to}"),
            None => "the last probe was dropped too late".to_owned(),
        };
        let (fault, on) = (self.fault, self.on.clone());
        Err(FaultError::NotWitnessed { fault, on, missing, within })
    }

    fn unprobed(&self, error: std::io::Error) -> FaultError {
        FaultError::Probe { fault: self.fault, error }
    }

    /// Forwards again, and reads that back from the switch.
    pub(crate) fn mend(&self) -> Result<(), FaultError> {
        match self.set(false) {
            // A node that has left the lab meanwhile has no links to mend; the others are mended.
            Ok(()) | Err(LabError::NoLink { .. } | LabError::NoNode(_)) => {}
            Err(error) => return Err(error.into()),
        }
        for (from, to) in &self.links {
            if self.lab.link(from, to).is_ok_and(|link| link.cut) {
                let why = format!("the switch still cuts {from} to {to}");
                return Err(FaultError::Undo { fault: self.fault, on: self.on.clone(), why });
            }
        }
        Ok(())
    }
}

/// Sends a probe over each link.
fn fire(lab: &Lab, links: &[Pair]) -> Result<(), FaultError> {
    for (from, to) in links {
        let fired = lab.prober(from, to)?.fire();
        fired.map_err(|error| LabError::Probe { from: from.clone(), to: to.clone(), error })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Talkers;

    const LONG: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_millis(100);

    fn ids<const N: usize>(names: [&str; N]) -> [NodeId; N] {
        names.map(NodeId::from)
    }

    #[tokio::test]
    async fn it_drops_between_the_sides_and_nowhere_else_until_it_is_taken_back() {
        let mut nodes = Talkers::new();
        for (from, to) in [("a", "b"), ("b", "a"), ("b", "c")] {
            nodes.talk(from, to);
        }
        let cut = Cut::between("partition", Arc::clone(&nodes.lab), &ids(["a"]), &ids(["b", "c"]));
        let applied = cut.apply().await.unwrap();
        let said = "the switch dropped a probe in both directions of a | b and c (2 links)";
        assert_eq!(applied.witness, said);
        let (across, inside) = (nodes.forwarded("a", "b"), nodes.forwarded("b", "c"));
        look_until(LONG, || (nodes.forwarded("b", "c") > inside).then_some(())).await.unwrap();
        assert_eq!(nodes.forwarded("a", "b"), across, "nothing crosses");
        let undo = applied.undo.unwrap();
        assert!(undo.is_needed());
        undo.carry_out().await.unwrap();
        look_until(LONG, || (nodes.forwarded("a", "b") > across).then_some(())).await.unwrap();
    }

    #[tokio::test]
    async fn a_switch_that_forwards_all_the_same_is_found_out() {
        let nodes = Talkers::new();
        let cut = Cut::between("partition", Arc::clone(&nodes.lab), &ids(["a"]), &ids(["b"]));
        let error = cut.witness(SOON).await.unwrap_err().to_string();
        assert!(error.contains("did not drop a probe from a to b within 100"), "{error}");
        nodes.lab.set_cut(&"a".into(), &"b".into(), true).unwrap();
        // Long enough that the probe from a to b is dropped first.
        let error = cut.witness(DROPS_WITHIN).await.unwrap_err().to_string();
        assert!(error.contains("did not drop a probe from b to a within 5"), "{error}");
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_leaves_nothing_cut() {
        let nodes = Talkers::new();
        let sides = (ids(["a"]), ids(["b", "z"]));
        let cut = Cut::between("partition", Arc::clone(&nodes.lab), &sides.0, &sides.1);
        let error = cut.apply().await.unwrap_err().to_string();
        assert!(error.contains("a to z: one of them is not in the lab"), "{error}");
        assert!(!nodes.lab.link(&"a".into(), &"b".into()).unwrap().cut);
    }
}
