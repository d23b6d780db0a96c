//! One direction of a link: what is set on it, and which packets a lossy one loses.

use meshlab_model::NodeId;

/// What is set on one direction of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LinkState {
    /// Whether no packet crosses it.
    pub cut: bool,
    /// Share of its packets that is lost, 0.0 to 1.0.
    pub loss: f64,
}

/// The loss of one direction of a link.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    /// 0.0 for none, 1.0 for all.
    pub(crate) share: f64,
    stream: u64,
}

impl Loss {
    /// No loss yet. What will be lost depends on the run's seed, the pair's names and how many
    /// packets it has sent while it was lossy, and on nothing else: another pair's traffic, or
    /// the order in which nodes came into the lab, does not shift it.
    pub(crate) fn new(seed: u64, from: &NodeId, to: &NodeId) -> Self {
        // FNV-1a over both names, apart from each other, so that a-bc and ab-c differ.
        let bytes = from.as_str().bytes().chain([0]).chain(to.as_str().bytes());
        let pair = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { share: 0.0, stream: mix(seed ^ mix(pair)) }
    }

    /// Whether the next packet is lost. Draws only while the link is lossy.
    pub(crate) fn takes(&mut self) -> bool {
        if self.share <= 0.0 {
            return false;
        }
        self.stream = self.stream.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // The upper 53 bits as a number in 0..1, all that a float can hold.
        let drawn = (mix(self.stream) >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < self.share
    }
}

/// The output function of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(seed: u64, from: &str, to: &str, share: f64) -> Vec<bool> {
        let mut loss = Loss::new(seed, &from.into(), &to.into());
        loss.share = share;
        (0..2000).map(|_| loss.takes()).collect()
    }

    fn count(lost: &[bool]) -> usize {
        lost.iter().filter(|lost| **lost).count()
    }

    #[test]
    fn each_direction_of_each_pair_has_its_own_stream() {
        let one = lost(42, "a", "b", 0.1);
        assert_eq!(one, lost(42, "a", "b", 0.1));
        for other in [lost(42, "b", "a", 0.1), lost(43, "a", "b", 0.1), lost(42, "a", "c", 0.1)] {
            assert_ne!(one, other);
        }
        assert_ne!(lost(1, "a", "bc", 0.5), lost(1, "ab", "c", 0.5));
    }

    #[test]
    fn the_share_is_what_was_asked_for() {
        assert_eq!(count(&lost(1, "a", "b", 0.0)), 0);
        assert_eq!(count(&lost(1, "a", "b", 1.0)), 2000);
        // Four standard deviations of 2000 draws at 10 % are 54; seeds do not fail by luck.
        for seed in 0..50 {
            let lost = count(&lost(seed, "node-1", "node-2", 0.1));
            assert!((146..=254).contains(&lost), "seed {seed}: {lost} of 2000");
        }
    }

    #[test]
    fn a_link_that_is_not_lossy_draws_nothing() {
        let mut loss = Loss::new(7, &"a".into(), &"b".into());
        assert!((0..100).all(|_| !loss.takes()));
        loss.share = 0.1;
        let after: Vec<bool> = (0..2000).map(|_| loss.takes()).collect();
        assert_eq!(after, lost(7, "a", "b", 0.1), "what came before does not shift it");
    }
}
