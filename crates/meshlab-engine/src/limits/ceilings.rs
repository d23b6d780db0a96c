//! The most that a node may use, or the least that it needs, at any sample.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{Bound, NodeId, Phase, Resource, RunTime, Sample, Verdict, format_duration};

use super::{Counted, value};

/// Sample periods without a sample after which one is missing. The harness's own delays are
/// shorter, also on a host that is busy.
const GAP_PERIODS: u32 = 10;
/// The least of such a gap.
const GAP_MIN: Duration = Duration::from_secs(10);

/// How far above a ceiling on CPU a sample on a noisy host has to be to be red all the same. Two
/// threads that share a core each get about half of it, so its work takes at most about twice the
/// CPU time; what is above that is the node's own doing.
const NOISE_FACTOR: f64 = 2.0;

/// How long a process takes to start: it joins its mesh within some seconds.
const SETTLED: Duration = Duration::from_secs(10);

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
    /// Whether it is the least rather than the most.
    least: bool,
    /// Whose samples it is about, where it is not about all.
    role: Option<String>,
    /// When, where it is not always.
    phase: Option<Phase>,
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
    /// Of a counter, the first sample of each node, until the node says the counter.
    silent: BTreeMap<NodeId, Option<RunTime>>,
}

impl Ceiling {
    pub(super) fn new(resource: Resource, limit: f64, every: Duration) -> Self {
        let (last, missing, unseen) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (seen, highest, disturbed) = (0, None, None);
        let (least, role, phase) = (false, None, None);
        Self {
            resource,
            limit,
            least,
            role,
            phase,
            every,
            last,
            seen,
            highest,
            missing,
            disturbed,
            unseen,
            silent: BTreeMap::new(),
        }
    }

    /// A limit of some nodes, of some of the time, or one that is the least.
    pub(super) fn bound(bound: &Bound, every: Duration) -> Self {
        Self {
            least: bound.least,
            role: bound.role.clone(),
            phase: bound.phase,
            ..Self::new(bound.resource, bound.limit, every)
        }
    }

    /// Whether it is about nodes of this role.
    pub(super) fn is_of(&self, role: &str) -> bool {
        self.role.as_deref().is_none_or(|own| own == role)
    }

    /// Whether it is about samples of this phase, of a process of this age. What starts is below
    /// every floor, and what it costs to start is no part of a phase.
    fn counts(&self, phase: Phase, age: Duration) -> bool {
        let in_phase = self.phase.is_none_or(|own| own == phase);
        in_phase && (age >= SETTLED || (self.phase.is_none() && !self.least))
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

    /// Holds a sample against it, whose process has run for long; why it is broken, if it is.
    #[cfg(test)]
    pub(super) fn look(&mut self, node: &NodeId, sample: &Sample) -> Option<Above> {
        self.look_in(node, sample, &Counted::new(), Phase::Idle, Duration::MAX)
    }

    /// Holds a sample in this phase, of a process of this age, with what it counts itself, against
    /// it; why it is broken, if it is.
    pub(super) fn look_in(
        &mut self,
        node: &NodeId,
        sample: &Sample,
        counted: &Counted,
        phase: Phase,
        age: Duration,
    ) -> Option<Above> {
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
        if !self.counts(phase, age) {
            return None;
        }
        let value = value(sample, counted, self.resource);
        self.listen(node, sample.at, value.is_some());
        let (value, resource, at) = (value?, self.resource, sample.at);
        if !value.is_finite() {
            let why = format!("{resource} of {node} is no number at {at}");
            return Some(Above { why, may_be_noise: false });
        }
        self.seen += 1;
        if self.highest.as_ref().is_none_or(|(highest, ..)| self.is_beyond(value, *highest)) {
            self.highest = Some((value, node.clone(), at));
        }
        self.is_beyond(value, self.limit).then(|| {
            let factor = if self.least { 1.0 / NOISE_FACTOR } else { NOISE_FACTOR };
            let may_be_noise =
                resource == Resource::Cpu && !self.is_beyond(value, self.limit * factor);
            let (value, limit) = (resource.amount(value), resource.amount(self.limit));
            let whose = self.whose(phase);
            let wanted = match self.least {
                true => format!("at least {limit} is needed"),
                false => format!("at most {limit} is allowed"),
            };
            let why = format!("{resource} of {node}{whose} was {value} at {at}, {wanted}");
            Above { why, may_be_noise }
        })
    }

    /// Notes whether a node says what it counts: one that never does was not looked at.
    fn listen(&mut self, node: &NodeId, at: RunTime, says: bool) {
        if !matches!(self.resource, Resource::Counter(_)) {
            return;
        }
        let silent = self.silent.entry(node.clone()).or_insert(Some(at));
        match *silent {
            Some(_) if says => *silent = None,
            Some(since) if at.since(since) > GAP_MIN.max(self.every * GAP_PERIODS) => {
                *silent = None;
                let (name, length) = (self.resource, format_duration(at.since(since)));
                self.missing.push(format!("{node} ran for {length} and never said its `{name}`"));
            }
            _ => {}
        }
    }

    /// Whether one value is worse than another.
    fn is_beyond(&self, value: f64, other: f64) -> bool {
        if self.least { value < other } else { value > other }
    }

    /// The role and the phase that it is about, in brackets.
    fn whose(&self, phase: Phase) -> String {
        let phase = self.phase.map(|_| phase.as_str());
        let all: Vec<&str> = self.role.as_deref().into_iter().chain(phase).collect();
        if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
    }

    /// What must hold, in a sentence.
    pub(super) fn text(&self, whose: &str) -> String {
        let nodes = match &self.role {
            Some(role) => format!("every {role}"),
            None => whose.to_owned(),
        };
        let when = self.phase.map_or("", |phase| match phase {
            Phase::Idle => ", before any fault,",
            Phase::Chaos => ", under faults,",
            Phase::Recovered => ", after the faults,",
        });
        let word = if self.least { "least" } else { "most" };
        let limit = self.resource.amount(self.limit);
        format!("{} of {nodes}{when} is at {word} {limit}", self.resource)
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
            if let Some(role) = self.role.as_ref().filter(|_| self.last.is_empty()) {
                return (Verdict::Failed(format!("no node of the role `{role}` ran")), Vec::new());
            }
            let phase = self.phase.map_or(String::new(), |phase| {
                let settled = format_duration(SETTLED);
                format!(" in the phase `{}`, {settled} after each start", phase.as_str())
            });
            if let Resource::Counter(name) = self.resource {
                let why = format!(
                    "no node counts `{}`{phase}; `node:counters()` has the names that there are",
                    name.as_str()
                );
                return (Verdict::Inconclusive(why), Vec::new());
            }
            let why = format!(
                "no sample of {} was taken{phase}; one is due each {}{}",
                self.resource,
                format_duration(self.every),
                if self.resource == Resource::Cpu { ", and its share takes two" } else { "" }
            );
            return (Verdict::Inconclusive(why), Vec::new());
        };
        let note = format!(
            "{}: {} of {node} at {at}, in {} samples of {} nodes",
            if self.least { "lowest" } else { "highest" },
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
