//! Writes a stretch of a simulated soak, 18 nodes with 500 spans, 19 samples and 36 numbers of the
//! nodes themselves a second, and asks it: what it costs in bytes, CPU and memory, and how long answers take.
//!
//!     cargo run --release -p meshlab-query --example soak -- 2h [FOLDER [SPANS [EVERY]]]
//!
//! SPANS is how many a second there are, EVERY the seconds between two samples: 1 where it is absent,
//! 15 in `scenarios/soak-4day.lua`. `4d` is a whole soak: 173 million spans, 9 GB, half an hour or so.
//! What it leaves in FOLDER is a run like any other: `meshlab report FOLDER` draws it, `cargo run --release -p meshlab-report --example
//! draw -- FOLDER` says how long that takes. Ids, times and values are
//! drawn, so they compress no better than real ones; names, nodes and attributes are as the nodes
//! of `scenarios/chaos-soak.lua` send them, in those shares.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example that prints what it finds"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use meshlab_model::{
    CounterSample, EndReason, FaultId, FaultStage, HostSample, Manifest, NodeId, RunEventKind,
    RunTime, Sample, SampleSource, SpanRecord, TestId, TestOutcome, Verdict, format_duration,
    parse_duration,
};
use meshlab_query::{Format, query, write_answer};
use meshlab_results::{OpenMinutes, Recorder, Reopened, file, read_run};

const NODES: u64 = 18;
/// Spans a second, where SPANS does not say: as 18 nodes send them under chaos.
const SPANS_A_SECOND: u64 = 500;
const STARTED: u64 = 1_800_000_000_000_000_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

struct Simulation {
    random: Random,
    keys: Vec<String>,
    ids: Vec<NodeId>,
    seq: u64,
    cpu: Vec<u64>,
    rss: Vec<u64>,
    spans_a_second: u64,
}

impl Simulation {
    fn new(spans_a_second: u64) -> Self {
        let mut random = Random(42);
        let mut key = || (0..4).map(|_| format!("{:016x}", random.next())).collect::<String>();
        let keys = (0..NODES).map(|_| key()).collect();
        let ids = (1..=NODES).map(|n| NodeId(format!("node-{n}"))).collect();
        let (cpu, rss) = (vec![0; NODES as usize + 1], vec![40 << 20; NODES as usize + 1]);
        Self { random, keys, ids, seq: 0, cpu, rss, spans_a_second }
    }

    fn span(&mut self, second: u64, place: u64) -> SpanRecord {
        self.seq += 1;
        let random = &mut self.random;
        let (node, peer) = (random.below(NODES) as usize, random.below(NODES) as usize);
        // Of a thousand spans: as in a record of the soak, with the rare ones rare.
        let name = match random.below(100_000) {
            0 => "node.state_inferred",
            1..=5 => "peer.disconnected",
            6..=10 => "peer.connected",
            11..=900 => "node.state_heard",
            901..=6_000 => "gossip.digest_sent",
            _ => "gossip.digest_received",
        };
        let micros = second * 1_000_000 + place * 1_000_000 / self.spans_a_second;
        let start = STARTED + micros * 1000 - 50_000_000 - random.below(50_000_000);
        let key = &self.keys[peer];
        SpanRecord {
            seq: self.seq,
            arrived: RunTime { micros },
            node: self.ids[node].clone(),
            name: name.into(),
            trace_id: format!("{:016x}{:016x}", random.next(), random.next()),
            span_id: format!("{:016x}", random.next()),
            parent_id: String::new(),
            start_unix_nanos: start,
            end_unix_nanos: start + 5_000 + random.below(20_000),
            attributes: BTreeMap::from([
                ("peer.id".to_owned(), key.clone().into()),
                ("peer.name".to_owned(), format!("mesh1.worker.{}", &key[..6]).into()),
                ("seq".to_owned(), (second / 4 + random.below(3)).to_string().into()),
            ]),
        }
    }

