//! What is asked of the harness, and what a sound one answers.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail};
use meshlab_mutants::Mutant;

use super::{
    bench::{Place, Said, failed, write},
    records,
};

/// A question to the harness.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// Whether it runs nodes.
    pub(super) needs_nodes: bool,
    /// Mistakes that are made in it whatever else is: what is to be found by it.
    pub(super) with: &'static [Mutant],
    pub(super) ask: Ask,
    /// How a sound harness ends.
    pub(super) code: i32,
    /// What it says, all of it.
    pub(super) says: &'static [&'static str],
}

/// How it is asked.
pub(super) enum Ask {
    /// A record is made, and a command told to look at it.
    Record(fn(&Path) -> io::Result<()>, &'static [&'static str]),
    /// A scenario is run.
    Run(Run),
    Other(fn(&Place<'_>) -> Result<Said>),
}

/// A scenario that is run.
pub(super) struct Run {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) more: &'static [&'static str],
    /// What the nodes' program does before it is a node, in bash.
    pub(super) program: Option<&'static str>,
}

impl Run {
    pub(super) fn has_nodes(&self) -> bool {
        self.text.contains("mesh {")
    }
}

macro_rules! canary {
    ($name:literal) => {
        Run {
            name: $name,
            text: include_str!(concat!("canaries/", $name, ".lua")),
            more: &[],
            program: None,
        }
    };
}

const fn record(
    name: &'static str,
    make: fn(&Path) -> io::Result<()>,
    command: &'static [&'static str],
    code: i32,
    says: &'static [&'static str],
) -> Check {
    Check { name, needs_nodes: false, with: &[], ask: Ask::Record(make, command), code, says }
}

