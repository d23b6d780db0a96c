//! Packets in flight: in the order in which they arrive, in buffers that are used again.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, HashMap},
};

use crate::clock::Nanos;

/// Buffers that are kept for the next packets; each holds one of an Ethernet's size.
const POOL_MAX: usize = 1024;
const POOLED_BYTES_MAX: usize = 2048;

/// A packet that arrives later.
#[derive(Debug)]
pub(super) struct Flying {
    pub(super) due: Nanos,
    /// The order of those that arrive at once: that in which they were sent.
    number: u64,
    /// Which link it is on.
    pub(super) link: usize,
    /// When it was sent.
    pub(super) sent: Nanos,
    pub(super) packet: Vec<u8>,
}

impl Ord for Flying {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Flying {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Flying {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flying {}

/// A binary heap by due time: to put in and to take out costs a few steps up or down a tree whose
/// lower levels are seldom touched. With thousands in flight it is a hundred nanoseconds or so,
/// less than a tenth of the system calls that the same packet costs.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Flying>>,
    numbers: u64,
    pool: Vec<Vec<u8>>,
}

impl Queue {
    pub(super) fn push(&mut self, link: usize, packet: &[u8], sent: Nanos, due: Nanos) {
        let mut buffer = self.pool.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        let number = self.numbers;
        self.numbers += 1;
        self.heap.push(Reverse(Flying { due, number, link, sent, packet: buffer }));
    }

    /// When the next packet arrives.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.heap.peek().map(|Reverse(first)| first.due)
    }

    /// The next packet that has arrived by now.
    pub(super) fn pop_due(&mut self, now: Nanos) -> Option<Flying> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(first)| first)
    }

    /// Takes out packets that do not arrive any more, in the order in which they would have.
    pub(super) fn take(&mut self, mut which: impl FnMut(&Flying) -> bool) -> Vec<Flying> {
        let all = std::mem::take(&mut self.heap).into_vec();
        let (mut taken, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| which(&one.0));
        self.heap = rest.into();
        taken.sort_by(|a, b| a.0.cmp(&b.0));
        taken.into_iter().map(|Reverse(one)| one).collect()
    }

    /// Has packets arrive earlier. `latest` says when at the latest those on a link do.
    pub(super) fn bring_forward(&mut self, latest: &HashMap<usize, Nanos>) {
        let mut all = std::mem::take(&mut self.heap).into_vec();
        for Reverse(flying) in &mut all {
            if let Some(latest) = latest.get(&flying.link) {
                flying.due = flying.due.min(*latest);
            }
        }
        self.heap = all.into();
    }

    /// Takes a buffer back.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        if self.pool.len() < POOL_MAX && buffer.capacity() <= POOLED_BYTES_MAX {
            self.pool.push(buffer);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packets_leave_in_the_order_of_their_time_and_of_their_sending(
            due in proptest::collection::vec(0..50_u64, 0..200),
            until in 0..60_u64,
            dropped in 0..5_usize,
        ) {
            let mut queue = Queue::default();
            for (number, due) in due.iter().enumerate() {
                queue.push(number % 5, &number.to_be_bytes(), 0, *due);
            }
            let taken = queue.take(|one| one.link == dropped);
            prop_assert!(taken.is_sorted());
            let mut expected: Vec<(u64, usize)> =
                due.iter().enumerate().map(|(number, due)| (*due, number)).collect();
            expected.sort_unstable();
            expected.retain(|(due, number)| *due <= until && number % 5 != dropped);
            let mut left = Vec::new();
            while let Some(one) = queue.pop_due(until) {
                left.push((one.due, usize::from_be_bytes(one.packet[..].try_into().unwrap())));
                queue.recycle(one.packet);
            }
            prop_assert_eq!(&left, &expected);
            prop_assert_eq!(queue.len() + taken.len() + left.len(), due.len());
            prop_assert!(queue.next_due().is_none_or(|due| due > until));
        }
    }
}
