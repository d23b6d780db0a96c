//! The most that a node may use, at any sample.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{NodeId, Resource, RunTime, Sample, Verdict, format_duration};

use super::value;

/// Sample periods without a sample after which one is missing. The harness's own delays are
/// shorter, also on a host that is busy.
const GAP_PERIODS: u32 = 10;
/// The least of such a gap.
const GAP_MIN: Duration = Duration::from_secs(10);

/// How far above a ceiling on CPU a sample on a noisy host has to be to be red all the same. Two
/// threads that share a core each get about half of it, so its work takes at most about twice the
/// CPU time; what is above that is the node's own doing.
const NOISE_FACTOR: f64 = 2.0;

/// A sample above a ceiling.
#[derive(Debug, PartialEq)]
pub(super) struct Above {
    /// What was above what.
    pub(super) why: String,
    /// Whether a noisy host may be the cause.
    pub(super) may_be_noise: bool,
}

/// A ceiling, and what was held against it.
#[derive(Debug)]
pub(super) struct Ceiling {
    resource: Resource,
    limit: f64,
    every: Duration,
    /// The last sample of each node: its time and its process.
    last: BTreeMap<NodeId, (RunTime, u32)>,
    seen: u64,
    highest: Option<(f64, NodeId, RunTime)>,
    /// Why some of it is not known.
    missing: Vec<String>,
    /// The first sample above it that a noisy host may have caused, and how noisy it was.
    disturbed: Option<String>,
    /// Nodes that ran and should have been sampled, and were not.
    unseen: Vec<String>,
}

impl Ceiling {
    pub(super) fn new(resource: Resource, limit: f64, every: Duration) -> Self {
        let (last, missing, unseen) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (seen, highest, disturbed) = (0, None, None);
        Self { resource, limit, every, last, seen, highest, missing, disturbed, unseen }
    }

    pub(super) fn resource(&self) -> Resource {
        self.resource
    }

    /// Whether a sample was above it that a noisy host may have caused.
    pub(super) fn is_disturbed(&self) -> bool {
        self.disturbed.is_some()
    }

    /// Keeps the first of those for the end.
    pub(super) fn disturb(&mut self, why: String) {
        self.disturbed.get_or_insert(why);
    }

    fn gap_max(&self) -> Duration {
        GAP_MIN.max(self.every * GAP_PERIODS)
    }

    /// Holds a sample against it; why it is broken, if it is.
    pub(super) fn look(&mut self, node: &NodeId, sample: &Sample) -> Option<Above> {
        let before = self.last.insert(node.clone(), (sample.at, sample.pid));
        if let Some((then, _)) = before.filter(|(_, pid)| *pid == sample.pid) {
            let gap = sample.at.since(then);
            // A few tell as much as all of them.
            if gap > self.gap_max() && self.missing.len() < 3 {
                let (gap, every) = (format_duration(gap), format_duration(self.every));
                self.missing.push(format!(
                    "no sample of {node} for {gap} after {then}, one is \
                    due each {every}"
                ));
            }
        }
        let value = value(sample, self.resource)?;
        let (resource, at) = (self.resource, sample.at);
        if !value.is_finite() {
            let why = format!("{resource} of {node} is no number at {at}");
            return Some(Above { why, may_be_noise: false });
        }
        self.seen += 1;
        if self.highest.as_ref().is_none_or(|(highest, ..)| value > *highest) {
            self.highest = Some((value, node.clone(), at));
        }
        (value > self.limit).then(|| {
            let may_be_noise = resource == Resource::Cpu && value <= self.limit * NOISE_FACTOR;
            let (value, limit) = (resource.amount(value), resource.amount(self.limit));
            let why =
                format!("{resource} of {node} was {value} at {at}, at most {limit} is allowed");
            Above { why, may_be_noise }
        })
    }

    /// A node has been running for this long, and is about to be ended.
    pub(super) fn runs(&mut self, node: &NodeId, length: Duration) {
        if !self.last.contains_key(node) && length > self.gap_max() {
            let length = format_duration(length);
            self.unseen.push(format!("{node} ran for {length} and was never sampled"));
        }
    }

    /// How it came out, if nothing broke it, and what it rests on.
    pub(super) fn close(self) -> (Verdict, Vec<String>) {
        if let Some(unseen) = self.unseen.first() {
            return (Verdict::Failed(unseen.clone()), self.unseen);
        }
        let Some((highest, node, at)) = self.highest else {
            let why = format!(
                "no sample of {} was taken; one is due each {}{}",
                self.resource,
                format_duration(self.every),
                if self.resource == Resource::Cpu { ", and its share takes two" } else { "" }
            );
            return (Verdict::Inconclusive(why), Vec::new());
        };
        let note = format!(
            "highest: {} of {node} at {at}, in {} samples of {} nodes",
            self.resource.amount(highest),
            self.seen,
            self.last.len()
        );
        if let Some(disturbed) = self.disturbed {
            return (Verdict::Inconclusive(disturbed), vec![note]);
        }
        match self.missing.first() {
            Some(missing) => {
                let notes = [note].into_iter().chain(self.missing.clone()).collect();
                (Verdict::Inconclusive(missing.clone()), notes)
            }
            None => (Verdict::Passed, vec![note]),
        }
    }
}
