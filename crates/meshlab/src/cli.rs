//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use meshlab_model::RunTime;

use crate::{export::ExportArguments, watch::WatchArguments};

/// Test and measure peer-to-peer meshes of real processes, by scenarios in Lua.
#[derive(Debug, Parser)]
#[command(
    name = "meshlab",
    version,
    // Ours knows the language too.
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 passed, 1 a claim failed, 2 usage, 3 the scenario is wrong, \
        4 inconclusive or skipped only, 5 harness or host failed, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a scenario on real nodes; ends with a verdict and a report
    Run(Box<RunArguments>),
    /// Give a prompt on the mesh of a run that was started with `--keep`
    Attach(PromptArguments),
    /// Say what is wrong with scenarios, without starting a node
    Check(CheckArguments),
    /// List scenarios: what they claim, how long they take, what they need of the host
    List(ListArguments),
    /// Write a first scenario to start from
    New(NewArguments),
    /// Tell editors about the language: types of all it has, and settings to find them
    Init(InitArguments),
    /// Draw the report of a finished (or killed) run again, from its record alone
    Report(ReportArguments),
    /// Ask a run's record in SQL: tables events, spans, samples, counters, span_counts
    Query(QueryArguments),
    /// Show spans of a run, by name, node, attribute and time
    Spans(SpansArguments),
    /// Show the lines of a node's log around a moment
    Logs(LogsArguments),
    /// Serve the page of a run, or of all runs, to a browser on this host
    Ui(crate::ui::UiArguments),
    /// Write a run's record in forms that other tools open: a Perfetto trace, OTLP to a collector
    Export(ExportArguments),
    /// Run again what a run was, with its faults at the times at which they came to be
    Replay(ReplayArguments),
    /// Start a program once in the lab and say what it did; writes a first kind of node from that
    Probe(crate::probe::ProbeArguments),
    /// Show where a process, or a run that was profiled, used its CPU time
    Profile(ProfileArguments),
    /// Hold a finished run against ceilings and earlier runs; for CI
    Gate(crate::gate::GateArguments),
    /// Write down what several runs of a scenario came to, for `meshlab gate --baseline`
    Baseline(crate::gate::BaselineArguments),
    /// Say what a change did: finished runs of two programs beside each other
    Compare(crate::compare::CompareArguments),
    /// Run two programs in rounds of one scenario, interleaved, and say what the change did
    Ab(Box<crate::ab::AbArguments>),
    /// Show what runs of a scenario came to over time, and where it changed
    History(crate::history::HistoryArguments),
    /// Find the commit with which a scenario became red, however rarely it is
    Bisect(crate::bisect::BisectArguments),
    /// Run a benchmark scenario several times and print its figures with their spread
    Bench(BenchArguments),
    /// Plant known mistakes in the node, one at a time, and see that scenarios find each
    Selftest(crate::selftest::SelftestArguments),
    /// Remove what a killed harness left on this host: processes and control groups
    Clean(CleanArguments),
    /// Say what this host can do, and how to allow the rest
    Doctor(DoctorArguments),
    /// Say what a function of the language does, such as `expect.spans`, or a command
    Help(HelpArguments),
}

impl Command {
    /// Whether all it does is to print: it keeps no nodes, writes no file, and has nothing to tell
    /// after its output.
    pub(crate) fn only_prints(&self) -> bool {
        matches!(self, Self::Check(_) | Self::List(_) | Self::History(_) | Self::Help(_))
    }
}

