//! What the live page costs and how fast it is, in a real Chromium:
//!
//!     cargo build --release -p meshlab -p mesh-node
//!     cargo run --release -p meshlab --example page -- lag          # events on the page
//!     cargo run --release -p meshlab --example page -- cost [NODES] # CPU of the harness
//!     cargo run --release -p meshlab --example page -- blind [NODES] # the same, nobody looks
//!     cargo run --release -p meshlab --example page -- crowd        # 200 nodes
//!     cargo run --release -p meshlab --example page -- long FOLDER  # a run of four days
//!
//! FOLDER is one that `cargo run --release -p meshlab-query --example soak -- 4d FOLDER 2 15`
//! writes; it has to end in `<scenario>/<run>`. Each prints the machine, medians, 99th percentiles and
//! the spread.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "an example that prints what it finds"
)]

#[path = "../tests/support/browser.rs"]
#[allow(dead_code, reason = "it uses its part of the driver")]
mod browser;
#[path = "../tests/support/crowd.rs"]
mod crowd;
#[path = "../tests/support/link.rs"]
mod link;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use browser::Browser;
use link::link;
use meshlab_stats::Growth;
use serde_json::Value;

/// Faults, and then two thousand events at once.
const LAG: &str = r#"
scenario { timeout = "8m" }
test("faults", function()
  local swarm = mesh { nodes = 6, digest_every = "500ms" }
  expect.formed(swarm, { within = "60s" })
  for _ = 1, 6 do
    fault.restart_node(swarm:node(2))
    expect.agreed(swarm, { within = "60s" })
  end
end)
test("a burst", function()
  sleep "5s"
  for burst = 1, 5 do
    for n = 1, 400 do record.note("burst " .. burst .. " event " .. n) end
    sleep "2s"
  end
end)
"#;

/// Nodes that do what they do by themselves.
const IDLE: &str = r#"
scenario { timeout = "30m" }
test("idle", function()
  local swarm = mesh { nodes = NODES }
  expect.formed(swarm, { within = "120s" })
  record.note("formed")
  sleep "20m"
end)
"#;

/// How long the page is open, or closed, each time.
const STRETCH: Duration = Duration::from_secs(15);
const STRETCHES: usize = 8;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (what, which) = (arguments.next().unwrap_or_default(), arguments.next());
    machine();
    match (what.as_str(), which) {
        ("lag", None) => lag(),
        ("cost", nodes) => cost(nodes.map_or(18, |nodes| nodes.parse().unwrap())),
        ("blind", nodes) => blind(nodes.map_or(9, |nodes| nodes.parse().unwrap())),
        ("crowd", None) => crowd_of(200),
        ("long", Some(folder)) => long(Path::new(&folder)),
        _ => println!("say lag, cost [NODES], blind [NODES], crowd, or long FOLDER"),
    }
}

/// What it was measured on.
fn machine() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find(|line| line.starts_with("model name"));
    let name = name.and_then(|line| line.split(": ").nth(1)).unwrap_or("an unknown processor");
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let build = if cfg!(debug_assertions) { "DEBUG build: not to be quoted" } else { "release" };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("{cores} x {name}, Linux {}, load {load}, {build}", kernel.trim());
}

/// The program that was built beside this one.
fn meshlab() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().with_file_name("meshlab")
}

struct Serving {
    child: Child,
    link: String,
}

impl Serving {
    /// Starts `meshlab` and waits for the link that it prints.
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Self::spawned(folder, arguments);
        let link = link(&mut child);
        Self { child, link }
    }

    fn spawned(folder: &Path, arguments: &[&str]) -> Child {
        let mut command = Command::new(meshlab());
        command.args(arguments).current_dir(folder).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().expect("build meshlab first: see the head of this file")
    }

    /// CPU seconds that the process itself has used.
    fn cpu(&self) -> f64 {
        let mut stat = String::new();
        let path = format!("/proc/{}/stat", self.child.id());
        fs::File::open(path).unwrap().read_to_string(&mut stat).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        // SAFETY: it only asks for a number.
        ticks / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let _ = self.child.wait();
    }
}

fn run(folder: &Path, script: &str) -> Serving {
    begun(folder, script, true)
}

/// Starts a run; with a page, or without one and its link.
fn begun(folder: &Path, script: &str, page: bool) -> Serving {
    let path = folder.join("bench.lua");
    fs::write(&path, script).unwrap();
    let node = meshlab().with_file_name("mesh-node");
    let node = format!("mesh-node={}", node.display());
    let lab = Command::new(meshlab()).arg("doctor").output().unwrap().status.success();
    let network = if lab { "lab" } else { "host" };
    let path = path.to_str().unwrap();
    let plain = ["run", path, "--network", network, "--binary", &node];
    match page {
        true => Serving::start(folder, &[&plain[..], &["--ui"]].concat()),
        false => Serving { child: Serving::spawned(folder, &plain), link: String::new() },
    }
}

