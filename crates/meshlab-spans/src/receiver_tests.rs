use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::*;
use crate::{MetricKind, MetricNumber, RunClock, Selector, logs, metrics, scan};

struct Fixture {
    store: SpanStore,
    /// What the log sink heard.
    lines: Arc<Mutex<Vec<String>>>,
    http: SocketAddr,
    grpc: SocketAddr,
    _receiver: Receiver,
}

fn open() -> Fixture {
    open_with(Patience::default())
}

fn open_with(patience: Patience) -> Fixture {
    let clock = RunClock { started: std::time::Instant::now(), started_unix_nanos: 0 };
    open_in(SpanStore::new(clock, 10_000), patience)
}

fn open_in(store: SpanStore, patience: Patience) -> Fixture {
    let listen = || StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (http, grpc) = (listen(), listen());
    let addresses = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lines);
    store.set_log_sink(Box::new(move |node, new| {
        let new = new.iter().map(|line| format!("{node} {} {}", line.severity, line.text));
        heard.lock().unwrap().extend(new);
    }));
    let doors = [http, grpc];
    let receiver =
        Receiver::spawn_with(&Handle::current(), "n".into(), doors, store.clone(), patience);
    let (http, grpc) = addresses;
    Fixture { store, lines, http, grpc, _receiver: receiver.unwrap() }
}

