//! A made-up run for tests and for the example that draws a page. No part of the interface.

pub mod steady;

use std::{collections::BTreeMap, path::Path};

use meshlab_engine::results::RunRecord;
use meshlab_model::{
    ChaosFault, ChaosId, ChaosPlace, ChaosTally, ClaimEvidence, ClaimId, ComparisonId,
    CounterSample, DeclaredTest, EndReason, FaultId, FaultStage, HostFacts, MANIFEST_SCHEMA,
    Manifest, Measure, NetworkMode, NodeExit, NodeId, Realised, Round, RunEvent, RunEventKind as K,
    RunTime, Sample, SampleSource, Severity, SourceLine, SpanRecord, Tally, TelemetryCount, TestId,
    TestOutcome, TrafficMeasure, Verdict,
};

/// Text that must come out escaped everywhere.
pub const HOSTILE: &str = "<script>alert(1)</script>\u{1b}[2J]]>&";

/// The run that this one replays.
const REPLAYED: &str = "swarm/before";

/// A thousand round trips of 1 to 1000 ms, as a node sends them.
const HISTOGRAM: &str = concat!(
    "HISTFAAAAJ14nO2NPQrCMBiGv7xRIohkcFQnZ08g4uZlPIG4egPxAE7iORyl9BTd26lr0yZQ+ksptNA2",
    "eb6f5E2+vNvHc00k/qQXN53FZf+70NnXgivhSLwW8ATeMwTcxAcIWUl8Ge641eQVR8Upqe36ARvsFGnt",
    "/yyxwlKlJt2Vq2O9F5gncNOzNFft/PDnOShHQaii8cMu/rTm1nwa5hG32Tzp",
);

/// Numbers the events and gives them the times in milliseconds that stand beside them.
pub fn events(kinds: Vec<(u64, K)>) -> Vec<RunEvent> {
    let source = SourceLine { file: "swarm.lua".into(), line: 2, column: 3 };
    let one = |(seq, (ms, kind))| RunEvent {
        seq,
        at: RunTime { micros: ms * 1000 },
        source: Some(source.clone()),
        manual: false,
        kind,
    };
    (1..).zip(kinds).map(one).collect()
}

/// A schedule of two faults, of which the first one acts.
fn schedule(test: TestId) -> Vec<(u64, K)> {
    let chaos = ChaosId(1);
    let fault = |at_micros, name: &str, n, realised| ChaosFault {
        at_micros,
        name: name.into(),
        target: node(n),
        realised: Some(realised),
    };
    let skipped = Realised { skipped: Some(HOSTILE.into()), ..Realised::default() };
    let plan = vec![
        fault(
            49_000,
            "kill_node",
            4,
            Realised { onset_micros: Some(58_500), ..Realised::default() },
        ),
        fault(4_140_000, HOSTILE, 1, skipped),
    ];
    let place = ChaosPlace { chaos, place: 1 };
    let tally = ChaosTally { planned: 2, detected: 1, skipped: 1, ..ChaosTally::default() };
    vec![
        (
            950,
            K::ChaosPlanned {
                chaos,
                test,
                seed: 42,
                on: vec![node(1), node(4)],
                plan,
                length_micros: None,
            },
        ),
        (5110, K::ChaosSkipped { place, why: HOSTILE.into() }),
        (5120, K::ChaosFinished { chaos, tally, early: Some(HOSTILE.into()) }),
    ]
}

/// Seven rounds with two programs, one of them faster, and a warm-up; one round fails.
fn comparison(test: TestId) -> Vec<(u64, K)> {
    let comparison = ComparisonId(1);
    let (before, after) = ("before".to_owned(), HOSTILE.to_owned());
    let started = K::ComparisonStarted { comparison, test, before, after, rounds: 7, warmup: 1 };
    let mut all = vec![(5201, started)];
    let mut at = 5201;
    let mut round = |number: u32, warmup: bool, after: bool| {
        let binary = if after { HOSTILE } else { "before" };
        let round = Round { round: number, warmup, binary: binary.into() };
        let took = if after { 1.0 } else { 1.5 } + 0.01 * f64::from(number % 3);
        let number = |value, unit: &str| Measure { value, unit: unit.into() };
        let measures = BTreeMap::from([
            ("rejoin".to_owned(), number(took, "s")),
            (HOSTILE.to_owned(), number(20e6 + 1e3 * took, "B")),
        ]);
        let began = K::RoundStarted { comparison, round: round.clone() };
        let ended = K::RoundFinished { comparison, round, measures, failed: None };
        all.extend([(at + 1, began), (at + 2, ended)]);
        at += 2;
    };
    round(1, true, false);
    for number in 1..=7 {
        round(number, false, number % 2 == 0);
        round(number, false, number % 2 != 0);
    }
    let last = Round { round: 8, warmup: false, binary: "before".into() };
    let (measures, failed) = (BTreeMap::new(), Some(HOSTILE.to_owned()));
    all.push((5250, K::RoundStarted { comparison, round: last.clone() }));
    all.push((5251, K::RoundFinished { comparison, round: last, measures, failed }));
    all.push((5252, K::ComparisonFinished { comparison }));
    all
}

