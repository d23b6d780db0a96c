//! Work between nodes: round trips, transfers, directories, and what draining does to them.

use std::time::{Duration, Instant};

use meshlab_sampler::RunQueue;
use meshlab_wire::{Command, Outcome, State, Traffic, TrafficKind, TrafficResult};

use crate::support::{DEADLINE, Node, is_late, key};

fn drive(from: &mut Node, to: &Node, kind: TrafficKind, streams: u32, bytes: u64) -> TrafficResult {
    let for_ms = if kind == TrafficKind::Bulk { 30_000 } else { 2_000 };
    let traffic = Traffic { to: to.contact(), kind, streams, bytes, for_ms, rate: None };
    match from.perform(Command::Traffic(traffic)) {
        Ok(Outcome::Traffic(result)) => result,
        other => panic!("expected a result, got {other:?}"),
    }
}

/// The same for the first time, again for as long as the connection is only late.
fn first_drive(from: &mut Node, to: &Node, kind: TrafficKind, streams: u32) -> TrafficResult {
    let until = Instant::now() + DEADLINE;
    loop {
        let result = drive(from, to, kind, streams, 1024);
        let unconnected = result.round_trips == 0 && !result.reasons.is_empty();
        let late = unconnected && result.reasons.iter().all(|why| is_late(why));
        if !late || Instant::now() >= until {
            return result;
        }
    }
}

/// Half of the silence after which a sender gives up.
const WAITED: Duration = Duration::from_millis(800);

/// A transfer, again where the two of it could not run: a sender takes that for silence. That they
/// could not is the kernel's word: one that gives up too soon is not forgiven, but once, because the
/// kernel of a virtual machine does not count what its host takes away.
fn transfer(from: &mut Node, to: &Node, bytes: u64) -> TrafficResult {
    for again in 0..4 {
        let queues = [&from.child, &to.child].map(|child| RunQueue::of(child.id()));
        let result = drive(from, to, TrafficKind::Bulk, 1, bytes);
        let waited: Duration = queues.iter().map(RunQueue::waited).sum();
        let stood = |why: &String| why.contains("silent") || is_late(why);
        let silent = !result.reasons.is_empty() && result.reasons.iter().all(stood);
        if !silent || (again > 0 && waited < WAITED) {
            return result;
        }
    }
    drive(from, to, TrafficKind::Bulk, 1, bytes)
}

#[test]
fn round_trips_and_transfers_arrive_and_a_dead_peer_fails_them_soon() {
    let data = tempfile::tempdir().unwrap();
    let mut client = Node::start(&data.path().join("1"), "", None);
    let mut server = Node::start(&data.path().join("2"), "", Some(&client.ready));
    for (kind, streams) in
        [(TrafficKind::Echo, 8), (TrafficKind::Request, 1), (TrafficKind::Request, 128)]
    {
        let result = first_drive(&mut client, &server, kind, streams);
        assert_eq!(result.errors, 0, "{kind:?}: {:?}", result.reasons);
        assert!(result.round_trips >= u64::from(streams), "{kind:?}: {result:?}");
    }
    let size = 8 * 1024 * 1024;
    let result = transfer(&mut client, &server, size);
    assert_eq!((result.round_trips, result.errors, result.bytes), (1, 0, size), "{result:?}");

    server.kill();
    let started = Instant::now();
    let result = drive(&mut client, &server, TrafficKind::Bulk, 1, size);
    assert_eq!((result.round_trips, result.errors), (0, 1), "{result:?}");
    // QUIC itself would take half a minute.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}: {result:?}", started.elapsed());
}

#[test]
fn a_draining_node_finishes_its_work_and_takes_no_more() {
    let data = tempfile::tempdir().unwrap();
    let every = "--digest-every 200ms";
    let mut client = Node::start(&data.path().join("1"), every, None);
    let mut server = Node::start(&data.path().join("2"), every, Some(&client.ready));
    let (a, b) = (key(&client), key(&server));
    client.wait_for_view(&[&b], DEADLINE);
    server.wait_for_view(&[&a], DEADLINE);
    let enter = |node: &mut Node, state| node.perform(Command::SetState { state });
    assert_eq!(enter(&mut server, State::Updating), Ok(Outcome::Done));
    client.wait_for_state(&b, State::Updating);
    assert_eq!(enter(&mut server, State::Draining), Ok(Outcome::Done));
    client.wait_for_state(&b, State::Draining);
    let result = first_drive(&mut client, &server, TrafficKind::Request, 1);
    assert_eq!(result.round_trips, 0);
    assert_eq!(result.reasons, ["refused: draining"]);
    assert!(server.counter("work.refused") > 0);
    assert_eq!(enter(&mut server, State::Alive), Ok(Outcome::Done));
    client.wait_for_state(&b, State::Alive);
    let result = drive(&mut client, &server, TrafficKind::Request, 1, 16);
    assert_eq!(result.errors, 0, "{result:?}");
    assert!(enter(&mut server, State::Dead).is_err());
}

#[test]
fn a_directory_appears_whole_or_not_at_all() {
    let data = tempfile::tempdir().unwrap();
    let mut from = Node::start(&data.path().join("1"), "", None);
    let mut to = Node::start(&data.path().join("2"), "", Some(&from.ready));
    let shared = from.perform(Command::Share { files: 3, bytes_each: 300_000, seed: 7 });
    let Ok(Outcome::Shared { hash, bytes: 900_000 }) = shared else {
        panic!("expected a directory of 900000 bytes, got {shared:?}");
    };
    let absent = "00".repeat(32);
    let fetch = |hash: &String| Command::Fetch { from: from.contact(), hash: hash.clone() };
    let error = to.perform_in_time(&fetch(&absent)).unwrap_err();
    // Who is asked has no such thing, and says so by an end of the stream.
    assert!(error.starts_with("could not fetch: io: stream reset by peer"), "{error}");
    assert!(!data.path().join("2").join(&absent).exists());
    let fetched = to.perform_in_time(&fetch(&hash));
    assert!(
        matches!(fetched, Ok(Outcome::Fetched { files: 3, bytes: 900_000, .. })),
        "{fetched:?}"
    );
    for file in ["file-0000", "file-0001", "file-0002"] {
        let read = |folder: &str| std::fs::read(data.path().join(folder).join(file)).unwrap();
        assert!(read("1/shared-7") == read(&format!("2/{hash}")), "{file} differs");
    }
    assert!(!data.path().join("2/fetching").exists(), "nothing half made is left");
}

#[test]
fn a_node_over_its_budget_says_that_it_is_degraded() {
    let data = tempfile::tempdir().unwrap();
    let every = "--digest-every 200ms";
    let mut first = Node::start(&data.path().join("1"), every, None);
    let tight = format!("{every} --budget-rss 1");
    let second = Node::start(&data.path().join("2"), &tight, Some(&first.ready));
    first.wait_for_state(&key(&second), State::Degraded);
}
