//! Limits are broken on purpose here, and starved of data: each must be red, or undecided, by name.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{
    Bound, CounterName, CounterSample, NetworkMode::Host as HostNetwork, NodeId, NoiseLimits,
    Phase, Resource, RunEventKind, RunTime, Sample, SampleSource, Trend, Verdict,
};
use meshlab_sampler::{SampleError, SampleRound};
use meshlab_stats::{Stream, noise};

use super::{ceilings::Ceiling, counted::Counted, looks::Looks, trends, trends::Series};
use crate::{Limits, fixture::Bench, noise::HostNoise};

const HOUR: f64 = 3600.0;

fn sample(node: &str, seconds: f64, rss: f64) -> Sample {
    Sample {
        at: RunTime::from_duration(Duration::from_secs_f64(seconds)),
        of: SampleSource::Node(node.into()),
        pid: 7,
        cpu_micros_total: 0,
        cpu: Some(0.01),
        rss_bytes: rss as u64,
        open_files: 20,
        threads: 4,
    }
}

fn ceiling(resource: Resource, limit: f64) -> Ceiling {
    Ceiling::new(resource, limit, Duration::from_secs(1))
}

#[test]
fn a_ceiling_is_broken_by_one_sample_and_by_what_is_no_number() {
    let node = NodeId::from("node-2");
    let mut rss = ceiling(Resource::Rss, 200.0 * 1_048_576.0);
    assert_eq!(rss.look(&node, &sample("node-2", 1.0, 2e8)), None);
    let above = rss.look(&node, &sample("node-2", 2.0, 3e8)).unwrap();
    assert_eq!(above.why, "rss of node-2 was 286.1 MiB at 00:02.000, at most 200.0 MiB is allowed");
    assert!(!above.may_be_noise, "memory does not depend on who else runs");
    let mut cpu = ceiling(Resource::Cpu, 0.25);
    let no_number = Sample { cpu: Some(f64::NAN), ..sample("node-2", 3.0, 1.0) };
    assert_eq!(cpu.look(&node, &no_number).unwrap().why, "cpu of node-2 is no number at 00:03.000");
    let at_it = Sample { cpu: Some(0.25), ..sample("node-2", 4.0, 1.0) };
    assert_eq!(cpu.look(&node, &at_it), None);
}

#[test]
fn a_ceiling_without_data_is_never_green() {
    let node = NodeId::from("node-2");
    let said = |ceiling: Ceiling| ceiling.close().0.to_string();
    let mut first_only = ceiling(Resource::Cpu, 0.25);
    first_only.look(&node, &Sample { cpu: None, ..sample("node-2", 1.0, 1.0) });
    let mut unseen = ceiling(Resource::Rss, 1e9);
    unseen.look(&"node-1".into(), &sample("node-1", 1.0, 1.0));
    unseen.runs(&node, Duration::from_secs(30));
    let mut gap = ceiling(Resource::Rss, 1e9);
    gap.look(&node, &sample("node-2", 1.0, 1.0));
    gap.look(&node, &sample("node-2", 61.0, 1.0));
    let mut short = ceiling(Resource::Rss, 1e9);
    short.look(&node, &sample("node-2", 1.0, 1.0));
    short.runs(&"node-3".into(), Duration::from_secs(2));
    let all = [ceiling(Resource::Rss, 1e9), first_only, unseen, gap, short].map(said);
    insta::assert_snapshot!(all.join("\n"));
}

/// What came of the limits of a run, with their notes.
async fn limits_of(bench: Bench) -> Vec<String> {
    let (record, _folder) = bench.finish_with_record().await;
    let finished = record.events.iter().filter_map(|event| match &event.kind {
        RunEventKind::ClaimFinished { verdict, evidence, .. } => {
            Some(format!("{verdict}; {}", evidence.notes.join("; ")))
        }
        _ => None,
    });
    finished.collect()
}

