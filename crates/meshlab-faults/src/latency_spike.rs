//! `latency_spike`: the switch delays a node's packets now and then.

use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;

use crate::{
    Applied, Evidence, Fault, FaultError, Flap, Hurts, Target, Undo,
    fault::DEATH,
    node_links::{NodeLinks, SEEN_WITHIN},
    slow_link::{Asked, slow},
};

const NAME: &str = "latency_spike";

/// Delays the packets of a node for a while, and again, so many times.
#[derive(Debug, Clone, Copy)]
pub struct LatencySpike;

#[async_trait]
impl Fault for LatencySpike {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksOfNode
    }

    fn sets(&self) -> &'static str {
        "delay"
    }

    fn evidence(&self) -> Evidence {
        Evidence::Unnoticed { none_of: DEATH, why: "who is slow for a while is not dead" }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let not_set = |setting| FaultError::NotSet { fault: NAME, setting };
        let delay = target.settings.delay.ok_or_else(|| not_set("delay"))?;
        let flap = target.settings.flap.ok_or_else(|| not_set("count"))?;
        let links = NodeLinks::of(NAME, target)?;
        let asked = Asked::of(&links, delay, Duration::ZERO)?;
        let before = asked.before(SEEN_WITHIN).await?;
        let guard = Levels(links.clone());
        links.change(|link| slow(link, delay))?;
        let spike = tokio::time::sleep(flap.down);
        let seen = asked.rises(before, SEEN_WITHIN).await?;
        let witness = format!("{seen}; {} spikes in all", flap.count);
        spike.await;
        links.change(|link| slow(link, Duration::ZERO))?;
        let cycles = tokio::spawn(cycle(guard, delay, flap));
        let undo = Undo::needed("no delay any more", move || stop(cycles, links));
        Ok(Applied { witness, undo: Some(undo) })
    }
}

/// Takes the delay away when it goes.
struct Levels(NodeLinks);

impl Drop for Levels {
    fn drop(&mut self) {
        // The undo reads it back.
        let _ = self.0.change(|link| slow(link, Duration::ZERO));
    }
}

/// The spikes after the first.
async fn cycle(links: Levels, delay: Duration, flap: Flap) -> Result<(), FaultError> {
    for _ in 1..flap.count {
        tokio::time::sleep(flap.up).await;
        links.0.change(|link| slow(link, delay))?;
        tokio::time::sleep(flap.down).await;
        links.0.change(|link| slow(link, Duration::ZERO))?;
    }
    Ok(())
}

async fn stop(
    cycles: JoinHandle<Result<(), FaultError>>,
    links: NodeLinks,
) -> Result<(), FaultError> {
    cycles.abort();
    let ended = cycles.await;
    links.reset(|link| slow(link, Duration::ZERO))?;
    match ended {
        Ok(ended) => ended,
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => {
            let (on, why) = (links.node.to_string(), format!("its spikes broke: {error}"));
            Err(FaultError::Undo { fault: NAME, on, why })
        }
    }
}

#[cfg(test)]
mod tests {
    use meshlab_lab::Side;

    use super::*;
    use crate::{Settings, fixture::Talkers, links::look_until};

    const SHORT: Duration = Duration::from_millis(60);

    fn settings(count: u32) -> Settings {
        let flap = Some(Flap { down: SHORT, up: SHORT, count });
        Settings { delay: Some(Duration::from_millis(30)), flap, ..Settings::default() }
    }

    #[tokio::test]
    async fn it_comes_and_goes_and_is_taken_back() {
        let nodes = Talkers::new();
        let target = nodes.target("a", settings(100)).await;
        let applied = LatencySpike.apply(&target).await.unwrap();
        let said = "and 30.0 ms was asked; 100 spikes in all";
        assert!(applied.witness.ends_with(said), "{applied:?}");
        let slow = || !nodes.lab.node_link(&"a".into(), Side::Sends).unwrap().is_nothing();
        for wanted in [true, false, true] {
            let seen = look_until(Duration::from_secs(20), || (slow() == wanted).then_some(()));
            assert_eq!(seen.await, Some(()), "a spike after the first: {wanted}");
        }
        applied.undo.unwrap().carry_out().await.unwrap();
        assert!(!slow());
    }

    #[tokio::test]
    async fn one_that_is_given_up_leaves_no_delay() {
        let nodes = Talkers::new();
        let target = nodes.target("a", settings(2)).await;
        let slow = || !nodes.lab.node_link(&"a".into(), Side::Sends).unwrap().is_nothing();
        let seen = look_until(Duration::from_secs(20), || slow().then_some(()));
        // Who looks comes first: where both are late, the fault was given up all the same.
        tokio::select! {
            biased;
            seen = seen => assert!(seen.is_some()),
            applied = LatencySpike.apply(&target) => panic!("it took no time: {applied:?}"),
        }
        assert!(!slow());
    }
}
