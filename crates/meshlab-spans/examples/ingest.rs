//! How many spans a second of CPU time are received over OTLP/http, decoded, kept and held against
//! live selectors, and how long it takes from a span to the answer of a wait for it.
//!
//! `cargo run --release -p meshlab-spans --example ingest` measures this crate's receiver;
//! `-- --to 127.0.0.1:4318 --pid PID` sends the same load to another receiver and reads the CPU time
//! of its process, for comparison. Options: `--seconds 10`, `--selectors 100`, `--senders 2`,
//! `--rounds 3`. CPU time is that of the receiving thread, so what else the host does hardly counts;
//! the time to an answer is by the clock, and others that want the cores are in it.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, not the harness")]

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use meshlab_spans::{Condition, Receiver, RunClock, Selector, SpanStore};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;

/// As an agent sends them.
const BATCH: u64 = 512;
/// Names of spans; a tenth of the selectors each.
const NAMES: u64 = 40;
/// The kernel's unit of CPU time, as seen from programs.
const TICKS_A_SECOND: f64 = 100.0;

fn main() {
    let option = |name: &str| {
        let mut arguments = std::env::args().skip_while(|argument| argument != name);
        arguments.nth(1)
    };
    let number =
        |name: &str, otherwise: u64| option(name).map_or(otherwise, |text| text.parse().unwrap());
    let seconds = Duration::from_secs(number("--seconds", 10));
    let senders = number("--senders", 2);
    let selectors = number("--selectors", 100);
    let elsewhere = option("--to").map(|to| to.parse::<SocketAddr>().unwrap());
    println!("load of the host before: {}", host_load());
    let rounds: Vec<Round> = (0..number("--rounds", 3))
        .map(|_| {
            let round = match elsewhere {
                Some(to) => {
                    let stat = format!("/proc/{}/stat", option("--pid").unwrap());
                    load(to, senders, seconds, || cpu_seconds(&stat))
                }
                None => ours(selectors, senders, seconds),
            };
            round.tell();
            round
        })
        .collect();
    println!("load of the host after: {}", host_load());
    let spread = |what: &str, of: fn(&Round) -> f64| {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for number in rounds.iter().map(of).filter(|number| number.is_finite()) {
            (least, most) = (least.min(number), most.max(number));
        }
        if most > 0.0 {
            println!("{what}: {least:.0} to {most:.0}");
        }
    };
    spread("k spans a second of CPU", |round| round.spans as f64 / round.cpu / 1e3);
    spread("ms to an answer, p50", |round| round.verdict_millis(0.5));
    spread("ms to an answer, p99", |round| round.verdict_millis(0.99));
}

/// Of a minute, five and fifteen.
fn host_load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// What was measured at once.
struct Round {
    spans: u64,
    /// Seconds by the clock.
    elapsed: f64,
    /// Seconds of CPU.
    cpu: f64,
    /// From a span's end to the answer of a wait for it, in order; empty for another receiver.
    verdicts: Vec<Duration>,
}

impl Round {
    /// The verdict that a share of all was not later than; no number without any.
    fn verdict_millis(&self, share: f64) -> f64 {
        let last = self.verdicts.len().saturating_sub(1);
        let at = self.verdicts.get((last as f64 * share) as usize);
        at.map_or(f64::NAN, |verdict| verdict.as_secs_f64() * 1e3)
    }

    fn tell(&self) {
        let spans = self.spans as f64 / 1e3;
        print!(
            "{} spans in {:.2} s, {:.2} s of CPU: {:.0} k a second, {:.0} k a second of CPU",
            self.spans,
            self.elapsed,
            self.cpu,
            spans / self.elapsed,
            spans / self.cpu
        );
        if !self.verdicts.is_empty() {
            let at = |share| self.verdict_millis(share);
            print!("; to an answer p50 {:.1} ms, p99 {:.1}, max {:.1}", at(0.5), at(0.99), at(1.0));
            print!(" of {}", self.verdicts.len());
        }
        println!();
    }
}

