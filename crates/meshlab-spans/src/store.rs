//! The span store: what arrived, by name and node, and waits for more.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meshlab_model::{NodeId, RunTime, SpanRecord};
use meshlab_mutants::{Mutant, on};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    IncomingSpan, LogLine, LogSink, RunClock, Selector, Translate,
    decode::{self, Arriving},
    id::Id,
    translate::{saying, spoken},
};

mod flood;
mod kept;
mod live;
mod metrics;

use flood::Allowance;
pub use flood::SPANS_A_SECOND_MAX;
use kept::{Kept, Pairs, Place};
use live::Live;

/// Memory for spans. Two hundred bytes a span, as nodes mostly say the same again: four minutes of
/// 18 nodes with 500 spans a second, and hours where they are quiet.
const BYTES_MAX: usize = 24 << 20;

/// Under a flood of spans a wait asks at most this often; an answer is late by no more than it. A
/// fifth of it, measured with 100 waits, takes a tenth of the spans and nothing off the p99.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Ancestors of a span that are looked at.
const ANCESTORS_MAX: usize = 100;

/// Where order does not matter.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

type Sink = Box<dyn Fn(&SpanRecord) + Send + Sync>;

/// Everything that arrived. Cheap to clone.
#[derive(Clone)]
pub struct SpanStore {
    shared: Arc<Shared>,
}

struct Shared {
    clock: RunClock,
    capacity: usize,
    inner: Mutex<Inner>,
    /// The latest value of each metric.
    metrics: Mutex<metrics::Metrics>,
    log_sink: Mutex<Option<LogSink>>,
    allowances: Mutex<BTreeMap<NodeId, Allowance>>,
    /// Spans a second that a node may send.
    rate: u64,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    /// Spans in order of arrival. The first one has place `evicted`.
    spans: VecDeque<Kept>,
    /// What they take, in bytes.
    bytes: usize,
    /// Attributes that spans share.
    pairs: Pairs,
    evicted: u64,
    /// What arrived before this moment never was in memory.
    began: RunTime,
    last_seq: u64,
    /// Places of spans, by name and sender.
    index: Map<Arc<str>, Map<NodeId, VecDeque<u64>>>,
    received: BTreeMap<NodeId, u64>,
    counters: BTreeMap<NodeId, ReceiverCounters>,
    sink: Option<Sink>,
    /// Nodes whose spans have other names; an entry goes with a node's place.
    translations: BTreeMap<NodeId, Translate>,
    live: Live,
}

/// A span that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The span.
    pub record: SpanRecord,
    /// When it counts as having happened: its end by the node's clock where that can be believed,
    /// else its arrival.
    pub happened: RunTime,
}

/// What came through one node's doors besides good spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiverCounters {
    /// Requests that were no OTLP, or broken.
    pub malformed: u64,
    /// Requests over a size limit.
    pub too_large: u64,
    /// Requests for anything that is not kept, or in an encoding that is not read.
    pub ignored: u64,
    /// Spans and metrics whose name or attributes were cut to their limit.
    pub truncated: u64,
    /// Metrics of a kind that is not kept (histograms, for example), or without a number.
    pub metrics_unknown: u64,
    /// Values of metrics over a limit: too many in a request, or too many names of the node.
    pub metrics_refused: u64,
    /// Connections refused because too many were open.
    pub refused: u64,
    /// Spans refused because the node sent more than a node may.
    pub flooded: u64,
    /// What was wrong with the first malformed request.
    pub first_problem: Option<String>,
}

impl SpanStore {
    /// A store that keeps `capacity` spans in memory, or as many as fit in 24 MiB; older ones are
    /// evicted and counted.
    pub fn new(clock: RunClock, capacity: usize) -> Self {
        Self::with_rate(clock, capacity, SPANS_A_SECOND_MAX)
    }

