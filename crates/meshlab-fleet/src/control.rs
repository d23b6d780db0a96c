//! The harness's side of a node's control channel.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use meshlab_model::NodeId;
use meshlab_wire::{
    MAX_LINE_BYTES, Message, PROTOCOL, Ready, Reply, Request, RequestFrame, decode_message, encode,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};

use crate::FleetError;

/// Requests that may wait to be written; more means that the node does not read.
const REQUESTS_WAITING_MAX: usize = 64;

/// A node's control channel. Cheap to clone; it closes when the last clone and the node are gone.
#[derive(Debug, Clone)]
pub struct Control {
    node: NodeId,
    shared: Arc<Shared>,
    send: mpsc::Sender<Vec<u8>>,
    ready: watch::Receiver<Option<Ready>>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    records_heap: AtomicBool,
    has_none: AtomicBool,
}

#[derive(Debug, Default)]
struct Pending {
    last_id: u64,
    replies: BTreeMap<u64, oneshot::Sender<Reply>>,
    /// Set once: nothing more comes from this node, and why.
    closed: Option<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // A panic while the lock was held cannot leave these maps half-changed.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, why: String) {
        let mut pending = self.lock();
        pending.closed.get_or_insert(why);
        pending.replies.clear();
    }
}

impl Control {
    pub(crate) fn open(runtime: &Handle, node: NodeId, stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        let (send, requests) = mpsc::channel(REQUESTS_WAITING_MAX);
        let (ready_sender, ready) = watch::channel(None);
        let shared = Arc::new(Shared::default());
        runtime.spawn(write_requests(write, requests));
        let reader = Arc::clone(&shared);
        runtime.spawn(async move {
            let why = read_messages(read, &reader, &ready_sender).await;
            reader.close(why);
        });
        Self { node, shared, send, ready }
    }

    /// The channel of a program that has none: nothing comes from it, and every question is an
    /// error that says why.
    pub(crate) fn none(node: NodeId) -> Self {
        let (send, _) = mpsc::channel(1);
        let (_, ready) = watch::channel(None);
        let shared = Arc::new(Shared::default());
        shared.has_none.store(true, Ordering::Relaxed);
        shared.close("its program links no agent".to_owned());
        Self { node, shared, send, ready }
    }

    /// What the node said of itself once it was ready; `None` until then. The channel closes when
    /// the node's end is gone.
    pub fn ready(&self) -> watch::Receiver<Option<Ready>> {
        self.ready.clone()
    }

    /// Whether there is nobody to be asked: the program links no agent.
    pub fn is_none(&self) -> bool {
        self.shared.has_none.load(Ordering::Relaxed)
    }

    /// Whether the node said that it keeps book of its heap, which takes CPU time and memory of its
    /// own. It says so before it is ready.
    pub fn records_heap(&self) -> bool {
        self.shared.records_heap.load(Ordering::Relaxed)
    }

    /// Why nothing more comes from the node, once that is so.
    pub fn closed(&self) -> Option<String> {
        self.shared.lock().closed.clone()
    }

    /// Asks the node something and waits for its answer.
    ///
    /// # Errors
    /// No answer within the deadline, or a closed channel.
    pub async fn ask(&self, request: Request, within: Duration) -> Result<Reply, FleetError> {
        let what = name_of(&request);
        let closed = |because| FleetError::Closed { node: self.node.clone(), what, because };
        let (id, reply) = {
            let mut pending = self.shared.lock();
            if let Some(why) = &pending.closed {
                return Err(closed(Some(why.clone())));
            }
            pending.last_id += 1;
            let id = pending.last_id;
            let (sender, reply) = oneshot::channel();
            pending.replies.insert(id, sender);
            (id, reply)
        };
        let line = encode(&RequestFrame { id, request });
        let exchange = async {
            self.send.send(line).await.ok()?;
            reply.await.ok()
        };
        let answer = tokio::time::timeout(within, exchange).await;
        self.shared.lock().replies.remove(&id);
        match answer {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(closed(self.closed())),
            Err(_) => Err(FleetError::NoAnswer { node: self.node.clone(), what, within }),
        }
    }
}

fn name_of(request: &Request) -> &'static str {
    match request {
        Request::Ping => "a sign of life",
        Request::Telemetry => "its span counts",
        Request::View => "its view",
        Request::Clock { shift: None } => "the time",
        Request::Clock { shift: Some(_) } => "another time",
        Request::Heap { .. } => "its heap",
        Request::Cpu { .. } => "a CPU profile",
        Request::Command(_) => "a command",
        Request::Stop => "an orderly stop",
    }
}

