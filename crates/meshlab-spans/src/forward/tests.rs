use std::{collections::BTreeMap, net::Ipv4Addr, net::TcpListener as StdListener, time::Instant};

use meshlab_model::RunTime;

use super::*;
use crate::{Receiver, RunClock, Selector, SpanStore};

fn span(seq: u64, bytes: usize) -> SpanRecord {
    SpanRecord {
        seq,
        arrived: RunTime::ZERO,
        node: "node-1".into(),
        name: "x".into(),
        trace_id: format!("{seq:032x}"),
        span_id: format!("{seq:016x}"),
        parent_id: String::new(),
        start_unix_nanos: 1,
        end_unix_nanos: 2,
        attributes: BTreeMap::from([("text".to_owned(), "y".repeat(bytes).into())]),
    }
}

fn listen() -> (StdListener, Collector) {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, Collector::at(&url).unwrap())
}

/// Our own receiver is a collector too.
fn collect() -> (SpanStore, Receiver, Collector) {
    let store = SpanStore::new(RunClock { started: Instant::now(), started_unix_nanos: 0 }, 10_000);
    let ((http, collector), (grpc, _)) = (listen(), listen());
    let receiver = Receiver::spawn(&Handle::current(), "c".into(), http, grpc, store.clone());
    (store, receiver.unwrap(), collector)
}

#[test]
fn an_address_is_taken_as_collectors_are_named() {
    let at = |url: &str| Collector::at(url).map(|collector| collector.to_string());
    assert_eq!(at("http://127.0.0.1:9").unwrap(), "http://127.0.0.1:9/v1/traces");
    assert_eq!(at("http://jaeger/").unwrap(), "http://jaeger:4318/v1/traces");
    assert_eq!(at("http://[::1]:7/otlp/v1/traces").unwrap(), "http://[::1]:7/otlp/v1/traces");
    for wrong in ["", "127.0.0.1:4318", "https://x", "ftp://x", "http://", "http:// x"] {
        let error = at(wrong).unwrap_err().to_string();
        assert!(error.contains("such as http://127.0.0.1:4318"), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn what_is_offered_arrives_with_its_ids_and_nothing_is_dropped() {
    let (store, _receiver, collector) = collect();
    let forward = Forward::spawn(&Handle::current(), collector, "swarm/1");
    (1..=1300).for_each(|seq| forward.offer(&span(seq, 3)));
    let counts = forward.finish(Duration::from_secs(30)).await;
    assert_eq!(counts, Forwarded { sent: 1300, ..Forwarded::default() });
    assert_eq!(store.count(&Selector::named("x")), 1300);
    assert_eq!(store.last(&Selector::named("x")).unwrap().trace_id, format!("{:032x}", 1300));
    forward.offer(&span(1, 3));
    assert_eq!(forward.counts().dropped, 1, "it is over");
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_nobody_and_what_is_lost_is_counted() {
    // Connections are accepted by the kernel; nobody reads.
    let (_silent, collector) = listen();
    let forward = Forward::spawn(&Handle::current(), collector, "swarm/1");
    let many = 2 * (WAITING_BYTES_MAX / size(&span(1, 10_000))) as u64;
    for seq in 1..=many {
        // It is no future: there is nothing in it to wait for.
        forward.offer(&span(seq, 10_000));
    }
    tokio::task::yield_now().await;
    assert!(forward.shared.lock().bytes <= WAITING_BYTES_MAX);
    let at_once = forward.counts().dropped;
    assert!(at_once >= many / 2 - 1, "{at_once} of {many}");
    let counts = forward.finish(Duration::from_millis(50)).await;
    assert_eq!((counts.sent, counts.dropped), (0, many));
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_and_counted() {
    // Nobody listens there any more.
    let (gone, collector) = listen();
    drop(gone);
    let forward = Forward::spawn(&Handle::current(), collector.clone(), "swarm/1");
    forward.offer(&span(1, 3));
    let tried = async {
        while forward.counts().first_problem.is_none() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), tried).await.expect("it is tried");
    let counts = forward.finish(Duration::from_millis(200)).await;
    assert_eq!((counts.sent, counts.dropped), (0, 1));
    assert!(counts.first_problem.unwrap().contains("refused"));
    let (store, _receiver, collector) = collect();
    let wrong = Collector { path: "/elsewhere".into(), ..collector };
    let forward = Forward::spawn(&Handle::current(), wrong.clone(), "swarm/1");
    (1..=9).for_each(|seq| forward.offer(&span(seq, 3)));
    let counts = forward.finish(Duration::from_secs(30)).await;
    assert_eq!((counts.sent, counts.dropped), (0, 9));
    assert_eq!(counts.first_problem.as_deref(), Some("it answered 404 Not Found"));
    let error = forward_all(&wrong, "swarm/1", (1..=9).map(|seq| span(seq, 3))).await.unwrap_err();
    assert!(error.to_string().ends_with("/elsewhere: it answered 404 Not Found"), "{error}");
    assert_eq!(store.count(&Selector::named("x")), 0);
}

#[tokio::test]
async fn a_record_is_sent_whole_and_in_order() {
    let (store, _receiver, collector) = collect();
    let sent = forward_all(&collector, "swarm/1", (1..=1500).map(|seq| span(seq, 3))).await;
    assert_eq!(sent.unwrap(), 1500);
    let found = store.find(&Selector::named("x"), 2000);
    assert!(found.windows(2).all(|pair| pair[0].trace_id < pair[1].trace_id));
    assert_eq!(found.len(), 1500);
}
