//! Seeded random numbers, one stream for each purpose.

use std::f64::consts::TAU;

/// A stream of random numbers that depends on a seed and a name, and on nothing else: what another
/// stream draws does not shift it. Not for secrets.
///
/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Stream(u64);

/// What each draw adds to the state: 2^64 by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Stream {
    /// The stream of that name.
    pub fn new(seed: u64, name: &str) -> Self {
        Self(Self::root(seed, name.bytes()))
    }

    /// Where the streams of something begin, by its name.
    pub fn root(seed: u64, name: impl Iterator<Item = u8>) -> u64 {
        // FNV-1a over the name; mixed, so that seeds and names that are close are apart.
        let hash = name.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        mix(seed ^ mix(hash))
    }

    /// The stream with this number below `root`; streams of other numbers are independent of it.
    /// The one with the number 0 is the root itself.
    pub fn numbered(root: u64, number: u64) -> Self {
        if number == 0 { Self(root) } else { Self(mix(root ^ mix(number))) }
    }

    /// The stream that begins at `root`, after so many draws.
    pub fn after(root: u64, draws: u64) -> Self {
        Self(root.wrapping_add(draws.wrapping_mul(STEP)))
    }

    /// The next number, of 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number of at least 0.0 and less than 1.0, with the 53 bits that a float can hold.
    pub fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether an event of this probability happens. Draws only if there is a choice to make.
    pub fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.share() < share
    }

    /// A whole number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // Multiply and shift instead of a remainder: no bias towards small numbers to speak of.
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    /// A number of the standard normal distribution (Box and Muller, "A note on the generation of
    /// random normal deviates", 1958). Two draws each time, so that the stream keeps step.
    pub fn normal(&mut self) -> f64 {
        // One minus it is in 0 to 1 without the zero, of which there is no logarithm.
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (TAU * self.share()).cos()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, name: &str) -> Vec<usize> {
        let mut stream = Stream::new(seed, name);
        (0..8).map(|_| stream.below(18)).collect()
    }

    #[test]
    fn seed_and_name_decide() {
        assert_eq!(drawn(42, "when"), drawn(42, "when"));
        assert_ne!(drawn(42, "when"), drawn(43, "when"));
        assert_ne!(drawn(42, "when"), drawn(42, "what"));
        // The same on every machine, and in every version: schedules are named by their seed.
        assert_eq!(drawn(42, "when"), [8, 16, 11, 2, 0, 8, 2, 10]);
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let mut stream = Stream::new(7, "x");
        let mut seen = [0_u32; 18];
        for _ in 0..18_000 {
            seen[stream.below(18)] += 1;
        }
        assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
        let mean = (0..10_000).map(|_| stream.share()).sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        assert_eq!(stream.below(0), 0);
    }

    fn numbers(mut stream: Stream) -> Vec<u64> {
        (0..100).map(|_| stream.draw()).collect()
    }

    #[test]
    fn a_share_of_nothing_draws_nothing() {
        let mut stream = Stream::numbered(7, 1);
        assert!((0..100).all(|_| !stream.happens(0.0)));
        assert_eq!(numbers(stream), numbers(Stream::numbered(7, 1)));
        let mut stream = Stream::numbered(7, 1);
        assert!((0..100).all(|_| stream.happens(1.0)));
    }

    #[test]
    fn the_normal_distribution_has_its_mean_and_width() {
        let mut stream = Stream::numbered(3, 1);
        let drawn: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        // Five standard errors of the mean of 20,000 draws are 0.035, of their variance 0.05.
        assert!(mean.abs() < 0.035 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