const fn plain(name: &'static str, run: Run, code: i32, says: &'static [&'static str]) -> Check {
    Check { name, needs_nodes: false, with: &[], ask: Ask::Run(run), code, says }
}

const fn nodes(name: &'static str, run: Run, code: i32, says: &'static [&'static str]) -> Check {
    Check { needs_nodes: true, ..plain(name, run, code, says) }
}

const fn planted(
    name: &'static str,
    with: &'static [Mutant],
    run: Run,
    code: i32,
    says: &'static [&'static str],
) -> Check {
    Check { with, ..nodes(name, run, code, says) }
}

const fn other(
    name: &'static str,
    ask: fn(&Place<'_>) -> Result<Said>,
    code: i32,
    says: &'static [&'static str],
) -> Check {
    Check { name, needs_nodes: false, with: &[], ask: Ask::Other(ask), code, says }
}

const REPORT: &[&str] = &["report", records::RUN];
const GATE: &[&str] = &["gate", records::RUN, "--cpu", "90%"];
const GATE_MEMORY: &[&str] = &["gate", records::RUN, "--rss", "64MiB"];
const COMPARE: &[&str] = &["compare", "before", "--against", "after"];

/// Holds 1200 files open, which the node then does too.
const MANY_FILES: &str = "ulimit -n 4096\nfor n in $(seq 1200); do exec {fd}</dev/null; done";
/// The node ends by itself a moment after it is ready.
const ENDS_ITSELF: &str = "(sleep 3; kill -9 $$) &";
/// Something is left that the harness did not start; it ends by itself.
const LEAVES_A_CHILD: &str = "(trap '' TERM HUP; exec setsid sleep 25) &";
/// What is no OTLP is sent to the node's telemetry port.
const SENDS_GARBAGE: &str = r#"at=${OTEL_EXPORTER_OTLP_ENDPOINT#http://}; at=${at%%/*}
exec {door}<>/dev/tcp/${at%:*}/${at##*:}
printf 'POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n' >&$door
printf 'Content-Length: 3\r\nConnection: close\r\n\r\nxyz' >&$door
timeout 5 cat <&$door
exec {door}>&-"#;

/// All of them.
pub(super) static CHECKS: &[Check] = &[
    record("report-of-a-run-without-end", records::without_end, REPORT, 5, &["incomplete"]),
    record("gate-of-a-torn-record", records::torn, GATE, 5, &["events.jsonl ends at line"]),
    record("gate-of-a-gap", records::with_gap, GATE, 5, &["events are missing"]),
    record("report-of-a-test-not-begun", records::never_reached, REPORT, 4, &["never reached"]),
    record("report-of-a-claim-not-judged", records::unjudged, REPORT, 4, &["never judged"]),
    record("report-of-an-exit", records::ended_by_itself, REPORT, 1, &["exited by itself"]),
    record("report-of-leftovers", records::left_behind, REPORT, 5, &["left behind: process 7"]),
    record("gate-of-a-short-run", records::short, GATE, 4, &["20 are the fewest"]),
    record("gate-of-no-samples", records::unsampled, GATE, 5, &["it has no sample of a node"]),
    record("gate-of-one-heavy-node", records::one_heavy, GATE_MEMORY, 1, &["of node-5"]),
    record("gate-on-a-busy-host", records::on_a_busy_host, GATE, 4, &["the host was noisy"]),
    record(
        "compare-of-one-run",
        records::sound,
        &["compare", records::RUN, records::RUN],
        5,
        &["is on both sides"],
    ),
    record("compare-of-a-worse-side", records::one_side_worse, COMPARE, 1, &["failed: worse: "]),
    record("compare-of-alike-sides", records::both_sides_alike, COMPARE, 4, &["undecided"]),
    record("compare-of-near-sides", records::one_side_nearly_worse, COMPARE, 4, &["undecided"]),
    record("history-of-one-program", records::history, &["history", "swarm"], 0, &["no change"]),
    other("gate-of-another-host", gate_of_another_host, 4, &["the host's processor"]),
    plain("values", canary!("values"), 1, &["FAILED"]),
    plain("nothing-claimed", canary!("nothing"), 1, &["no claim was evaluated"]),
    plain("timeout", canary!("endless"), 1, &["timeout"]),
    plain("task-left", canary!("task"), 3, &["still running when its test ended"]),
    plain(
        "again-and-again",
        Run { more: &["--repeat", "3"], ..canary!("true") },
        0,
        &["undecided after 3", "(95 %: 0 % to 56 %)"],
    ),
    other("changed-line", changed_line, 5, &["its checksum does not hold"]),
    other("stale-program", stale_program, 5, &["older than its source"]),
    other("stray", stray, 5, &["of node-5 (state"]),
    nodes(
        "claims",
        Run { more: &["--node-env", "node-3:MESH_NODE_GOSSIP=off"], ..canary!("claims") },
        1,
        CLAIMS,
    ),
    nodes("frozen", canary!("frozen"), 0, FROZEN),
    planted(
        "frozen-without-effect",
        &[Mutant::FaultWithoutEffect],
        canary!("frozen"),
        5,
        &["was not stopped"],
    ),
    planted(
        "frozen-for-good",
        &[Mutant::UndoNothing],
        canary!("frozen"),
        1,
        &["not healed within"],
    ),
    nodes(
        "deaf",
        Run { more: &["--node-env", "node-3:MESH_NODE_GOSSIP=off"], ..canary!("deaf") },
        1,
        &["not noticed by node-3"],
    ),
    nodes("parted", canary!("parted"), 0, &["the switch dropped a probe in both directions"]),
    planted(
        "parted-without-effect",
        &[Mutant::SwitchUncut],
        canary!("parted"),
        5,
        &["the switch did not drop a probe"],
    ),
    nodes("slow", canary!("slow"), 0, &["the median of 15), and 100.0 ms was asked"]),
    planted(
        "slow-without-effect",
        &[Mutant::SwitchPrompt],
        canary!("slow"),
        5,
        &["not by 100.0 ms as asked"],
    ),
    nodes(
        "mute",
        Run { more: &["--ignore-noise"], ..canary!("mute") },
        1,
        &["after it was applied, though"],
    ),
    nodes("greedy", canary!("greedy"), 1, &["at most 0.00 % is allowed"]),
    nodes(
        "files",
        Run { program: Some(MANY_FILES), ..canary!("files") },
        1,
        &["at most 900 is allowed"],
    ),
    nodes(
        "unsampled",
        canary!("unsampled"),
        4,
        &["no sample of cpu was taken", "3 are the fewest that show"],
    ),
    nodes(
        "ends",
        Run { program: Some(ENDS_ITSELF), ..canary!("ends") },
        1,
        &["exited by itself with signal 9"],
    ),
    nodes(
        "leaves",
        Run { program: Some(LEAVES_A_CHILD), ..canary!("absent") },
        5,
        &["left behind: process"],
    ),
    nodes(
        "absent",
        Run { program: Some(SENDS_GARBAGE), ..canary!("absent") },
        4,
        &["may be lost: its telemetry port refused requests"],
    ),
    nodes("storm", canary!("storm"), 1, STORM),
    Check { needs_nodes: true, ..other("replay", replay, 0, REPLAY) },
    nodes(
        "skipped",
        Run { more: &["--network", "host"], ..canary!("skipped") },
        4,
        &["done in the lab's switch"],
    ),
    nodes(
        "skips",
        Run { more: &["--network", "host"], ..canary!("skips") },
        1,
        &["3 of 3 of the drawn faults"],
    ),
];

const CLAIMS: &[&str] = &[
    "2 of 6 pairs have heard each other after",
    "nodes do not agree after",
    "3 of 4 after",
    "1 of 2 after",
    "`gossip_started` came, none as asked",
    "`alpn_registered` came in this run, but before the claim began",
    "node-2 sent `gossip.digest_received`",
    "`gossip.digest_sent` in the",
    "are left with",
    "0 of 1 observers hold node-2 to be Leaving",
];

const FROZEN: &[&str] = &[
    "is stopped (state T)",
    "\"event\":\"fault_planned\"",
    "SIGCONT, and it runs again",
    "\"stage\":\"healed\"",
];

/// The second is when seed 7 has the first fault: the same for ever.
const STORM: &[&str] = &["cannot be met any more", "\"at_micros\":779918,"];

const REPLAY: &[&str] = &["2 of the 2 faults that acted there acted again"];

impl Check {
    /// What in an answer is not as it should be of a sound harness; `None` if nothing is.
    pub(super) fn wrong(&self, said: &Said) -> Option<String> {
        if said.code != Some(self.code) {
            let found = said.code.map_or("none".to_owned(), |code| code.to_string());
            return Some(format!("exit code {found}, and {} is right", self.code));
        }
        let missing = self.says.iter().find(|words| !said.text.contains(*words))?;
        Some(format!("it does not say \"{missing}\""))
    }

    /// The check of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        CHECKS.iter().find(|check| check.name == name)
    }
}

fn gate_of_another_host(place: &Place<'_>) -> Result<Said> {
    records::on_another_host(&place.folder).with_context(|| failed(&place.folder))?;
    place.sound(&["baseline", "before"])?;
    place.meshlab(&["gate", records::RUN, "--baseline", "baseline.json"])
}

/// A word of a line of a record is another than was written.
fn changed_line(place: &Place<'_>) -> Result<Said> {
    place.run(&canary!("true"))?;
    let events = place.folder.join("results/true/latest/events.jsonl");
    let text = fs::read_to_string(&events).with_context(|| failed(&events))?;
    if !text.contains("one is one") {
        bail!("failed to change {}: it does not say what its test is called", events.display());
    }
    write(&events, &text.replacen("one is one", "one is two", 1))?;
    place.meshlab(&["gate", "results/true/latest", "--cpu", "90%"])
}

/// A program that is older than what it was made of.
fn stale_program(place: &Place<'_>) -> Result<Said> {
    let (program, source) = (place.folder.join("node"), place.folder.join("node.rs"));
    write(&program, "a program")?;
    write(&source, "fn main() {}")?;
    let list = format!("{}: {}\n", program.display(), source.display());
    write(&program.with_extension("d"), &list)?;
    let before = SystemTime::now() - Duration::from_secs(60);
    let file = fs::File::options().write(true).open(&program);
    let file = file.with_context(|| failed(&program))?;
    file.set_modified(before).with_context(|| failed(&program))?;
    let scenario = canary!("slow");
    write(&place.folder.join("slow.lua"), scenario.text)?;
    let binary = format!("mesh-node={}", program.display());
    place.meshlab(&["run", "slow.lua", "--binary", &binary])
}

/// A process that bears the mark of a harness that is gone.
fn stray(place: &Place<'_>) -> Result<Said> {
    // Process 1 runs, and was not started at the end of time.
    let mut stray = Command::new("/bin/sleep")
        .arg("60")
        .env("MESHLAB_HARNESS", format!("1-{}-0", u64::MAX))
        .env("MESHLAB_NODE_ID", "node-5")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to start a process to be found")?;
    // Its environment shows a moment after its start.
    let deadline = Instant::now() + Duration::from_secs(5);
    let environment = format!("/proc/{}/environ", stray.id());
    let shows = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).contains("MESHLAB_HARNESS=");
    while Instant::now() < deadline && !fs::read(&environment).is_ok_and(shows) {
        std::thread::yield_now();
    }
    let said = place.meshlab(&["clean", "--dry-run"]);
    stray.kill().context("failed to end the process to be found")?;
    stray.wait().context("failed to wait for the process to be found")?;
    said
}