/// The value below which this share of them is; 0 of none.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

fn told(what: &str, mut values: Vec<f64>) {
    let [least, half, p99, most] = [0.0, 0.5, 0.99, 1.0].map(|share| quantile(&mut values, share));
    println!(
        "{what}: p50 {half:.0} ms, p99 {p99:.0} ms (least {least:.0}, most {most:.0}, n = {})",
        values.len()
    );
}

fn numbers(value: Value) -> Vec<f64> {
    serde_json::from_value(value).unwrap()
}

/// How long it takes an event from the record to the picture.
fn lag() {
    let folder = tempfile::tempdir().unwrap();
    let serving = run(folder.path(), LAG);
    let mut browser = Browser::start(1280, 900);
    browser.open(&serving.link);
    browser.until("window.meshlab.store.get('run').live");
    let second = "window.meshlab.store.get('test/1').started";
    for _ in 0..10 {
        // The wait of the driver is two minutes.
        browser.until(&format!("{second} !== null || (Date.now() % 60000) > 59000"));
        if browser.ask(&format!("{second} !== null")) == true {
            break;
        }
        std::thread::sleep(Duration::from_secs(2));
    }
    told("faults: recorded to drawn", numbers(browser.ask("window.meshlab.store.lags.splice(0)")));
    browser.until("window.meshlab.store.get('run').over");
    told("bursts of 400: recorded to drawn", numbers(browser.ask("window.meshlab.store.lags")));
    println!("messages: {}", browser.ask("window.meshlab.store.messages"));
}

