//! Seeded random numbers, one stream for each purpose.

/// A stream of random numbers that depends on a seed and a name, and on nothing else: what another
/// stream draws does not shift it. Not for secrets.
///
/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Stream(u64);

impl Stream {
    /// The stream of that name.
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a over the name; mixed, so that seeds and names that are close are apart.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mix(seed ^ mix(hash)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number of at least 0.0 and less than 1.0, with the 53 bits that a float can hold.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // Multiply and shift instead of a remainder: no bias towards small numbers to speak of.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
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
}
