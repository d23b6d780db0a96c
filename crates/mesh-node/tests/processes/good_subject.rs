//! The example that shows how little a program needs to be driven and observed.

use std::{
    path::{Path, PathBuf},
    process::Command as Process,
};

use meshlab_wire::{Command, Ready, Reply, env};

use crate::support::{DEADLINE, Node, as_seed, key};

/// Cargo names the binaries of a package to its tests, but not the examples, and does not build
/// those when it is given the name of a test.
fn program() -> PathBuf {
    let node = Path::new(env!("CARGO_BIN_EXE_mesh-node"));
    let example = node.with_file_name("examples").join("good_subject");
    let build = "cargo build -p mesh-node --example good_subject";
    let changed = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/good_subject.rs");
    let fresh = changed(&example).is_some_and(|built| Some(built) >= changed(&source));
    assert!(fresh, "{} is not there, or is out of date; run {build}", example.display());
    example
}

fn start(data: &Path, seed: Option<&Ready>) -> Node {
    let mut command = Process::new(program());
    command
        .env("MESH_NODE_MESH", "test")
        .env("MESH_NODE_ROLE", "guest")
        .env("MESH_NODE_DATA", data)
        .env("MESH_NODE_BIND", "127.0.0.1:0")
        .env("MESH_NODE_SEEDS", seed.map(as_seed).unwrap_or_default())
        .env_remove(env::OTLP_ENDPOINT);
    Node::spawn(command)
}

#[test]
fn two_of_them_see_each_other_and_stop_in_order() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = start(here.path(), None);
    let mut second = start(there.path(), Some(&first.ready));
    assert_ne!(key(&first), key(&second));
    assert!(first.ready.name.starts_with("test.guest."), "{:?}", first.ready);
    let sees = |node: &mut Node, other: &str| {
        let seen = node.wait_for_view(&[other], DEADLINE);
        assert_eq!(seen.neighbors, [other]);
    };
    sees(&mut first, &key(&second));
    sees(&mut second, &key(&first));
    // Each message counts, not only the first.
    first.wait_for_counter("heard", 4);
    let name = first.ready.name.clone();
    let refused = first.perform(Command::Resolve { name }).unwrap_err();
    assert!(refused.contains("this program knows counters only"), "{refused}");

    let (reply, code) = second.stop();
    assert!(matches!(reply, Reply::Telemetry(_)), "{reply:?}");
    assert_eq!(code, Some(0));
    first.wait_for_view(&[], DEADLINE);
    let (former, _) = (key(&first), first.stop());
    let again = start(here.path(), None);
    assert_eq!(key(&again), former, "it is the same node");
}
