//! Each claim held and broken, by spans as nodes would send them.

use std::time::Duration;

use meshlab_model::{NetworkMode::Host as HostNetwork, NodeId, Severity, Verdict};
use meshlab_spans::{Condition, IncomingSpan};

use super::*;
use crate::{
    Claim, Since,
    fixture::{Bench, here},
};

const LONG: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(500);

fn query(name: &str) -> SpanQuery {
    SpanQuery {
        name: name.to_owned(),
        from: None,
        conditions: Vec::new(),
        under: None,
        since: Since::Test,
    }
}

impl Bench {
    /// The verdict on a claim, in words.
    async fn temporal(&self, claim: Temporal) -> String {
        let claimed = self.engine.judge_claim(Claim::Temporal(claim), Severity::Expect, here());
        match claimed.await {
            Ok(outcome) => {
                assert!(outcome.passed);
                "passed".to_owned()
            }
            Err(error) => error.to_string().replace("a claim failed: ", ""),
        }
    }

    fn all_say(&self, spans: &[(&str, &str, &str)]) {
        for (node, name, peer) in spans {
            self.says(node, name, peer, None);
        }
    }
}

fn sequence(each: bool, by: Option<&str>, within: Duration) -> Temporal {
    let steps = ["a", "b", "c"].map(query).to_vec();
    Temporal::Sequence { steps, each, by: by.map(ToOwned::to_owned), within }
}

#[tokio::test]
async fn a_sequence_is_in_order_at_one_node_and_of_one_peer() {
    let bench = Bench::start(HostNetwork, 2).await;
    bench.all_say(&[
        ("node-1", "a", "x"),
        ("node-1", "c", "x"),
        ("node-1", "other", "x"),
        ("node-1", "b", "y"),
        ("node-2", "c", "x"),
    ]);
    let told = bench.temporal(sequence(false, None, SOON)).await;
    let wanted = "0 of 1 nodes showed it: node-1 got as far as `b`, and no `c` came after it; \
                  node-2 sent no `a`";
    assert_eq!(told, wanted);
    bench.all_say(&[("node-1", "c", "x")]);
    assert_eq!(bench.temporal(sequence(false, None, LONG)).await, "passed");
    let told = bench.temporal(sequence(true, None, SOON)).await;
    assert!(told.contains("1 of 2 nodes") && told.contains("node-2 sent no `a`"), "{told}");
    let told = bench.temporal(sequence(false, Some("peer.id"), SOON)).await;
    assert!(told.contains("node-1 got as far as `a`, and no `b`"), "b was of another: {told}");
    bench.all_say(&[("node-1", "b", "x"), ("node-1", "c", "x")]);
    assert_eq!(bench.temporal(sequence(false, Some("peer.id"), LONG)).await, "passed");
    bench.finish().await;
}

fn follows(within: Duration, during: Option<Duration>) -> Temporal {
    let by = Some("peer.id".to_owned());
    Temporal::Follows { first: query("ask"), then: query("answer"), by, within, during }
}

#[tokio::test]
async fn each_must_be_followed_and_nothing_to_follow_is_undecided() {
    let bench = Bench::start(HostNetwork, 2).await;
    let told = bench.temporal(follows(SOON, None)).await;
    assert!(told.contains("no `ask` came, so there was nothing to follow"), "{told}");
    bench.all_say(&[("node-1", "ask", "x"), ("node-1", "ask", "y"), ("node-1", "answer", "x")]);
    bench.all_say(&[("node-2", "answer", "y")]);
    let told = bench.temporal(follows(SOON, None)).await;
    let wanted = "node-1 sent `ask` { peer.id = \"y\" } at ";
    assert!(told.starts_with(wanted), "another node's answer is none: {told}");
    assert!(told.ends_with("and no `answer` followed within 500.0 ms"), "{told}");
    bench.all_say(&[("node-1", "answer", "y")]);
    assert_eq!(bench.temporal(follows(LONG, None)).await, "passed");
    bench.finish().await;
}

