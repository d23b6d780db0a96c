//! Histograms of lengths of time: HDR (Tene, <https://hdrhistogram.github.io>), as nodes send them
//! and as summaries hold them: version 2 with DEFLATE, in base64.

use std::time::Duration;

use data_encoding::BASE64;
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2DeflateSerializer},
};

/// Longest text that is decoded, in bytes: a histogram of ten minutes in three digits has less.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Significant digits of what is recorded here: an error of at most 0.1 %.
const DIGITS: u8 = 3;

/// Lengths of time, in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// A histogram of nothing, which takes any length of time to three digits.
    pub fn new() -> Self {
        // The second bound only says where it begins: it grows with what is recorded.
        let mut histogram = Histogram::new_with_bounds(1, 2, DIGITS)
            .unwrap_or_else(|error| unreachable!("constant bounds are sound: {error}"));
        histogram.auto(true);
        Self(histogram)
    }

    /// Counts one length of time, to the microsecond.
    pub fn record(&mut self, length: Duration) {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        if self.0.record(micros).is_err() {
            // Nothing is left out of the count because it was too long to be told exactly.
            self.0.saturating_record(micros);
        }
    }

    /// Counts what another one counted.
    pub fn add(&mut self, other: &Self) {
        for step in other.0.iter_recorded() {
            let (value, count) = (step.value_iterated_to(), step.count_at_value());
            if self.0.record_n(value, count).is_err() {
                self.0.saturating_record_n(value, count);
            }
        }
    }

    /// The interchange form that [`decode`](Self::decode) and other tools read: version 2 with
    /// DEFLATE, in base64.
    ///
    /// # Errors
    /// It cannot be written, which only a histogram beyond what memory holds would be.
    pub fn encode(&self) -> Result<String, String> {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.0, &mut bytes);
        written.map_err(|error| format!("no histogram: {error}"))?;
        Ok(BASE64.encode(&bytes))
    }

    /// The cumulative distribution: lengths of time, ascending, each with the share (0.0 to 1.0) of
    /// all that were not longer.
    pub fn curve(&self) -> Vec<(Duration, f64)> {
        let step = |step: hdrhistogram::iterators::IterationValue<u64>| {
            (Duration::from_micros(step.value_iterated_to()), step.quantile())
        };
        self.0.iter_recorded().map(step).collect()
    }

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

    #[test]
    fn what_is_recorded_comes_back_from_its_interchange_form() {
        let (mut some, mut more) = (Latency::new(), Latency::new());
        (1..=500).for_each(|n| some.record(Duration::from_micros(n * 100)));
        (501..=1000).for_each(|n| more.record(Duration::from_micros(n * 100)));
        some.add(&more);
        let back = Latency::decode(&some.encode().unwrap()).unwrap();
        assert_eq!((back.count(), back.at(50.0), back.max()), (1000, some.at(50.0), some.max()));
        assert!((some.at(99.0).as_secs_f64() / 0.099 - 1.0).abs() < 0.002);
        let curve = some.curve();
        assert!(curve.is_sorted() && curve.last().is_some_and(|(_, share)| *share == 1.0));
        assert_eq!(Latency::decode(&Latency::new().encode().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn even_the_longest_is_counted() {
        let mut latency = Latency::new();
        [Duration::ZERO, Duration::MAX].into_iter().for_each(|length| latency.record(length));
        assert_eq!(latency.count(), 2);
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
