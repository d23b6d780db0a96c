//! The last packets, in memory.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::Record;
use crate::{
    clock::{Nanos, nanos},
    link::InvalidSetting,
};

/// What a packet costs beside its bytes and its comment: the record, its counter, its place here.
const OVERHEAD_BYTES: usize = 128;
/// Most that may be kept in memory.
const BYTES_MAX: u64 = 4 << 30;

/// How much is kept of what crossed last: the seconds around a fault that was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentSettings {
    /// Memory for it, in bytes; more than zero, at most 4 GiB. Each packet is there up to twice,
    /// as it was sent and as it arrived, with about 130 bytes for what the switch did.
    pub bytes: u64,
    /// What is older is forgotten; more than zero.
    pub age: Duration,
}

impl RecentSettings {
    pub(crate) fn check(&self) -> Result<(), InvalidSetting> {
        let problem = "keeps nothing or too much, give 1 byte to 4 GiB and more than 0 s";
        if self.bytes == 0 || self.bytes > BYTES_MAX || self.age.is_zero() {
            let got = format!("{} bytes, {:?}", self.bytes, self.age);
            return Err(InvalidSetting::new("ring of recent packets", got, problem));
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Ring {
    bytes_max: usize,
    age_max: Nanos,
    bytes: usize,
    records: VecDeque<Arc<Record>>,
}

impl Ring {
    pub(super) fn new(settings: RecentSettings) -> Self {
        Self {
            bytes_max: usize::try_from(settings.bytes).unwrap_or(usize::MAX),
            age_max: nanos(settings.age),
            bytes: 0,
            records: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, record: Arc<Record>) {
        let oldest = record.at.saturating_sub(self.age_max);
        self.bytes += cost(&record);
        self.records.push_back(record);
        while let Some(first) = self.records.front() {
            if self.bytes <= self.bytes_max && first.at >= oldest {
                break;
            }
            self.bytes -= cost(first);
            self.records.pop_front();
        }
    }

    /// What is kept, oldest first. It shares the packets, so this takes little time.
    pub(super) fn records(&self) -> Vec<Arc<Record>> {
        self.records.iter().cloned().collect()
    }
}

fn cost(record: &Record) -> usize {
    record.packet.len() + record.comment.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: Nanos) -> Arc<Record> {
        let node = Arc::new("a".into());
        let packet = vec![0; 72];
        Arc::new(Record { at, node, peer: None, packet, comment: String::new(), outbound: true })
    }

    fn kept(bytes: u64, seconds: u64, stamps: &[Nanos]) -> Vec<Nanos> {
        let age = Duration::from_secs(seconds);
        let mut ring = Ring::new(RecentSettings { bytes, age });
        stamps.iter().for_each(|at| ring.push(record(at * 1_000_000_000)));
        ring.records().iter().map(|record| record.at / 1_000_000_000).collect()
    }

    #[test]
    fn the_last_are_kept_by_bytes_and_by_age() {
        assert_eq!(kept(600, 100, &[1, 2, 3, 4, 5]), [3, 4, 5], "200 bytes each");
        assert_eq!(kept(6000, 10, &[1, 2, 13, 14, 23]), [13, 14, 23]);
        assert_eq!(kept(100, 10, &[1, 2]), [0; 0], "less than one");
    }

    #[test]
    fn a_ring_of_nothing_is_refused() {
        let age = Duration::from_secs(1);
        for bytes in [0, u64::MAX] {
            assert!(RecentSettings { bytes, age }.check().is_err());
        }
        assert!(RecentSettings { bytes: 1, age: Duration::ZERO }.check().is_err());
        assert!(RecentSettings { bytes: 1 << 20, age }.check().is_ok());
    }
}