#[tokio::test]
async fn what_comes_while_it_is_watched_must_be_followed_too() {
    let bench = Bench::start(HostNetwork, 1).await;
    bench.all_say(&[("node-1", "ask", "x"), ("node-1", "answer", "x")]);
    let asking = async {
        // The claim is made before its first wait, which lets this go on.
        tokio::task::yield_now().await;
        bench.all_say(&[("node-1", "ask", "z")]);
    };
    let claim = bench.temporal(follows(SOON, Some(Duration::from_millis(500))));
    let (told, ()) = tokio::join!(claim, asking);
    assert!(told.contains("node-1 sent `ask` { peer.id = \"z\" }"), "{told}");
    bench.finish().await;
}

fn counts(least: Option<u64>, most: Option<u64>, window: Duration) -> Temporal {
    let (at_least, at_most) = (least, most);
    Temporal::Counts { query: query("beat"), each: true, window, at_least, at_most, during: None }
}

#[tokio::test]
async fn too_many_in_a_window_are_told_with_node_and_number() {
    let bench = Bench::start(HostNetwork, 2).await;
    bench.all_say(&[("node-1", "beat", "x"), ("node-1", "beat", "x"), ("node-2", "beat", "x")]);
    assert_eq!(bench.temporal(counts(None, Some(2), LONG)).await, "passed");
    let told = bench.temporal(counts(None, Some(1), LONG)).await;
    assert!(told.starts_with("node-1: 2 `beat` in the "), "{told}");
    let told = bench.temporal(counts(None, None, LONG)).await;
    assert!(told.contains("needs `at_least`, `at_most` or both"), "{told}");
    let told = bench.temporal(counts(Some(3), Some(2), LONG)).await;
    assert!(told.contains("cannot both be"), "{told}");
    bench.finish().await;
}

#[tokio::test]
async fn a_window_that_is_not_over_yet_is_undecided() {
    let bench = Bench::start(HostNetwork, 1).await;
    let told = bench.temporal(counts(Some(1), None, LONG)).await;
    assert_eq!(told, "no stretch of 20.0 s has passed yet");
    bench.finish().await;
}

fn found(happened_ms: u64) -> Found {
    let millis = |ms: u64| RunTime { micros: ms * 1000 };
    let clock =
        meshlab_spans::RunClock { started: std::time::Instant::now(), started_unix_nanos: 0 };
    let store = SpanStore::new(clock, 1);
    let span = IncomingSpan {
        name: "beat".into(),
        trace_id: String::new(),
        span_id: String::new(),
        parent_id: String::new(),
        start_unix_nanos: 0,
        end_unix_nanos: 0,
        attributes: Default::default(),
    };
    store.add(&"node-1".into(), vec![span]);
    let mut found = store.after(&Selector::named("beat"), 0).remove(0);
    found.happened = millis(happened_ms);
    found
}

/// What is said of beats at these moments, once 20 s have passed.
fn beats(at_ms: &[u64], least: Option<u64>, most: Option<u64>, window_ms: u64) -> Option<String> {
    let window = Duration::from_millis(window_ms);
    let bounds = counts::Bounds { window, at_least: least, at_most: most };
    let nodes = [NodeId::from("node-1")];
    let ends = RunTime { micros: 20_000_000 };
    let name = "beat".to_owned();
    let mut counts = counts::Counts::new(bounds, name, &nodes, true, RunTime::ZERO, ends);
    for at in at_ms {
        counts.take(0, &found(*at));
    }
    let judged = counts.end(RunTime { micros: 22_000_000 });
    match judged.verdict {
        Verdict::Passed => None,
        other => Some(other.reason().unwrap_or_default().to_owned()),
    }
}

#[test]
fn every_stretch_counts_not_only_those_that_begin_at_full_seconds() {
    let steady: Vec<u64> = (0..20).map(|n| n * 1000 + 500).collect();
    assert_eq!(beats(&steady, Some(1), Some(2), 1000), None);
    assert_eq!(beats(&steady, Some(2), None, 2000), None);
    let gap: Vec<u64> = steady.iter().copied().filter(|at| *at != 7500).collect();
    let told = beats(&gap, Some(1), None, 1500).unwrap();
    assert_eq!(told, "node-1: 0 `beat` in the 1.50 s from 00:06.500");
    let burst: Vec<u64> = [steady.as_slice(), &[17_900, 18_100]].concat();
    let told = beats(&burst, None, Some(2), 1000).unwrap();
    assert!(told.starts_with("node-1: 3 `beat` in the"), "late ones count where they were: {told}");
    assert_eq!(beats(&steady, Some(1), None, 20_000), None);
    assert!(beats(&[], Some(1), None, 20_000).unwrap().contains("0 `beat`"));
    let stops: Vec<u64> = steady.iter().copied().filter(|at| *at < 15_000).collect();
    assert!(beats(&stops, Some(1), Some(9), 2000).unwrap().contains("from 00:14.500"));
}