async fn write_requests(mut write: OwnedWriteHalf, mut requests: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = requests.recv().await {
        if write.write_all(&line).await.is_err() {
            // The reader sees the end too, and says why.
            return;
        }
    }
}

/// Reads until the node's end is closed or breaks the protocol; returns why it stopped.
async fn read_messages(
    mut read: OwnedReadHalf,
    shared: &Shared,
    ready: &watch::Sender<Option<Ready>>,
) -> String {
    let mut buffer = Vec::with_capacity(4096);
    let mut greeted = false;
    loop {
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            match (decode_message(&line), greeted) {
                (Ok(Message::Hello { protocol: PROTOCOL, records_heap, .. }), _) => {
                    shared.records_heap.store(records_heap, Ordering::Relaxed);
                    greeted = true;
                }
                (Ok(Message::Hello { protocol, program, .. }), _) => {
                    return format!(
                        "{program} speaks control protocol {protocol}, this harness speaks \
                         {PROTOCOL}; build both from one source"
                    );
                }
                (Ok(_), false) => return "its first line was not `hello`".to_owned(),
                (Ok(Message::Ready(who)), true) => {
                    ready.send_replace(Some(who));
                }
                (Ok(Message::Reply { id, reply }), true) => {
                    let waiting = shared.lock().replies.remove(&id);
                    if let Some(waiting) = waiting {
                        // Whoever asked may have given up; then nobody needs the answer.
                        let _ = waiting.send(reply);
                    }
                }
                (Err(error), _) => return format!("it sent what is no control message: {error}"),
            }
        }
        if buffer.len() > MAX_LINE_BYTES {
            return format!("it sent a line of more than {MAX_LINE_BYTES} bytes");
        }
        match read.read_buf(&mut buffer).await {
            Ok(0) => return "the node closed it".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use meshlab_wire::Telemetry;
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;

    fn pair() -> (Control, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Control::open(&Handle::current(), "node-1".into(), ours), theirs)
    }

    fn hello() -> Vec<u8> {
        let program = "test 1".into();
        encode(&Message::Hello { protocol: PROTOCOL, program, records_heap: false })
    }

    #[tokio::test]
    async fn a_question_gets_its_own_answer() {
        let (control, mut theirs) = pair();
        theirs.write_all(&hello()).await.unwrap();
        let asking = control.clone();
        let asked =
            tokio::spawn(
                async move { asking.ask(Request::Telemetry, Duration::from_secs(10)).await },
            );
        let mut line = String::new();
        let (read, mut write) = theirs.split();
        BufReader::new(read).read_line(&mut line).await.unwrap();
        assert_eq!(line, "{\"id\":1,\"ask\":\"telemetry\"}\n");
        let counts = Telemetry { ended: 5, exported: 4, dropped: 1 };
        for id in [99, 1] {
            let reply = Message::Reply { id, reply: Reply::Telemetry(counts) };
            write.write_all(&encode(&reply)).await.unwrap();
        }
        assert_eq!(asked.await.unwrap().unwrap(), Reply::Telemetry(counts));
    }

    #[tokio::test]
    async fn garbage_closes_the_channel_and_says_what_it_was() {
        let (control, mut theirs) = pair();
        theirs.write_all(&hello()).await.unwrap();
        theirs.write_all(b"\x00\xff not json\n").await.unwrap();
        let error = control.ask(Request::Ping, Duration::from_secs(10)).await.unwrap_err();
        assert!(error.to_string().contains("no control message"), "{error}");
    }

    #[tokio::test]
    async fn another_protocol_is_refused_by_name() {
        let (control, mut theirs) = pair();
        let (protocol, program) = (PROTOCOL + 1, "future-node 9".into());
        let hello = Message::Hello { protocol, program, records_heap: false };
        theirs.write_all(&encode(&hello)).await.unwrap();
        let error = control.ask(Request::Ping, Duration::from_secs(10)).await.unwrap_err();
        assert!(error.to_string().contains("future-node 9 speaks control protocol"), "{error}");
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_off() {
        let (control, mut theirs) = pair();
        let mut ready = control.ready();
        theirs.write_all(&hello()).await.unwrap();
        let flood = vec![b'x'; MAX_LINE_BYTES + 4096];
        // The reader goes away in the middle of this.
        let _ = theirs.write_all(&flood).await;
        assert!(ready.changed().await.is_err(), "the channel is closed");
        assert!(control.closed().unwrap().contains("a line of more than"));
    }

    #[tokio::test]
    async fn silence_is_an_error_with_its_deadline() {
        let (control, _theirs) = pair();
        let error = control.ask(Request::View, Duration::from_millis(40)).await.unwrap_err();
        assert_eq!(error.to_string(), "ask node-1 for its view: no answer within 40.0 ms");
    }
}