/// CPU of the harness with a page open and closed, by turns in one run.
fn cost(nodes: u32) {
    let folder = tempfile::tempdir().unwrap();
    let script = IDLE.replace("NODES", &nodes.to_string());
    let serving = run(folder.path(), &script);
    let mut browser = Browser::start(1280, 900);
    browser.open(&serving.link);
    browser.until("window.meshlab.store.all('note').size");
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for _ in 0..STRETCHES {
        open.push(used(&serving) * 100.0);
        browser.open("about:blank");
        std::thread::sleep(Duration::from_secs(2));
        closed.push(used(&serving) * 100.0);
        browser.open(&serving.link);
        browser.until("window.meshlab.store.get('run').live");
        std::thread::sleep(Duration::from_secs(2));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let more: Vec<f64> = open.iter().zip(&closed).map(|(open, closed)| open - closed).collect();
    println!("{nodes} nodes idle, {} stretches of {} s each", STRETCHES, STRETCH.as_secs());
    println!("no page:  {:.2} % of a core: {closed:.2?}", mean(&closed));
    println!("one page: {:.2} % of a core: {open:.2?}", mean(&open));
    // Student's t over the stretches, each against the one after it.
    let Growth { mean, low, high, .. } = Growth::of(&more).unwrap();
    println!("the page costs {mean:.2} % of a core (95 %: {low:.2} to {high:.2})");
}

/// CPU of a harness that serves a page at which nobody looks, and of one that serves none: two runs
/// at the same time.
fn blind(nodes: u32) {
    let script = IDLE.replace("NODES", &nodes.to_string());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let served = run(folders[0].path(), &script);
    let plain = begun(folders[1].path(), &script, false);
    folders.iter().for_each(|folder| formed(folder.path()));
    let mut more = Vec::new();
    println!("{nodes} nodes idle in each of two runs, {STRETCHES} stretches of {STRETCH:?}");
    for _ in 0..STRETCHES {
        let (began, before) = (Instant::now(), [served.cpu(), plain.cpu()]);
        std::thread::sleep(STRETCH);
        let took = began.elapsed().as_secs_f64() / 100.0;
        let [served, plain] = [served.cpu() - before[0], plain.cpu() - before[1]];
        println!("with a page: {:.2} %, without: {:.2} %", served / took, plain / took);
        more.push((served - plain) / took);
    }
    let Growth { mean, low, high, .. } = Growth::of(&more).unwrap();
    println!(
        "a page that nobody looks at costs {mean:.2} % of a core (95 %: {low:.2} to {high:.2})"
    );
}

/// Waits until the run in that folder says that its mesh is formed.
fn formed(folder: &Path) {
    let said = || {
        let events = fs::read_to_string(folder.join("results/bench/latest/events.jsonl"));
        events.is_ok_and(|events| events.contains("\"formed\""))
    };
    while !said() {
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The share of a core that the harness uses for a while.
fn used(serving: &Serving) -> f64 {
    let (began, before) = (Instant::now(), serving.cpu());
    std::thread::sleep(STRETCH);
    (serving.cpu() - before) / began.elapsed().as_secs_f64()
}

/// Resolves with the milliseconds since the page was opened once this is so and drawn.
fn when(browser: &mut Browser, what: &str) -> f64 {
    browser.until("window.meshlab");
    let asked = format!(
        "new Promise((told) => {{ const look = () => {{ let is = false; \
         try {{ is = {what} }} catch {{}} if (is) requestAnimationFrame(() => setTimeout(() => told(performance.now()))); \
         else requestAnimationFrame(look); }}; look(); }})"
    );
    browser.ask(&asked).as_f64().unwrap()
}

/// How long one key takes until it is drawn, and until what was asked for it is drawn.
fn zoomed(browser: &mut Browser, key: &str, settled: &str) -> [f64; 2] {
    let asked = format!(
        "new Promise((told) => {{ const view = window.meshlab.view; \
         const began = performance.now(); view.key({{ key: '{key}', preventDefault() {{}} }}); let first = null; \
         const look = () => {{ first ??= performance.now() - began; \
         if ({settled}) requestAnimationFrame(() => setTimeout(() => \
         told([first, performance.now() - began]))); \
         else requestAnimationFrame(look); }}; \
         requestAnimationFrame(() => setTimeout(look)); }})"
    );
    let both = numbers(browser.ask(&asked));
    [both[0], both[1]]
}

/// In to a minute, along, and out again.
const ZOOMS: &str = "++++++++++<><++-----";

fn long(folder: &Path) {
    let serving = Serving::start(Path::new("."), &["ui", folder.to_str().unwrap(), "--no-open"]);
    let mut browser = Browser::start(1280, 900);
    let views = [
        ("overview", "document.querySelectorAll('svg.topo [data-node]').length > 0"),
        ("timeline", "window.meshlab.view.geometry"),
        ("charts", "window.meshlab.view.drawn"),
    ];
    for (tab, drawn) in views {
        let mut took = Vec::new();
        for _ in 0..5 {
            browser.open(&format!("{}&tab={tab}", serving.link));
            took.push(when(&mut browser, drawn));
            // The next one opens it anew: nobody looks any more.
            browser.open("about:blank");
            std::thread::sleep(Duration::from_millis(500));
        }
        told(&format!("{tab} of the whole run, from a click on its link"), took);
    }
    for (tab, drawn, settled) in [
        ("timeline", views[1].1, "!view.asking"),
        ("charts", views[2].1, "view.drawn === view.asked"),
    ] {
        browser.open(&format!("{}&tab={tab}", serving.link));
        when(&mut browser, drawn);
        let (mut first, mut whole) = (Vec::new(), Vec::new());
        for key in ZOOMS.chars() {
            let key = match key {
                '<' => "ArrowLeft".to_owned(),
                '>' => "ArrowRight".to_owned(),
                key => key.to_string(),
            };
            let [at_once, in_full] = zoomed(&mut browser, &key, settled);
            first.push(at_once);
            whole.push(in_full);
        }
        told(&format!("{tab}: a zoom is drawn"), first);
        told(&format!("{tab}: and with the record's finer values"), whole);
    }
    assert!(browser.problems.is_empty(), "{:?}", browser.problems);
}

/// How long 200 nodes take to draw, and how many pictures a second there are while each of them
/// changes ten times a second.
fn crowd_of(nodes: u32) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("results/crowd/one");
    crowd::write(&run, nodes);
    let serving = Serving::start(folder.path(), &["ui", run.to_str().unwrap(), "--no-open"]);
    let mut browser = Browser::start(1280, 900);
    for (tab, part) in [("overview", "view.parts[0]"), ("timeline", "view")] {
        browser.open(&format!("{}&tab={tab}", serving.link));
        when(&mut browser, "window.meshlab.store.all('node').size > 100");
        let draws = format!(
            "Array.from({{ length: 50 }}, () => {{ const began = performance.now(); \
             window.meshlab.{part}.draw(); return performance.now() - began; }})"
        );
        told(
            &format!("{nodes} nodes, {tab}: drawn by the script in"),
            numbers(browser.ask(&draws)),
        );
        let frames = "new Promise((told) => { const store = window.meshlab.store; let frames = 0; \
            const began = performance.now(); const push = setInterval(() => { \
            const set = Object.fromEntries([...store.all('node')].map(([id, node]) => \
            [`node/${id}`, { ...node, cpu: Math.random() / 10 }])); \
            store.take({ epoch: store.epoch, at: store.at + 1, set }); }, 100); \
            const count = () => { frames += 1; const took = performance.now() - began; \
            if (took < 5000) return requestAnimationFrame(count); \
            clearInterval(push); told([frames * 1000 / took]); }; requestAnimationFrame(count); })";
        let rate = numbers(browser.ask(frames))[0];
        println!("{nodes} nodes, {tab}: {rate:.0} pictures a second while all change 10 times");
    }
}