#[tokio::test]
async fn the_run_stops_at_the_first_sample_above_and_says_what_went_on() {
    let threads = |config: &mut crate::RunConfig| {
        config.ceilings = Limits { of: [(Resource::Threads, 50.0)].into(), at: None };
    };
    let bench = Bench::start_with(HostNetwork, 2, threads).await;
    bench.fault("wedge_node", &["node-2"], &[], Some(Duration::from_secs(60))).await.unwrap();
    assert_eq!(bench.engine.stopped(), None);
    let above = Sample { threads: 60, ..sample("node-1", 9.0, 1.0) };
    let round = SampleRound { samples: vec![above.clone(), above], failed: Vec::new() };
    bench.engine.judge_samples(&round);
    assert_eq!(bench.engine.stopped(), Some(meshlab_model::EndReason::CeilingBroken));
    let limits = limits_of(bench).await;
    let [one] = limits.as_slice() else { panic!("{limits:?}") };
    let wanted = "failed: threads of node-1 was 60 at 00:09.000, at most 50 is allowed; meanwhile: \
                  wedge_node on node-2, for ";
    assert!(one.starts_with(wanted), "{one}");
}

/// Nothing is sampled by itself: the first round is before the first node, the next one never.
fn unsampled(config: &mut crate::RunConfig) {
    config.sample_every = Duration::from_secs(3600);
}

/// What comes of a ceiling of 25 % of a core on a host that others use so much of, and whether the
/// run was stopped.
async fn on_a_host(foreign: f64, cpu: f64) -> String {
    let quarter = |config: &mut crate::RunConfig| {
        config.ceilings = Limits { of: [(Resource::Cpu, 0.25)].into(), at: None };
        config.noise = NoiseLimits::USUAL;
        unsampled(config);
    };
    let bench = Bench::start_with(HostNetwork, 1, quarter).await;
    let host =
        HostNoise::of(RunTime { micros: 3_600_000_000 }, crate::noise::tests::sample(foreign));
    *crate::engine::lock(&bench.engine.shared.noise) = host;
    let sample = Sample { cpu: Some(cpu), ..sample("node-1", 9.0, 1e6) };
    let round = SampleRound { samples: vec![sample], failed: Vec::new() };
    bench.engine.judge_samples(&round);
    let stopped = bench.engine.stopped().is_some();
    let said = limits_of(bench).await.join("\n").replace(", in 1 samples of 1 nodes", "");
    format!("stopped: {stopped}; {said}")
}

