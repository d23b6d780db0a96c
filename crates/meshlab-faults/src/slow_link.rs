//! `slow_link`: the switch delays a node's packets.

use std::time::Duration;

use async_trait::async_trait;
use meshlab_lab::{Jitter, LinkState, Probes};
use meshlab_model::format_duration;
use meshlab_mutants::{Mutant, on};

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target,
    fault::DEATH,
    node_links::{NodeLinks, SEEN_WITHIN, Way},
};

const NAME: &str = "slow_link";

/// Round trips of which the median is taken.
const PROBES: u32 = 15;
/// How often that is taken before the delay is applied.
const BEFORE: u32 = 5;
/// How long an answer is waited for then: what takes longer is lost, or the link is slow already.
const BRIEF: Duration = Duration::from_millis(500);
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

    fn sets(&self) -> &'static str {
        "delay"
    }

    fn evidence(&self) -> Evidence {
        Evidence::Unnoticed { none_of: DEATH, why: "who is slow is not dead" }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let delay = target.settings.delay;
        let delay = delay.ok_or(FaultError::NotSet { fault: NAME, setting: "delay" })?;
        let jitter = target.settings.jitter.unwrap_or_default();
        let links = NodeLinks::of(NAME, target)?;
        let asked = Asked::of(&links, delay, jitter)?;
        let before = asked.before(SEEN_WITHIN).await?;
        let spread = if jitter.is_zero() { Jitter::None } else { Jitter::Uniform(jitter) };
        let set = move |link: &mut LinkState| {
            slow(link, delay);
            link.jitter = spread;
        };
        let reset = |link: &mut LinkState| slow(link, Duration::ZERO);
        links.apply(set, reset, "no delay any more", asked.rises(before, SEEN_WITHIN)).await
    }
}

/// Sets a delay without a jitter; zero is none.
pub(crate) fn slow(link: &mut LinkState, delay: Duration) {
    (link.delay, link.jitter) = (delay, Jitter::None);
}

/// What the round trip over one of the links must rise by.
pub(crate) struct Asked {
    way: Way,
    delay: Duration,
    jitter: Duration,
}

impl Asked {
    /// That of a delay in each of the directions that are meant.
    pub(crate) fn of(
        links: &NodeLinks,
        delay: Duration,
        jitter: Duration,
    ) -> Result<Self, FaultError> {
        let ways = links.ways()?;
        let count = u32::try_from(ways.len()).unwrap_or(1);
        let way = ways.into_iter().next().ok_or(FaultError::NoFarEnd { fault: NAME })?;
        Ok(Self { way, delay: delay * count, jitter: jitter * count })
    }

    fn probes(&self) -> Probes {
        let patience = self.delay + self.jitter + Duration::from_millis(500);
        Probes { count: PROBES, every: Duration::from_millis(2), bytes: 64, patience }
    }

    /// The round trip before it is applied: the least of a few medians. What comes after is tried
    /// again until it fits this, so that a host that stood still here would never be forgiven.
    pub(crate) async fn before(&self, within: Duration) -> Result<Duration, FaultError> {
        let brief = Probes { patience: BRIEF, ..self.probes() };
        let first = self.way.send(brief).await?.median();
        // Near the end of the patience, the median would be of those that were fast.
        let (mut least, probes) = match first.filter(|median| *median * 2 <= BRIEF) {
            Some(median) => (median, brief),
            None => (Duration::MAX, self.probes()),
        };
        for _ in 1..BEFORE {
            let median = self.way.until(probes, within, |seen| {
                let none = || "no probe was answered before it was applied".to_owned();
                seen.median().ok_or_else(none)
            });
            least = least.min(median.await?);
        }
        Ok(least)
    }

    /// The witness: a probe's round trip rises by what was asked, give or take 2 ms or 2 %, and the
    /// jitter. A switch that takes the setting and does nothing is found out by this.
    pub(crate) async fn rises(
        &self,
        before: Duration,
        within: Duration,
    ) -> Result<String, FaultError> {
        let Self { way, delay, jitter } = self;
        if on(Mutant::ProberBelieves) {
            return Ok(format!("the round trip rose by {}", format_duration(*delay)));
        }
        let off = HOST_OFF.max(*delay / 50) + *jitter;
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
            match rose.abs_diff(*delay) <= off {
                true => Ok(format!("{said}, and {} was asked", format_duration(*delay))),
                false => Err(format!("{said}, not by {} as asked", format_duration(*delay))),
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
        let asked = Asked::of(&links, Duration::from_millis(40), Duration::ZERO).unwrap();
        let witness = asked.rises(Duration::ZERO, SOON);
        let error = links.clone().apply(|_| {}, |_| {}, "", witness).await.unwrap_err().to_string();
        assert!(error.contains("not by 40.0 ms as asked within 50"), "{error}");
    }

    #[tokio::test]
    async fn a_probe_that_is_lost_before_it_does_not_cost_the_delay_that_is_to_come() {
        let (nodes, delay) = (Talkers::new(), Duration::from_secs(30));
        let links =
            NodeLinks::of(NAME, &nodes.target("a", settings(Direction::Out)).await).unwrap();
        links.change(|link| link.loss = 0.3).unwrap();
        let asked = Asked::of(&links, delay, Duration::ZERO).unwrap();
        let began = std::time::Instant::now();
        asked.before(SEEN_WITHIN).await.unwrap();
        assert!(began.elapsed() < delay, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_link_that_is_slow_already_is_waited_for() {
        let (nodes, there) = (Talkers::new(), BRIEF + Duration::from_millis(100));
        let links =
            NodeLinks::of(NAME, &nodes.target("a", settings(Direction::Out)).await).unwrap();
        links.change(|link| slow(link, there)).unwrap();
        let asked = Asked::of(&links, Duration::from_secs(1), Duration::ZERO).unwrap();
        assert!(asked.before(SEEN_WITHIN).await.unwrap() >= there);
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
