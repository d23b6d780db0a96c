//! The gRPC door.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::{Code, Status};

use super::*;
use crate::ReceiverCounters;

const TRACES: &str = "trace.v1.TraceService/Export";
const METRICS: &str = "metrics.v1.MetricsService/Export";
const LOGS: &str = "logs.v1.LogsService/Export";

struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    async fn open(fixture: &Fixture) -> Self {
        let stream = TcpStream::connect(fixture.grpc).await.unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
        // It ends with the sender.
        tokio::spawn(connection);
        Self { sender }
    }

    /// Sends a message as it is.
    async fn send(&mut self, method: &str, message: &[u8]) -> Status {
        self.call(method, "identity", message).await
    }

    async fn call(&mut self, method: &str, packed: &str, message: &[u8]) -> Status {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let flag = u8::from(packed != "identity");
        let request =
            ::http::Request::post(format!("http://x/opentelemetry.proto.collector.{method}"))
                .header("content-type", "application/grpc")
                .header("grpc-encoding", packed)
                .header("te", "trailers")
                .body(Full::from([&[flag], length.as_slice(), message].concat()))
                .unwrap();
        let answer = self.sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        // A refusal is in the head, a success follows the body.
        if let Some(status) = Status::from_header_map(answer.headers()) {
            return status;
        }
        let body = answer.into_body().collect().await.unwrap();
        Status::from_header_map(body.trailers().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn spans_metrics_and_logs_come_in_by_grpc() {
    let fixture = open();
    let mut client = Client::open(&fixture).await;
    assert_eq!(client.send(TRACES, &body(5)).await.code(), Code::Ok);
    assert_eq!(client.call(TRACES, "gzip", &gzip(&body(4))).await.code(), Code::Ok);
    assert_eq!(client.send(LOGS, &said("by gRPC")).await.code(), Code::Ok);
    assert_eq!(client.send(METRICS, &numbers(4)).await.code(), Code::Ok);
    assert_eq!(fixture.store.count(&all()), 9);
    assert_eq!(fixture.store.metrics(&"n".into()).len(), 1);
    assert_eq!(*fixture.lines.lock().unwrap(), ["n ERROR by gRPC"]);
    assert_eq!(fixture.store.problems(&"n".into()), ReceiverCounters::default());
}

#[tokio::test]
async fn a_few_bytes_that_would_become_many_are_refused_and_counted() {
    let fixture = open();
    let mut client = Client::open(&fixture).await;
    let spans =
        |count: u64| scan::within(&[1, 2], [0x12, 0].repeat(usize::try_from(count).unwrap()));
    let refused = client.send(TRACES, &spans(scan::PARTS_MAX + 9)).await;
    assert_eq!(refused.code(), Code::OutOfRange);
    assert!(refused.message().contains("at most 262144 parts"), "{refused}");
    let packed = client.call(TRACES, "gzip", &gzip(&spans(scan::PARTS_MAX + 9))).await;
    assert_eq!(packed.code(), Code::OutOfRange);
    assert_eq!(fixture.store.problems(&"n".into()).too_large, 2);
    assert_eq!(fixture.store.received(&"n".into()), 0);
    // At the bound they are let in, and the store holds no more than its bound in bytes.
    assert_eq!(client.send(TRACES, &spans(40_000)).await.code(), Code::Ok);
    assert_eq!(fixture.store.received(&"n".into()), 40_000);
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_and_counted_for_every_signal() {
    let fixture = open();
    let mut client = Client::open(&fixture).await;
    let limits = [
        (TRACES, http::BODY_BYTES_MAX),
        (METRICS, metrics::REQUEST_BYTES_MAX),
        (LOGS, logs::REQUEST_BYTES_MAX),
    ];
    for (place, (method, most)) in (1..).zip(limits) {
        let giant = vec![0_u8; most + 1];
        assert_eq!(client.send(method, &giant).await.code(), Code::OutOfRange, "{method}");
        let bomb = client.call(method, "gzip", &gzip(&giant)).await;
        assert_eq!(bomb.code(), Code::ResourceExhausted, "{method}: {bomb}");
        assert_eq!(fixture.store.problems(&"n".into()).too_large, 2 * place, "{method}");
    }
    let counters = fixture.store.problems(&"n".into());
    assert_eq!(counters, ReceiverCounters { too_large: 6, ..Default::default() });
}

#[tokio::test]
async fn garbage_is_refused_counted_and_harmless() {
    let fixture = open();
    let mut client = Client::open(&fixture).await;
    let whole = body(9);
    let cut = &whole[..whole.len() - 3];
    assert_eq!(client.send(TRACES, cut).await.code(), Code::InvalidArgument);
    for method in [METRICS, LOGS] {
        assert_eq!(client.send(method, b"\xff\xffno").await.code(), Code::Internal, "{method}");
    }
    assert_eq!(client.call(TRACES, "gzip", b"no gzip").await.code(), Code::Internal);
    assert_eq!(client.call(TRACES, "zstd", b"?").await.code(), Code::Unimplemented);
    let elsewhere = client.send("trace.v1.TraceService/Import", b"").await;
    assert_eq!(elsewhere.code(), Code::Unimplemented);
    let counters = fixture.store.problems(&"n".into());
    assert_eq!((counters.malformed, counters.ignored), (4, 2), "{counters:?}");
    let first = counters.first_problem.unwrap();
    assert!(first.contains("no OTLP trace request: its fields are broken"), "{first}");
    assert_eq!(client.send(TRACES, &body(1)).await.code(), Code::Ok);
    assert_eq!(fixture.store.count(&all()), 1);
}

#[tokio::test]
async fn a_flood_is_refused_and_its_spans_are_counted_once() {
    let clock = RunClock { started: std::time::Instant::now(), started_unix_nanos: 0 };
    let fixture = open_in(SpanStore::with_rate(clock, 1_000, 1), Patience::default());
    let mut client = Client::open(&fixture).await;
    assert_eq!(client.send(TRACES, &body(100_000)).await.code(), Code::Ok, "the first one");
    assert_eq!(client.send(TRACES, &body(7)).await.code(), Code::ResourceExhausted);
    let counters = fixture.store.problems(&"n".into());
    assert_eq!(counters, ReceiverCounters { flooded: 7, ..Default::default() });
}
