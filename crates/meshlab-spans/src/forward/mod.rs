//! Sends spans on to a collector over OTLP/http: those of a run as they come, or of a record.
//!
//! It connects to nobody but the collector that somebody named. A run never waits for it: what the
//! collector is too slow for is dropped, counted, and told at the end.

mod encode;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use meshlab_model::SpanRecord;
use tokio::{
    net::TcpStream,
    runtime::Handle,
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Bytes of spans that wait for the collector, by their size in the record, roughly.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Spans of a request, and what they take before which it is sent.
const BATCH_SPANS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;
/// How long a span waits for others to come with it.
const GATHER: Duration = Duration::from_millis(500);
/// Longest time for a request and its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// After a request that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Tries of a request, where somebody waits for it.
const TRIES: u32 = 3;
/// Of an answer nothing is read but that it came.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why nothing can be forwarded. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The address is none.
    #[error(
        "forward spans to `{url}`: {why}; write http://HOST:PORT, such as \
        http://127.0.0.1:4318"
    )]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The collector does not take them.
    #[error("forward spans to {url}: {why}")]
    Refused {
        /// Where.
        url: String,
        /// What it said.
        why: String,
    },
}

/// A collector that was named by somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    authority: String,
    path: String,
}

impl Collector {
    /// The collector at `http://HOST:PORT`, port 4318 if absent; spans go to `/v1/traces` there, or
    /// to the path that is given. Any host: whoever names one wants the spans to go there.
    ///
    /// # Errors
    /// The address is no http address. TLS is not spoken here.
    pub fn at(url: &str) -> Result<Self, ForwardError> {
        let wrong = |why: &str| ForwardError::Address { url: url.to_owned(), why: why.to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no address"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong("TLS is not spoken here; a collector on this host can forward"));
            }
            _ => return Err(wrong("it does not begin with http://")),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host"))?;
        let path = match uri.path() {
            "" | "/" => "/v1/traces".to_owned(),
            path => path.to_owned(),
        };
        Ok(Self { authority: format!("{host}:{}", uri.port_u16().unwrap_or(4318)), path })
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// What became of spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Taken by the collector.
    pub sent: u64,
    /// Dropped: there was no more room, the collector refused them, or time was up.
    pub dropped: u64,
    /// Why the first request failed, if one did.
    pub first_problem: Option<String>,
}

/// Why a request was not taken.
struct Failed {
    why: String,
    /// Whether it may be taken later.
    again: bool,
}

/// A connection to a collector, made when it is needed.
struct Client {
    collector: Collector,
    run: String,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    async fn send(&mut self, spans: &[SpanRecord]) -> Result<(), Failed> {
        let body = Bytes::from(encode::request(&self.run, spans));
        let late = || Failed {
            why: format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
            again: true,
        };
        let sent = timeout(ANSWER_WITHIN, self.post(body)).await;
        let sent = sent.map_err(|_| late()).and_then(|sent| sent);
        if sent.is_err() {
            self.open = None;
        }
        sent
    }

