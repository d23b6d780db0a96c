//! What a page shows of a run: a fold over its events, spans and samples, live and afterwards.
//!
//! Events go through the report's own [`RunView`], so the page and the report say the same. Beside
//! it stands what a page needs and events do not have: who is connected to whom, what a node says
//! of itself, what it uses now. Each thing that is shown has a key and the number of its last
//! change; a page that knows everything up to a number is sent what changed after it, in its newest
//! form. So a page that is slow or slept costs nothing while it does, and never misses the end.

mod alerts;
mod growing;
mod nodes;
mod shown;

use std::collections::{BTreeMap, HashMap};

use meshlab_engine::results::{Filter, RunRecord};
use meshlab_model::{
    ClaimId, CounterSample, FaultId, Manifest, NodeId, Resource, RunEvent, RunEventKind, RunTime,
    Sample, SampleSource, SpanRecord, StepId, TestId,
};
use meshlab_report::RunView;
use meshlab_wire::span;
use serde_json::Value;

use self::{alerts::Alerts, growing::Growing, nodes::NodeLive};
use crate::live::News;

/// Marks of the timeline that are held; a page asks for those of a stretch that it zooms into.
const MARKS_MAX: usize = 20_000;

/// How far back growth is looked at when a page comes to a run that goes on, in microseconds.
const GROWTH_MICROS: u64 = 4 * 3600 * 1_000_000;

/// Spans of one name that are read when a board is made.
const SPANS_OF_NAME: usize = 10_000;

/// Frames that they may be in: a name that is everywhere in four days is not looked for.
const FRAMES_MAX: u64 = 4000;

/// Spans that are told of, and the sign of each on the timeline; 0 for none.
const TOLD: &[(&str, u8)] = &[
    (span::NEIGHBOR_UP, b'u'),
    (span::NEIGHBOR_DOWN, b'd'),
    (span::PEER_CONNECTED, b'c'),
    (span::PEER_RESTARTED, b'r'),
    (span::PEER_DISCONNECTED, b'x'),
    (span::STATE_CHANGED, b's'),
    (span::STATE_INFERRED, b'i'),
    (span::NODE_PAUSED, b'p'),
    (span::PATH_CHANGED, b'v'),
    (span::CROSS_PEER_CONNECTED, b'b'),
    (span::ENDPOINT_CREATED, 0),
    (span::ALPN_REGISTERED, 0),
    (span::GOSSIP_STARTED, 0),
    (span::ACCEPT_LOOP_STARTED, 0),
    (span::SEED_DIALED, 0),
    (span::NODE_READY, 0),
];

/// Whether a page hears of spans with this name.
pub(crate) fn is_told(name: &str) -> bool {
    sign(name).is_some()
}

/// The sign of spans of that name on the timeline, if pages hear of them.
pub(crate) fn sign(name: &str) -> Option<u8> {
    TOLD.iter().find(|(told, _)| *told == name).map(|(_, sign)| *sign)
}

/// Names of spans that are marks of the timeline.
pub(crate) fn marked() -> impl Iterator<Item = &'static str> {
    TOLD.iter().filter(|(_, sign)| *sign != 0).map(|(name, _)| *name)
}

/// Something that a page shows and that changes as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Run,
    Test(TestId),
    Step(StepId),
    Node(NodeId),
    Claim(ClaimId),
    Fault(FaultId),
    Mark(usize),
    Warning(usize),
    Problem(usize),
    Note(usize),
    Hand(usize),
    Traffic(usize),
    Profile(usize),
    Heap(usize),
    Alert(String),
}

/// A mark of the timeline.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) at: RunTime,
    pub(crate) node: NodeId,
    pub(crate) sign: u8,
    /// Whom it is about: a public key, or a state, as the sign has it.
    pub(crate) peer: String,
    pub(crate) state: String,
}

/// Whether a run goes on, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoesOn {
    /// It does not.
    No,
    /// In this process.
    Here,
    /// In another one, which writes the record.
    Elsewhere,
}

/// The fold.
pub(crate) struct Model {
    pub(crate) view: RunView,
    manifest: Manifest,
    /// The most that a node may use, as the scenario declares it.
    ceilings: BTreeMap<Resource, f64>,
    nodes: BTreeMap<NodeId, NodeLive>,
    /// Public keys of nodes.
    keys: HashMap<String, NodeId>,
    marks: Vec<Mark>,
    marks_left_out: u64,
    alerts: Alerts,
    growing: Growing,
    harness: Option<Sample>,
    last_event: u64,
    last_span: u64,
    last_sample: RunTime,
    goes_on: GoesOn,
    /// Whether what is taken in is the record, not news.
    reading: bool,
    /// The number of the last change.
    at: u64,
    changed: HashMap<Key, u64>,
    by_number: BTreeMap<u64, Key>,
}

