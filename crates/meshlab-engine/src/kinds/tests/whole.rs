//! A program is everything that it started.

use meshlab_model::{Resource, RunTime, SampleSource};

use super::*;
use crate::{Limits, engine::lock};

/// A shell that waits for a worker, which works and holds 50 MB.
const WORKS: &str = "/usr/bin/perl -e '$held = \"y\" x 50_000_000; $| = 1; print \"ready\\n\"; \
                     while (1) { $n++ }' & wait";

#[tokio::test]
async fn what_a_worker_holds_breaks_the_ceiling_of_its_node() {
    let body = format!("#!/bin/bash\n{WORKS}\n");
    let bench = bench_with(NetworkMode::Lab, &body, |config| {
        config.ceilings = Limits { of: [(Resource::Rss, 40e6)].into(), at: None };
    });
    let bench = bench.await;
    // It may be broken as soon as the first sample is taken, which is before the start is over.
    let _ = start(&bench, says("ready"), 1).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while bench.engine.stopped().is_none() {
        assert!(tokio::time::Instant::now() < deadline, "the ceiling holds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (record, _folder) = bench.finish_with_record().await;
    let red = record.events.iter().any(|event| {
        matches!(&event.kind, RunEventKind::ClaimFinished { verdict: Verdict::Failed(why), .. }
            if why.starts_with("rss of node-2 was "))
    });
    assert!(red);
}

#[tokio::test]
async fn what_a_worker_works_is_its_nodes_and_a_wedge_stops_it_too() {
    let bench = bench(NetworkMode::Lab, WORKS).await;
    start(&bench, says("ready"), 1).await.unwrap();
    let node = SampleSource::Node("node-2".into());
    let spent = || {
        let peeked = lock(&bench.engine.shared.sampler).peek(&node, RunTime { micros: 1 });
        peeked.unwrap().unwrap().cpu_micros_total
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    // The shell alone does nothing.
    while spent() < 200_000 {
        assert!(tokio::time::Instant::now() < deadline, "its worker is not counted: {}", spent());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let hit = bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
    let before = spent();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // What was on a processor as it was stopped is counted a little later.
    assert!(spent() - before < 10_000, "nobody of it works");
    bench.engine.undo(hit.fault).await.unwrap();
    while spent() < before + 20_000 {
        assert!(tokio::time::Instant::now() < deadline, "it does not go on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (_, acted) = bench.finish().await;
    assert!(acted[0].contains("and 1 process that it started are stopped"), "{acted:?}");
}

#[tokio::test]
async fn a_profile_shows_what_a_worker_does() {
    if meshlab_profile::is_available().is_err() {
        return;
    }
    let body = format!("#!/bin/bash\n{WORKS}\n");
    let bench = bench_with(NetworkMode::Lab, &body, |config| {
        config.profile.cpu_hz = Some(999);
    });
    let bench = bench.await;
    start(&bench, says("ready"), 1).await.unwrap();
    let node = NodeId::from("node-2");
    // The shell alone would not be seen once. How soon the worker gets a processor is the host's.
    let mut samples = 0;
    for _ in 0..20 {
        let seen = bench.engine.cpu_of(&node, Duration::from_millis(500), None).await.unwrap();
        samples = seen.samples;
        if samples > 0 {
            break;
        }
    }
    assert!(samples > 0, "perf saw nothing of a worker that never rests");
    let (record, _folder) = bench.finish_with_record().await;
    let lacking = record.events.iter().find(|event| {
        matches!(&event.kind, RunEventKind::Warning { text }
            if text.contains("node-2") && text.contains("profile"))
    });
    assert_eq!(lacking, None);
}
