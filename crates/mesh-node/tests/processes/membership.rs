//! Who is there, who goes, who comes back.

use std::time::Duration;

use meshlab_wire::{Command, Reply, State};

use crate::support::{DEADLINE, Node, key};

/// How soon every view must agree again after a disturbance.
const HEALED: Duration = Duration::from_secs(15);

#[test]
fn nodes_find_each_other_and_notice_who_dies() {
    let data = tempfile::tempdir().unwrap();
    let mut first =
        Node::start(&data.path().join("1"), "--digest-every 200ms --digest-gated false", None);
    let mut second = Node::start(
        &data.path().join("2"),
        "--digest-every 200ms --digest-gated false",
        Some(&first.ready),
    );
    let mut third = Node::start(
        &data.path().join("3"),
        "--digest-every 200ms --digest-gated false",
        Some(&first.ready),
    );
    let (a, b, c) = (key(&first), key(&second), key(&third));
    first.wait_for_view(&[&b, &c], DEADLINE);
    second.wait_for_view(&[&a, &c], DEADLINE);
    third.wait_for_view(&[&a, &b], DEADLINE);

    third.kill();
    let dead_after = Duration::from_millis(first.ready.dead_after_ms);
    first.wait_for_view(&[&b], dead_after + DEADLINE);
    second.wait_for_view(&[&a], dead_after + DEADLINE);
}

#[test]
fn a_node_that_leaves_says_so_and_exits_with_zero() {
    let data = tempfile::tempdir().unwrap();
    // At this cadence silence takes 40 minutes to be noticed, so an eviction within the test's
    // deadline has only one possible cause: the announcement.
    let mut first =
        Node::start(&data.path().join("1"), "--digest-every 600s --digest-gated false", None);
    let mut second = Node::start(
        &data.path().join("2"),
        "--digest-every 600s --digest-gated false",
        Some(&first.ready),
    );
    assert!(first.ready.dead_after_ms > 2_000_000);
    let (a, b) = (key(&first), key(&second));
    first.wait_for_view(&[&b], DEADLINE);
    second.wait_for_view(&[&a], DEADLINE);
    let (reply, code) = second.stop();
    assert!(matches!(reply, Reply::Telemetry(_)), "{reply:?}");
    assert_eq!(code, Some(0));
    first.wait_for_view(&[], DEADLINE);

    let mut back = Node::start(
        &data.path().join("2"),
        "--digest-every 600s --digest-gated false",
        Some(&first.ready),
    );
    assert_eq!(key(&back), b, "the identity is on disk");
    first.wait_for_view(&[&b], DEADLINE);
    back.wait_for_view(&[&a], DEADLINE);
}

/// Every view of every node agrees: the directory holds the others and nobody else, each neighbour
/// is one of them, and no connection leads to anybody else.
fn all_agree(nodes: &mut [&mut Node], within: Duration) {
    let keys: Vec<String> = nodes.iter().map(|node| key(node)).collect();
    for (place, node) in nodes.iter_mut().enumerate() {
        let others: Vec<&str> = keys
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place)
            .map(|(_, key)| key.as_str())
            .collect();
        node.wait_for_view(&others, within);
        node.wait_for("neighbours and connections that are there", within, |seen| {
            let there = |key: &String| others.contains(&key.as_str());
            !seen.neighbors.is_empty()
                && seen.neighbors.iter().all(there)
                && seen.connections.keys().all(there)
                && seen.connections.values().all(|count| *count <= 2)
        });
    }
}

