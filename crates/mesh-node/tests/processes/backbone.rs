//! Meshes that find each other.

use std::time::{Duration, Instant};

use meshlab_wire::{Command, Contact, Outcome};

use crate::support::{DEADLINE, Node, as_seed, key};

fn resolve(node: &mut Node, name: &str) -> Result<Contact, String> {
    match node.perform(Command::Resolve { name: name.to_owned() })? {
        Outcome::Resolved(contact) => Ok(contact),
        other => panic!("expected a contact, got {other:?}"),
    }
}

fn wait_until_resolved(node: &mut Node, name: &str, within: Duration) -> Contact {
    let until = Instant::now() + within;
    loop {
        match resolve(node, name) {
            Ok(contact) => return contact,
            Err(why) => assert!(Instant::now() < until, "{why}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_name_of_another_mesh_is_found_also_after_its_publisher_died() {
    let data = tempfile::tempdir().unwrap();
    let place = |name: &str| data.path().join(name);
    let every = "--digest-every 200ms --backbone true";
    let mut a = Node::start_in("mesh1", &place("a"), every, None);
    let join = format!("{every} --backbone-seed {}", as_seed(&a.ready));
    let mut b1 = Node::start_in("mesh2", &place("b1"), &join, None);
    let mut b2 = Node::start_in("mesh2", &place("b2"), &join, Some(&b1.ready));
    let mut b3 = Node::start_in("mesh2", &place("b3"), &join, Some(&b1.ready));
    let (key1, key2, key3) = (key(&b1), key(&b2), key(&b3));
    b1.wait_for_view(&[&key2, &key3], DEADLINE);
    b2.wait_for_view(&[&key1, &key3], DEADLINE);
    b3.wait_for_view(&[&key1, &key2], DEADLINE);

    // One node is asked by another of another mesh, and the meshes do not mix.
    let name = b3.ready.name.clone();
    let found = wait_until_resolved(&mut a, &name, DEADLINE);
    assert_eq!(found.public_key, key3);
    assert!(a.view().peers.is_empty(), "another mesh is not in the directory");
    let hello = Command::Deliver { to: name.clone(), text: "hello".to_owned() };
    let delivered = a.perform_in_time(&hello);
    assert!(
        matches!(&delivered, Ok(Outcome::Delivered { via, .. }) if via == "direct"),
        "{delivered:?}"
    );
    let name = a.ready.name.clone();
    wait_until_resolved(&mut b3, &name, DEADLINE);
    let back = b3.perform_in_time(&Command::Deliver { to: name, text: "hi".to_owned() });
    assert!(matches!(back, Ok(Outcome::Delivered { .. })), "{back:?}");
    let error = resolve(&mut a, "mesh9.broker.000000").unwrap_err();
    assert_eq!(error, "mesh `mesh9` is not known on the backbone");
    let until = Instant::now() + DEADLINE;
    loop {
        let error = resolve(&mut a, "mesh2.broker.000000").unwrap_err();
        if error.contains("unknown") {
            break;
        }
        // One of those who are asked was late, or is not known yet.
        assert!(Instant::now() < until, "{error}");
        std::thread::sleep(Duration::from_millis(20));
    }

    // Exactly one of mesh2 publishes. It dies, and another takes over.
    let mut nodes = [b1, b2, b3];
    let publishes = |node: &mut Node| node.counter("summaries.sent") > 0;
    let publisher = nodes.iter_mut().position(publishes).expect("somebody publishes");
    nodes[publisher].kill();
    let mut survivors: Vec<&mut Node> = nodes
        .iter_mut()
        .enumerate()
        .filter(|(place, _)| *place != publisher)
        .map(|(_, node)| node)
        .collect();
    let before: u64 = survivors.iter_mut().map(|node| node.counter("summaries.sent")).sum();
    let until = Instant::now() + DEADLINE;
    while survivors.iter_mut().map(|node| node.counter("summaries.sent")).sum::<u64>() == before {
        assert!(Instant::now() < until, "nobody took over");
        std::thread::sleep(Duration::from_millis(20));
    }
    let name = survivors[1].ready.name.clone();
    wait_until_resolved(&mut a, &name, DEADLINE);
}
