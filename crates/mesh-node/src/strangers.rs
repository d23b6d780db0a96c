//! Dials of ids that nobody has, as often as is asked for: to see what an endpoint keeps of each id
//! that it ever dialled. No node of a mesh does that by itself.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use iroh::{Endpoint, EndpointAddr, PublicKey, TransportAddr};
use tokio::time::MissedTickBehavior;

use crate::{
    control,
    counters::{Counter, Counters},
};

/// Longest wait for an answer of nobody. At 1,000 dials a second, 250 of them wait at a time.
const WITHIN: Duration = Duration::from_millis(250);

/// How long it rests after a burst: longer than iroh keeps what it needed for a dial, 60 s.
const REST: Duration = Duration::from_secs(90);

/// Who is dialled, and how often.
#[derive(Debug, Clone)]
pub(crate) struct Strangers {
    /// Dials a second.
    pub(crate) rate: NonZeroU32,
    /// So many ids, one after the other; each dial has another one if 0.
    pub(crate) ids: u32,
    /// So many dials, then a rest of [`REST`], and again; without rest if 0.
    pub(crate) burst: u32,
    /// Where they are dialled. If nowhere, a dial ends as soon as nobody knows an address.
    pub(crate) at: Vec<SocketAddr>,
}

impl Strangers {
    /// Dials for as long as the node lives. On a host that is too slow for the rate there are fewer
    /// dials, never many at once.
    pub(crate) async fn run(self, endpoint: Endpoint, counters: Counters) {
        let own = endpoint.id();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / self.rate.get());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0_u64.. {
            if rests(number, self.burst) {
                tokio::time::sleep(REST).await;
            }
            ticks.tick().await;
            let number = if self.ids == 0 { number } else { number % u64::from(self.ids) };
            let at = self.at.iter().copied().map(TransportAddr::Ip);
            let to = EndpointAddr::from_parts(stranger(&own, number), at);
            counters.one(Counter::DialsStrange);
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                let dial = endpoint.connect(to, control::ALPN);
                // Whatever comes of it: an error at once, or nothing, and then it is dropped.
                let _ = tokio::time::timeout(WITHIN, dial).await;
            });
        }
    }
}

/// Whether it rests before the dial of that number.
fn rests(number: u64, burst: u32) -> bool {
    number > 0 && number.checked_rem(u64::from(burst)) == Some(0)
}

/// The id of that number: another one for each node, the same in each run of it.
fn stranger(own: &PublicKey, number: u64) -> PublicKey {
    for attempt in 0_u64.. {
        let mut hasher = blake3::Hasher::new_derive_key("mesh-node stranger");
        hasher.update(own.as_bytes()).update(&number.to_le_bytes()).update(&attempt.to_le_bytes());
        // Every other number is a point of the curve.
        if let Ok(key) = PublicKey::from_bytes(hasher.finalize().as_bytes()) {
            return key;
        }
    }
    *own
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use iroh::{SecretKey, endpoint::presets};

    use super::*;

    #[test]
    fn strangers_are_many_and_the_same_again() {
        let own = [1, 2].map(|seed| SecretKey::from_bytes(&[seed; 32]).public());
        let all = |own: &PublicKey| (0..20).map(|n| stranger(own, n)).collect::<BTreeSet<_>>();
        assert_eq!(all(&own[0]).len(), 20);
        assert_eq!(all(&own[0]), all(&own[0]));
        assert!(all(&own[0]).is_disjoint(&all(&own[1])));
    }

    #[tokio::test]
    async fn dials_are_counted_wherever_nobody_answers() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = Endpoint::builder(presets::Minimal)
            .clear_ip_transports()
            .bind_addr(SocketAddr::from(([127, 0, 0, 1], 0)))
            .unwrap()
            .bind()
            .await
            .unwrap();
        for at in [vec![], vec![SocketAddr::from(([127, 0, 0, 1], 9))]] {
            let counters = Counters::default();
            let strangers = Strangers { rate: NonZeroU32::new(200).unwrap(), ids: 3, burst: 0, at };
            let dials = tokio::spawn(strangers.run(endpoint.clone(), counters.clone()));
            while counters.snapshot()["dials.strange"] < 8 {
                tokio::task::yield_now().await;
            }
            dials.abort();
        }
        endpoint.close().await;
    }

    #[test]
    fn a_burst_ends_in_a_rest_and_no_burst_in_none() {
        let rests = |burst| (0..7).filter(|number| rests(*number, burst)).collect::<Vec<u64>>();
        assert_eq!((rests(3), rests(1).len(), rests(0).len()), (vec![3, 6], 6, 0));
    }
}
