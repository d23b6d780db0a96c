//! `partition`: the switch drops every packet between two sides.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use meshlab_lab::{DropReason, Lab, LabError};
use meshlab_model::NodeId;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo,
    links::{Pair, dropped, look_until, names, pairs},
    undo::Rollback,
};

const NAME: &str = "partition";

/// Nodes that know each other talk at least this often: QUIC keeps a path alive each few seconds,
/// and a gated mesh of the default cadence refreshes each 8 s. Nodes that are not neighbours in
/// the overlay may never talk; then a cut between them cannot be seen to act.
const DROPS_WITHIN: Duration = Duration::from_secs(15);

/// Cuts both directions of every link between two sides.
#[derive(Debug, Clone, Copy)]
pub struct Partition;

#[async_trait]
impl Fault for Partition {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksBetween
    }

    fn evidence(&self) -> Evidence {
        // As for a killed node, and a second more: what crossed just before the cut is handed on
        // within its side.
        Evidence::Parted { slack: Duration::from_secs(3) }
    }

    fn many(&self) -> bool {
        true
    }

    fn sets(&self) -> &'static str {
        "cut"
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let lab = target.lab(NAME)?;
        let left: Vec<NodeId> = target.nodes.iter().map(|victim| victim.node.clone()).collect();
        apply_within(lab, &left, &target.far, DROPS_WITHIN).await
    }
}

async fn apply_within(
    lab: Arc<Lab>,
    left: &[NodeId],
    right: &[NodeId],
    within: Duration,
) -> Result<Applied, FaultError> {
    let (there, back) = (pairs(left, right), pairs(right, left));
    let on = format!("{} | {}", names(left), names(right));
    let links: Vec<Pair> = there.iter().chain(&back).cloned().collect();
    let count = || [&there, &back].map(|links| dropped(&lab, links, DropReason::Cut));
    let before = count();
    let rollback = Rollback::new(|| {
        // What failed before is the reason that is told.
        let _ = set_all(&lab, &links, false);
    });
    set_all(&lab, &links, true)?;
    let witness = both_drop(&on, before, count, within).await?;
    rollback.keep();
    let undo = Undo::needed("forwards in both directions again", move || mend(lab, links, on));
    Ok(Applied { witness, undo: Some(undo) })
}

fn set_all(lab: &Lab, links: &[Pair], cut: bool) -> Result<(), LabError> {
    // A node that is not there does not keep the others from being changed back.
    let mut outcome = Ok(());
    for (from, to) in links {
        outcome = outcome.and(lab.set_cut(from, to, cut));
    }
    outcome
}

/// The witness: the switch has dropped packets in both directions since the cut.
async fn both_drop(
    on: &str,
    before: [u64; 2],
    count: impl Fn() -> [u64; 2],
    within: Duration,
) -> Result<String, FaultError> {
    let since = || {
        let now = count();
        [now[0].saturating_sub(before[0]), now[1].saturating_sub(before[1])]
    };
    let both = look_until(within, || Some(since()).filter(|[there, back]| *there > 0 && *back > 0));
    if let Some([there, back]) = both.await {
        return Ok(format!(
            "the switch dropped packets in both directions of {on} ({there} and {back} so far)"
        ));
    }
    let missing = match since() {
        [0, 0] => "both sides were silent: they do not talk to each other directly, so no packet \
                   was there to be dropped"
            .to_owned(),
        [0, back] => format!("only the right side sent ({back} packets dropped, 0 of the left)"),
        [there, _] => format!("only the left side sent ({there} packets dropped, 0 of the right)"),
    };
    Err(FaultError::NotWitnessed { fault: NAME, on: on.to_owned(), missing, within })
}

/// Forwards again, and reads that back from the switch.
async fn mend(lab: Arc<Lab>, links: Vec<Pair>, on: String) -> Result<(), FaultError> {
    let failed = |why| FaultError::Undo { fault: NAME, on: on.clone(), why };
    for (from, to) in &links {
        // A node that has left the lab meanwhile has no links to mend.
        if lab.set_cut(from, to, false).is_ok() && lab.link(from, to)?.cut {
            return Err(failed(format!("the switch still cuts {from} to {to}")));
        }
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
        let lab = Arc::clone(&nodes.lab);
        let applied = apply_within(lab, &ids(["a"]), &ids(["b", "c"]), LONG).await.unwrap();
        let witness = &applied.witness;
        assert!(witness.contains("both directions of a | b and c ("), "{witness}");
        let (across, inside) = (nodes.forwarded("a", "b"), nodes.forwarded("b", "c"));
        look_until(LONG, || (nodes.forwarded("b", "c") > inside).then_some(())).await.unwrap();
        assert_eq!(nodes.forwarded("a", "b"), across, "nothing crosses");
        let undo = applied.undo.unwrap();
        assert!(undo.is_needed());
        undo.carry_out().await.unwrap();
        look_until(LONG, || (nodes.forwarded("a", "b") > across).then_some(())).await.unwrap();
    }

    #[tokio::test]
    async fn silent_sides_are_no_witness_and_nothing_stays_cut() {
        let mut nodes = Talkers::new();
        let (a, b) = (ids(["a"]), ids(["b"]));
        let lab = || Arc::clone(&nodes.lab);
        let error = apply_within(lab(), &a, &b, SOON).await.unwrap_err().to_string();
        assert!(error.contains("both sides were silent"), "{error}");
        assert!(error.contains("was there to be dropped within 100"), "{error}");
        assert!(!nodes.lab.link(&a[0], &b[0]).unwrap().cut, "a fault that failed is gone");
        nodes.talk("b", "a");
        let lab = Arc::clone(&nodes.lab);
        look_until(LONG, || (nodes.forwarded("b", "a") > 0).then_some(())).await.unwrap();
        let error = apply_within(lab, &a, &b, SOON).await.unwrap_err().to_string();
        assert!(error.contains("only the right side sent"), "{error}");
        assert!(!nodes.lab.link(&b[0], &a[0]).unwrap().cut);
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_told_and_nothing_stays_cut() {
        let nodes = Talkers::new();
        let lab = Arc::clone(&nodes.lab);
        let sides = (ids(["a"]), ids(["b", "nobody"]));
        let error = apply_within(lab, &sides.0, &sides.1, LONG).await.unwrap_err();
        assert!(error.to_string().contains("is not in the lab"), "{error}");
        assert!(!nodes.lab.link(&"a".into(), &"b".into()).unwrap().cut);
    }
}