#[test]
fn a_node_that_is_back_within_a_second_is_heard_again_by_all() {
    let data = tempfile::tempdir().unwrap();
    let place = |name: &str| data.path().join(name);
    // At this cadence nobody can have noticed the death: dead after 24 s.
    let every = "--digest-every 2s";
    let mut first = Node::start(&place("1"), every, None);
    let mut second = Node::start(&place("2"), every, Some(&first.ready));
    let mut third = Node::start(&place("3"), every, Some(&first.ready));
    all_agree(&mut [&mut first, &mut second, &mut third], DEADLINE);

    let bind = format!("{every} --bind {}", third.ready.addresses[0]);
    third.kill();
    let mut third = Node::start(&place("3"), &bind, Some(&first.ready));
    all_agree(&mut [&mut first, &mut second, &mut third], HEALED);

    // The first node was everybody's seed. It comes back with nobody to ask, and is asked.
    let bind = format!("{every} --bind {}", first.ready.addresses[0]);
    first.kill();
    let mut first = Node::start(&place("1"), &bind, None);
    all_agree(&mut [&mut first, &mut second, &mut third], HEALED);
}

/// A clock that was days ahead and was set right: the node's new life comes after its old one all
/// the same, or nobody would hear it for as long as they remember.
#[test]
fn a_clock_that_was_days_ahead_does_not_silence_the_next_life() {
    let data = tempfile::tempdir().unwrap();
    let place = |name: &str| data.path().join(name);
    let every = "--digest-every 2s";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let days_ahead = now.as_micros() + 10 * 86_400 * 1_000_000;
    std::fs::create_dir(place("2")).unwrap();
    std::fs::write(place("2").join("incarnation"), days_ahead.to_string()).unwrap();
    let mut first = Node::start(&place("1"), every, None);
    let mut second = Node::start(&place("2"), every, Some(&first.ready));
    all_agree(&mut [&mut first, &mut second], DEADLINE);

    let bind = format!("{every} --bind {}", second.ready.addresses[0]);
    second.kill();
    let mut second = Node::start(&place("2"), &bind, Some(&first.ready));
    all_agree(&mut [&mut first, &mut second], HEALED);
    // Only digests of the new life tell of this.
    assert!(second.perform(Command::SetState { state: State::Updating }).is_ok());
    first.wait_for_state(&key(&second), State::Updating);
}

#[test]
fn a_frozen_node_holds_nobody_for_dead_when_it_wakes() {
    let data = tempfile::tempdir().unwrap();
    let place = |name: &str| data.path().join(name);
    // Dead after 6 s: a busy host must not make the two that run look dead to each other.
    let every = "--digest-every 500ms";
    let mut first = Node::start(&place("1"), every, None);
    let mut second = Node::start(&place("2"), every, Some(&first.ready));
    let mut third = Node::start(&place("3"), every, Some(&first.ready));
    all_agree(&mut [&mut first, &mut second, &mut third], DEADLINE);
    let (a, b) = (key(&first), key(&second));
    let pid = i32::try_from(third.child.id()).unwrap();
    // SAFETY: a signal to a process that this test started and has not reaped.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGSTOP) }, 0);
    first.wait_for_view(&[&b], DEADLINE);
    second.wait_for_view(&[&a], DEADLINE);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGCONT) }, 0);
    let seen = third.view();
    assert_eq!(seen.peers.len(), 2, "the pause is its own, and not held against others: {seen:?}");
    all_agree(&mut [&mut first, &mut second, &mut third], HEALED);
}

#[test]
fn sigterm_and_sigint_leave_in_order() {
    let data = tempfile::tempdir().unwrap();
    // As above: at this cadence only the announcement can evict within the test's time.
    let every = "--digest-every 600s --digest-gated false";
    let mut first = Node::start(&data.path().join("1"), every, None);
    let mut others: Vec<Node> = ["2", "3"]
        .iter()
        .map(|name| Node::start(&data.path().join(name), every, Some(&first.ready)))
        .collect();
    let keys: Vec<String> = others.iter().map(key).collect();
    first.wait_for_view(&[&keys[0], &keys[1]], DEADLINE);
    for (node, signal) in others.iter_mut().zip([libc::SIGTERM, libc::SIGINT]) {
        let pid = i32::try_from(node.child.id()).unwrap();
        // SAFETY: a signal to a process that this test started and has not reaped.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        assert_eq!(node.child.wait().unwrap().code(), Some(0), "signal {signal}");
    }
    first.wait_for_view(&[], DEADLINE);
}