/// One round with this crate's receiver, which is there for as long.
fn ours(selectors: u64, senders: u64, seconds: Duration) -> Round {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (http, grpc) = (listen(), listen());
    let to = http.local_addr().unwrap();
    let (started, now) = (Instant::now(), SystemTime::now());
    let started_unix_nanos = now.duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let store =
        SpanStore::with_rate(RunClock { started, started_unix_nanos }, 1_000_000, u64::MAX >> 32);
    let (stat, stat_of) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let theirs = store.clone();
    // As in the harness: one thread does all of it.
    let receiving = thread::spawn(move || {
        let thread = fs::read_link("/proc/thread-self").unwrap();
        stat.send(format!("/proc/{}/stat", thread.display())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let handle = tokio::runtime::Handle::current();
            let receiver = Receiver::spawn(&handle, "node-1".into(), http, grpc, theirs.clone());
            for n in 0..selectors {
                let (store, selector) = (theirs.clone(), selector(n));
                tokio::spawn(async move {
                    let long = tokio::time::Instant::now() + Duration::from_secs(3600);
                    // More than ever come, so that it stays a question to the end.
                    let check = |store: &SpanStore| {
                        (store.count_by_node(&selector).values().sum::<u64>() > 1 << 40)
                            .then_some(())
                    };
                    store.wait_for(long, check).await
                });
            }
            let _receiver = receiver.unwrap();
            let _ = stopped.await;
        });
    });
    let stat = stat_of.recv().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let prober = {
        let (over, store) = (Arc::clone(&over), store.clone());
        thread::spawn(move || probe(to, &store, &over))
    };
    let before = store.received(&"node-1".into());
    let mut round = load(to, senders, seconds, || cpu_seconds(&stat));
    over.store(true, Ordering::Relaxed);
    round.verdicts = prober.join().unwrap();
    round.verdicts.sort();
    let (received, sent) = (store.received(&"node-1".into()) - before, round.spans);
    assert!(received >= sent, "{received} of {sent} arrived");
    drop(stop);
    receiving.join().unwrap();
    round
}

/// A selector as scenarios have them: a name, often a condition, sometimes a sender.
fn selector(n: u64) -> Selector {
    let selector = Selector::named(format!("some.span_{}", n % NAMES));
    match n % 3 {
        0 => selector,
        1 => selector.with("peer.id", format!("{:064x}", n % 18)),
        _ => {
            let conditions = vec![("took_ms".to_owned(), Condition::Above(n as f64))];
            Selector { conditions, ..selector }.of(&"node-1".into())
        }
    }
}

/// CPU seconds of a process or thread so far.
fn cpu_seconds(stat: &str) -> f64 {
    let text = fs::read_to_string(stat).unwrap();
    // The name, in brackets, may hold anything.
    let (_, rest) = text.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS_A_SECOND
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn span(n: u64) -> Span {
    let text = |text: String| Value::StringValue(text);
    Span {
        trace_id: u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c).to_be_bytes().to_vec(),
        span_id: (n + 1).to_be_bytes().to_vec(),
        name: format!("some.span_{}", n % NAMES),
        start_time_unix_nano: n,
        end_time_unix_nano: n + 1,
        attributes: vec![
            attribute("peer.id", text(format!("{:064x}", n % 18))),
            attribute("peer.name", text(format!("mesh1.worker.{}", n % 18))),
            attribute("took_ms", Value::IntValue((n % 500) as i64)),
            attribute("seq", Value::IntValue(n as i64)),
        ],
        ..Span::default()
    }
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let scope = ScopeSpans { spans, ..Default::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..Default::default() };
    let body = ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// Sends a request and reads the answer, which is short.
fn exchange(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    let mut answer = [0; 4096];
    let got = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..got]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Sends as fast as it is answered; CPU seconds are by `cpu`.
fn load(to: SocketAddr, senders: u64, length: Duration, cpu: impl Fn() -> f64) -> Round {
    let over = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let sending: Vec<_> = (0..senders)
        .map(|sender| {
            let (over, sent) = (Arc::clone(&over), Arc::clone(&sent));
            thread::spawn(move || {
                // Made beforehand: to make them would cost as much as to take them in.
                let batch = |n: u64| request((0..BATCH).map(|k| span(n * BATCH + k)).collect());
                let requests: Vec<_> = (0..40).map(|n| batch(sender * 40 + n)).collect();
                let mut stream = TcpStream::connect(to).unwrap();
                for request in requests.iter().cycle() {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    exchange(&mut stream, request);
                    sent.fetch_add(BATCH, Ordering::Relaxed);
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let (started, cpu_before, before) = (Instant::now(), cpu(), sent.load(Ordering::Relaxed));
    thread::sleep(length);
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu() - cpu_before);
    let spans = sent.load(Ordering::Relaxed) - before;
    over.store(true, Ordering::Relaxed);
    sending.into_iter().for_each(|sender| sender.join().unwrap());
    Round { spans, elapsed, cpu, verdicts: Vec::new() }
}

/// Sends single spans and waits for each as a claim would.
fn probe(to: SocketAddr, store: &SpanStore, over: &AtomicBool) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut stream = TcpStream::connect(to).unwrap();
    let mut verdicts = Vec::new();
    for n in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let mut span = span(n);
        span.name = "probe".to_owned();
        let wanted = Selector::named("probe").with("seq", n);
        let request = request(vec![span]);
        let ended = Instant::now();
        runtime.block_on(async {
            let wait = async {
                let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
                let check = |store: &SpanStore| (store.count(&wanted) > 0).then_some(());
                store.wait_for(deadline, check).await.unwrap();
                ended.elapsed()
            };
            let send = async {
                // The wait is there first, as that of a claim is.
                tokio::task::yield_now().await;
                exchange(&mut stream, &request);
            };
            verdicts.push(tokio::join!(wait, send).0);
        });
        thread::sleep(Duration::from_millis(7));
    }
    verdicts
}