/// A ceiling that held and a trend with too little data.
fn limits(test: TestId) -> Vec<(u64, K)> {
    let one = |id: u32, call: &str, text: &str, verdict, note: &str| {
        let claim = ClaimId(id);
        let (call, text, severity) = (call.to_owned(), text.to_owned(), Severity::Check);
        let evidence = ClaimEvidence { notes: vec![note.to_owned()], ..ClaimEvidence::default() };
        [
            (600, K::ClaimStarted { claim, test, call, text, severity, within_micros: 0 }),
            (39_450, K::ClaimFinished { claim, verdict, took_micros: 38_850_000, evidence }),
        ]
    };
    let ceiling = "rss of every node is at most 200.0 MiB";
    let highest = "highest: 33.0 MiB of node-4 at 00:36.000, in 152 samples of 4 nodes";
    let trend = "rss of the nodes grows by less than 256.0 KiB/h";
    let little = Verdict::Inconclusive("too little data".into());
    let all = [
        one(3, "ceilings", ceiling, Verdict::Passed, highest),
        one(4, "trends", trend, little, HOSTILE),
    ];
    all.concat()
}

/// Four nodes; a claim that holds and one that does not; a fault; an exit that nobody asked for.
pub fn run(folder: &Path) -> RunRecord {
    let (test, fault) = (TestId(0), FaultId(1));
    let mut all = vec![
        (0, K::RunStarted { run: "swarm/r".into(), seed: 42, replays: Some(REPLAYED.into()) }),
        (100, K::TestStarted { test, title: "four nodes hear each other".into() }),
    ];
    for n in 1..=4 {
        all.push((200, spawned(n)));
        let name = format!("m.worker.{n}");
        let (node, public_key, took_micros) = (node(n), key(n), 300_000);
        all.push((500, K::NodeReady { node, name, public_key, took_micros }));
    }
    all.extend(claim(1, 600, 900, Verdict::Passed));
    all.extend(schedule(test));
    all.push((
        1000,
        K::FaultPlanned {
            fault,
            test,
            name: "kill_node".into(),
            targets: vec![node(4)],
            against: 0,
            told: String::new(),
            chaos: Some(ChaosPlace { chaos: ChaosId(1), place: 0 }),
        },
    ));
    for (ms, stage) in [
        (1010, FaultStage::Acted { witness: "the kernel reaped it".into(), unnoticed: None }),
        (4000, FaultStage::Noticed { by: node(1), evidence: HOSTILE.into() }),
        (5000, FaultStage::Undone { how: "started again".into() }),
        (5040, FaultStage::Healed { by: node(2) }),
        (5070, FaultStage::Healed { by: node(1) }),
    ] {
        all.push((ms, K::FaultReached { fault, stage }));
    }
    let file = "captures/fault 1.pcapng".to_owned();
    all.push((5090, K::FaultCaptured { fault, file, packets: 7, bytes: 900 }));
    all.push((5100, K::FaultFinished { fault, verdict: Verdict::Passed }));
    all.push((
        5150,
        K::NodeActed {
            node: node(1),
            act: "order node-2 to shut down".into(),
            outcome: HOSTILE.into(),
            done: false,
            took_micros: 1500,
        },
    ));
    all.push((5160, K::TrafficMeasured(traffic())));
    all.push((5200, K::Note { text: HOSTILE.into() }));
    all.push((5300, exited(3, false)));
    all.extend(comparison(test));
    all.extend(limits(test));
    all.extend(claim(2, 5400, 39_400, Verdict::Failed("143 of 200 after 34.0 s".into())));
    all.push((39_500, K::TestFinished { test, outcome: TestOutcome::Stopped }));
    let count = TelemetryCount { ended: Some(60), dropped: 0, received: 51 };
    all.push((39_600, K::TelemetryCounted { node: node(1), count }));
    all.push((39_700, K::RunFinished { reason: EndReason::Completed }));
    let manifest = Manifest {
        schema: MANIFEST_SCHEMA,
        meshlab: "0.1.0".into(),
        run: "swarm/r".into(),
        scenario: "swarm".into(),
        script_path: "swarm.lua".into(),
        script_sha256: "00".into(),
        arguments: vec!["meshlab".into(), "run".into()],
        seed: 42,
        started_unix_nanos: 1_800_000_000_000_000_000,
        commit: None,
        tests: declared(),
        timeout_secs: 60.0,
        network: NetworkMode::Host,
        binaries: BTreeMap::new(),
        duration_secs: None,
        time_scale: None,
        nodes: None,
        params: BTreeMap::new(),
        replays: Some(REPLAYED.into()),
        node_env: BTreeMap::new(),
        host: HostFacts::default(),
    };
    let script = "test(\"four nodes\", function()\n  expect.spans(\"x\", {})\nend)\n".to_owned();
    let (spans, samples) = (spans().into(), samples().into());
    all.sort_by_key(|(ms, _)| *ms);
    RunRecord {
        folder: folder.to_owned(),
        manifest,
        script,
        events: events(all),
        spans,
        samples,
        minutes: Vec::new().into(),
        counters: counters().into(),
        counter_minutes: Vec::new().into(),
        damage: Vec::new(),
    }
}