    async fn post(&mut self, body: Bytes) -> Result<(), Failed> {
        let failed = |why: String| Failed { why, again: true };
        let request = Request::post(self.collector.path.as_str())
            .header(header::HOST, &self.collector.authority)
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(Full::new(body))
            .map_err(|error| Failed { why: error.to_string(), again: false })?;
        let mut open = match self.open.take() {
            Some(open) if !open.is_closed() => open,
            _ => self.connect().await.map_err(|error| failed(error.to_string()))?,
        };
        let ready = open.ready().await;
        ready.map_err(|error| failed(format!("the connection broke: {error}")))?;
        let answer = open.send_request(request).await;
        let answer = answer.map_err(|error| failed(format!("the connection broke: {error}")))?;
        let status = answer.status();
        // To the end, or the next request finds the connection in use.
        let read = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.is_ok();
        if read {
            self.open = Some(open);
        }
        let busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        match status.is_success() {
            true => Ok(()),
            false => Err(Failed { why: format!("it answered {status}"), again: busy }),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error>> {
        let stream = TcpStream::connect(&self.collector.authority).await?;
        let (open, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender, and tells it why by the next request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(open)
    }
}

/// Sends spans to a collector while a run goes on. Dropping it drops what waits.
#[derive(Debug)]
pub struct Forward {
    shared: Arc<Shared>,
    collector: Collector,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    came: Notify,
    done: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<SpanRecord>,
    bytes: usize,
    /// Spans of the request that is under way.
    under_way: u64,
    /// Nothing more comes: what waits is sent at once.
    closing: bool,
    counts: Forwarded,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change is whole before anything in it can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forward {
    /// Begins to send spans of `run` to a collector.
    pub fn spawn(runtime: &Handle, collector: Collector, run: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let client = Client { collector: collector.clone(), run: run.to_owned(), open: None };
        let task = runtime.spawn(work(Arc::clone(&shared), client));
        Self { shared, collector, task }
    }

    /// Where they go.
    pub fn collector(&self) -> &Collector {
        &self.collector
    }

    /// Takes a span, or drops and counts it where too much waits. Never blocks.
    pub fn offer(&self, span: &SpanRecord) {
        let bytes = size(span);
        let mut queue = self.shared.lock();
        if queue.bytes + bytes > WAITING_BYTES_MAX || queue.closing {
            queue.counts.dropped += 1;
            return;
        }
        queue.bytes += bytes;
        queue.waiting.push_back(span.clone());
        if queue.waiting.len() == 1 || queue.waiting.len() >= BATCH_SPANS {
            self.shared.came.notify_one();
        }
    }

    /// What became of them so far.
    pub fn counts(&self) -> Forwarded {
        self.shared.lock().counts.clone()
    }

    /// Sends what waits, for at most this long; what does not go counts as dropped.
    pub async fn finish(&self, within: Duration) -> Forwarded {
        self.shared.lock().closing = true;
        self.shared.came.notify_one();
        let empty = async {
            loop {
                let done = self.shared.done.notified();
                {
                    let queue = self.shared.lock();
                    if queue.waiting.is_empty() && queue.under_way == 0 {
                        return;
                    }
                }
                done.await;
            }
        };
        // Whether or not it came to its end, the counts say what became of each span.
        let _ = timeout(within, empty).await;
        self.task.abort();
        let mut queue = self.shared.lock();
        let left = queue.waiting.len() as u64 + queue.under_way;
        (queue.under_way, queue.bytes) = (0, 0);
        queue.waiting.clear();
        queue.counts.dropped += left;
        queue.counts.clone()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a span takes, roughly.
fn size(span: &SpanRecord) -> usize {
    let of = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => value.to_string().len(),
        _ => 8,
    };
    let attributes = span.attributes.iter().map(|(name, value)| name.len() + of(value) + 64);
    256 + span.name.len() + attributes.sum::<usize>()
}

async fn work(shared: Arc<Shared>, mut client: Client) {
    let mut batch = Vec::new();
    loop {
        if batch.is_empty() {
            batch = gather(&shared).await;
        }
        let sent = client.send(&batch).await;
        let count = batch.len() as u64;
        let failed = {
            let mut queue = shared.lock();
            match sent {
                Ok(()) => {
                    queue.counts.sent += count;
                    queue.under_way = 0;
                    None
                }
                Err(Failed { why, again }) => {
                    queue.counts.first_problem.get_or_insert(why);
                    if !again {
                        queue.counts.dropped += count;
                        queue.under_way = 0;
                    }
                    Some(again)
                }
            }
        };
        if failed != Some(true) {
            batch.clear();
            shared.done.notify_waiters();
        }
        if failed.is_some() {
            sleep(AGAIN_AFTER).await;
        }
    }
}

/// Waits for spans, and a little longer for more of them.
async fn gather(shared: &Shared) -> Vec<SpanRecord> {
    loop {
        let enough = || {
            let queue = shared.lock();
            let many = queue.waiting.len() >= BATCH_SPANS || queue.bytes >= BATCH_BYTES;
            (queue.waiting.is_empty(), many || queue.closing)
        };
        match enough() {
            (true, _) => shared.came.notified().await,
            (false, true) => return take(shared),
            (false, false) => {
                // Either way there is something to send.
                let _ = timeout(GATHER, shared.came.notified()).await;
                return take(shared);
            }
        }
    }
}

fn take(shared: &Shared) -> Vec<SpanRecord> {
    let mut queue = shared.lock();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < BATCH_SPANS && (bytes < BATCH_BYTES || batch.is_empty()) {
        let Some(span) = queue.waiting.pop_front() else { break };
        bytes += size(&span);
        batch.push(span);
    }
    queue.bytes = queue.bytes.saturating_sub(bytes);
    queue.under_way = batch.len() as u64;
    batch
}

/// Sends spans of a run that is over, in order, in bounded memory. How many there were.
///
/// # Errors
/// The collector refuses a request, or fails it three times.
pub async fn forward_all(
    collector: &Collector,
    run: &str,
    spans: impl Iterator<Item = SpanRecord>,
) -> Result<u64, ForwardError> {
    let mut client = Client { collector: collector.clone(), run: run.to_owned(), open: None };
    let (mut batch, mut bytes, mut sent) = (Vec::new(), 0, 0);
    for span in spans {
        bytes += size(&span);
        batch.push(span);
        if batch.len() >= BATCH_SPANS || bytes >= BATCH_BYTES {
            sent += insist(&mut client, &batch).await?;
            (bytes, batch) = (0, Vec::new());
        }
    }
    if !batch.is_empty() {
        sent += insist(&mut client, &batch).await?;
    }
    Ok(sent)
}

async fn insist(client: &mut Client, batch: &[SpanRecord]) -> Result<u64, ForwardError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match client.send(batch).await {
            Ok(()) => return Ok(batch.len() as u64),
            Err(failed) if failed.again && tries < TRIES => sleep(AGAIN_AFTER).await,
            Err(Failed { why, .. }) => {
                let url = client.collector.to_string();
                return Err(ForwardError::Refused { url, why });
            }
        }
    }
}

#[cfg(test)]
mod tests;
