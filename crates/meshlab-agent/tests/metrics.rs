//! What an agent counts arrives at a receiver of the harness.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use meshlab_agent::{Agent, AgentConfig, CounterSource, MetricCounts, TelemetryConfig};
use meshlab_model::NodeId;
use meshlab_spans::{MetricKind, MetricNumber, Receiver, RunClock, SpanStore};

#[derive(Default)]
struct Numbers(AtomicU64);

impl CounterSource for Numbers {
    fn counters(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("work.done".to_owned(), self.0.load(Ordering::Relaxed))])
    }

    fn gauges(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("peers".to_owned(), 2)])
    }
}

fn value(store: &SpanStore, node: &NodeId, name: &str) -> Option<(MetricNumber, MetricKind)> {
    store.metrics(node).get(name).map(|value| (value.number, value.kind))
}

#[tokio::test]
async fn counters_arrive_after_spans_and_at_the_end() {
    let clock = RunClock { started: Instant::now(), started_unix_nanos: 0 };
    let (store, node) = (SpanStore::new(clock, 100), NodeId::from("n"));
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (http, grpc) = (listen(), listen());
    let endpoint = format!("http://{}/", http.local_addr().unwrap());
    let runtime = tokio::runtime::Handle::current();
    let _receiver = Receiver::spawn(&runtime, node.clone(), http, grpc, store.clone()).unwrap();

    let telemetry = TelemetryConfig {
        otlp_endpoint: Some(endpoint),
        metrics_every: Some(Duration::from_secs(3600)),
        ..TelemetryConfig::default()
    };
    let agent = Agent::start(AgentConfig { telemetry, ..AgentConfig::default() }).unwrap();
    let numbers = Arc::new(Numbers::default());
    numbers.0.store(7, Ordering::Relaxed);
    agent.count(numbers.clone());
    assert_eq!(agent.telemetry().metric_counts(), MetricCounts::default(), "nothing happened yet");

    tracing::info_span!("something").in_scope(|| ());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let there = |store: &SpanStore| value(store, &node, "work.done");
    let first = store.wait_for(deadline, there).await;
    assert_eq!(first, Some((MetricNumber::Int(7), MetricKind::Counter)));
    assert_eq!(value(&store, &node, "peers"), Some((MetricNumber::Int(2), MetricKind::Gauge)));

    numbers.0.store(8, Ordering::Relaxed);
    let telemetry = agent.telemetry().clone();
    agent.finish(Duration::from_secs(20)).await;
    assert_eq!(there(&store).unwrap().0, MetricNumber::Int(8), "the hour was not waited for");
    assert_eq!(telemetry.metric_counts(), MetricCounts { exported: 2, failed: 0 });
    assert_eq!(store.problems(&node), Default::default());
}
