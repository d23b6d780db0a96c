//! `rate_limit`: the switch lets only so many bytes of a node cross in a second.

use std::time::Duration;

use async_trait::async_trait;
use meshlab_lab::{LinkState, Probes, Rate};
use meshlab_model::ByteSize;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target,
    fault::DEATH,
    node_links::{NodeLinks, SEEN_WITHIN, Way},
};

const NAME: &str = "rate_limit";

/// How much may wait, as time: what a common router holds.
const QUEUE: f64 = 0.1;
/// A queue holds a few packets at any rate.
const QUEUE_BYTES_MIN: u64 = 16 * 1024;
/// How long probes fill the line.
const FILLED_FOR: f64 = 0.5;
/// How much more than the limit is sent.
const TOO_MUCH: f64 = 1.5;
/// How much more than the limit may arrive, and how much less: the node's own packets take their
/// part of the line.
const ABOVE: f64 = 1.1;
const BELOW: f64 = 0.5;
const HEADERS: f64 = 28.0;

/// Bounds what a node's line carries in a second. What is more waits in a queue of 100 ms, and what
/// finds that full is dropped.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit;

#[async_trait]
impl Fault for RateLimit {
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
        let rate = target.settings.rate;
        let rate = rate.ok_or(FaultError::NotSet { fault: NAME, setting: "rate" })?;
        let links = NodeLinks::of(NAME, target)?;
        let ways = links.ways()?;
        let queue_bytes = ((rate as f64 * QUEUE) as u64).max(QUEUE_BYTES_MIN);
        let limit = Rate { bytes_per_second: rate, queue_bytes };
        let set = move |link: &mut LinkState| link.rate = Some(limit);
        let reset = |link: &mut LinkState| link.rate = None;
        links.apply(set, reset, "no limit any more", is_bounded(&ways, rate, SEEN_WITHIN)).await
    }
}

/// Half as much again as the limit, in probes of such a size that there are twenty at least.
fn flood(rate: u64) -> Probes {
    let bytes = (rate as f64 * FILLED_FOR * TOO_MUCH / 20.0 - HEADERS).clamp(16.0, 1172.0);
    let a_second = TOO_MUCH * rate as f64 / (bytes + HEADERS);
    let count = (a_second * FILLED_FOR).clamp(20.0, 50_000.0);
    Probes {
        count: count as u32,
        every: Duration::from_secs_f64(1.0 / a_second),
        bytes: bytes as usize,
        patience: Duration::from_millis(300),
    }
}

/// The witness: of probes for more than the limit, so many bytes arrive in a second as it allows.
async fn is_bounded(ways: &[Way], rate: u64, within: Duration) -> Result<String, FaultError> {
    let mut said = Vec::new();
    for way in ways {
        let seen = way.until(flood(rate), within, |seen| {
            let measured = seen.bytes_per_second.unwrap_or(0.0);
            let told = format!(
                "probes for {}/s from {} arrived at {}/s, and {}/s is the limit",
                ByteSize((TOO_MUCH * rate as f64) as u64),
                way.ends(),
                ByteSize(measured as u64),
                ByteSize(rate)
            );
            let share = measured / rate as f64;
            if (BELOW..=ABOVE).contains(&share) { Ok(told) } else { Err(told) }
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

    const RATE: u64 = 64 * 1024;

    #[tokio::test]
    async fn it_bounds_what_crosses_until_it_is_taken_back() {
        let nodes = Talkers::new();
        let settings = Settings { rate: Some(RATE), ..Settings::default() };
        let applied = RateLimit.apply(&nodes.target("a", settings).await).await.unwrap();
        assert!(applied.witness.ends_with("and 64.0 KiB/s is the limit"), "{applied:?}");
        applied.undo.unwrap().carry_out().await.unwrap();
        assert!(nodes.lab.node_link(&"a".into(), Side::Sends).unwrap().is_nothing());
    }

    #[tokio::test]
    async fn a_switch_without_a_limit_is_found_out() {
        let nodes = Talkers::new();
        let settings = Settings { rate: Some(RATE), ..Settings::default() };
        let links = NodeLinks::of(NAME, &nodes.target("a", settings).await).unwrap();
        let ways = links.ways().unwrap();
        // A host that stands still sends less than the flood, which may look like the limit.
        let mut refused = None;
        for _ in 0..10 {
            refused = is_bounded(&ways, RATE, Duration::from_millis(50)).await.err();
            if refused.is_some() {
                break;
            }
        }
        let error = refused.unwrap().to_string();
        assert!(error.contains("and 64.0 KiB/s is the limit within 50"), "{error}");
    }

    #[test]
    fn a_flood_is_more_than_the_limit_and_not_of_too_few() {
        for rate in [1024, 64 * 1024, 10 << 20] {
            let Probes { count, every, bytes, .. } = flood(rate);
            assert!(count >= 19, "{count}");
            let sent = (bytes as f64 + HEADERS) / every.as_secs_f64() / rate as f64;
            assert!((1.4..1.6).contains(&sent), "{rate}: {sent}");
        }
    }
}
