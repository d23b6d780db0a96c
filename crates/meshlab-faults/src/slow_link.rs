//! `slow_link`: the switch delays a node's packets.

use std::time::Duration;

use async_trait::async_trait;
use meshlab_lab::{Jitter, LinkState, Probes};
use meshlab_model::format_duration;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target,
    fault::DEATH,
    node_links::{NodeLinks, SEEN_WITHIN, Way},
};

const NAME: &str = "slow_link";

/// Round trips of which the median is taken.
const PROBES: u32 = 15;
/// How far the host itself may be off.
const HOST_OFF: Duration = Duration::from_millis(2);

/// Delays the packets of a node, more or less by a jitter.
#[derive(Debug, Clone, Copy)]
pub struct SlowLink;

#[async_trait]
impl Fault for SlowLink {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksOfNode
    }

    fn evidence(&self) -> Evidence {
        Evidence::Unnoticed { none_of: DEATH, why: "who is slow is not dead" }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let delay = target.settings.delay;
        let delay = delay.ok_or(FaultError::NotSet { fault: NAME, setting: "delay" })?;
        let jitter = target.settings.jitter.unwrap_or_default();
        let links = NodeLinks::of(NAME, target)?;
        let ways = links.ways()?;
        let way = ways.first().ok_or(FaultError::NoFarEnd { fault: NAME })?.clone();
        let asked = Asked { delay: delay * ways.len() as u32, jitter: jitter * ways.len() as u32 };
        let before = way.until(asked.probes(), SEEN_WITHIN, |seen| {
            seen.median().ok_or_else(|| "no probe was answered before it was applied".to_owned())
        });
        let before = before.await?;
        let spread = if jitter.is_zero() { Jitter::None } else { Jitter::Uniform(jitter) };
        let set = move |link: &mut LinkState| (link.delay, link.jitter) = (delay, spread);
        let reset = |link: &mut LinkState| {
            (link.delay, link.jitter) = (Duration::ZERO, Jitter::None);
        };
        links.apply(set, reset, "no delay any more", asked.rises(&way, before, SEEN_WITHIN)).await
    }
}

/// What a round trip must rise by.
#[derive(Clone, Copy)]
struct Asked {
    delay: Duration,
    jitter: Duration,
}

impl Asked {
    fn probes(self) -> Probes {
        let patience = self.delay + self.jitter + Duration::from_millis(500);
        Probes { count: PROBES, every: Duration::from_millis(2), bytes: 64, patience }
    }

    /// The witness: a probe's round trip rises by what was asked, give or take 2 ms or 2 %, and the
    /// jitter. A switch that takes the setting and does nothing is found out by this.
    async fn rises(
        self,
        way: &Way,
        before: Duration,
        within: Duration,
    ) -> Result<String, FaultError> {
        let Self { delay, jitter } = self;
        let off = HOST_OFF.max(delay / 50) + jitter;
        way.until(self.probes(), within, |seen| {
            let after = seen.median().ok_or("no probe was answered any more")?;
            let rose = after.saturating_sub(before);
            let said = format!(
                "the round trip from {} rose by {} (from {} to {}, the median of {PROBES})",
                way.ends(),
                format_duration(rose),
                format_duration(before),
                format_duration(after),
            );
            match rose.abs_diff(delay) <= off {
                true => Ok(format!("{said}, and {} was asked", format_duration(delay))),
                false => Err(format!("{said}, not by {} as asked", format_duration(delay))),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Settings, fixture::Talkers};

    const SOON: Duration = Duration::from_millis(50);

    fn settings(direction: Direction) -> Settings {
        let (delay, jitter) = (Some(Duration::from_millis(40)), Some(Duration::from_millis(4)));
        Settings { delay, jitter, direction, ..Settings::default() }
    }

    #[tokio::test]
    async fn it_delays_what_is_meant_and_is_taken_back() {
        for (direction, rise) in
            [(Direction::Out, "40.0 ms"), (Direction::In, "40.0 ms"), (Direction::Both, "80.0 ms")]
        {
            let nodes = Talkers::new();
            let target = nodes.target("a", settings(direction)).await;
            let applied = SlowLink.apply(&target).await.unwrap();
            assert!(applied.witness.ends_with(&format!("and {rise} was asked")), "{applied:?}");
            applied.undo.unwrap().carry_out().await.unwrap();
            for side in [meshlab_lab::Side::Sends, meshlab_lab::Side::Receives] {
                assert!(nodes.lab.node_link(&"a".into(), side).unwrap().is_nothing());
            }
        }
    }

    #[tokio::test]
    async fn only_the_links_that_are_named_are_slow() {
        let nodes = Talkers::new();
        let mut target = nodes.target("a", settings(Direction::Out)).await;
        (target.far, target.everywhere) = (vec!["c".into()], false);
        let applied = SlowLink.apply(&target).await.unwrap();
        assert!(applied.witness.starts_with("the round trip from a to c rose by"), "{applied:?}");
        assert!(nodes.lab.link(&"a".into(), &"b".into()).unwrap().is_nothing());
        applied.undo.unwrap().carry_out().await.unwrap();
        assert!(nodes.lab.link(&"a".into(), &"c".into()).unwrap().is_nothing());
    }

    #[tokio::test]
    async fn a_switch_that_ignores_a_delay_is_found_out() {
        let nodes = Talkers::new();
        let links =
            NodeLinks::of(NAME, &nodes.target("a", settings(Direction::Out)).await).unwrap();
        let way = links.ways().unwrap().remove(0);
        let asked = Asked { delay: Duration::from_millis(40), jitter: Duration::ZERO };
        let witness = asked.rises(&way, Duration::ZERO, SOON);
        let error = links.clone().apply(|_| {}, |_| {}, "", witness).await.unwrap_err().to_string();
        assert!(error.contains("not by 40.0 ms as asked within 50"), "{error}");
    }

    #[tokio::test]
    async fn without_a_delay_or_another_node_it_is_refused() {
        let nodes = Talkers::new();
        let error =
            SlowLink.apply(&nodes.target("a", Settings::default()).await).await.unwrap_err();
        assert_eq!(error.to_string(), "apply slow_link: `delay` was not given");
        let mut target = nodes.target("a", settings(Direction::Out)).await;
        target.far.clear();
        let error = SlowLink.apply(&target).await.unwrap_err().to_string();
        assert!(error.contains("no other node"), "{error}");
    }
}