#[derive(Debug, Args)]
pub(crate) struct HelpArguments {
    /// A function, method, module or type of the language, or a command; all of them if absent
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Scenarios, Lua files; several are run one after the other, and the worst exit code counts
    #[arg(value_name = "SCENARIO", required_unless_present = "resume")]
    pub(crate) scenarios: Vec<PathBuf>,
    /// Go on with a run whose harness was killed, with what was left of its plan: its folder or its
    /// name, such as chaos-soak/latest. All that was said of it then holds; SCENARIO only says
    /// where the same file lies now
    #[arg(long, value_name = "RUN", conflicts_with_all = ["tag", "set", "seed", "network",
        "node_env", "duration", "time_scale", "nodes", "keep", "repeat", "profile", "output"])]
    pub(crate) resume: Option<PathBuf>,
    /// Of these scenarios, run only those with this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Set a parameter that the scenario declares, in the place of its default: `nodes=8`
    #[arg(long, value_name = "NAME=VALUE", value_parser = set)]
    pub(crate) set: Vec<(String, String)>,
    /// Seed of every random choice; drawn and printed if absent
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Where the nodes live: a network of their own, or this host's loopback
    #[arg(long, value_enum, default_value_t = Network::Lab)]
    pub(crate) network: Network,
    /// Take this program for the nodes instead of building it: `mesh-node=PATH`; or for one of the
    /// binaries that the scenario declares: `before=PATH`
    #[arg(long, value_name = "NAME=PATH", value_parser = pair)]
    pub(crate) binary: Vec<(String, String)>,
    /// Give one node an environment variable: `node-4:MESH_NODE_GOSSIP=off`; `*` is every node
    #[arg(long, value_name = "NODE:NAME=VALUE", value_parser = node_env)]
    pub(crate) node_env: Vec<(String, String, String)>,
    /// How long the scenario's plan lasts, in the place of what it declares: `90s`, `5m`
    #[arg(long, value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Multiply the lengths that the scenario plans (its duration, sleeps, rounds, the times of a
    /// chaos) by this, 0.001 to 1000; never a deadline, a hold or `--duration`
    #[arg(long, value_name = "FACTOR", value_parser = time_scale)]
    pub(crate) time_scale: Option<f64>,
    /// How many nodes the mesh has: sets the parameter `nodes` where there is one, else takes the
    /// place of the number in the one `mesh` of the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=250))]
    pub(crate) nodes: Option<u32>,
    /// Leave the mesh of the last test up, or of the first that fails, for `meshlab attach`
    #[arg(long, conflicts_with = "repeat")]
    pub(crate) keep: bool,
    /// Run it up to so many times, and say whether it is flaky as soon as that is decided
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) repeat: Option<u32>,
    /// With --repeat: a share of failures that is not flaky yet, in percent
    #[arg(long, value_name = "PERCENT", value_parser = share, default_value = "1%",
        requires = "repeat")]
    pub(crate) flaky_below: f64,
    /// With --repeat: a share of failures that is flaky, in percent
    #[arg(long, value_name = "PERCENT", value_parser = share, default_value = "5%",
        requires = "repeat")]
    pub(crate) flaky_above: f64,
    /// Judge CPU and time also on a host that is noisy; else what is measured there stays undecided
    #[arg(long)]
    pub(crate) ignore_noise: bool,
    /// Profile every node, several with a comma: `cpu` (by `perf`, or by the node itself where that
    /// cannot), `heap` (builds a node that records its allocations), `spans` (time between enter
    /// and exit)
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) profile: Vec<ProfileKind>,
    /// With `--profile heap`: record one allocation in so many bytes, at random, in the place of
    /// each: for long soaks, for example 524288
    #[arg(long, value_name = "BYTES", requires = "profile",
        value_parser = clap::value_parser!(u64).range(1..=1_073_741_824))]
    pub(crate) heap_sample: Option<u64>,
    /// Samples in a second of CPU time
    #[arg(long, value_name = "HZ", default_value_t = 99, requires = "profile",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) profile_hz: u32,
    #[command(flatten)]
    pub(crate) watch: WatchArguments,
    /// Folder in which results/, reports/ and profiles/ are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