impl Model {
    /// What the record says so far.
    pub(crate) fn of(
        record: &RunRecord,
        ceilings: BTreeMap<Resource, f64>,
        goes_on: GoesOn,
    ) -> Self {
        let mut model = Self {
            view: RunView::new(&record.manifest.tests),
            manifest: record.manifest.clone(),
            ceilings,
            nodes: BTreeMap::new(),
            keys: HashMap::new(),
            marks: Vec::new(),
            marks_left_out: 0,
            alerts: Alerts::default(),
            growing: Growing::default(),
            harness: None,
            last_event: 0,
            last_span: 0,
            last_sample: RunTime::ZERO,
            goes_on,
            reading: true,
            at: 0,
            changed: HashMap::new(),
            by_number: BTreeMap::new(),
        };
        let tests: Vec<TestId> = model.view.tests.keys().copied().collect();
        tests.into_iter().for_each(|test| model.touch(Key::Test(test)));
        model.read(record);
        model.reading = false;
        model.alert_noise(model.view.last);
        // Damage is told as the report tells it.
        let whole = RunView::of(record);
        for problem in whole.problems.into_iter().skip(model.view.problems.len()) {
            model.view.problems.push(problem);
            model.touch(Key::Problem(model.view.problems.len() - 1));
        }
        model
    }

    fn read(&mut self, record: &RunRecord) {
        let mut spans: Vec<SpanRecord> = Vec::new();
        for (name, sign) in TOLD {
            let named = || record.spans.select(Filter::named(name));
            if record.spans.frames_with(name) > FRAMES_MAX {
                self.marks_left_out += u64::from(*sign != 0);
                continue;
            }
            let before = spans.len();
            spans.extend(named().take(SPANS_OF_NAME));
            if spans.len() - before == SPANS_OF_NAME {
                let counts = record.spans.counts();
                let all: u64 = counts.get(*name).map_or(0, |by| by.values().sum());
                self.marks_left_out += all.saturating_sub(SPANS_OF_NAME as u64);
            }
        }
        spans.sort_by_key(|span| span.seq);
        // As they came: what a node said before it ended must not stand after its end.
        let mut spans = spans.into_iter().peekable();
        for event in &record.events {
            while let Some(span) = spans.next_if(|span| span.arrived <= event.at) {
                self.span(&span);
            }
            self.event(event);
        }
        spans.for_each(|span| self.span(&span));
        // Of what processes use, the newest.
        let last = record.samples.last().map(|(at, _)| at).unwrap_or_default();
        let since = last.micros.saturating_sub(90_000_000);
        let since = Some(RunTime { micros: since });
        // Of a run that goes on, whether something grows is told from its last hours.
        if self.is_live() {
            let from = last.micros.saturating_sub(GROWTH_MICROS);
            let until = since;
            let since = Some(RunTime { micros: from });
            for sample in record.samples.select(Filter { since, until, ..Filter::default() }) {
                if let SampleSource::Node(node) = &sample.of {
                    self.growing.add(node, &sample);
                }
            }
        }
        let recent: Vec<Sample> =
            record.samples.select(Filter { since, ..Filter::default() }).collect();
        self.samples(&recent);
        let recent: Vec<CounterSample> =
            record.counters.select(Filter { since, ..Filter::default() }).collect();
        self.counters(&recent);
        // Live spans are numbered on from the last one that is in the files.
        if self.is_live()
            && let Some((at, _)) = record.spans.last()
        {
            let tail = Filter { since: Some(at), ..Filter::default() };
            let last = record.spans.select(tail).map(|span| span.seq).max();
            self.last_span = self.last_span.max(last.unwrap_or(0));
        }
    }

    /// Takes in what happened.
    pub(crate) fn apply(&mut self, news: &News) {
        match news {
            News::Event(event) => self.event(event),
            News::Span(span) => self.span(span),
            News::Samples(samples) => self.samples(samples),
            News::Counters(samples) => self.counters(samples),
        }
    }

    /// The run goes on no longer.
    pub(crate) fn end(&mut self) {
        self.goes_on = GoesOn::No;
        self.touch(Key::Run);
    }

    /// Whether the run goes on, as far as is known.
    pub(crate) fn is_live(&self) -> bool {
        self.goes_on != GoesOn::No
    }

    /// The number of the last change.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// What changed after that number, in its newest form; `null` for what is no more.
    pub(crate) fn since(&self, at: u64) -> serde_json::Map<String, Value> {
        let keys = self.by_number.range(at + 1..).map(|(_, key)| key);
        keys.map(|key| (shown::name(key), self.shown(key))).collect()
    }