mod properties {
    use proptest::prelude::*;

    use super::beats;

    /// The same by looking at every stretch that could matter.
    fn slowly(at: &[u64], least: u64, most: u64, window: u64) -> bool {
        let inside =
            |from: u64, to: u64| at.iter().filter(|t| **t > from && **t <= to).count() as u64;
        let starts = std::iter::once(0).chain(at.iter().copied());
        let enough =
            starts.filter(|s| s + window <= 20_000).all(|s| inside(s, s + window) >= least);
        let few = at
            .iter()
            .all(|t| at.iter().filter(|u| **u >= *t && **u <= t + window).count() as u64 <= most);
        enough && few
    }

    proptest! {
        #[test]
        fn a_count_agrees_with_one_that_looks_at_every_stretch(
            mut at in prop::collection::btree_set(1_u64..20_000, 0..60),
            least in 1_u64..4,
            more in 0_u64..8,
            window in 200_u64..9000,
        ) {
            at.retain(|t| t % 3 != 0);
            let at: Vec<u64> = at.into_iter().collect();
            let most = least + more;
            let told = beats(&at, Some(least), Some(most), window);
            prop_assert_eq!(told.is_none(), slowly(&at, least, most, window), "{:?}", told);
        }
    }
}

fn until(within: Duration) -> Temporal {
    let mut early = query("state");
    early.conditions.push(("peer.id".to_owned(), Condition::Contains("bad".to_owned())));
    Temporal::Until { query: early, until: query("ready"), within }
}

#[tokio::test]
async fn nothing_may_come_before_what_ends_the_watch() {
    let bench = Bench::start(HostNetwork, 2).await;
    bench.all_say(&[("node-1", "state", "good"), ("node-1", "ready", "x")]);
    bench.all_say(&[("node-1", "state", "bad")]);
    assert_eq!(bench.temporal(until(SOON)).await, "node-2 sent no `ready`");
    bench.all_say(&[("node-2", "ready", "x")]);
    assert_eq!(bench.temporal(until(LONG)).await, "passed");
    bench.finish().await;
    let bench = Bench::start(HostNetwork, 1).await;
    bench.all_say(&[("node-1", "state", "a bad one"), ("node-1", "ready", "x")]);
    let told = bench.temporal(until(LONG)).await;
    assert!(told.starts_with("node-1 sent `state` { peer.id = \"a bad one\" } at "), "{told}");
    assert!(told.ends_with("before any `ready`"), "{told}");
    bench.finish().await;
}

#[test]
fn what_was_evicted_before_it_was_looked_at_is_told() {
    let clock =
        meshlab_spans::RunClock { started: std::time::Instant::now(), started_unix_nanos: 0 };
    let store = SpanStore::new(clock, 2);
    let add = |count: usize| {
        let span = |n: usize| IncomingSpan {
            name: "beat".into(),
            trace_id: String::new(),
            span_id: n.to_string(),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes: Default::default(),
        };
        store.add(&"node-1".into(), (0..count).map(span).collect());
    };
    let selectors = [Selector::named("beat")];
    let mut reader = Reader { selectors: &selectors, seen: 0, gap: None };
    let nodes = [NodeId::from("node-1")];
    let mut machine = until::Until::new("bad".to_owned(), "good".to_owned(), &nodes);
    for _ in 0..3 {
        add(2);
        reader.read(&store, RunTime::ZERO, &mut machine);
    }
    assert_eq!(reader.gap, None, "all were looked at before they went");
    add(5);
    reader.read(&store, RunTime::ZERO, &mut machine);
    assert!(reader.gap.unwrap().starts_with("3 spans came and went"));
}
