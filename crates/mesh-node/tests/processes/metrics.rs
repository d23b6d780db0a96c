//! What a node counts arrives at a collector.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::Command as Process,
    time::Instant,
};

use meshlab_model::NodeId;
use meshlab_spans::{MetricKind, MetricNumber, Receiver, RunClock, SpanStore};
use meshlab_wire::env;

use crate::support::Node;

#[test]
fn a_nodes_numbers_are_with_the_collector_when_it_is_gone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clock = RunClock { started: Instant::now(), started_unix_nanos: 0 };
    let (store, id) = (SpanStore::new(clock, 1_000), NodeId::from("n"));
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (http, grpc) = (listen(), listen());
    let endpoint = format!("http://{}", http.local_addr().unwrap());
    let _receiver =
        Receiver::spawn(runtime.handle(), id.clone(), http, grpc, store.clone()).unwrap();

    let data = tempfile::tempdir().unwrap();
    let mut command = Process::new(env!("CARGO_BIN_EXE_mesh-node"));
    command
        .args(["--mesh", "test", "--role", "broker", "--data"])
        .arg(data.path())
        .env(env::OTLP_ENDPOINT, endpoint)
        .env("OTEL_METRIC_EXPORT_INTERVAL", "3600000");
    let mut node = Node::spawn(command);
    let counted = node.counter("digests.sent");
    let (_, code) = node.stop();
    assert_eq!(code, Some(0));

    let metrics = store.metrics(&id);
    let sent = metrics["digests.sent"];
    let MetricNumber::Int(number) = sent.number else { panic!("{sent:?}") };
    assert_eq!(sent.kind, MetricKind::Counter);
    let counted = i64::try_from(counted).unwrap();
    assert!(number > counted, "{number} digests with the farewell, {counted} before it");
    for gauge in ["directory.entries", "gossip.neighbors", "gossip.connections"] {
        let alone = (MetricNumber::Int(0), MetricKind::Gauge);
        assert_eq!((metrics[gauge].number, metrics[gauge].kind), alone, "{gauge}");
    }
}
