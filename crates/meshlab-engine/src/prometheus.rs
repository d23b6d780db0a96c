//! The numbers of a run while it lasts, in the text format of Prometheus 0.0.4, for whoever asks
//! this host on loopback: `GET /metrics`.

use std::{
    convert::Infallible,
    fmt::{Display, Write},
    io,
    net::TcpListener as StdListener,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use meshlab_model::{NodeId, SampleSource};
use meshlab_spans::MetricKind;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use crate::{
    Engine,
    engine::{Shared, lock},
    results::HARNESS,
};

/// Whoever looks needs one.
const CONNECTIONS_MAX: usize = 8;
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const RETRY_ACCEPT_AFTER: Duration = Duration::from_millis(50);

impl Engine {
    /// Answers on `listener` until the run ends.
    ///
    /// # Errors
    /// The runtime cannot watch the listener.
    pub fn serve_metrics(&self, listener: StdListener) -> io::Result<()> {
        let _entered = self.shared.runtime.enter();
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let serving = self.shared.runtime.spawn(serve(listener, Arc::downgrade(&self.shared)));
        lock(&self.shared.ticks).push(serving);
        Ok(())
    }
}

async fn serve(listener: TcpListener, shared: Weak<Shared>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // They end with the run.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
                    let shared = shared.clone();
                    connections.spawn(async move {
                        connection(stream, shared).await;
                        drop(slot);
                    });
                }
                Err(_) => tokio::time::sleep(RETRY_ACCEPT_AFTER).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Weak<Shared>) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&request, &shared);
        async move { Ok::<_, Infallible>(answer) }
    });
    // Whoever breaks off has what they wanted, or asks again.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer(request: &Request<Incoming>, shared: &Weak<Shared>) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path(), shared.upgrade()) {
        (_, _, None) => (StatusCode::GONE, "the run is over\n".to_owned()),
        (&Method::GET, "/metrics", Some(shared)) => (StatusCode::OK, render(&shared)),
        (_, "/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "GET /metrics is here\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Metrics of one name, in one block as the format asks.
struct Page(String);

impl Page {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// A label's value: what a node sent may hold anything.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

pub(crate) fn render(shared: &Shared) -> String {
    let mut page = Page(String::new());
    page.metric("meshlab_run_seconds", "gauge", "Time since the run started.");
    let run = [("run", shared.folder.name.as_str())];
    page.value("meshlab_run_seconds", &run, shared.clock.now().as_secs_f64());
    verdicts(&mut page, shared);
    processes(&mut page, shared);
    let nodes: Vec<NodeId> = shared.state().nodes.keys().cloned().collect();
    telemetry(&mut page, shared, &nodes);
    counters(&mut page, shared, &nodes);
    page.0
}

fn verdicts(page: &mut Page, shared: &Shared) {
    let tally = shared.live.tally();
    for (name, help, by, open) in [
        (
            "meshlab_claims",
            "Claims so far, by how they came out.",
            &tally.claims,
            tally.claims_open,
        ),
        (
            "meshlab_faults",
            "Faults so far, by how they came out.",
            &tally.faults,
            tally.faults_open,
        ),
    ] {
        page.metric(name, "gauge", help);
        page.value(name, &[("verdict", "open")], open);
        for (word, count) in by {
            page.value(name, &[("verdict", word)], count);
        }
    }
    page.metric("meshlab_warnings_total", "counter", "Warnings of the run.");
    page.value("meshlab_warnings_total", &[], tally.warnings);
}

fn processes(page: &mut Page, shared: &Shared) {
    let samples = shared.live.samples();
    let mut all =
        |name: &str, kind, help, value: &dyn Fn(&meshlab_model::Sample) -> Option<f64>| {
            page.metric(name, kind, help);
            for sample in &samples {
                let of = match &sample.of {
                    SampleSource::Node(node) => node.as_str(),
                    SampleSource::Harness => HARNESS,
                };
                if let Some(value) = value(sample) {
                    page.value(name, &[("node", of)], value);
                }
            }
        };
    all("meshlab_cpu_cores", "gauge", "Share of one core over the last sample period.", &|of| {
        of.cpu
    });
    all("meshlab_cpu_seconds_total", "counter", "CPU time of the process.", &|of| {
        Some(of.cpu_micros_total as f64 / 1e6)
    });
    all("meshlab_rss_bytes", "gauge", "Resident memory.", &|of| Some(of.rss_bytes as f64));
    all("meshlab_open_files", "gauge", "Open file descriptors.", &|of| Some(of.open_files.into()));
    all("meshlab_threads", "gauge", "Threads.", &|of| Some(of.threads.into()));
}

fn telemetry(page: &mut Page, shared: &Shared, nodes: &[NodeId]) {
    let name = "meshlab_spans_received_total";
    page.metric(name, "counter", "Spans that came from a node.");
    for node in nodes {
        page.value(name, &[("node", node.as_str())], shared.store.received(node));
    }
    let name = "meshlab_refused_total";
    page.metric(name, "counter", "What a node sent and was not kept, or not whole.");
    for node in nodes {
        let lost = shared.store.problems(node);
        for (why, count) in [
            ("malformed", lost.malformed),
            ("too_large", lost.too_large),
            ("connections", lost.refused),
            ("flood", lost.flooded),
            ("cut", lost.truncated),
            ("numbers", lost.metrics_refused),
        ] {
            page.value(name, &[("node", node.as_str()), ("why", why)], count);
        }
    }
    let name = "meshlab_spans_evicted_total";
    page.metric(name, "counter", "Spans that are in the record and no longer in memory.");
    page.value(name, &[], shared.store.evicted());
    let name = "meshlab_record_lost_total";
    page.metric(name, "counter", "Spans and samples that could not be written to the record.");
    page.value(name, &[], shared.recorder.lost());
    if let Some(forward) = shared.forward.get() {
        let counts = forward.counts();
        let name = "meshlab_forwarded_total";
        page.metric(name, "counter", "Spans for the collector, by what became of them.");
        page.value(name, &[("spans", "sent")], counts.sent);
        page.value(name, &[("spans", "dropped")], counts.dropped);
    }
}

/// What nodes count themselves: their names are labels, for a node may choose any.
fn counters(page: &mut Page, shared: &Shared, nodes: &[NodeId]) {
    let of: Vec<_> = nodes.iter().map(|node| (node, shared.store.metrics(node))).collect();
    for (name, kind, word) in [
        ("meshlab_node_counter_total", MetricKind::Counter, "counter"),
        ("meshlab_node_gauge", MetricKind::Gauge, "gauge"),
    ] {
        page.metric(name, word, "What a node counts itself, by its own name for it.");
        for (node, metrics) in &of {
            for (metric, value) in metrics.iter().filter(|(_, value)| value.kind == kind) {
                let number = match value.number.as_f64() {
                    number if number.is_nan() => "NaN".to_owned(),
                    f64::INFINITY => "+Inf".to_owned(),
                    f64::NEG_INFINITY => "-Inf".to_owned(),
                    number => number.to_string(),
                };
                page.value(name, &[("node", node.as_str()), ("name", metric)], number);
            }
        }
    }
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
