//! What several runs of a scenario came to, to hold later runs against.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{HostFacts, NetworkMode, ParamValue};

/// Version of the form of a baseline. A reader refuses what it does not know.
pub const BASELINE_SCHEMA: u32 = 1;

/// What several runs of one scenario came to. Written by `meshlab baseline`, read by
/// `meshlab gate --baseline`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// [`BASELINE_SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of the harness that wrote it.
    pub meshlab: String,
    /// Under which conditions the runs were made: those of a run that is held against it.
    pub conditions: Conditions,
    /// SHA-256 of the programs that were run, by name; several where the runs had several.
    pub binaries: BTreeMap<String, Vec<String>>,
    /// Commits of the working trees that the runs were made from.
    pub commits: Vec<String>,
    /// The runs, `<scenario>/<utc>-s<seed>` each, in the order of their start.
    pub runs: Vec<String>,
    /// What they came to.
    pub figures: Vec<BaselineFigure>,
}

/// One number of each run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineFigure {
    /// Which number.
    #[serde(flatten)]
    pub key: FigureKey,
    /// `cores`, `B`, `s`, or that of the scenario's own metric; empty for a plain number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// The number of each run that has it, in the order of the runs. At least one.
    pub values: Vec<f64>,
    /// Their median.
    pub median: f64,
    /// Standard deviation of their logarithms, which for small ones is the share by which they
    /// vary: 0.02 is 2 %. Absent with less than two, or where a value is not above zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
}

/// What a number of a run is of.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct FigureKey {
    /// `rss p95, worst node`, or the name of the scenario's own metric.
    pub name: String,
    /// The role of the nodes that it is of; absent where it is of no nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

impl fmt::Display for FigureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Some(role) => write!(f, "{role}: {}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What has to be alike for two runs to be told apart by their programs alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conditions {
    /// The scenario's name.
    pub scenario: String,
    /// SHA-256 of its text, hex.
    pub script_sha256: String,
    /// Where the nodes live.
    pub network: NetworkMode,
    /// How long its plan lasts, in seconds, where the command line said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_secs: Option<f64>,
    /// What the lengths of its plan were multiplied by, where the command line said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_scale: Option<f64>,
    /// How many nodes of each role there were.
    pub nodes: BTreeMap<String, u32>,
    /// The scenario's parameters, defaults too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamValue>,
    /// Environment given to single nodes: node, then name, then value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_env: BTreeMap<String, BTreeMap<String, String>>,
    /// The seed, where a schedule of faults was drawn from it; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chaos_seed: Option<u64>,
    /// Whether CPU time was profiled, which costs some.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub profiled: bool,
    /// The machine.
    pub host: HostFacts,
}

impl Conditions {
    /// What differs from `other`, a few words each with both values: the same nowhere else. Load
    /// does not count, and memory only by the GiB: a kernel keeps some of it.
    pub fn unlike(&self, other: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let mut hold = |what: &str, one: String, two: String| {
            if one != two {
                all.push(format!("{what} ({one} and {two})"));
            }
        };
        let short = |hash: &str| hash.chars().take(12).collect::<String>();
        let said = |value: Option<f64>| value.map_or("not given".into(), |value| value.to_string());
        hold("the scenario", self.scenario.clone(), other.scenario.clone());
        hold("its text", short(&self.script_sha256), short(&other.script_sha256));
        hold("the network", lower(self.network), lower(other.network));
        hold("the duration in seconds", said(self.duration_secs), said(other.duration_secs));
        hold("the time scale", said(self.time_scale), said(other.time_scale));
        hold("the nodes", map(&self.nodes), map(&other.nodes));
        hold("the parameters", map(&self.params), map(&other.params));
        let env = |all: &BTreeMap<String, BTreeMap<String, String>>| {
            let each = all.iter().map(|(node, set)| (node.clone(), map(set)));
            map(&each.collect())
        };
        hold("the environment of nodes", env(&self.node_env), env(&other.node_env));
        let seed = |seed: Option<u64>| seed.map_or("none".into(), |seed| format!("seed {seed}"));
        hold("the schedule of faults", seed(self.chaos_seed), seed(other.chaos_seed));
        hold("profiling", on(self.profiled), on(other.profiled));
        for (what, one, two) in hosts(&self.host, &other.host) {
            hold(what, one, two);
        }
        all
    }
}

/// What tells two hosts apart.
fn hosts(one: &HostFacts, two: &HostFacts) -> [(&'static str, String, String); 5] {
    let gib = |host: &HostFacts| format!("{:.0} GiB", host.memory_bytes as f64 / 1_073_741_824.0);
    [
        ("the host's system", one.os.clone(), two.os.clone()),
        ("the host's kernel", one.kernel.clone(), two.kernel.clone()),
        ("the host's processor", one.cpu.clone(), two.cpu.clone()),
        ("the host's cores", one.cores.to_string(), two.cores.to_string()),
        ("the host's memory", gib(one), gib(two)),
    ]
}

fn lower(network: NetworkMode) -> String {
    format!("{network:?}").to_lowercase()
}

fn on(set: bool) -> String {
    if set { "on" } else { "off" }.to_owned()
}

fn map<T: fmt::Display>(all: &BTreeMap<String, T>) -> String {
    let each: Vec<String> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions() -> Conditions {
        Conditions {
            scenario: "swarm".into(),
            script_sha256: "00".into(),
            network: NetworkMode::Lab,
            duration_secs: None,
            time_scale: None,
            nodes: BTreeMap::from([("worker".into(), 4)]),
            params: BTreeMap::new(),
            node_env: BTreeMap::new(),
            chaos_seed: None,
            profiled: false,
            host: HostFacts { cores: 2, memory_bytes: 8 << 30, ..HostFacts::default() },
        }
    }

    #[test]
    fn each_thing_that_differs_is_told_with_both_values() {
        let one = conditions();
        let mut two = conditions();
        two.host.load_hundredths = 500;
        two.host.memory_bytes += 5 << 20;
        assert_eq!(one.unlike(&two), Vec::<String>::new(), "load and a little memory do not count");
        two.scenario = "other".into();
        two.script_sha256 = "11".into();
        two.network = NetworkMode::Host;
        two.duration_secs = Some(90.0);
        two.time_scale = Some(0.5);
        two.nodes.insert("seed".into(), 1);
        two.params.insert("rounds".into(), ParamValue::Integer(3));
        two.node_env.insert("node-1".into(), BTreeMap::from([("A".into(), "b".into())]));
        two.chaos_seed = Some(7);
        two.profiled = true;
        two.host.cores = 4;
        two.host.cpu = "another".into();
        let told = one.unlike(&two);
        assert_eq!(told.len(), 12, "{told:#?}");
        assert_eq!(told[5], "the nodes (worker=4 and seed=1 worker=4)");
        assert_eq!(told[7], "the environment of nodes (none and node-1=A=b)");
        assert_eq!(told[11], "the host's cores (2 and 4)");
    }
}