fn body(count: usize) -> Vec<u8> {
    let span = Span { name: "x".into(), ..Default::default() };
    let scope = ScopeSpans { spans: vec![span; count], ..Default::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
}

/// A gauge with that value.
fn numbers(value: i64) -> Vec<u8> {
    let value = Some(number_data_point::Value::AsInt(value));
    let point = NumberDataPoint { value, ..Default::default() };
    let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
    let metrics = vec![Metric { name: "level".into(), data, ..Default::default() }];
    let scope = ScopeMetrics { metrics, ..Default::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec()
}

/// A line of a log.
fn said(text: &str) -> Vec<u8> {
    let value = Some(any_value::Value::StringValue(text.to_owned()));
    let record =
        LogRecord { severity_number: 17, body: Some(AnyValue { value }), ..Default::default() };
    let scope = ScopeLogs { log_records: vec![record], ..Default::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..Default::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec()
}

async fn post(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: \
         {}\r\n\r\n",
        body.len()
    );
    send(address, &[head.as_bytes(), body].concat()).await
}

async fn send(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap();
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn all() -> Selector {
    Selector::named("x")
}

#[tokio::test]
async fn spans_come_in_by_http_plain_and_packed() {
    let fixture = open();
    let kind = "content-type: application/x-protobuf\r\n";
    assert_eq!(post(fixture.http, "/v1/traces", kind, &body(3)).await, "HTTP/1.1 200 OK");
    let packed = format!("{kind}content-encoding: gzip\r\n");
    let answer = post(fixture.http, "/v1/traces", &packed, &gzip(&body(4))).await;
    assert_eq!(answer, "HTTP/1.1 200 OK");
    assert_eq!(fixture.store.count(&all()), 7);
    assert_eq!(fixture.store.received(&"n".into()), 7);
}

#[tokio::test]
async fn metrics_come_in_by_http_and_bad_ones_are_counted() {
    let fixture = open();
    let (node, path) = ("n".into(), "/v1/metrics");
    assert_eq!(post(fixture.http, path, "", &numbers(3)).await, "HTTP/1.1 200 OK");
    let packed = "content-encoding: gzip\r\n";
    let body = gzip(&numbers(4));
    assert_eq!(post(fixture.http, path, packed, &body).await, "HTTP/1.1 200 OK");
    let kept = fixture.store.metrics(&node)["level"];
    assert_eq!((kept.number, kept.kind), (MetricNumber::Int(4), MetricKind::Gauge));
    let whole = numbers(5);
    let cut = &whole[..whole.len() - 2];
    assert_eq!(post(fixture.http, path, "", cut).await, "HTTP/1.1 400 Bad Request");
    let bomb = gzip(&vec![0_u8; metrics::REQUEST_BYTES_MAX + 1]);
    let large = "HTTP/1.1 413 Payload Too Large";
    assert_eq!(post(fixture.http, path, packed, &bomb).await, large);
    let json = "content-type: application/json\r\n";
    let answer = post(fixture.http, path, json, b"{}").await;
    assert_eq!(answer, "HTTP/1.1 415 Unsupported Media Type");
    let counters = fixture.store.problems(&node);
    assert_eq!((counters.malformed, counters.too_large, counters.ignored), (1, 1, 1));
    assert!(counters.first_problem.unwrap().starts_with("no OTLP metrics request"));
    assert_eq!(fixture.store.metrics(&node)["level"], kept, "the last good one stands");
}

#[tokio::test]
async fn logs_come_in_by_http_and_bad_ones_are_counted() {
    let fixture = open();
    let path = "/v1/logs";
    assert_eq!(post(fixture.http, path, "", &said("one")).await, "HTTP/1.1 200 OK");
    let packed = "content-encoding: gzip\r\n";
    let answer = post(fixture.http, path, packed, &gzip(&said("two"))).await;
    assert_eq!(answer, "HTTP/1.1 200 OK");
    let whole = said("three");
    for bad in [&whole[..whole.len() - 2], b"\xff\xffnot protobuf"] {
        assert_eq!(post(fixture.http, path, "", bad).await, "HTTP/1.1 400 Bad Request");
    }
    let bomb = gzip(&vec![0_u8; 40 * 1024 * 1024]);
    let large = "HTTP/1.1 413 Payload Too Large";
    assert_eq!(post(fixture.http, path, packed, &bomb).await, large);
    let giant = vec![0_u8; logs::REQUEST_BYTES_MAX + 1];
    let answer = post(fixture.http, path, "", &giant).await;
    assert!(answer == large || answer.is_empty(), "{answer}");
    let json = "content-type: application/json\r\n";
    let answer = post(fixture.http, path, json, b"{}").await;
    assert_eq!(answer, "HTTP/1.1 415 Unsupported Media Type");
    let get = send(fixture.http, b"GET /v1/logs HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert_eq!(get, "HTTP/1.1 405 Method Not Allowed");
    let long = said(&"y".repeat(logs::TEXT_BYTES_MAX + 9));
    assert_eq!(post(fixture.http, path, "", &long).await, "HTTP/1.1 200 OK");
    let counters = fixture.store.problems(&"n".into());
    assert_eq!((counters.malformed, counters.too_large, counters.truncated), (2, 2, 1));
    assert!(counters.first_problem.unwrap().starts_with("no OTLP logs request"));
    let lines = fixture.lines.lock().unwrap();
    assert_eq!((lines.len(), &lines[..2]), (3, &["n ERROR one".into(), "n ERROR two".into()][..]));
}

#[tokio::test]
async fn a_few_bytes_that_would_become_many_are_refused_before_they_are_decoded() {
    let fixture = open();
    // Two bytes each; decoded, some two hundred megabytes.
    let spans = [0x12, 0].repeat(usize::try_from(scan::PARTS_MAX).unwrap() + 9);
    let bomb = scan::within(&[1, 2], spans);
    assert!(bomb.len() < http::BODY_BYTES_MAX);
    let large = "HTTP/1.1 413 Payload Too Large";
    assert_eq!(post(fixture.http, "/v1/traces", "", &bomb).await, large);
    assert_eq!(fixture.store.problems(&"n".into()).too_large, 1);
    assert_eq!(fixture.store.received(&"n".into()), 0);
}

#[tokio::test]
async fn a_node_that_floods_loses_its_own_spans_and_nobody_elses() {
    const BATCHES: u64 = 300;
    let clock = RunClock { started: std::time::Instant::now(), started_unix_nanos: 0 };
    let store = SpanStore::with_rate(clock, 1_000_000, 1000);
    let open = |node: &str| {
        let listen = || StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (http, grpc) = (listen(), listen());
        let address = http.local_addr().unwrap();
        let handle = Handle::current();
        (Receiver::spawn(&handle, node.into(), http, grpc, store.clone()).unwrap(), address)
    };
    let ((_one, flooding), (_other, calm)) = (open("flood"), open("calm"));
    let flood = async {
        let batch = body(512);
        let mut refused = 0;
        for _ in 0..BATCHES {
            let answer = post(flooding, "/v1/traces", "", &batch).await;
            refused += u64::from(answer == "HTTP/1.1 429 Too Many Requests");
        }
        refused
    };
    let others = async {
        for _ in 0..100 {
            assert_eq!(post(calm, "/v1/traces", "", &body(3)).await, "HTTP/1.1 200 OK");
        }
    };
    let (refused, ()) = tokio::join!(flood, others);
    assert!(refused > BATCHES / 2, "{refused} of {BATCHES} batches were refused");
    let (node, other) = ("flood".into(), "calm".into());
    assert_eq!(store.problems(&node).flooded, refused * 512, "what was refused is counted");
    assert_eq!(store.received(&node) + store.problems(&node).flooded, BATCHES * 512);
    assert_eq!(store.count(&all().of(&other)), 300, "all of the other's are there");
    assert_eq!(store.problems(&other), crate::ReceiverCounters::default());
}

#[tokio::test]
async fn attributes_of_a_megabyte_are_cut_counted_and_crowd_nobody_out() {
    let fixture = open();
    let giant = |bytes: usize| {
        let value = Some(any_value::Value::StringValue("y".repeat(bytes)));
        let value = Some(AnyValue { value });
        let pair = KeyValue { key: "giant".into(), value, ..Default::default() };
        let span = Span { name: "x".into(), attributes: vec![pair], ..Default::default() };
        let scope = ScopeSpans { spans: vec![span; 3], ..Default::default() };
        let resource = ResourceSpans { scope_spans: vec![scope], ..Default::default() };
        ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
    };
    let body = giant(1 << 20);
    for _ in 0..20 {
        assert_eq!(post(fixture.http, "/v1/traces", "", &body).await, "HTTP/1.1 200 OK");
    }
    let node = "n".into();
    let kept = fixture.store.last(&all()).unwrap();
    assert_eq!(kept.attributes["giant"].as_str().map(str::len), Some(64 * 1024));
    assert_eq!((fixture.store.problems(&node).truncated, fixture.store.received(&node)), (60, 60));
    // What all of them take in memory has a bound of its own, in bytes: see the store.
    let more = post(fixture.http, "/v1/traces", "", &giant(2 << 20)).await;
    assert!(more == "HTTP/1.1 413 Payload Too Large" || more.is_empty(), "{more}");
    assert_eq!(fixture.store.problems(&node).too_large, 1);
}

#[tokio::test]
async fn a_sender_that_dawdles_is_sent_away_and_others_are_heard() {
    let patience = Patience { head: Duration::from_millis(40), body: Duration::from_millis(40) };
    let fixture = open_with(patience);
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nslow");
        assert_eq!(send(fixture.http, head.as_bytes()).await, "HTTP/1.1 400 Bad Request");
    }
    // A head that never ends is not worth an answer; the connection is closed.
    let answer = send(fixture.http, b"POST /v1/logs HTTP/1.1\r\nx: ").await;
    assert!(answer.is_empty() || answer.contains("408"), "{answer}");
    let counters = fixture.store.problems(&"n".into());
    assert_eq!(counters.malformed, 3, "{counters:?}");
    assert_eq!(counters.first_problem.unwrap(), "the body did not come in time");
    assert_eq!(post(fixture.http, "/v1/logs", "", &said("quick")).await, "HTTP/1.1 200 OK");
    assert_eq!(*fixture.lines.lock().unwrap(), ["n ERROR quick"]);
}

#[tokio::test]
async fn garbage_is_refused_counted_and_harmless() {
    let fixture = open();
    let bad = "HTTP/1.1 400 Bad Request";
    assert_eq!(post(fixture.http, "/v1/traces", "", b"\xff\xffnot protobuf").await, bad);
    let whole = body(9);
    assert_eq!(post(fixture.http, "/v1/traces", "", &whole[..whole.len() - 3]).await, bad);
    let packed = "content-encoding: gzip\r\n";
    assert_eq!(post(fixture.http, "/v1/traces", packed, b"no gzip").await, bad);
    send(fixture.http, b"\x16\x03\x01\x00\x05hello this is no http\r\n\r\n").await;
    let counters = fixture.store.problems(&"n".into());
    assert_eq!(counters.malformed, 4, "{counters:?}");
    assert!(counters.first_problem.unwrap().starts_with("no OTLP trace request"));
    let elsewhere = post(fixture.http, "/v2/nothing", "", b"").await;
    assert_eq!(elsewhere, "HTTP/1.1 404 Not Found");
    assert_eq!(post(fixture.http, "/v1/metrics", "", b"").await, "HTTP/1.1 200 OK");
    assert_eq!(post(fixture.http, "/v1/traces", "", &body(1)).await, "HTTP/1.1 200 OK");
    assert_eq!(fixture.store.count(&all()), 1);
}

#[tokio::test]
async fn a_bomb_and_a_giant_are_refused() {
    let fixture = open();
    let bomb = gzip(&vec![0_u8; 40 * 1024 * 1024]);
    assert!(bomb.len() < 1024 * 1024);
    let packed = "content-encoding: gzip\r\n";
    let large = "HTTP/1.1 413 Payload Too Large";
    assert_eq!(post(fixture.http, "/v1/traces", packed, &bomb).await, large);
    let giant = vec![0_u8; http::BODY_BYTES_MAX + 1];
    let answer = post(fixture.http, "/v1/traces", "", &giant).await;
    assert!(answer == large || answer.is_empty(), "{answer}");
    assert_eq!(fixture.store.problems(&"n".into()).too_large, 2);
}

#[tokio::test]
async fn a_closed_door_takes_in_nothing() {
    let fixture = open();
    let address = fixture.http;
    drop(fixture);
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < deadline, "the door is still open");
        tokio::task::yield_now().await;
    }
}

#[path = "grpc_tests.rs"]
mod by_grpc;
