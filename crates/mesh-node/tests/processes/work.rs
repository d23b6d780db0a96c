//! Work between nodes: round trips, transfers, directories, and what draining does to them.

use std::time::{Duration, Instant};

use meshlab_wire::{Command, Outcome, State, Traffic, TrafficKind, TrafficResult};

use crate::support::{DEADLINE, Node, key};

fn drive(from: &mut Node, to: &Node, kind: TrafficKind, streams: u32, bytes: u64) -> TrafficResult {
    let for_ms = if kind == TrafficKind::Bulk { 30_000 } else { 300 };
    let traffic = Traffic { to: to.contact(), kind, streams, bytes, for_ms, rate: None };
    match from.perform(Command::Traffic(traffic)) {
        Ok(Outcome::Traffic(result)) => result,
        other => panic!("expected a result, got {other:?}"),
    }
}

#[test]
fn round_trips_and_transfers_arrive_and_a_dead_peer_fails_them_soon() {
    let data = tempfile::tempdir().unwrap();
    let mut client = Node::start(&data.path().join("1"), "", None);
    let mut server = Node::start(&data.path().join("2"), "", Some(&client.ready));
    for (kind, streams) in
        [(TrafficKind::Echo, 8), (TrafficKind::Request, 1), (TrafficKind::Request, 128)]
    {
        let result = drive(&mut client, &server, kind, streams, 1024);
        assert_eq!(result.errors, 0, "{kind:?}: {:?}", result.reasons);
        assert!(result.round_trips >= u64::from(streams), "{kind:?}: {result:?}");
    }
    let size = 8 * 1024 * 1024;
    let result = drive(&mut client, &server, TrafficKind::Bulk, 1, size);
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
    let result = drive(&mut client, &server, TrafficKind::Request, 1, 16);
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
    let error = to.perform(Command::Fetch { from: from.contact(), hash: absent.clone() });
    assert!(error.is_err(), "{error:?}");
    assert!(!data.path().join("2").join(&absent).exists());
    let fetched = to.perform(Command::Fetch { from: from.contact(), hash: hash.clone() });
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