/// A run with a schedule by the sound harness, and its replay.
fn replay(place: &Place<'_>) -> Result<Said> {
    let first = place.run(&canary!("again"))?;
    if first.code != Some(0) {
        return Ok(first);
    }
    let latest = fs::canonicalize(place.folder.join("results/again/latest"));
    let latest = latest.context("failed to find the run that is to be replayed")?;
    place.meshlab(&["replay", &latest.display().to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_have_names_of_their_own_and_each_says_something() {
        for check in CHECKS {
            let same = CHECKS.iter().filter(|other| other.name == check.name).count();
            assert!(same == 1 && !check.says.is_empty(), "{}", check.name);
            assert!(Check::named(check.name).is_some());
        }
    }

    #[test]
    fn what_is_missing_from_an_answer_is_told() {
        let check = Check::named("values").unwrap();
        let said = |code, text: &str| Said { code, text: text.to_owned(), file: "x".into() };
        assert_eq!(check.wrong(&said(Some(1), "it FAILED")), None);
        let wrong = check.wrong(&said(Some(0), "FAILED")).unwrap();
        assert_eq!(wrong, "exit code 0, and 1 is right");
        let wrong = check.wrong(&said(Some(1), "red")).unwrap();
        assert_eq!(wrong, "it does not say \"FAILED\"");
        assert!(check.wrong(&said(None, "FAILED")).unwrap().contains("exit code none"));
    }
}