impl RunArguments {
    /// To run a scenario with nothing said beside it.
    pub(crate) fn plain(scenario: PathBuf, network: Network, output: PathBuf) -> Self {
        Self {
            scenarios: vec![scenario],
            resume: None,
            tag: None,
            set: Vec::new(),
            seed: None,
            network,
            binary: Vec::new(),
            node_env: Vec::new(),
            duration: None,
            time_scale: None,
            nodes: None,
            keep: false,
            repeat: None,
            flaky_below: 0.01,
            flaky_above: 0.05,
            ignore_noise: false,
            profile: Vec::new(),
            heap_sample: None,
            profile_hz: 99,
            watch: WatchArguments::default(),
            output,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PromptArguments {
    /// The run's folder or its name, such as chaos-smoke/latest; the newest that is kept if absent
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<PathBuf>,
    /// End the nodes when the prompt is left, without asking
    #[arg(long, conflicts_with = "leave")]
    pub(crate) end: bool,
    /// Leave the nodes up when the prompt is left, without asking
    #[arg(long)]
    pub(crate) leave: bool,
    /// Folder whose results/ is looked through for the newest run that is kept
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Scenarios, or folders of them
    #[arg(value_name = "SCENARIO", default_value = "scenarios")]
    pub(crate) scenarios: Vec<PathBuf>,
    /// Print how long each took, and all
    #[arg(long)]
    pub(crate) time: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Scenarios, or folders of them
    #[arg(value_name = "SCENARIO", default_value = "scenarios")]
    pub(crate) scenarios: Vec<PathBuf>,
    /// Print it for machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NewArguments {
    /// Its name, which becomes the file's: letters, digits, `-` and `_`
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Folder in which it is written
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Folder that the editor is opened in; what its `.luarc.json` says already stays
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Measure how exactly faults are injected here; exit code 1 where an aim is missed
    #[arg(long)]
    pub(crate) measure: bool,
    /// Print it for machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// The scenario, a Lua file with metrics and steps named `idle ...`
    #[arg(value_name = "SCENARIO", default_value = "scenarios/bench/first-light.lua")]
    pub(crate) scenario: PathBuf,
    /// How many times
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Where the nodes live
    #[arg(long, value_enum, default_value_t = Network::Lab)]
    pub(crate) network: Network,
    /// Folder in which results/ and reports/ are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// The run's folder, such as results/chaos-smoke/latest, or its name under results/
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// The scenario, if it does not lie any more where it was run; it must be the same
    #[arg(long, value_name = "PATH")]
    pub(crate) scenario: Option<PathBuf>,
    /// Take this program in the place of the one that was run: `mesh-node=PATH`
    #[arg(long, value_name = "NAME=PATH", value_parser = pair)]
    pub(crate) binary: Vec<(String, String)>,
    /// Folder in which results/ and reports/ are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CleanArguments {
    /// Say what would be removed, and remove nothing; ends with code 5 if there is something
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Folder whose results/ is looked through for runs without an end; they are only listed
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// The run's folder, such as results/gossip-swarm-forms/latest, or its name under results/
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArguments {
    /// The run's folder, such as results/chaos-smoke/latest, or its name under results/; it may
    /// still be running
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// One SELECT. Times (`at`) are seconds since the run started; a bound on `at`, `name` or
    /// `node` keeps a query of a long run short
    #[arg(value_name = "SQL")]
    pub(crate) sql: String,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) format: OutputFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Columns beside each other, for people
    Table,
    /// An array of objects
    Json,
    /// Comma-separated values with a line of names
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct SpansArguments {
    /// The run's folder, such as results/chaos-smoke/latest, or its name under results/; it may
    /// still be running
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Only spans with this name, such as peer.connected
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only those of this node
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// Only those with this attribute: `state=Dead`; may be given several times
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = set)]
    pub(crate) attributes: Vec<(String, String)>,
    /// Only those that arrived from then on: `90s`, `1h2m`, or `01:30.250` as reports write it
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<RunTime>,
    /// Only those that arrived until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<RunTime>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// The run's folder, such as results/chaos-smoke/latest, or its name under results/; it may
    /// still be running
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// The node whose log it is
    #[arg(long)]
    pub(crate) node: String,
    /// The moment, since the run started: `90s`, `1h2m`, or `01:30.250` as reports write it
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) at: RunTime,
    /// How much before and after it is shown
    #[arg(long, value_name = "LENGTH", value_parser = duration, default_value = "5s")]
    pub(crate) around: Duration,
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true
)]
pub(crate) struct ProfileArguments {
    #[command(subcommand)]
    pub(crate) what: Option<Profiled>,
    /// A run whose profiles are drawn again from what they left; or a heap profile (.dhat.json),
    /// to be told by subsystem and site; or folded stacks (.folded)
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Profiled {
    /// Profile any process that runs, by its process id
    Attach(AttachArguments),
    /// Draw what became of one profile in another: red takes more of the whole, blue less
    Diff(DiffArguments),
}

#[derive(Debug, Args)]
pub(crate) struct AttachArguments {
    /// Process id
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// How long, of wall time: a process that sleeps gives no samples
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "10s")]
    pub(crate) length: Duration,
    /// Samples a second of CPU time
    #[arg(long, default_value_t = 99, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) hz: u32,
    /// Folder in which profiles/ is written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// Folded stacks, such as profiles/<run>/fleet.folded, or a heap profile (.dhat.json)
    #[arg(value_name = "BEFORE", required_unless_present = "first_last")]
    pub(crate) before: Option<PathBuf>,
    /// Of the same kind, to compare with it
    #[arg(value_name = "AFTER", required_unless_present = "first_last")]
    pub(crate) after: Option<PathBuf>,
    /// The first look at each process of a run against its last: heaps, and CPU profiles of a
    /// moment; writes heap-diff.svg and cpu-diff.svg beside the output
    #[arg(long, value_name = "RUN", conflicts_with_all = ["before", "after"])]
    pub(crate) first_last: Option<PathBuf>,
    /// The SVG that is written
    #[arg(long, value_name = "FILE", default_value = "diff.svg")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileKind {
    /// Where CPU time goes: a flamegraph for each node and one for all
    Cpu,
    /// What the heap of each node holds, by subsystem and site, at the start and the end of a test
    Heap,
    /// How long spans are entered, which is not CPU time: a flamegraph as for `cpu`
    Spans,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// A network namespace and a TUN device for each node, joined by a switch in the harness
    Lab,
    /// This host's loopback, for hosts that cannot make namespaces; no network faults
    Host,
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    meshlab_model::parse_duration(text).map_err(|error| error.to_string())
}