    fn touch(&mut self, key: Key) {
        self.at += 1;
        if let Some(before) = self.changed.insert(key.clone(), self.at) {
            self.by_number.remove(&before);
        }
        self.by_number.insert(self.at, key);
    }

    fn event(&mut self, event: &RunEvent) {
        if event.seq <= self.last_event {
            return;
        }
        self.last_event = event.seq;
        let before = self.lengths();
        self.view.apply(event);
        let after = self.lengths();
        for (place, key) in LISTS.iter().enumerate() {
            (before[place]..after[place]).for_each(|number| self.touch(key(number)));
        }
        self.touch_what(&event.kind);
        self.touch(Key::Run);
        self.alert(event);
    }

    /// How long the lists are that only grow, in the order of [`LISTS`].
    fn lengths(&self) -> [usize; LISTS.len()] {
        let view = &self.view;
        [
            view.warnings.len(),
            view.problems.len(),
            view.notes.len(),
            view.by_hand.len(),
            view.traffic.len(),
            view.profiles.len(),
            view.heaps.len(),
        ]
    }

    fn touch_what(&mut self, kind: &RunEventKind) {
        use RunEventKind as K;
        match kind {
            K::TestStarted { test, .. } | K::TestFinished { test, .. } => {
                self.touch(Key::Test(*test));
            }
            K::StepStarted { step, .. } | K::StepFinished { step } => self.touch(Key::Step(*step)),
            // It spoils the verdict of the test that runs.
            K::ByHand { .. } => {
                let tests: Vec<TestId> = self.view.tests.keys().copied().collect();
                tests.into_iter().for_each(|test| self.touch(Key::Test(test)));
            }
            K::NodeSpawned { node, .. } | K::NodeExited { node, .. } => {
                self.nodes.entry(node.clone()).or_default().forget();
                self.touch(Key::Node(node.clone()));
            }
            K::NodeReady { node, public_key, .. } => {
                self.keys.insert(public_key.clone(), node.clone());
                let know = |live: &NodeLive| live.knows_key(public_key);
                let who: Vec<NodeId> = self
                    .nodes
                    .iter()
                    .filter(|(_, live)| know(live))
                    .map(|(id, _)| id.clone())
                    .collect();
                who.into_iter().for_each(|id| self.touch(Key::Node(id)));
                self.touch(Key::Node(node.clone()));
            }
            K::ClaimStarted { claim, test, .. } => {
                self.touch(Key::Claim(*claim));
                self.touch(Key::Test(*test));
            }
            K::ClaimProgress { claim, .. }
            | K::ClaimFinished { claim, .. }
            | K::ClaimWithdrawn { claim } => {
                self.touch(Key::Claim(*claim));
                let test = self.view.claim(*claim).map(|claim| claim.test);
                test.into_iter().for_each(|test| self.touch(Key::Test(test)));
            }
            K::FaultPlanned { fault, .. }
            | K::FaultReached { fault, .. }
            | K::FaultFinished { fault, .. }
            | K::FaultCaptured { fault, .. } => self.touch(Key::Fault(*fault)),
            _ => {}
        }
    }

    fn samples(&mut self, samples: &[Sample]) {
        for sample in samples {
            if sample.at < self.last_sample {
                continue;
            }
            match &sample.of {
                SampleSource::Harness => {
                    self.harness = Some(sample.clone());
                    self.touch(Key::Run);
                }
                SampleSource::Node(node) => {
                    self.nodes.entry(node.clone()).or_default().sample = Some(sample.clone());
                    self.touch(Key::Node(node.clone()));
                    self.alert_ceilings(node, sample);
                    if self.is_live() {
                        self.growing.add(node, sample);
                    }
                }
            }
        }
        self.last_sample = samples.iter().map(|one| one.at).max().unwrap_or(self.last_sample);
        if self.is_live() {
            self.alert_growth(self.last_sample);
        }
    }

    fn counters(&mut self, samples: &[CounterSample]) {
        for sample in samples {
            let live = self.nodes.entry(sample.node.clone()).or_default();
            live.counted.extend(sample.values.iter().map(|(name, value)| (name.clone(), *value)));
            self.touch(Key::Node(sample.node.clone()));
        }
    }
}

/// Keys of the lists of a view that only grow.
const LISTS: [fn(usize) -> Key; 7] =
    [Key::Warning, Key::Problem, Key::Note, Key::Hand, Key::Traffic, Key::Profile, Key::Heap];

#[cfg(test)]
mod tests;
