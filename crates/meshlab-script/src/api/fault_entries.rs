//! The faults as the language has them: whom each takes, and what it can be told.

use std::time::Duration;

use meshlab_engine::{Aim, FaultDirection, FaultFlap, FaultSettings, Group};
use meshlab_model::{Percent, parse_duration};
use mlua::Value;

use super::fault_definitions::{
    BURST_KILL, CLOCK_SKEW, CPU_LIMIT, DISK_FULL, FD_LIMIT, FIREWALL_INBOUND, FLAP_LINK, HELD,
    KILL_NODE, LATENCY_SPIKE, LOSSY_LINK, MEMORY_LIMIT, MTU, NAT_SHIFT, PACKET_CORRUPT, PARTITION,
    PARTITION_PAIR, PARTITION_SUBSET, RATE_LIMIT, RELAY_DOWN, RESTART_NODE, SLOW_LINK, WEDGE_NODE,
};
use crate::{
    call::{Call, Options, Outcome},
    define::{Class, Definition},
};

/// A fault as the language has it: `fault.name(target, options, body)`.
pub(super) struct Entry {
    /// Its name, its options, and what is written about it.
    pub(super) definition: &'static Definition,
    pub(super) takes: Takes,
    /// Whether it may stay as it is until the test ends: nodes that are dead for good are what many
    /// a scenario is about. Any other fault must say when it is taken back.
    pub(super) may_stay: bool,
    /// Whether it is over as soon as it acted, and so cannot be held.
    pub(super) instant: bool,
    /// Of these options one at least must be given.
    needs: &'static [&'static str],
    /// One that does, for an error.
    example: &'static str,
}

/// Whom a fault takes as its first arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// One node.
    Node,
    /// Nodes or a mesh, of which `count` are drawn.
    Several,
    /// Two nodes.
    Pair,
    /// Two sides.
    Sides,
    /// A mesh or nodes, of which `group` is parted from the others.
    Group,
    /// A mesh, for its relay.
    Relay,
}

const DELAY_MAX: Duration = Duration::from_secs(3600);

/// What an entry is where it says nothing else.
const PLAIN: Entry = Entry {
    definition: &KILL_NODE,
    takes: Takes::Node,
    may_stay: false,
    instant: false,
    needs: &[],
    example: "",
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry { definition: &BURST_KILL, takes: Takes::Several, may_stay: true, ..PLAIN },
    Entry { definition: &CLOCK_SKEW, needs: &["by", "drift"], example: "by = \"30s\"", ..PLAIN },
    Entry { definition: &CPU_LIMIT, needs: &["cpu"], example: "cpu = \"10%\"", ..PLAIN },
    Entry { definition: &DISK_FULL, ..PLAIN },
    Entry { definition: &FD_LIMIT, needs: &["files"], example: "files = 64", ..PLAIN },
    Entry { definition: &FIREWALL_INBOUND, ..PLAIN },
    Entry { definition: &FLAP_LINK, takes: Takes::Pair, ..PLAIN },
    Entry { definition: &KILL_NODE, may_stay: true, ..PLAIN },
    Entry { definition: &LATENCY_SPIKE, needs: &["delay"], example: "delay = \"500ms\"", ..PLAIN },
    Entry {
        definition: &LOSSY_LINK,
        needs: &["loss", "duplicate", "reorder"],
        example: "loss = \"10%\"",
        ..PLAIN
    },
    Entry { definition: &MEMORY_LIMIT, needs: &["memory"], example: "memory = \"64MiB\"", ..PLAIN },
    Entry { definition: &MTU, ..PLAIN },
    Entry { definition: &NAT_SHIFT, instant: true, ..PLAIN },
    Entry {
        definition: &PACKET_CORRUPT,
        needs: &["corrupt"],
        example: "corrupt = \"1%\"",
        ..PLAIN
    },
    Entry { definition: &PARTITION, takes: Takes::Sides, ..PLAIN },
    Entry { definition: &PARTITION_PAIR, takes: Takes::Pair, ..PLAIN },
    Entry {
        definition: &PARTITION_SUBSET,
        takes: Takes::Group,
        needs: &["group"],
        example: "group = \"majority\"",
        ..PLAIN
    },
    Entry { definition: &RATE_LIMIT, needs: &["rate"], example: "rate = \"256KiB/s\"", ..PLAIN },
    Entry { definition: &RELAY_DOWN, takes: Takes::Relay, ..PLAIN },
    Entry { definition: &RESTART_NODE, instant: true, ..PLAIN },
    Entry { definition: &SLOW_LINK, needs: &["delay"], example: "delay = \"200ms\"", ..PLAIN },
    Entry { definition: &WEDGE_NODE, ..PLAIN },
];