#[tokio::test]
async fn on_a_noisy_host_a_ceiling_on_cpu_is_neither_green_nor_red() {
    let all = [
        ("quiet, below", on_a_host(0.05, 0.1).await),
        ("quiet, above", on_a_host(0.05, 0.3).await),
        ("noisy, below", on_a_host(0.6, 0.1).await),
        ("noisy, above", on_a_host(0.6, 0.3).await),
        ("noisy, far above", on_a_host(0.6, 0.9).await),
    ];
    let shown: Vec<String> = all.iter().map(|(what, said)| format!("{what}\n  {said}")).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[tokio::test]
async fn a_node_that_runs_and_cannot_be_sampled_is_red_and_one_that_can_is_green() {
    let rss = |config: &mut crate::RunConfig| {
        config.ceilings = Limits { of: [(Resource::Rss, 1e12)].into(), at: None };
    };
    // The samples that are taken by themselves would find the node well.
    let rss_unsampled = |config: &mut crate::RunConfig| {
        rss(config);
        unsampled(config);
    };
    let bench = Bench::start_with(HostNetwork, 1, rss_unsampled).await;
    for _ in 0..3 {
        let gone = (SampleSource::Node("node-1".into()), SampleError::Gone(7));
        let round = SampleRound { samples: Vec::new(), failed: vec![gone] };
        bench.engine.judge_samples(&round);
    }
    let limits = limits_of(bench).await;
    let wanted = "failed: node-1 runs and cannot be sampled, 3 times now: ";
    assert!(limits[0].starts_with(wanted), "{limits:?}");

    let bench = Bench::start_with(HostNetwork, 1, rss).await;
    let round = SampleRound { samples: vec![sample("node-1", 1.0, 5e6)], failed: Vec::new() };
    bench.engine.judge_samples(&round);
    let limits = limits_of(bench).await;
    assert!(limits[0].starts_with("passed; highest: "), "{limits:?}");
}

fn tasks() -> Resource {
    Resource::Counter(CounterName::new("tasks"))
}

#[tokio::test]
async fn the_run_stops_where_a_node_counts_more_than_its_ceiling() {
    let forty = |config: &mut crate::RunConfig| {
        config.ceilings = Limits { of: [(tasks(), 40.0)].into(), at: None };
        unsampled(config);
    };
    let bench = Bench::start_with(HostNetwork, 2, forty).await;
    let counts = |at: f64, tasks: f64| {
        let changed = CounterSample {
            at: RunTime::from_duration(Duration::from_secs_f64(at)),
            node: "node-1".into(),
            values: BTreeMap::from([("tasks".to_owned(), tasks)]),
        };
        crate::engine::lock(&bench.engine.shared.gates).count(&[changed]);
        let samples = vec![sample("node-1", at, 1.0)];
        bench.engine.judge_samples(&SampleRound { samples, failed: Vec::new() });
    };
    counts(9.0, 40.0);
    assert_eq!(bench.engine.stopped(), None);
    counts(10.0, 41.0);
    assert_eq!(bench.engine.stopped(), Some(meshlab_model::EndReason::CeilingBroken));
    let limits = limits_of(bench).await;
    let wanted = "failed: tasks of node-1 was 41 at 00:10.000, at most 40 is allowed";
    assert!(limits[0].starts_with(wanted), "{limits:?}");
}

#[test]
fn a_counter_that_nobody_counts_is_never_green() {
    let node = NodeId::from("node-2");
    let look = |ceiling: &mut Ceiling, at: f64, counted: &Counted| {
        let sample = sample("node-2", at, 1.0);
        ceiling.look_in(&node, &sample, counted, Phase::Idle, Duration::MAX)
    };
    let (nothing, five) = (Counted::new(), Counted::from([(CounterName::new("tasks"), 5.0)]));
    let said = |ceiling: Ceiling| ceiling.close().0.to_string();
    let mut silent = ceiling(tasks(), 40.0);
    assert_eq!(look(&mut silent, 1.0, &nothing), None);
    let mut late = ceiling(tasks(), 40.0);
    (1..=3).for_each(|at| assert_eq!(look(&mut late, f64::from(at), &nothing), None));
    assert_eq!(look(&mut late, 4.0, &five), None);
    let mut one_of_two = ceiling(tasks(), 40.0);
    assert_eq!(look(&mut one_of_two, 1.0, &five), None);
    for at in 1..30 {
        let sample = sample("node-3", f64::from(at), 1.0);
        let of = NodeId::from("node-3");
        let above = one_of_two.look_in(&of, &sample, &nothing, Phase::Idle, Duration::MAX);
        assert_eq!(above, None);
    }
    let all = [silent, late, one_of_two].map(said);
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn nodes_whose_count_grows_are_red_by_it() {
    let grows = |an_hour: f64| {
        let mut fleet: BTreeMap<NodeId, Series> = BTreeMap::new();
        let mut stream = Stream::new(4, "counts");
        for n in 1..=5 {
            let name = format!("node-{n}");
            let series = fleet.entry(NodeId(name.clone())).or_default();
            for (at, wanders) in noise::memory(&mut stream, 180, 0.0, 0.0) {
                let value = 40.0 + (wanders % 3.0) + (an_hour * at / HOUR).floor();
                let counted = Counted::from([(CounterName::new("tasks"), value)]);
                series.add(&sample(&name, at, 1e6), &counted, 0);
            }
        }
        trends::judge(tasks(), trend(1.0), &fleet).0.to_string()
    };
    assert_eq!(grows(0.0), "passed");
    let red = grows(20.0);
    assert!(red.starts_with("failed: tasks grows by ") && red.contains("/h"), "{red}");
}

/// Nothing is sampled by itself any more.
fn lock(bench: &Bench) {
    crate::engine::lock(&bench.engine.shared.sampler).untrack(&SampleSource::Node("node-1".into()));
}

/// Nodes that grow so many bytes a second, over so many minutes.
fn fleet(seed: u64, nodes: usize, minutes: u32, growth: f64) -> BTreeMap<NodeId, Series> {
    let mut stream = Stream::new(seed, "limits");
    let mut fleet = BTreeMap::new();
    for n in 1..=nodes {
        add(&mut fleet, n, &noise::memory(&mut stream, minutes, growth, 0.0));
    }
    fleet
}

fn add(fleet: &mut BTreeMap<NodeId, Series>, n: usize, points: &[(f64, f64)]) {
    let name = format!("node-{n}");
    let series = fleet.entry(NodeId(name.clone())).or_default();
    for (at, rss) in points {
        series.add(&sample(&name, *at, *rss), &Counted::new(), 0);
    }
}

fn trend(max_growth_each_hour: f64) -> Trend {
    Trend {
        max_growth: max_growth_each_hour / HOUR,
        after: Duration::from_secs(600),
        needs: Duration::from_secs(3600),
        per_peer: false,
        stop_when_certain: false,
    }
}

/// The verdict on memory, with its notes.
fn judged(max_growth_each_hour: f64, fleet: &BTreeMap<NodeId, Series>) -> String {
    let (verdict, notes) = trends::judge(Resource::Rss, trend(max_growth_each_hour), fleet);
    [verdict.to_string()].into_iter().chain(notes).collect::<Vec<_>>().join("\n  ")
}

#[test]
fn a_trend_is_green_red_or_undecided_and_says_why() {
    let mib = 1_048_576.0;
    let steady = fleet(1, 8, 240, 0.0);
    let leaking = fleet(2, 8, 240, 2.0 * mib / HOUR);
    let mut one_leaks = fleet(3, 7, 240, 0.0);
    let mut stream = Stream::new(4, "the eighth");
    add(&mut one_leaks, 8, &noise::memory(&mut stream, 240, 20.0 * mib / HOUR, 0.0));
    let mut some_short = fleet(5, 6, 240, 0.0);
    add(&mut some_short, 7, &noise::memory(&mut stream, 30, 0.0, 0.0));
    let all = [
        ("steady", judged(mib, &steady)),
        ("steady, a limit within the noise", judged(mib / 1000.0, &steady)),
        ("all leak", judged(mib, &leaking)),
        ("all leak, and may", judged(4.0 * mib, &leaking)),
        ("one leaks", judged(mib, &one_leaks)),
        ("too short", judged(mib, &fleet(6, 8, 60, 0.0))),
        ("too few", judged(mib, &fleet(7, 2, 240, 0.0))),
        ("one is short", judged(mib, &some_short)),
        ("none at all", judged(mib, &BTreeMap::new())),
    ];
    let shown: Vec<String> = all.iter().map(|(what, said)| format!("{what}\n  {said}")).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_restart_is_neither_a_fall_nor_a_growth() {
    // Each life climbs to the same place within ten minutes, which the warm-up takes away.
    let mut fleet = BTreeMap::new();
    let mut stream = Stream::new(9, "restarts");
    for n in 1..=5 {
        let name = format!("node-{n}");
        let series: &mut Series = fleet.entry(NodeId(name.clone())).or_default();
        for life in 0..3_u32 {
            for (at, rss) in noise::memory(&mut stream, 80, 0.0, 3e6) {
                let begin = f64::from(life) * 5000.0;
                series.add(
                    &Sample { pid: life, ..sample(&name, begin + at, rss) },
                    &Counted::new(),
                    0,
                );
            }
        }
    }
    let (verdict, notes) = trends::judge(Resource::Rss, trend(1_048_576.0), &fleet);
    assert_eq!(verdict, Verdict::Passed, "{notes:?}");
}

fn bound(resource: Resource, limit: f64, least: bool) -> Bound {
    Bound { resource, limit, least, role: None, phase: None }
}

/// What these bounds say, and what they say of a sample in a phase of a process of some seconds.
fn bound_says(bound: Bound, cpu: f64, phase: Phase, seconds: u64) -> String {
    let mut ceiling = Ceiling::bound(&bound, Duration::from_secs(1));
    let sample = Sample { cpu: Some(cpu), ..sample("node-2", 30.0, 1e6) };
    let age = Duration::from_secs(seconds);
    let above = ceiling.look_in(&"node-2".into(), &sample, &Counted::new(), phase, age);
    let text = ceiling.text("every node");
    let said = above.map_or_else(|| ceiling.close().0.to_string(), |above| above.why);
    format!("{text}\n  {said}")
}

#[test]
fn roles_phases_and_floors_are_held_and_named() {
    let cpu = |least| bound(Resource::Cpu, 0.1, least);
    let of = |role: &str| Bound { role: Some(role.to_owned()), ..cpu(false) };
    let when = |phase| Bound { phase: Some(phase), ..cpu(false) };
    let mut nobody = Ceiling::bound(&of("sage"), Duration::from_secs(1));
    assert!(of("sage").role.is_some() && !nobody.is_of("broker"));
    nobody.runs(&"node-1".into(), Duration::from_secs(1));
    let all = [
        bound_says(of("broker"), 0.5, Phase::Idle, 60),
        bound_says(when(Phase::Idle), 0.5, Phase::Idle, 60),
        bound_says(when(Phase::Chaos), 0.5, Phase::Chaos, 60),
        bound_says(when(Phase::Recovered), 0.5, Phase::Recovered, 60),
        bound_says(when(Phase::Recovered), 0.05, Phase::Recovered, 60),
        bound_says(when(Phase::Recovered), 0.5, Phase::Chaos, 60),
        bound_says(when(Phase::Idle), 0.5, Phase::Idle, 3),
        bound_says(cpu(true), 0.5, Phase::Idle, 60),
        bound_says(cpu(true), 0.01, Phase::Idle, 60),
        bound_says(cpu(true), 0.01, Phase::Idle, 3),
        bound_says(
            Bound { role: Some("broker".into()), ..when(Phase::Chaos) },
            0.2,
            Phase::Chaos,
            60,
        ),
        nobody.close().0.to_string(),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[tokio::test]
async fn a_phase_begins_with_a_fault_and_a_floor_stops_the_run_by_name() {
    let floor = |config: &mut crate::RunConfig| {
        let mut needs = bound(Resource::Threads, 5.0, true);
        needs.phase = Some(Phase::Chaos);
        config.bounds = Limits { of: vec![needs], at: None };
        unsampled(config);
    };
    let bench = Bench::start_with(HostNetwork, 2, floor).await;
    let round = || {
        // Later than its start by more than it takes to settle.
        let below = Sample { threads: 4, ..sample("node-1", 3000.0, 9.0) };
        SampleRound { samples: vec![below], failed: Vec::new() }
    };
    bench.engine.judge_samples(&round());
    bench.engine.judge_samples(&round());
    assert_eq!(bench.engine.stopped(), None, "no fault has acted");
    bench.fault("wedge_node", &["node-2"], &[], Some(Duration::from_secs(60))).await.unwrap();
    // The first sample reaches over the border of two phases.
    bench.engine.judge_samples(&round());
    bench.engine.judge_samples(&round());
    assert_eq!(bench.engine.stopped(), Some(meshlab_model::EndReason::CeilingBroken));
    let limits = limits_of(bench).await;
    let wanted = "failed: threads of node-1 (chaos) was 4 at 50:00.000, at least 5 is needed";
    assert!(limits.iter().any(|limit| limit.starts_with(wanted)), "{limits:?}");
}

/// Nodes that keep so many bytes of each peer that goes away, each 10 s; they use 2 MB more for a
/// while after it.
fn churned(seed: u64, kept: &[f64], peers: u64) -> BTreeMap<NodeId, Series> {
    let mut stream = Stream::new(seed, "churned");
    let mut fleet: BTreeMap<NodeId, Series> = BTreeMap::new();
    for (n, kept) in kept.iter().enumerate() {
        let name = format!("node-{}", n + 1);
        let series = fleet.entry(NodeId(name.clone())).or_default();
        for second in 0..peers * 10 {
            let (gone, since) = (second / 10, (second % 10) as f64);
            let used = 2e6 * (-since / 2.0).exp() + 50e3 * stream.normal();
            let rss = 3e7 + gone as f64 * kept + used;
            series.add(&sample(&name, second as f64, rss), &Counted::new(), gone);
        }
    }
    fleet
}

#[test]
fn a_leak_of_each_peer_is_red_and_troughs_that_stay_are_green() {
    let kib = 1024.0;
    let trend = Trend { per_peer: true, max_growth: 16.0 * kib, ..trend(1.0) };
    let judged = |fleet: &BTreeMap<NodeId, Series>| {
        let (verdict, notes) = trends::judge(Resource::Rss, trend, fleet);
        [verdict.to_string()].into_iter().chain(notes).collect::<Vec<_>>().join("\n  ")
    };
    let one = [0.0, 0.0, 0.0, 90.0 * kib, 0.0, 0.0];
    let all = [
        ("flat", judged(&churned(1, &[0.0; 6], 30))),
        ("each keeps 90 KiB", judged(&churned(2, &[90.0 * kib; 6], 30))),
        ("one keeps 90 KiB", judged(&churned(3, &one, 30))),
        ("too little churn", judged(&churned(4, &[0.0; 6], 5))),
        ("nobody", judged(&BTreeMap::new())),
    ];
    let shown: Vec<String> = all.iter().map(|(what, said)| format!("{what}\n  {said}")).collect();
    insta::assert_snapshot!(format!(
        "{}\n{}",
        trends::limit(Resource::Rss, trend),
        shown.join("\n")
    ));
}

/// All that the looks of these hours have for sure, one each minute.
fn looked(fleet_at: impl Fn(u32) -> BTreeMap<NodeId, Series>, hours: u32) -> Vec<(u32, String)> {
    let stops = Trend { stop_when_certain: true, ..trend(1_048_576.0) };
    let trends = [(meshlab_model::ClaimId(1), RunTime::ZERO, Resource::Rss, stops)];
    let mut looks = Looks::default();
    let mut found = Vec::new();
    for minutes in (0..hours * 60).step_by(5) {
        let now = RunTime::from_duration(Duration::from_secs(u64::from(minutes) * 60));
        let fleet = fleet_at(minutes);
        let certain = looks.look(now, &trends, &fleet);
        found.extend(certain.into_iter().map(|(.., verdict, _)| (minutes, verdict.to_string())));
        if !found.is_empty() {
            break;
        }
    }
    found
}

#[test]
fn a_leak_that_is_certain_ends_the_run_and_noise_does_not() {
    let mib = 1_048_576.0;
    let leaks = |minutes: u32| fleet(31, 8, minutes, 20.0 * mib / HOUR);
    let found = looked(leaks, 6);
    let [(minutes, said)] = found.as_slice() else { panic!("{found:?}") };
    assert!(*minutes < 120, "{minutes} of 360 minutes");
    assert!(said.starts_with("failed: a leak is certain, so the run ends here: rss "), "{said}");
    assert_eq!(looked(|minutes| fleet(32, 8, minutes, 0.0), 6), []);
}

#[tokio::test]
async fn a_trend_that_ends_the_run_has_the_node_that_grew_most_profiled() {
    let mib = 1_048_576.0;
    let stops = Trend {
        stop_when_certain: true,
        after: Duration::ZERO,
        needs: Duration::ZERO,
        ..trend(mib)
    };
    let trends = |config: &mut crate::RunConfig| {
        config.trends = Limits { of: [(Resource::Rss, stops)].into(), at: None };
    };
    let bench = Bench::start_with(HostNetwork, 1, trends).await;
    let mut leaks = fleet(31, 7, 120, 20.0 * mib / HOUR);
    leaks.extend(BTreeMap::from_iter([("node-8".into(), {
        let mut worst = fleet(32, 1, 120, 60.0 * mib / HOUR);
        worst.remove(&NodeId::from("node-1")).unwrap()
    })]));
    // A sample that was taken by itself, before that was ended, may have been a look already.
    lock(&bench);
    {
        let mut gates = crate::engine::lock(&bench.engine.shared.gates);
        (gates.series, gates.looks) = (leaks, Looks::default());
    }
    bench.engine.judge_samples(&SampleRound { samples: Vec::new(), failed: Vec::new() });
    assert_eq!(bench.engine.stopped(), Some(meshlab_model::EndReason::CeilingBroken));
    let to_explain = crate::engine::lock(&bench.engine.shared.profiles).to_explain.clone();
    let [(_, node)] = to_explain.as_slice() else { panic!("{to_explain:?}") };
    assert_eq!(node.as_str(), "node-8");
    let limits = limits_of(bench).await;
    assert!(limits[0].starts_with("failed: a leak is certain, so the run ends here"), "{limits:?}");
}
