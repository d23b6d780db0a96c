use meshlab_wire::{Ready, ViewEntry, decode_message};
use tokio::{io::AsyncBufReadExt, time::timeout};

use super::*;
use crate::{Telemetry, View, ViewSource, control::Control};

struct OnePeer;

impl ViewSource for OnePeer {
    fn view(&self) -> View {
        let peer = ViewEntry {
            public_key: "aa".repeat(32),
            name: "m.r.aaaaaa".to_owned(),
            state: meshlab_wire::State::Alive,
            heard_ms_ago: 5,
        };
        let connections = [("aa".repeat(32), 2)].into();
        View { peers: vec![peer], neighbors: vec!["aa".repeat(32)], connections }
    }
}

/// Does what it is asked once it is let go.
struct Gate(Arc<tokio::sync::Notify>);

impl crate::Commands for Gate {
    fn perform(&self, command: Command) -> crate::Performing {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            gate.notified().await;
            match command {
                Command::Counters => {
                    let counters = [("dials".to_owned(), 3)].into();
                    let gauges = std::collections::BTreeMap::new();
                    Ok(meshlab_wire::Outcome::Counters { counters, gauges })
                }
                other => Err(format!("no such thing here: {other:?}")),
            }
        })
    }
}

struct Harness(BufReader<UnixStream>);

impl Harness {
    fn connect(shared: &Arc<Shared>) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(serve(Arc::clone(shared), theirs));
        Self(BufReader::new(ours))
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    async fn ask(&mut self, id: u64, request: Request) {
        self.write(&encode(&RequestFrame { id, request })).await;
    }

    async fn read(&mut self) -> Option<Message> {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line);
        let read = timeout(Duration::from_secs(10), read).await.expect("a line").unwrap();
        (read > 0).then(|| decode_message(&line).unwrap())
    }
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new("test 1".to_owned(), Telemetry::none()))
}

fn ready() -> Ready {
    Ready {
        name: "m.r.bbbbbb".to_owned(),
        public_key: "bb".repeat(32),
        addresses: vec!["127.0.0.1:1".to_owned()],
        dead_after_ms: 8000,
        boot_micros: 5000,
    }
}

#[tokio::test]
async fn hello_comes_first_and_requests_are_answered() {
    let shared = shared();
    let mut harness = Harness::connect(&shared);
    let program = "test 1".to_owned();
    let hello = Message::Hello { protocol: PROTOCOL, program, records_heap: false };
    assert_eq!(harness.read().await, Some(hello));
    harness.ask(1, Request::Ping).await;
    assert_eq!(harness.read().await, Some(Message::Reply { id: 1, reply: Reply::Pong }));
    harness.ask(2, Request::View).await;
    let refused = harness.read().await;
    assert!(
        matches!(refused, Some(Message::Reply { id: 2, reply: Reply::Refused { .. } })),
        "{refused:?}"
    );
    *shared.view.lock().unwrap() = Some(Arc::new(OnePeer));
    shared.ready.send_replace(Some(ready()));
    assert_eq!(harness.read().await, Some(Message::Ready(ready())));
    harness.ask(3, Request::View).await;
    let view = OnePeer.view();
    let reply =
        Reply::View { peers: view.peers, neighbors: view.neighbors, connections: view.connections };
    assert_eq!(harness.read().await, Some(Message::Reply { id: 3, reply }));
}

#[tokio::test]
async fn a_command_is_done_beside_other_requests_and_a_failed_one_is_refused() {
    let shared = shared();
    let mut harness = Harness::connect(&shared);
    harness.read().await;
    harness.ask(1, Request::Command(Command::Counters)).await;
    let refused = harness.read().await;
    assert!(
        matches!(refused, Some(Message::Reply { id: 1, reply: Reply::Refused { .. } })),
        "a program without commands refuses them: {refused:?}"
    );
    let gate = Arc::new(tokio::sync::Notify::new());
    *shared.commands.lock().unwrap() = Some(Arc::new(Gate(Arc::clone(&gate))));
    harness.ask(2, Request::Command(Command::Counters)).await;
    harness.ask(3, Request::Ping).await;
    assert_eq!(harness.read().await, Some(Message::Reply { id: 3, reply: Reply::Pong }));
    gate.notify_one();
    let counters = [("dials".to_owned(), 3)].into();
    let outcome =
        Reply::Outcome(meshlab_wire::Outcome::Counters { counters, gauges: Default::default() });
    assert_eq!(harness.read().await, Some(Message::Reply { id: 2, reply: outcome }));
    harness.ask(4, Request::Command(Command::Grant { token: "x".into() })).await;
    gate.notify_one();
    let refused = harness.read().await;
    assert!(
        matches!(refused, Some(Message::Reply { id: 4, reply: Reply::Refused { .. } })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn garbage_is_refused_and_counted_and_the_connection_goes_on() {
    let shared = shared();
    let mut harness = Harness::connect(&shared);
    harness.read().await;
    harness.write(b"GET / HTTP/1.1\r\n\xff\xfe\n{\"id\":9,\"ask\":\"fly\"}\n").await;
    for _ in 0..3 {
        let refused = harness.read().await;
        assert!(
            matches!(refused, Some(Message::Reply { id: NO_ID, reply: Reply::Refused { .. } })),
            "{refused:?}"
        );
    }
    harness.ask(4, Request::Ping).await;
    assert_eq!(harness.read().await, Some(Message::Reply { id: 4, reply: Reply::Pong }));
    assert_eq!(shared.refused.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn stop_is_answered_with_the_final_counts_only_at_the_end() {
    let control = Control::start("test 1".to_owned(), Telemetry::none(), None).unwrap();
    let mut harness = Harness::connect(&control.shared);
    harness.read().await;
    harness.ask(5, Request::Stop).await;
    let mut stop = control.stop_requests();
    timeout(Duration::from_secs(10), stop.wait_for(|stop| *stop)).await.unwrap().unwrap();
    harness.ask(6, Request::Ping).await;
    assert_eq!(harness.read().await, Some(Message::Reply { id: 6, reply: Reply::Pong }));
    let counts = Counts { ended: 3, exported: 2, dropped: 1 };
    control.finish(counts, Duration::from_secs(10)).await;
    let reply = Reply::Telemetry(counts);
    assert_eq!(harness.read().await, Some(Message::Reply { id: 5, reply }));
    assert_eq!(harness.read().await, None);
}

#[tokio::test]
async fn a_closed_harness_does_not_stop_the_node() {
    let shared = shared();
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    timeout(Duration::from_secs(10), serve(Arc::clone(&shared), theirs)).await.unwrap();
    assert!(!*shared.stop.borrow());
}
