//! Where the streams of random numbers begin: one root for each pair of nodes and each node, all
//! from one seed.

use meshlab_model::NodeId;
use meshlab_stats::Stream;

/// Where the streams of one direction of a pair start. It depends on the run's seed and the names,
/// and on nothing else: another pair's traffic, or the order in which nodes came, shifts nothing.
pub(crate) fn pair_root(seed: u64, from: &NodeId, to: &NodeId) -> u64 {
    // Both names, apart from each other, so that a-bc and ab-c differ.
    let bytes = from.as_str().bytes().chain([0]).chain(to.as_str().bytes());
    Stream::root(seed, bytes)
}

/// Where the streams of one node start.
pub(crate) fn node_root(seed: u64, node: &NodeId) -> u64 {
    Stream::root(seed, node.as_str().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(mut stream: Stream) -> Vec<u64> {
        (0..100).map(|_| stream.draw()).collect()
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
        let streams: Vec<Vec<u64>> = (0..20).map(|n| drawn(Stream::numbered(one, n))).collect();
        for (at, stream) in streams.iter().enumerate() {
            assert!(streams[..at].iter().all(|earlier| earlier != stream));
        }
    }
}
