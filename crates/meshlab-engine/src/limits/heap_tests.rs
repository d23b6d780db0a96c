//! Where a node records its heap, its CPU time and memory are those of the recording too: a limit
//! on them is neither green nor red, however it came out.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::time::Duration;

use meshlab_model::{
    Bound, NetworkMode::Host as HostNetwork, Resource, RunTime, Sample, SampleSource, Trend,
    Verdict,
};
use meshlab_sampler::SampleRound;

use crate::{Limits, RunConfig, fixture::Bench};

/// A ceiling and a floor, and a trend, on each of CPU, memory and threads.
fn limited(config: &mut RunConfig) {
    let all = [Resource::Cpu, Resource::Rss, Resource::Threads];
    let needs = Duration::from_secs(3600);
    let trend = Trend {
        max_growth: 1.0,
        after: Duration::ZERO,
        needs,
        per_peer: false,
        stop_when_certain: false,
    };
    let bound = |resource| Bound { resource, limit: 1e12, least: false, role: None, phase: None };
    config.ceilings = Limits { of: all.map(|resource| (resource, 1e12)).into(), at: None };
    config.bounds = Limits { of: all.map(bound).into(), at: None };
    config.trends = Limits { of: all.map(|resource| (resource, trend)).into(), at: None };
}

/// What came of each limit, with a sample that is below all ceilings.
async fn judged(change: impl FnOnce(&mut RunConfig)) -> Vec<(String, Verdict)> {
    let bench = Bench::start_with(HostNetwork, 2, |config| {
        limited(config);
        change(config);
    })
    .await;
    let sample = Sample {
        at: RunTime::from_duration(Duration::from_secs(1)),
        of: SampleSource::Node("node-1".into()),
        pid: 7,
        cpu_micros_total: 0,
        cpu: Some(0.01),
        rss_bytes: 5_000_000,
        open_files: 20,
        threads: 4,
    };
    bench.engine.judge_samples(&SampleRound { samples: vec![sample], failed: Vec::new() });
    bench.finish_with_claims().await
}

/// Those of CPU and memory are undecided because of the heap, and those of threads are not.
fn only_counts_are_judged(all: &[(String, Verdict)], because: &str) {
    assert!(all.len() >= 9, "{all:?}");
    for (text, verdict) in all {
        let said = verdict.to_string();
        let distorted = text.starts_with("cpu ") || text.starts_with("rss ");
        let spared = said.starts_with("inconclusive: ") && said.contains(because);
        assert_eq!(spared, distorted, "{text}: {said}");
    }
}

#[tokio::test]
async fn with_heap_profiles_cpu_and_memory_are_undecided() {
    let all = judged(|config| config.profile.heap = true).await;
    only_counts_are_judged(&all, "run without `--profile heap`");
}

#[tokio::test]
async fn a_program_that_records_its_heap_by_itself_is_named() {
    let all = judged(|config| {
        let more = (String::from("HELLO_MORE"), String::from(",\"records_heap\":true"));
        config.node_env.insert("node-2".to_owned(), [more].into());
    })
    .await;
    only_counts_are_judged(&all, "the program of node-2 records its heap");
}

#[tokio::test]
async fn without_a_heap_recording_memory_is_judged() {
    let all = judged(|_| ()).await;
    let (_, verdict) = all.iter().find(|(text, _)| text.starts_with("rss of every node")).unwrap();
    assert_eq!(*verdict, Verdict::Passed, "{all:?}");
}
