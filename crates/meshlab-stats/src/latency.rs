//! Latency histograms, as nodes send them: HDR (Tene, <https://hdrhistogram.github.io>), version 2
//! with DEFLATE, in base64.

use std::time::Duration;

use data_encoding::BASE64;
use hdrhistogram::{Histogram, serialization::Deserializer};

/// Longest text that is decoded, in bytes: a histogram of ten minutes in three digits has less.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Round-trip times, in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency(Histogram<u64>);

impl Latency {
    /// Reads a histogram of microseconds that a node sent.
    ///
    /// # Errors
    /// No base64, or no histogram; the text comes from a node and is trusted in nothing.
    pub fn decode(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("a histogram of {} bytes of text", text.len()));
        }
        let bytes =
            BASE64.decode(text.as_bytes()).map_err(|error| format!("no base64: {error}"))?;
        let histogram = Deserializer::new().deserialize::<u64, _>(&mut &bytes[..]);
        histogram.map(Self).map_err(|error| format!("no histogram: {error}"))
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that `percentile` (0 to 100) of all round trips did not exceed, to three digits;
    /// zero where there were none.
    pub fn at(&self, percentile: f64) -> Duration {
        if self.0.is_empty() {
            return Duration::ZERO;
        }
        Duration::from_micros(self.0.value_at_quantile((percentile / 100.0).clamp(0.0, 1.0)))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
    use proptest::prelude::*;

    use super::*;

    fn text(micros: impl IntoIterator<Item = u64>) -> String {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3).unwrap();
        for value in micros {
            histogram.record(value).unwrap();
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&histogram, &mut bytes).unwrap();
        BASE64.encode(&bytes)
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let latency = Latency::decode(&text((1..=1000).map(|n| n * 100))).unwrap();
        assert_eq!(latency.count(), 1000);
        for (percentile, expected) in [(50.0, 50_000.0), (99.0, 99_000.0), (100.0, 100_000.0)] {
            let found = latency.at(percentile).as_micros() as f64;
            assert!((found / expected - 1.0).abs() < 0.002, "p{percentile}: {found}");
        }
        assert_eq!(Latency::decode(&text([])).unwrap().at(99.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", bytes in proptest::collection::vec(
            any::<u8>(), 0..200)) {
            let _ = Latency::decode(&text);
            let _ = Latency::decode(&BASE64.encode(&bytes));
        }
    }
}
