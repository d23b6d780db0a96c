//! `flap_link`: a link goes down and up in a cycle.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use meshlab_lab::Lab;
use meshlab_model::NodeId;
use meshlab_wire::span;
use tokio::task::JoinHandle;

use crate::{
    Applied, AtMost, Evidence, Fault, FaultError, Flap, Hurts, Settings, Target, Undo, cut::Cut,
    links::look_until, partition::SLACK,
};

const NAME: &str = "flap_link";

/// Shorter times than this are over before a probe has seen them on a busy host.
const TIME_MIN: Duration = Duration::from_millis(50);
/// As for a cut.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// Cuts the link between two nodes and mends it again, so many times.
#[derive(Debug, Clone, Copy)]
pub struct FlapLink;

#[async_trait]
impl Fault for FlapLink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksBetween
    }

    fn sets(&self) -> &'static str {
        "cut"
    }

    fn evidence(&self) -> Evidence {
        Evidence::Parted { slack: SLACK, unbroken: true }
    }

    /// No storm: after each time down they may meet once more in the overlay, and no more.
    fn at_most(&self, settings: &Settings) -> Option<AtMost> {
        let count = settings.flap.map_or(0, |flap| u64::from(flap.count));
        Some(AtMost { span: span::NEIGHBOR_UP, times: count + 1 })
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let flap = target.settings.flap;
        let flap = flap.ok_or(FaultError::NotSet { fault: NAME, setting: "count" })?;
        let flap = Flap { down: flap.down.max(TIME_MIN), up: flap.up.max(TIME_MIN), ..flap };
        let cut = Cut::of(NAME, target)?;
        let (left, right) = (target.one(NAME)?.node.clone(), target.far.first().cloned());
        let right = right.ok_or(FaultError::NoFarEnd { fault: NAME })?;
        let lab = target.lab(NAME)?;
        let guard = Mends(cut.clone());
        cycle(&cut, &lab, &left, &right, flap).await?;
        let witness = format!(
            "the switch dropped a probe in both directions of {} while the link was down and \
             forwarded one when it was up; {} times down in all",
            cut.on, flap.count
        );
        let rest = Flap { count: flap.count.saturating_sub(1), ..flap };
        let cycles = tokio::spawn(async move {
            // Whatever ends this leaves the link up.
            let _guard = guard;
            for _ in 0..rest.count {
                cycle(&cut, &lab, &left, &right, rest).await?;
            }
            Ok(())
        });
        let on = Cut::of(NAME, target)?;
        let undo = Undo::needed("the link is up and stays so", move || stop(cycles, on));
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// Mends a link when it goes.
struct Mends(Cut);

impl Drop for Mends {
    fn drop(&mut self) {
        // The undo reads it back.
        let _ = self.0.set(false);
    }
}

/// Once down and once up, both seen.
async fn cycle(
    cut: &Cut,
    lab: &Arc<Lab>,
    left: &NodeId,
    right: &NodeId,
    flap: Flap,
) -> Result<(), FaultError> {
    cut.set(true)?;
    let down = tokio::time::sleep(flap.down);
    cut.witness(SEEN_WITHIN).await?;
    down.await;
    cut.set(false)?;
    let up = tokio::time::sleep(flap.up);
    crosses(cut, lab, left, right, SEEN_WITHIN).await?;
    up.await;
    Ok(())
}

/// The witness of a link that is up: a probe crosses it.
async fn crosses(
    cut: &Cut,
    lab: &Arc<Lab>,
    left: &NodeId,
    right: &NodeId,
    within: Duration,
) -> Result<(), FaultError> {
    let link = (left.clone(), right.clone());
    let forwarded = || lab.counters().get(&link).map_or(0, |link| link.forwarded_packets);
    let before = forwarded();
    lab.prober(left, right)?.fire().map_err(|error| FaultError::Probe { fault: NAME, error })?;
    let seen = look_until(within, || (forwarded() > before).then_some(())).await;
    seen.ok_or_else(|| FaultError::NotWitnessed {
        fault: NAME,
        on: cut.on.clone(),
        missing: format!("no probe crossed from {left} to {right} when the link was up"),
        within,
    })
}

/// Ends the cycles; one that was not seen to act is told now.
async fn stop(cycles: JoinHandle<Result<(), FaultError>>, cut: Cut) -> Result<(), FaultError> {
    cycles.abort();
    let ended = cycles.await;
    cut.mend()?;
    match ended {
        Ok(ended) => ended,
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => {
            let why = format!("its cycles broke: {error}");
            Err(FaultError::Undo { fault: NAME, on: cut.on, why })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Talkers;

    fn settings(count: u32) -> Settings {
        let flap = Flap { down: TIME_MIN, up: TIME_MIN, count };
        Settings { flap: Some(flap), ..Settings::default() }
    }

    #[tokio::test]
    async fn it_goes_down_and_up_as_often_as_was_asked_and_ends_up() {
        let nodes = Talkers::new();
        let applied = FlapLink.apply(&nodes.between("a", "b", settings(3)).await).await.unwrap();
        assert!(applied.witness.ends_with("3 times down in all"), "{applied:?}");
        let link = ("a".into(), "b".into());
        let reason = meshlab_lab::DropReason::Cut;
        let drops = || nodes.lab.counters()[&link].dropped.get(&reason).copied().unwrap_or(0);
        let thrice = look_until(Duration::from_secs(20), || (drops() >= 3).then_some(()));
        assert_eq!(thrice.await, Some(()));
        applied.undo.unwrap().carry_out().await.unwrap();
        assert!(!nodes.lab.link(&link.0, &link.1).unwrap().cut);
    }

    #[tokio::test]
    async fn a_flap_that_is_taken_back_early_leaves_the_link_up() {
        let nodes = Talkers::new();
        let flap = Flap { down: Duration::from_secs(600), up: TIME_MIN, count: 9 };
        let target =
            nodes.between("a", "b", Settings { flap: Some(flap), ..Settings::default() }).await;
        let (a, b) = (NodeId::from("a"), NodeId::from("b"));
        let lab = Arc::clone(&nodes.lab);
        let cut = look_until(Duration::from_secs(20), || lab.link(&a, &b).ok().filter(|l| l.cut));
        tokio::select! {
            biased;
            applied = FlapLink.apply(&target) => panic!("it took no time: {applied:?}"),
            cut = cut => assert!(cut.is_some()),
        }
        assert!(!nodes.lab.link(&a, &b).unwrap().cut);
        let applied = FlapLink.apply(&nodes.between("a", "b", settings(9)).await).await.unwrap();
        applied.undo.unwrap().carry_out().await.unwrap();
        assert!(!nodes.lab.link(&a, &b).unwrap().cut);
    }

    #[tokio::test]
    async fn a_link_that_stays_down_is_no_witness() {
        let nodes = Talkers::new();
        let (a, b) = (NodeId::from("a"), NodeId::from("b"));
        nodes
            .lab
            .set_node_link(
                &a,
                meshlab_lab::Side::Sends,
                meshlab_lab::LinkState { cut: true, ..Default::default() },
            )
            .unwrap();
        let cut = Cut::of(NAME, &nodes.between("a", "b", settings(1)).await).unwrap();
        let soon = Duration::from_millis(50);
        let error = crosses(&cut, &nodes.lab, &a, &b, soon).await.unwrap_err().to_string();
        assert!(error.contains("no probe crossed from a to b when the link was up"), "{error}");
    }
}