    fn samples(&mut self, second: u64) -> Vec<Sample> {
        (0..=NODES as usize)
            .map(|process| {
                let spent = 20_000 + self.random.below(20_000);
                self.cpu[process] += spent;
                self.rss[process] += 4096 * self.random.below(3);
                Sample {
                    at: RunTime { micros: second * 1_000_000 + self.random.below(1000) },
                    of: match self.ids.get(process) {
                        Some(node) => SampleSource::Node(node.clone()),
                        None => SampleSource::Harness,
                    },
                    pid: 1000 + process as u32,
                    cpu_micros_total: self.cpu[process],
                    cpu: Some(spent as f64 / 1e6),
                    rss_bytes: self.rss[process],
                    open_files: 20 + self.random.below(4) as u32,
                    threads: 4,
                }
            })
            .collect()
    }
}

/// Of a node's numbers these change each second, the others each minute.
const LIVELY: [&str; 2] = ["gossip.received", "tasks.spawned"];
const CALM: [&str; 4] = ["book.size", "connections.opened", "gossip.connections", "handshakes"];

impl Simulation {
    fn counters(&mut self, second: u64) -> Vec<CounterSample> {
        let at = RunTime { micros: second * 1_000_000 };
        let random = &mut self.random;
        let mut sample = |(place, node): (usize, &NodeId)| {
            let mut values = BTreeMap::from(
                LIVELY.map(|name| (name.to_owned(), (second * 7 + random.below(9)) as f64)),
            );
            if (second + place as u64).is_multiple_of(60) {
                values.extend(CALM.map(|name| (name.to_owned(), random.below(40) as f64)));
            }
            CounterSample { at, node: node.clone(), values }
        };
        self.ids.iter().enumerate().map(&mut sample).collect()
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let length = parse_duration(&arguments.next().unwrap_or("1h".into())).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.next().map_or(temporary.path().to_owned(), PathBuf::from);
    fs::create_dir_all(&folder).unwrap();
    let seconds = length.as_secs();
    println!("simulated {} in {}", format_duration(length), folder.display());
    let spans = arguments.next().map_or(SPANS_A_SECOND, |spans| spans.parse().unwrap());
    let every = arguments.next().map_or(1, |every| every.parse().unwrap());
    // One that is there already is only asked.
    if !folder.join(file::MANIFEST).exists() {
        write(&folder, seconds, spans, every);
    }
    ask(&folder, seconds);
    println!("memory at its highest: {} KiB", status("VmHWM"));
}

/// CPU seconds that drawing a second's records takes, without writing them.
fn cost_of_drawing(spans: u64, every: u64) -> f64 {
    let (mut simulation, before) = (Simulation::new(spans), cpu());
    for second in 0..200 {
        (0..spans).for_each(|place| drop(simulation.span(second, place)));
        if second.is_multiple_of(every) {
            simulation.samples(second);
            simulation.counters(second);
        }
    }
    (cpu() - before) / 200.0
}

fn write(folder: &Path, seconds: u64, spans_a_second: u64, every: u64) {
    let drawing = cost_of_drawing(spans_a_second, every);
    let manifest: Manifest = serde_json::from_value(serde_json::json!({
        "schema": meshlab_model::MANIFEST_SCHEMA, "meshlab": "0", "run": "soak/simulated",
        "scenario": "soak", "script_path": "soak.lua", "script_sha256": "", "arguments": [],
        "seed": 42, "started_unix_nanos": STARTED, "commit": null, "tests": [],
        "timeout_secs": 1.0, "network": "lab", "binaries": {},
        "host": meshlab_model::HostFacts::default(),
    }))
    .unwrap();
    let recorder = Recorder::create(folder, &manifest, "", Instant::now(), None).unwrap();
    let mut simulation = Simulation::new(spans_a_second);
    begin(&recorder, &simulation);
    let (began, spent) = (Instant::now(), cpu());
    for second in 0..seconds {
        (0..spans_a_second).for_each(|place| recorder.span(&simulation.span(second, place)));
        if second.is_multiple_of(every) {
            recorder.samples(&simulation.samples(second));
            recorder.counters(&simulation.counters(second));
            recorder.flush();
        }
        if (second + 1) % (seconds / 4).max(1) == 0 {
            println!("memory after {} s: {} KiB", second + 1, status("VmRSS"));
        }
    }
    assert_eq!((recorder.failure(), recorder.lost()), (None, 0));
    drop(recorder);
    faults(folder, &simulation.ids, seconds);
    end(folder, seconds);
    let wall = began.elapsed();
    let rounds = seconds.div_ceil(every);
    let (spans, samples) = (seconds * spans_a_second, rounds * (NODES + 1));
    let all = cpu() - spent;
    let writing = all - drawing * seconds as f64;
    println!(
        "written in {}, {all:.1} s of CPU, {writing:.1} without drawing",
        format_duration(wall)
    );
    println!("CPU: {:.2} us a record", writing * 1e6 / (spans + samples) as f64);
    for (kind, records, a_day) in [
        (file::SPANS, spans, spans_a_second * 86_400),
        (file::SAMPLES, samples, (NODES + 1) * 86_400 / every),
        (file::MINUTES, samples, (NODES + 1) * 86_400 / every),
        (file::COUNTERS, rounds * NODES, NODES * 86_400 / every),
        (file::COUNTER_MINUTES, rounds * NODES, NODES * 86_400 / every),
    ] {
        let bytes: u64 = size(&folder.join(kind));
        let each = bytes as f64 / records as f64;
        let day = each * a_day as f64 / 1e6;
        println!("{kind}: {bytes} bytes, {each:.1} a record, {day:.0} MB a day");
    }
}

/// The events with which the run begins.
fn begin(recorder: &Recorder, simulation: &Simulation) {
    let kind = RunEventKind::RunStarted { run: "soak/simulated".into(), seed: 42, replays: None };
    recorder.event(kind, None);
    recorder.event(RunEventKind::TestStarted { test: TestId(0), title: "soak".into() }, None);
    for (place, (node, key)) in simulation.ids.iter().zip(&simulation.keys).enumerate() {
        let spawned = RunEventKind::NodeSpawned {
            node: node.clone(),
            mesh: "mesh1".into(),
            role: "worker".into(),
            binary: "mesh-node".into(),
            pid: 1000 + place as u32,
            incarnation: 1,
            address: String::new(),
            host: String::new(),
        };
        recorder.event(spawned, None);
        let (node, public_key) = (node.clone(), key.clone());
        let name = format!("mesh1.worker.{}", &key[..6]);
        recorder.event(RunEventKind::NodeReady { node, name, public_key, took_micros: 1 }, None);
    }
}

/// Six faults an hour, that everybody else notices and heals from, and the host's noise by the
/// minute: 28,000 events in four days. An hour has them at once.
fn faults(folder: &Path, ids: &[NodeId], seconds: u64) {
    let mut number = 0;
    for hour in 1..seconds.div_ceil(3600) {
        let reopened = Reopened::open(folder).unwrap();
        let last = read_run(folder).unwrap().events.last().map_or(0, |last| last.seq);
        let started = Instant::now().checked_sub(Duration::from_secs(hour * 3600)).unwrap();
        let none = OpenMinutes::default();
        let recorder = Recorder::go_on(reopened, last, none, started, None).unwrap();
        for _ in 0..60 {
            recorder.event(RunEventKind::HostSampled(quiet()), None);
        }
        for _ in 0..6 {
            number += 1;
            let (fault, target) = (FaultId(number), &ids[number as usize % ids.len()]);
            let reach = |stage| recorder.event(RunEventKind::FaultReached { fault, stage }, None);
            let others = || ids.iter().filter(|id| *id != target).cloned();
            recorder.event(planned(fault, target), None);
            reach(FaultStage::Acted { witness: "the kernel".into(), unnoticed: None });
            for by in others() {
                reach(FaultStage::Noticed { by, evidence: "node.state_inferred".into() });
            }
            reach(FaultStage::Undone { how: "started again".into() });
            for by in others() {
                reach(FaultStage::Healed { by });
            }
            recorder.event(RunEventKind::FaultFinished { fault, verdict: Verdict::Passed }, None);
        }
    }
}

fn planned(fault: FaultId, target: &NodeId) -> RunEventKind {
    RunEventKind::FaultPlanned {
        fault,
        test: TestId(0),
        name: "restart_node".into(),
        targets: vec![target.clone()],
        against: 0,
        told: String::new(),
        chaos: None,
    }
}

/// A minute in which nobody disturbs the run.
fn quiet() -> HostSample {
    HostSample {
        length_micros: 60_000_000,
        cores: 2,
        steal: 0.0,
        own: 0.1,
        foreign: 0.05,
        waiting: Some(0.01),
        wakes: 60,
        late_p99_micros: 200,
        late_max_micros: 400,
    }
}

/// Those with which it ends, at the end of the time that was simulated.
fn end(folder: &Path, seconds: u64) {
    let reopened = Reopened::open(folder).unwrap();
    let last = read_run(folder).unwrap().events.last().map_or(0, |last| last.seq);
    let started = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
    let none = OpenMinutes::default();
    let recorder = Recorder::go_on(reopened, last, none, started, None).unwrap();
    let outcome = TestOutcome::Completed;
    recorder.event(RunEventKind::TestFinished { test: TestId(0), outcome }, None);
    recorder.event(RunEventKind::RunFinished { reason: EndReason::Completed }, None);
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn ask(folder: &Path, seconds: u64) {
    let middle = seconds / 2;
    let questions = [
        "SELECT name, sum(spans) FROM span_counts GROUP BY name ORDER BY 2".to_owned(),
        "SELECT at, node FROM spans WHERE name = 'node.state_inferred' LIMIT 5".to_owned(),
        format!(
            "SELECT count(*), avg(took_ms) FROM spans WHERE at >= {middle} AND at < {} AND node = \
             'node-7'",
            middle + 60
        ),
        format!("SELECT at, cpu FROM samples WHERE at >= {middle} AND node = 'node-7' LIMIT 5"),
        "SELECT node, max(rss_max), max(cpu_max) FROM sample_minutes GROUP BY node LIMIT 3".into(),
        "SELECT count(*), max(rss_bytes) FROM samples".to_owned(),
        "SELECT count(*) FROM spans WHERE name = 'node.state_inferred'".to_owned(),
        // Those of docs/results-format.md.
        "SELECT at, node, attributes ->> 'state' AS state FROM spans WHERE name = \
         'node.state_inferred' AND at > 60"
            .to_owned(),
        "SELECT node, max(rss_max) FROM sample_minutes GROUP BY node".to_owned(),
        "SELECT at, data ->> 'fault' FROM events WHERE event = 'fault_planned'".to_owned(),
        "SELECT node, max(max) FROM counter_minutes WHERE name = 'gossip.connections' GROUP BY node"
            .to_owned(),
        "SELECT node, max(value) FROM counters WHERE name = 'gossip.connections' GROUP BY node"
            .to_owned(),
    ];
    for sql in questions {
        let (began, spent) = (Instant::now(), cpu());
        let mut out = Vec::new();
        let mut writer = write_answer(&mut out, Format::Csv);
        query(read_run(folder).unwrap(), &sql, &mut writer).unwrap();
        writer.finish().unwrap();
        let (wall, spent) = (began.elapsed().as_secs_f64(), cpu() - spent);
        println!("{wall:.3} s, {spent:.3} s of CPU: {sql}");
        let text = String::from_utf8_lossy(&out);
        text.lines().skip(1).take(3).for_each(|line| println!("    {line}"));
    }
}

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    // SAFETY: zeroes are a valid `rusage`, and the kernel fills in the one that it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let of = |time: libc::timeval| {
        Duration::new(time.tv_sec as u64, 0).as_secs_f64() + time.tv_usec as f64 / 1e6
    };
    of(usage.ru_utime) + of(usage.ru_stime)
}

/// A number of /proc/self/status.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