/// The test that the run declares.
pub fn declared() -> Vec<DeclaredTest> {
    let source = SourceLine { file: "swarm.lua".into(), line: 1, column: 1 };
    vec![DeclaredTest { title: "four nodes hear each other".into(), source }]
}

/// A claim from its start to its verdict.
pub fn claim(id: u32, from: u64, to: u64, verdict: Verdict) -> Vec<(u64, K)> {
    let tally = |(n, have)| Tally { node: node(n), have, need: 0 };
    let evidence = ClaimEvidence {
        by_node: (1..).zip([51, 47, 45, 0]).map(tally).collect(),
        notes: vec![format!("node-4 logged {HOSTILE}")],
        since: Some(RunTime { micros: 100_000 }),
    };
    let (claim, took_micros) = (ClaimId(id), (to - from) * 1000);
    vec![
        (
            from,
            K::ClaimStarted {
                claim,
                test: TestId(0),
                call: "expect.spans".into(),
                text: "200 digests".into(),
                severity: Severity::Expect,
                within_micros: 34_000_000,
            },
        ),
        (from + 1, K::ClaimProgress { claim, have: 143, need: 200 }),
        (to, K::ClaimFinished { claim, verdict, took_micros, evidence }),
    ]
}

/// A thousand round trips of 1 to 1000 ms.
fn traffic() -> TrafficMeasure {
    TrafficMeasure {
        from: node(1),
        to: node(2),
        kind: "echo".into(),
        streams: 4,
        bytes_each: 1024,
        round_trips: 1000,
        errors: 1,
        reasons: vec![HOSTILE.into()],
        bytes: 2_048_000,
        took_micros: 10_000_000,
        histogram: HISTOGRAM.into(),
    }
}

/// A node's end.
pub fn exited(n: u32, asked_for: bool) -> K {
    let exit = NodeExit { code: Some(101), signal: None };
    K::NodeExited { node: node(n), pid: n, exit, asked_for }
}

/// A node's start.
pub fn spawned(n: u32) -> K {
    K::NodeSpawned {
        node: node(n),
        mesh: "m".into(),
        role: "worker".into(),
        binary: "mesh-node".into(),
        pid: n,
        incarnation: 1,
        address: "127.0.0.1:1".into(),
        host: "here".into(),
    }
}

fn node(n: u32) -> NodeId {
    NodeId(format!("node-{n}"))
}

fn key(n: u32) -> String {
    format!("{n:064x}")
}

fn spans() -> Vec<SpanRecord> {
    let mut spans = Vec::new();
    for n in 1..=4 {
        for (place, name) in (0..).zip(["endpoint_created", "node.ready", "neighbor.up", HOSTILE]) {
            let peer = serde_json::Value::from(key(n % 4 + 1));
            spans.push(SpanRecord {
                seq: spans.len() as u64 + 1,
                arrived: RunTime { micros: 600_000 },
                node: node(n),
                name: name.into(),
                trace_id: String::new(),
                span_id: String::new(),
                parent_id: String::new(),
                start_unix_nanos: 1_000_000 * place,
                end_unix_nanos: 1_000_000 * (place + 2),
                attributes: BTreeMap::from([("peer.id".to_owned(), peer)]),
            });
        }
    }
    spans
}

/// What nodes count, where it changed.
fn counters() -> Vec<CounterSample> {
    let one = |n: u32, second: u64| CounterSample {
        at: RunTime { micros: second * 1_000_000 },
        node: node(n),
        values: BTreeMap::from([
            ("connections.opened".to_owned(), (second / 2 + u64::from(n)) as f64),
            ("connections.closed".to_owned(), (second / 4) as f64),
            ("tasks.spawned".to_owned(), second as f64),
            ("tasks.finished".to_owned(), (second - 1) as f64),
            (format!("{HOSTILE}{{to={HOSTILE}}}"), second as f64),
        ]),
    };
    (1..=4).flat_map(|n| (1..4).map(move |ten| one(n, ten * 10))).collect()
}

fn samples() -> Vec<Sample> {
    let one = |n: u32, second: u64| Sample {
        at: RunTime { micros: second * 1_000_000 },
        of: SampleSource::Node(node(n)),
        pid: n,
        cpu_micros_total: 0,
        cpu: Some(0.05 * f64::from(n)),
        rss_bytes: (20 + u64::from(n) + second / 4) << 20,
        open_files: 20,
        threads: 4,
    };
    (1..=4).flat_map(|n| (1..39).map(move |second| one(n, second))).collect()
}