impl Entry {
    /// With its module: `fault.kill_node`.
    pub(super) fn full(&self) -> &'static str {
        self.definition.name
    }

    /// The class of its options.
    pub(super) fn options(&self) -> &'static Class {
        self.definition.options.unwrap_or(&HELD)
    }

    pub(super) fn name(&self) -> &'static str {
        self.definition.short()
    }

    /// How many arguments come before its options.
    pub(super) fn arguments(&self) -> usize {
        if matches!(self.takes, Takes::Pair | Takes::Sides) { 2 } else { 1 }
    }

    /// What to write where an option that it cannot do without is missing; `None` if it can do
    /// without any.
    pub(super) fn example(&self) -> Option<&'static str> {
        (!self.needs.is_empty()).then_some(self.example)
    }
}

/// The fault of that name.
pub(super) fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name() == name)
}

/// The names of all faults.
pub(super) fn entry_names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(Entry::name)
}

/// The faults of a `chaos`, with whether each can be named with its weight alone.
pub(crate) fn in_chaos() -> impl Iterator<Item = (&'static Definition, bool)> {
    ENTRIES.iter().map(|entry| (entry.definition, entry.needs.is_empty()))
}

/// Whom it hurts in a `chaos`.
pub(super) fn aim(entry: &Entry, options: &Options) -> Outcome<Aim> {
    Ok(match entry.takes {
        Takes::Node => Aim::Node,
        Takes::Several => {
            let count = options.count("count")?.unwrap_or(2);
            Aim::Several(usize::try_from(count).unwrap_or(usize::MAX))
        }
        Takes::Pair => Aim::Pair,
        Takes::Sides => Aim::Rest,
        Takes::Group => Aim::Group(group(options)?),
        Takes::Relay => Aim::Relay,
    })
}

/// `group`, with `role` where it is one.
pub(super) fn group(options: &Options) -> Outcome<Group> {
    let role = options.text("role")?;
    let wanted = "`group` is \"one\", \"majority\", \"ring\", \"mesh\" or \"role\"";
    let name = options.text("group")?;
    let name = name.ok_or_else(|| options.missing("group", wanted))?;
    let group = match (name.as_str(), role) {
        ("one", None) => Group::One,
        ("majority", None) => Group::Majority,
        ("ring", None) => Group::Ring,
        ("mesh", None) => Group::Mesh,
        ("role", Some(role)) => Group::Role(role),
        ("role", None) => {
            return Err(
                options.missing("role", "whose group it is, for example `role = \"broker\"`")
            );
        }
        ("one" | "majority" | "ring" | "mesh", Some(_)) => {
            let message = format!("`role` goes with `group = \"role\"`, and this is \"{name}\"");
            return Err(options.mistake("role", message));
        }
        _ => return Err(options.mistake("group", format!("{wanted}, got \"{name}\""))),
    };
    Ok(group)
}

/// Everything that the fault is told by these options.
pub(super) fn settings(entry: &Entry, call: &Call, options: &Options) -> Outcome<FaultSettings> {
    let given = |key: &&&str| !options.get(key).is_nil();
    if !entry.needs.is_empty() && entry.needs.iter().find(given).is_none() {
        let needs = entry.needs.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>();
        let message = format!("`{}` needs the option {}", entry.full(), needs.join(" or "));
        return Err(call.mistake_with(message, format!("for example `{{ {} }}`", entry.example)));
    }
    Ok(FaultSettings {
        loss: share(options, "loss")?,
        burst: burst(options)?,
        duplicate: share(options, "duplicate")?,
        reorder: share(options, "reorder")?,
        corrupt: share(options, "corrupt")?,
        delay: delay(options, "delay")?,
        jitter: delay(options, "jitter")?,
        direction: direction(options)?,
        rate: if options.has("rate") { options.byte_rate("rate")? } else { None },
        mtu: mtu(options)?,
        black_hole: options.has("black_hole") && options.boolean("black_hole")?.unwrap_or(false),
        flap: flap(options)?,
        skew_micros: skew(options)?,
        drift: drift(options)?,
        cores: cores(options)?,
        memory: size(options, "memory")?,
        files: if options.has("files") { options.count("files")? } else { None },
        disk_limit: size(options, "limit")?,
    })
}

/// A share that is more than nothing and at most all.
fn share(options: &Options, key: &str) -> Outcome<Option<Percent>> {
    let share = if options.has(key) { options.percent(key)? } else { None };
    match share {
        Some(share) if share.0 <= 0.0 || share.0 > 1.0 => {
            let message = format!("`{key}` is more than \"0%\" and at most \"100%\", got {share}");
            Err(options.mistake(key, message))
        }
        share => Ok(share),
    }
}

fn burst(options: &Options) -> Outcome<Option<f64>> {
    if !options.has("burst") {
        return Ok(None);
    }
    let burst = match options.get("burst") {
        Value::Nil => return Ok(None),
        Value::Integer(packets) => packets as f64,
        Value::Number(packets) => packets,
        _ => f64::NAN,
    };
    if burst.is_finite() && burst >= 1.0 {
        return Ok(Some(burst));
    }
    let message = "`burst` is the mean number of packets lost in a row, at least 1".to_owned();
    Err(options.mistake("burst", message))
}