    /// The same where a node may send so many spans a second in the long run.
    pub fn with_rate(clock: RunClock, capacity: usize, rate: u64) -> Self {
        let shared = Shared {
            clock,
            capacity: capacity.max(1),
            inner: Mutex::default(),
            metrics: Mutex::default(),
            log_sink: Mutex::default(),
            allowances: Mutex::default(),
            rate,
            version: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Goes on after `last_seq` spans of the same run, which came before `began` and are only in
    /// its record.
    pub fn go_on(&self, began: RunTime, last_seq: u64) {
        let mut inner = self.lock();
        (inner.began, inner.last_seq) = (began, last_seq);
    }

    /// What arrived before this moment never was in memory: the run was gone on with then. Zero
    /// for a run in one part.
    pub fn began(&self) -> RunTime {
        self.lock().began
    }

    /// Hands every span that arrives from now on to `sink`, in order, while the store is locked:
    /// the sink must not ask the store anything.
    pub fn set_sink(&self, sink: Sink) {
        self.lock().sink = Some(sink);
    }

    /// Has the spans of a node that arrive from now on say what they say in other names.
    pub fn translate(&self, node: &NodeId, translate: Translate) {
        self.lock().translations.insert(node.clone(), translate);
    }

    /// Takes the spans of a node as they are from now on.
    pub fn stop_translating(&self, node: &NodeId) {
        self.lock().translations.remove(node);
    }

    /// Hands every line of a log that arrives from now on to `sink`. None is kept here.
    pub fn set_log_sink(&self, sink: LogSink) {
        *self.shared.log_sink.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
    }

    /// Takes in lines of one node's log.
    pub(crate) fn add_logs(&self, node: &NodeId, (lines, truncated): (Vec<LogLine>, u64)) {
        if truncated > 0 {
            self.note(node, |counters| counters.truncated += truncated);
        }
        let sink = self.shared.log_sink.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &*sink {
            sink(node, &lines);
        }
    }

    /// Takes in spans of one node.
    pub fn add(&self, node: &NodeId, spans: Vec<IncomingSpan>) {
        self.add_batch(node, |batch| spans.iter().for_each(|span| batch.add(&mut span.arriving())));
    }

    /// Takes in the spans of a request, which was found sound by [`crate::scan::parts`].
    pub(crate) fn add_request(&self, node: &NodeId, request: &[u8]) {
        self.add_batch(node, |batch| decode::spans(request, |span| batch.add(span)));
    }

    fn add_batch(&self, node: &NodeId, fill: impl FnOnce(&mut Batch<'_>)) {
        let mut inner = self.lock();
        let arrived = self.shared.clock.now();
        let mut batch = Batch {
            inner: &mut inner,
            shared: &self.shared,
            node: Arc::new(node.clone()),
            arrived,
            spans: 0,
            cut: 0,
        };
        fill(&mut batch);
        let (spans, cut) = (batch.spans, batch.cut);
        if spans == 0 {
            return;
        }
        *inner.received.entry(node.clone()).or_default() += spans;
        if cut > 0 {
            inner.counters.entry(node.clone()).or_default().truncated += cut;
        }
        inner.live.sweep(arrived);
        drop(inner);
        self.shared.version.send_modify(|version| *version += 1);
    }

    /// Matching spans by node; nodes without any are absent.
    pub fn count_by_node(&self, selector: &Selector) -> BTreeMap<NodeId, u64> {
        let mut inner = self.lock();
        let times = if on(Mutant::SpanTwice) { 2 } else { 1 };
        let now = self.shared.clock.now();
        if let Some(counts) = inner.live.counts(selector, now) {
            return counts;
        }
        let counts = inner
            .places(selector)
            .map(|(node, places)| {
                (node.clone(), inner.all(selector, places).count() as u64 * times)
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        inner.live.follow(selector, &counts, now);
        counts
    }

    /// Matching spans.
    pub fn count(&self, selector: &Selector) -> u64 {
        self.count_by_node(selector).values().sum()
    }

    /// The newest matching spans, at most `limit`, the newest last.
    pub fn find(&self, selector: &Selector, limit: usize) -> Vec<SpanRecord> {
        let inner = self.lock();
        let mut found: Vec<&Kept> =
            inner.places(selector).flat_map(|(_, places)| inner.all(selector, places)).collect();
        found.sort_by_key(|kept| kept.seq);
        let skip = found.len().saturating_sub(limit);
        found.into_iter().skip(skip).map(Kept::record).collect()
    }

    /// Matching spans that arrived after the one with number `seq`, in order of arrival: what is
    /// new to somebody who has seen all up to there.
    pub fn after(&self, selector: &Selector, seq: u64) -> Vec<Found> {
        let inner = self.lock();
        let mut found: Vec<Found> = Vec::new();
        for (_, places) in inner.places(selector) {
            let first = places.partition_point(|place| inner.seq(*place).is_some_and(|s| s <= seq));
            let new = inner.matching(selector, places.range(first..));
            found.extend(new.map(|kept| Found { record: kept.record(), happened: kept.happened }));
        }
        found.sort_by_key(|found| found.record.seq);
        found
    }

    /// The number of the oldest span that is in memory; `None` without any.
    pub fn oldest_seq(&self) -> Option<u64> {
        self.lock().spans.front().map(|kept| kept.seq)
    }

    /// The number of the span that arrived last; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.lock().last_seq
    }

    /// The newest matching span.
    pub fn last(&self, selector: &Selector) -> Option<SpanRecord> {
        self.find(selector, 1).pop()
    }

    /// Spans that came from a node, evicted ones included.
    pub fn received(&self, node: &NodeId) -> u64 {
        self.lock().received.get(node).copied().unwrap_or(0)
    }

    /// Spans that are no longer in memory. A count that reaches back behind them is too low.
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    /// Whether everything that happened from `since` on is still in memory. Where it is not, that
    /// nothing matches proves nothing.
    pub fn is_whole_since(&self, since: RunTime) -> bool {
        let inner = self.lock();
        // Spans are evicted in order of arrival, and none arrives before it happened.
        let oldest = inner.spans.front().map(|kept| kept.arrived);
        since >= inner.began && (inner.evicted == 0 || oldest.is_some_and(|oldest| oldest < since))
    }

    /// Names that are in memory, with how often.
    pub fn names(&self) -> BTreeMap<String, u64> {
        let inner = self.lock();
        let count = |nodes: &Map<NodeId, VecDeque<u64>>| {
            nodes.values().map(|places| places.len() as u64).sum()
        };
        inner.index.iter().map(|(name, nodes)| (name.to_string(), count(nodes))).collect()
    }

    /// What else came through a node's doors.
    pub fn problems(&self, node: &NodeId) -> ReceiverCounters {
        self.lock().counters.get(node).cloned().unwrap_or_default()
    }

    /// The same for every node that something else than good spans came from.
    pub fn all_problems(&self) -> BTreeMap<NodeId, ReceiverCounters> {
        self.lock().counters.clone()
    }

    pub(crate) fn note(&self, node: &NodeId, change: impl FnOnce(&mut ReceiverCounters)) {
        change(self.lock().counters.entry(node.clone()).or_default());
    }

    /// A number that moves whenever spans or metrics arrive.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// Waits until `check` has an answer, or the deadline passes (then `None`). Asks first, so what
    /// arrived before counts; asks once more at the deadline, so what arrived just now counts too.
    pub async fn wait_for<T>(
        &self,
        deadline: Instant,
        mut check: impl FnMut(&Self) -> Option<T>,
    ) -> Option<T> {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            if let Some(answer) = check(self) {
                return Some(answer);
            }
            let asked = Instant::now();
            if asked >= deadline {
                return None;
            }
            // Besides new spans, what `check` looks at may change by itself, for example a node
            // that dies: ask again a few times a second.
            let again = deadline.min(asked + Duration::from_millis(250));
            let _ = timeout_at(again, changes.changed()).await;
            sleep_until(deadline.min(asked + ASK_EVERY)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before anything in it can panic, but for the sink.
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spans that come at once, from one node.
struct Batch<'a> {
    inner: &'a mut Inner,
    shared: &'a Shared,
    node: Arc<NodeId>,
    arrived: RunTime,
    spans: u64,
    /// Those that were cut to a limit.
    cut: u64,
}

impl Batch<'_> {
    fn add(&mut self, span: &mut Arriving<'_>) {
        match self.inner.translations.get(&*self.node).cloned() {
            None => self.keep(span),
            Some(translate) => {
                let spoken = spoken(span, &translate);
                self.keep(&mut saying(span, &spoken));
            }
        }
    }

    fn keep(&mut self, span: &mut Arriving<'_>) {
        let Self { inner, shared, node, arrived, .. } = self;
        self.spans += 1;
        self.cut += u64::from(span.cut);
        if on(Mutant::StoreLoses) && self.spans.is_multiple_of(3) {
            return;
        }
        inner.last_seq += 1;
        let place = Place {
            seq: inner.last_seq,
            arrived: *arrived,
            happened: shared.clock.effective(*arrived, span.end_unix_nanos),
            node: Arc::clone(node),
            name: inner.enter(span.name, node),
        };
        let kept = Kept::new(span, place, &mut inner.pairs);
        inner.bytes += kept.bytes;
        inner.live.came(&kept);
        inner.spans.push_back(kept);
        if let (Some(sink), Some(kept)) = (&inner.sink, inner.spans.back()) {
            sink(&kept.record());
        }
        // The newest one stays, however large it is.
        while inner.spans.len() > shared.capacity
            || (inner.bytes > BYTES_MAX && inner.spans.len() > 1)
        {
            inner.evict();
        }
    }
}

impl Inner {
    /// Enters the span that comes next in the index. Its name, shared with those before.
    fn enter(&mut self, name: &str, node: &NodeId) -> Arc<str> {
        let place = self.evicted + self.spans.len() as u64;
        // Names are few; the key is made only when one comes for the first time.
        let known = self.index.get_key_value(name);
        let name = known.map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name));
        let nodes = self.index.entry(Arc::clone(&name)).or_default();
        match nodes.get_mut(node) {
            Some(places) => places.push_back(place),
            None => {
                nodes.insert(node.clone(), VecDeque::from([place]));
            }
        }
        name
    }

    fn evict(&mut self) {
        let Some(oldest) = self.spans.pop_front() else { return };
        self.evicted += 1;
        self.bytes -= oldest.bytes;
        self.live.went(&oldest);
        if let Some(nodes) = self.index.get_mut(&oldest.name) {
            let mut last = false;
            if let Some(places) = nodes.get_mut(&*oldest.node) {
                places.pop_front();
                last = places.is_empty();
            }
            if last {
                nodes.remove(&*oldest.node);
            }
            if nodes.is_empty() {
                self.index.remove(&oldest.name);
            }
        }
    }

    fn places<'a>(
        &'a self,
        selector: &'a Selector,
    ) -> impl Iterator<Item = (&'a NodeId, &'a VecDeque<u64>)> {
        self.index.get(selector.name.as_str()).into_iter().flatten().filter(|(node, _)| {
            on(Mutant::SenderUnseen)
                || selector.nodes.as_ref().is_none_or(|nodes| nodes.contains(*node))
        })
    }

    fn kept(&self, place: u64) -> Option<&Kept> {
        self.spans.get(usize::try_from(place.checked_sub(self.evicted)?).ok()?)
    }

    fn seq(&self, place: u64) -> Option<u64> {
        self.kept(place).map(|kept| kept.seq)
    }

    /// All that match among those of one name and node.
    fn all<'a>(
        &'a self,
        selector: &'a Selector,
        places: &'a VecDeque<u64>,
    ) -> impl Iterator<Item = &'a Kept> {
        // Arrivals are in order, and nothing arrives before it happened: what arrived before
        // `since` cannot match, and is skipped by halving.
        let early =
            |place: &u64| self.kept(*place).is_some_and(|kept| kept.arrived < since(selector));
        self.matching(selector, places.range(places.partition_point(early)..))
    }

