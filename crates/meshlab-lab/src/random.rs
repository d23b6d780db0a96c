//! Streams of random numbers: one for each pair of nodes and each impairment, all from one seed.

use std::f64::consts::TAU;

use meshlab_model::NodeId;

/// A stream of numbers that its seed decides, and nothing else: SplitMix64 (Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(crate) struct Stream(u64);

impl Stream {
    /// The stream with this number below `root`; streams of other numbers are independent of it.
    pub(crate) fn new(root: u64, number: u64) -> Self {
        // The first stream is the root itself, so that what a seed lost before there were others
        // it still loses.
        if number == 0 { Self(root) } else { Self(mix(root ^ mix(number))) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in 0..1: the upper 53 bits, all that a float can hold.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether an event of this probability happens. Draws only if there is a choice to make.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    /// A number of the standard normal distribution (Box and Muller, "A note on the generation of
    /// random normal deviates", 1958). Two draws each time, so that the stream keeps step.
    pub(crate) fn normal(&mut self) -> f64 {
        // One minus it is in 0 to 1 without the zero, of which there is no logarithm.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

/// Where the streams of one direction of a pair start. It depends on the run's seed and the names,
/// and on nothing else: another pair's traffic, or the order in which nodes came, shifts nothing.
pub(crate) fn pair_root(seed: u64, from: &NodeId, to: &NodeId) -> u64 {
    // FNV-1a over both names, apart from each other, so that a-bc and ab-c differ.
    let bytes = from.as_str().bytes().chain([0]).chain(to.as_str().bytes());
    mix(seed ^ mix(fnv(bytes)))
}

/// Where the streams of one node start.
pub(crate) fn node_root(seed: u64, node: &NodeId) -> u64 {
    mix(seed ^ mix(fnv(node.as_str().bytes())))
}

fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The output function of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(mut stream: Stream) -> Vec<u64> {
        (0..100).map(|_| stream.next()).collect()
    }

    #[test]
    fn each_direction_of_each_pair_has_its_own_streams() {
        let root = |seed, from: &str, to: &str| pair_root(seed, &from.into(), &to.into());
        let one = root(42, "a", "b");
        assert_eq!(one, root(42, "a", "b"));
        for other in [root(42, "b", "a"), root(43, "a", "b"), root(42, "a", "c")] {
            assert_ne!(one, other);
        }
        assert_ne!(root(1, "a", "bc"), root(1, "ab", "c"));
        let streams: Vec<Vec<u64>> = (0..20).map(|n| drawn(Stream::new(one, n))).collect();
        for (at, stream) in streams.iter().enumerate() {
            assert!(streams[..at].iter().all(|earlier| earlier != stream));
        }
    }

    #[test]
    fn a_share_of_nothing_draws_nothing() {
        let mut stream = Stream::new(7, 1);
        assert!((0..100).all(|_| !stream.happens(0.0)));
        assert_eq!(drawn(stream), drawn(Stream::new(7, 1)));
        let mut stream = Stream::new(7, 1);
        assert!((0..100).all(|_| stream.happens(1.0)));
    }

    #[test]
    fn the_normal_distribution_has_its_mean_and_width() {
        let mut stream = Stream::new(3, 1);
        let drawn: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        // Five standard errors of the mean of 20,000 draws are 0.035, of their variance 0.05.
        assert!(mean.abs() < 0.035 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