fn delay(options: &Options, key: &str) -> Outcome<Option<Duration>> {
    let delay = if options.has(key) { options.duration(key)? } else { None };
    match delay {
        Some(delay) if delay > DELAY_MAX => {
            Err(options.mistake(key, format!("`{key}` is at most \"1h\"; cut the link instead")))
        }
        Some(delay) if delay.is_zero() && key == "delay" => {
            Err(options.mistake(key, "`delay` is more than \"0s\"".to_owned()))
        }
        delay => Ok(delay),
    }
}

fn direction(options: &Options) -> Outcome<FaultDirection> {
    let text = if options.has("direction") { options.text("direction")? } else { None };
    match text.as_deref() {
        None | Some("out") => Ok(FaultDirection::Out),
        Some("in") => Ok(FaultDirection::In),
        Some("both") => Ok(FaultDirection::Both),
        Some(other) => {
            let message = format!("`direction` is \"out\", \"in\" or \"both\", got \"{other}\"");
            Err(options.mistake("direction", message))
        }
    }
}

/// Three times a second down and a second up, where nothing else is said.
fn flap(options: &Options) -> Outcome<Option<FaultFlap>> {
    let (down, up) = match (options.has("down"), options.has("spike")) {
        (true, _) => ("down", "up"),
        (_, true) => ("spike", "calm"),
        _ => return Ok(None),
    };
    let time = |key: &str| -> Outcome<Duration> {
        let time = options.duration(key)?.unwrap_or(Duration::from_secs(1));
        if (Duration::from_millis(50)..=DELAY_MAX).contains(&time) {
            return Ok(time);
        }
        Err(options.mistake(key, format!("`{key}` is \"50ms\" to \"1h\"")))
    };
    let count = options.count("count")?.unwrap_or(3);
    let count = u32::try_from(count).ok().filter(|count| *count <= 10_000);
    let count =
        count.ok_or_else(|| options.mistake("count", "`count` is at most 10000".to_owned()))?;
    Ok(Some(FaultFlap { down: time(down)?, up: time(up)?, count }))
}

/// `bytes`: from what IPv4 needs of a line to what the lab's lines are.
fn mtu(options: &Options) -> Outcome<Option<u64>> {
    let bytes = if options.has("bytes") { options.count("bytes")? } else { None };
    match bytes {
        Some(bytes) if !(68..=1499).contains(&bytes) => {
            let message = format!("`bytes` is 68 to 1499, got {bytes}; a line has 1500 without it");
            Err(options.mistake("bytes", message))
        }
        bytes => Ok(bytes),
    }
}

fn size(options: &Options, key: &str) -> Outcome<Option<u64>> {
    let size = if options.has(key) { options.size(key)? } else { None };
    Ok(size.map(|size| size.0))
}

/// `by`: a length of time, with a minus for back.
fn skew(options: &Options) -> Outcome<Option<i64>> {
    if !options.has("by") {
        return Ok(None);
    }
    let micros = |by: Duration| i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    if let Value::String(text) = options.get("by")
        && let Some(back) = text.to_string_lossy().strip_prefix('-')
    {
        let back = parse_duration(back).map_err(|error| {
            options.mistake("by", format!("`by` is a length of time, but {error}"))
        })?;
        return Ok(Some(-micros(back)));
    }
    Ok(options.duration("by")?.map(micros))
}

/// `drift`: how much faster the clock runs, `"-1%"` for slower.
fn drift(options: &Options) -> Outcome<Option<Percent>> {
    if !options.has("drift") {
        return Ok(None);
    }
    let drift = match options.get("drift") {
        Value::String(text) if text.to_string_lossy().starts_with('-') => {
            let text = text.to_string_lossy();
            let slower = Percent::parse(text.trim_start_matches('-'));
            let slower = slower.map_err(|error| {
                options.mistake("drift", format!("`drift` is a share, but {error}"))
            })?;
            Some(Percent(-slower.0))
        }
        _ => options.percent("drift")?,
    };
    match drift {
        Some(Percent(share)) if share.abs() > 0.5 => {
            Err(options.mistake("drift", "`drift` is \"-50%\" to \"50%\"".to_owned()))
        }
        drift => Ok(drift),
    }
}

/// `cpu`: a share of one core, which may be more than one.
fn cores(options: &Options) -> Outcome<Option<Percent>> {
    let cores = if options.has("cpu") { options.percent("cpu")? } else { None };
    match cores {
        Some(Percent(share)) if share < 0.01 => {
            Err(options.mistake("cpu", "`cpu` is at least \"1%\" of a core".to_owned()))
        }
        cores => Ok(cores),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_fault_is_in_the_language_the_manual_and_the_scenarios() {
        let faults: BTreeSet<&str> = meshlab_engine::fault_names().into_iter().collect();
        assert_eq!(faults, entry_names().collect());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let manual = fs::read_to_string(root.join("docs/faults.md")).unwrap();
        for fault in faults {
            assert!(manual.contains(&format!("| `{fault}(")), "docs/faults.md lacks {fault}");
            // The general form is that of `split-brain.lua`.
            let name = fault.replace('_', "-");
            let scenario = root.join(format!("scenarios/faults/{name}.lua"));
            assert!(fault == "partition" || scenario.exists(), "no {}", scenario.display());
        }
    }
}