    fn matching<'a>(
        &'a self,
        selector: &'a Selector,
        places: impl Iterator<Item = &'a u64> + 'a,
    ) -> impl Iterator<Item = &'a Kept> {
        let above = selector.under.as_ref().map(|name| self.family(name));
        places
            .filter_map(|place| self.kept(*place))
            .filter(|kept| kept.happened >= since(selector))
            .filter(|kept| selector.matches(|name| kept.attribute(name)))
            .filter(move |kept| above.as_ref().is_none_or(|above| above.has_above(kept)))
    }

    /// The spans of all traces in which one of that name is.
    fn family(&self, name: &str) -> Family<'_> {
        let places = self.index.get(name).into_iter().flatten().flat_map(|(_, places)| places);
        let named: Vec<&Kept> = places.filter_map(|place| self.kept(*place)).collect();
        let traces: BTreeSet<&Id> = named.iter().map(|span| &span.trace).collect();
        let parents = self
            .spans
            .iter()
            .filter(|span| traces.contains(&span.trace))
            .map(|span| (id(span), &span.parent))
            .collect();
        Family { named: named.into_iter().map(id).collect(), parents }
    }
}

/// From when on spans count.
fn since(selector: &Selector) -> RunTime {
    if on(Mutant::OldEvidence) { RunTime::ZERO } else { selector.since }
}