/// A moment of a run: a length of time since its start, or `[H:]MM:SS[.mmm]`.
pub(crate) fn moment(text: &str) -> Result<RunTime, String> {
    if !text.contains(':') {
        return duration(text).map(RunTime::from_duration);
    }
    let form = || format!("`{text}` is no time: write `90s`, `1h2m`, or `01:30.250`");
    let mut seconds = 0.0;
    for (place, part) in text.split(':').enumerate() {
        let sound = part.starts_with(|c: char| c.is_ascii_digit()) && place < 3;
        let number = part.parse().ok().filter(|n: &f64| sound && (0.0..1e6).contains(n));
        seconds = seconds * 60.0 + number.ok_or_else(form)?;
    }
    Ok(RunTime { micros: (seconds * 1e6).round() as u64 })
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let share = number.map(|percent| percent / 100.0);
    let share = share.filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "it is a share with a percent sign, for example `5%`".to_owned())
}

pub(crate) fn time_scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale| (0.001..=1000.0).contains(scale));
    scale.ok_or_else(|| "it is a number from 0.001 to 1000, for example 0.1".to_owned())
}

pub(crate) fn set(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() {
        return Err("write NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write NAME=PATH".to_owned()),
    }
}

fn node_env(text: &str) -> Result<(String, String, String), String> {
    let (node, rest) = text.split_once(':').ok_or("write NODE:NAME=VALUE")?;
    let (name, value) = rest.split_once('=').ok_or("write NODE:NAME=VALUE")?;
    if node.is_empty() || name.is_empty() {
        return Err("write NODE:NAME=VALUE".to_owned());
    }
    Ok((node.to_owned(), name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn pairs_need_both_halves() {
        assert!(pair("mesh-node=x").is_ok());
        assert!(pair("mesh-node").is_err() && pair("=x").is_err() && pair("x=").is_err());
        assert_eq!(set("text="), Ok(("text".into(), String::new())));
        assert!(set("text").is_err() && set("=x").is_err());
        assert_eq!(moment("1h2m"), Ok(RunTime { micros: 3_720_000_000 }));
        assert_eq!(moment("01:30.250"), Ok(RunTime { micros: 90_250_000 }));
        assert_eq!(moment("2:01:30"), Ok(RunTime { micros: 7_290_000_000 }));
        for wrong in ["5", "1:", ":1", "a:b", "1:2:3:4", "1:-2", "1:inf"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
        assert_eq!(time_scale("0.5"), Ok(0.5));
        assert_eq!(share("2.5%"), Ok(0.025));
        for wrong in ["5", "0%", "100%", "NaN%", "x%", "-1%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        for wrong in ["0", "-1", "1001", "inf", "NaN", "x"] {
            assert!(time_scale(wrong).is_err(), "{wrong}");
        }
        assert_eq!(node_env("node-4:A=b=c"), Ok(("node-4".into(), "A".into(), "b=c".into())));
        assert!(node_env("A=b").is_err() && node_env("node-4:A").is_err());
    }
}
