//! What the start of a node of a kind costs over a bare spawn of its program.
//!
//!     cargo run --release -p meshlab-engine --example kind_start
//!
//! A shell that says `ready` and sleeps, 40 times each, interleaved: spawned as it is and its word
//! read from a pipe; started again as a node whose place is there (files, namespaces to enter, log,
//! readiness); and added as a new node, with the making of its network, device and disk.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use meshlab_engine::{
    Engine, Host, Limits, MeshOptions, NodeKind, NodeOptions, Profiling, Readiness, RunConfig,
    Template, Words, clock_library, fingerprint,
};
use meshlab_model::{EndReason, NetworkMode, NoiseLimits, SourceLine, TestId, TestOutcome};

const ROUNDS: usize = 40;
const SCRIPT: &str = "echo ready; exec sleep 600";

fn main() {
    meshlab_lab::enter_user_namespace();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(folder.path()), runtime.handle().clone()).unwrap();
    let [bare, again, new] = runtime.block_on(measure(&engine));
    for (what, took) in [("bare spawn", bare), ("started again", again), ("new node", new)] {
        println!("{what:<14} p50 {:6.2} ms   p90 {:6.2} ms", at(&took, 50), at(&took, 90));
    }
}

fn at(took: &[Duration], percent: usize) -> f64 {
    let mut all = took.to_vec();
    all.sort_unstable();
    all[(all.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

fn here() -> SourceLine {
    SourceLine { file: "kind_start.rs".to_owned(), line: 1, column: 1 }
}

async fn measure(engine: &Engine) -> [Vec<Duration>; 3] {
    let mesh = "mesh1".into();
    engine.begin_test(TestId(0), "starts", here()).await.unwrap();
    engine.start_mesh(options(), here()).await.unwrap();
    let first = engine.nodes(&mesh).remove(0).id;
    let mut took = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        took[0].push(bare());
        engine.stop_node(&first, here()).await.unwrap();
        let began = Instant::now();
        engine.start_node(&first, here()).await.unwrap();
        took[1].push(began.elapsed());
        let began = Instant::now();
        let new = engine.add_node(&mesh, NodeOptions::default(), here()).await.unwrap();
        took[2].push(began.elapsed());
        engine.stop_node(&new, here()).await.unwrap();
    }
    engine.end_test(TestId(0), TestOutcome::Completed).await.unwrap();
    engine.finish(EndReason::Completed).await;
    took
}

fn bare() -> Duration {
    let began = Instant::now();
    let mut command = Command::new("/bin/sh");
    let mut child = command.args(["-c", SCRIPT]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let took = began.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    took
}

fn options() -> MeshOptions {
    let text = |text: &str| Template::parse(text).unwrap();
    let kind = NodeKind {
        name: "sh".to_owned(),
        binary: "sh".to_owned(),
        arguments: vec![vec![text("-c")], vec![text(SCRIPT)]],
        env: BTreeMap::new(),
        files: BTreeMap::from([("identity.key".to_owned(), text("{secret_key}\n"))]),
        port: 7777,
        seed: text("{bind}"),
        seed_separator: ",".to_owned(),
        ready: Readiness::Log("ready".to_owned()),
        ready_within: Duration::from_secs(20),
        stop_signal: 15,
        stop_grace: Duration::from_secs(4),
        answers: None,
        words: Words::None,
        dead_after: Duration::from_secs(10),
        preloads_clock: false,
        shell: None,
        capture: None,
        ends: false,
    };
    let plain = MeshOptions::plain("mesh1", vec!["broker".to_owned()]);
    MeshOptions { kind: Some(Arc::new(kind)), ..plain }
}

fn config(folder: &Path) -> RunConfig {
    let program = fingerprint(Path::new("/bin/sh"), false).unwrap();
    RunConfig {
        output: folder.to_owned(),
        scenario: "kind_start".to_owned(),
        script_path: "kind_start.lua".to_owned(),
        script: String::new(),
        tests: Vec::new(),
        arguments: Vec::new(),
        seed: 1,
        timeout: Duration::from_secs(600),
        sample_every: Duration::from_secs(1),
        network: NetworkMode::Lab,
        binaries: BTreeMap::from([("sh".to_owned(), program)]),
        ceilings: Limits::default(),
        bounds: Limits::default(),
        trends: Limits::default(),
        node_env: BTreeMap::new(),
        duration: None,
        time_scale: None,
        nodes: None,
        keep: false,
        params: BTreeMap::new(),
        replay: None,
        resume: None,
        noise: NoiseLimits::NONE,
        clock_library: clock_library(),
        profile: Profiling::default(),
        commit: None,
        listener: None,
    }
}