/// Trace and span: the latter alone is unique only within the former.
fn id(span: &Kept) -> (&Id, &Id) {
    (&span.trace, &span.span)
}

/// Who is whose parent, in the traces that matter.
struct Family<'a> {
    named: BTreeSet<(&'a Id, &'a Id)>,
    parents: BTreeMap<(&'a Id, &'a Id), &'a Id>,
}

impl Family<'_> {
    /// Whether one of the named is above a span.
    fn has_above(&self, span: &Kept) -> bool {
        let mut above = (&span.trace, &span.parent);
        // A node's word: it may claim to be its own grandmother.
        for _ in 0..=ANCESTORS_MAX {
            if self.named.contains(&above) {
                return true;
            }
            match self.parents.get(&above) {
                Some(parent) if **parent != Id::None => above.1 = parent,
                _ => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000_000_000;

    fn store(capacity: usize) -> SpanStore {
        let clock = RunClock { started: std::time::Instant::now(), started_unix_nanos: START };
        SpanStore::new(clock, capacity)
    }

    fn span(name: &str, peer: &str) -> IncomingSpan {
        IncomingSpan {
            name: name.into(),
            trace_id: "t".into(),
            span_id: "s".into(),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes: BTreeMap::from([("peer".to_owned(), peer.into())]),
        }
    }

    fn all(name: &str) -> Selector {
        Selector::named(name)
    }

    #[test]
    fn counts_are_by_name_node_and_attribute() {
        let store = store(100);
        let (a, b) = (NodeId::from("a"), NodeId::from("b"));
        store.add(&a, vec![span("x", "1"), span("x", "2"), span("y", "1")]);
        store.add(&b, vec![span("x", "1")]);
        assert_eq!(
            store.count_by_node(&all("x")),
            BTreeMap::from([(a.clone(), 2), (b.clone(), 1)])
        );
        let only = all("x").with("peer", "1").of(&a);
        assert_eq!(store.count(&only), 1);
        assert_eq!((store.received(&a), store.received(&b)), (3, 1));
        assert_eq!(store.count(&all("z")), 0);
        assert_eq!(store.last(&all("x")).unwrap().node, b);
    }

    #[test]
    fn what_is_new_comes_once_and_in_order_of_arrival() {
        let store = store(4);
        let (a, b) = (NodeId::from("a"), NodeId::from("b"));
        store.add(&b, vec![span("x", "1")]);
        store.add(&a, vec![span("x", "2"), span("y", "3")]);
        let peers = |seq| -> Vec<String> {
            let new = store.after(&all("x"), seq);
            new.iter().map(|found| found.record.attributes["peer"].to_string()).collect()
        };
        assert_eq!(peers(0), ["\"1\"", "\"2\""]);
        let seen = store.last_seq();
        assert!(peers(seen).is_empty());
        store.add(&b, vec![span("x", "4"), span("x", "5")]);
        assert_eq!(peers(seen), ["\"4\"", "\"5\""]);
        assert_eq!(peers(0), ["\"2\"", "\"4\"", "\"5\""], "the first was evicted");
    }

    #[test]
    fn a_span_is_under_each_of_its_ancestors_and_under_no_other() {
        let store = store(10);
        let tree = |name: &str, id: &str, parent: &str| {
            let mut span = span(name, "1");
            (span.span_id, span.parent_id) = (id.to_owned(), parent.to_owned());
            span
        };
        let mut elsewhere = tree("leaf", "e", "a");
        elsewhere.trace_id = "other".to_owned();
        let node = NodeId::from("a");
        // Children end first.
        let spans =
            [("leaf", "c", "b"), ("middle", "b", "a"), ("root", "a", ""), ("leaf", "d", "")];
        store.add(&node, spans.iter().map(|(name, id, up)| tree(name, id, up)).collect());
        store.add(&node, vec![elsewhere, tree("leaf", "f", "g"), tree("loop", "g", "f")]);
        let under = |name: &str| {
            let leaves = Selector { under: Some(name.to_owned()), ..all("leaf") };
            store.find(&leaves, 9).into_iter().map(|span| span.span_id).collect::<Vec<_>>()
        };
        assert_eq!(under("root"), ["c"]);
        assert_eq!(under("middle"), ["c"]);
        assert_eq!(under("loop"), ["f"], "a circle ends the search");
        assert_eq!(under("nothing"), [""; 0]);
    }

    #[test]
    fn an_old_span_that_comes_late_does_not_satisfy_a_new_claim() {
        let store = store(100);
        let node = NodeId::from("a");
        while store.shared.clock.now().micros < 3_000 {
            std::hint::spin_loop();
        }
        let mut late = span("x", "1");
        late.end_unix_nanos = START + 1_000_000;
        store.add(&node, vec![late]);
        let mut claim = all("x");
        claim.since = RunTime { micros: 2_000 };
        assert_eq!(store.count(&claim), 0, "it ended before the claim began");
        let mut skewed = span("x", "1");
        skewed.end_unix_nanos = START - 1;
        store.add(&node, vec![skewed]);
        assert_eq!(store.count(&claim), 1, "a clock that is off is not believed");
    }

    #[test]
    fn what_is_evicted_is_counted_and_the_index_follows() {
        let store = store(3);
        let node = NodeId::from("a");
        for peer in ["1", "2", "3", "4", "5"] {
            store.add(&node, vec![span(if peer == "1" { "first" } else { "x" }, peer)]);
        }
        assert_eq!((store.evicted(), store.count(&all("x")), store.received(&node)), (2, 3, 5));
        assert_eq!(store.names(), BTreeMap::from([("x".to_owned(), 3)]));
        assert!(!store.is_whole_since(RunTime::ZERO), "two are gone");
        let later = RunTime { micros: store.last(&all("x")).unwrap().arrived.micros + 1 };
        assert!(store.is_whole_since(later), "what is gone came before");
    }

    #[test]
    fn what_spans_take_has_a_bound_in_bytes() {
        let store = store(usize::MAX);
        let node = NodeId::from("a");
        for _ in 0..40 {
            store.add(&node, vec![span("x", &"y".repeat(1 << 20))]);
        }
        assert_eq!((store.evicted(), store.count(&all("x"))), (17, 23));
        assert!(!store.is_whole_since(RunTime::ZERO));
        store.add(&node, vec![span("x", &"y".repeat(BYTES_MAX))]);
        assert_eq!(store.count(&all("x")), 1, "the newest one stays");
        store.add(&node, (0..1000).map(|_| span("z", "1")).collect());
        assert_eq!(store.count(&all("z")), 1000);
        let inner = store.lock();
        assert_eq!(inner.bytes, inner.spans.iter().map(|kept| kept.bytes).sum::<usize>());
    }

    #[tokio::test]
    async fn a_wait_sees_the_past_and_the_future() {
        let store = store(100);
        let node = NodeId::from("a");
        store.add(&node, vec![span("x", "1")]);
        let long = Instant::now() + Duration::from_secs(30);
        let enough =
            |wanted| move |store: &SpanStore| (store.count(&all("x")) >= wanted).then_some(());
        assert_eq!(store.wait_for(long, enough(1)).await, Some(()));
        let later = store.clone();
        let adding = tokio::spawn(async move {
            tokio::task::yield_now().await;
            later.add(&NodeId::from("a"), vec![span("x", "2")]);
        });
        assert_eq!(store.wait_for(long, enough(2)).await, Some(()));
        adding.await.unwrap();
        let soon = Instant::now() + Duration::from_millis(30);
        assert_eq!(store.wait_for(soon, enough(3)).await, None);
    }

    #[test]
    fn the_sink_hears_every_span_in_order() {
        let store = store(1);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        store.set_sink(Box::new(move |span| sink.lock().unwrap().push(span.seq)));
        store.add(&"a".into(), vec![span("x", "1"), span("x", "2")]);
        store.add(&"b".into(), vec![span("x", "3")]);
        assert_eq!(*heard.lock().unwrap(), [1, 2, 3]);
    }
}
