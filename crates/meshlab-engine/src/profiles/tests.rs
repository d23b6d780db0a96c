//! Profiles of nodes that have no agent, or end while they are looked at.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::{fs, time::Duration};

use meshlab_model::{NetworkMode::Host, NodeId, RunEventKind};
use meshlab_profile::is_available;

use super::raw;
use crate::fixture::Bench;

#[tokio::test]
async fn a_node_that_ends_while_it_dumps_left_no_heap_and_says_so() {
    let bench = Bench::start(Host, 1).await;
    // The subject leaves when it is asked anything: here, before its book is whole.
    let error = bench.engine.heap_of(&NodeId::from("node-1"), None).await.unwrap_err().to_string();
    assert!(error.contains("node-1 did not finish its heap profile, and left none"), "{error}");
    assert!(error.contains("did it end meanwhile?"), "{error}");
    let raw = raw(&bench.engine.shared.folder.profiles);
    assert_eq!(fs::read_dir(raw).unwrap().count(), 0, "there is nothing to be taken for a dump");
}

#[tokio::test]
async fn a_run_goes_on_without_the_heap_of_a_node_that_died_over_it() {
    let bench = Bench::start_with(Host, 2, |config| config.profile.heap = true).await;
    let (record, _folder) = bench.finish_with_record().await;
    for node in ["node-1", "node-2"] {
        let wanted = format!("{node} has no heap profile: {node} did not finish");
        let told = record.events.iter().any(|event| {
            matches!(&event.kind, RunEventKind::Warning { text } if text.starts_with(&wanted))
        });
        assert!(told, "no warning about {node}");
    }
    let taken = record.events.iter().any(|one| matches!(one.kind, RunEventKind::HeapTaken(_)));
    assert!(!taken, "a part is never taken for a profile");
}

#[tokio::test]
async fn a_program_without_the_agent_is_seen_by_perf_only() {
    let without = |config: &mut crate::RunConfig| {
        config.profile.no_perf = Some("`perf` cannot be started (gone)".to_owned());
    };
    let length = Duration::from_millis(100);
    let node = NodeId::from("node-1");
    let bench = Bench::start_with(Host, 1, without).await;
    let error = bench.engine.cpu_of(&node, length, None).await.unwrap_err().to_string();
    let wanted = "`perf` cannot be started (gone); nor can the node sample itself: failed to ask \
                  node-1 for a CPU profile";
    assert!(error.contains(wanted), "{error}");
    if is_available().is_err() {
        return;
    }
    let bench = Bench::start(Host, 1).await;
    // A shell that mostly waits is seldom seen: no sample is no error.
    let seen = bench.engine.cpu_of(&node, length, None).await.unwrap();
    assert_eq!((seen.sampler, seen.file.is_some()), (super::PERF, seen.samples > 0));
    assert!(bench.engine.life(&node).is_ok(), "it was not asked anything");
}
