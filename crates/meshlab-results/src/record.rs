//! What spans and samples have in common: a moment, a name, a node.

use meshlab_model::{
    CounterMinute, CounterSample, RunTime, Sample, SampleMinute, SampleSource, SpanRecord,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::file;

/// A record of which a run has millions.
pub trait Record: Serialize + DeserializeOwned + Clone {
    /// Folder of its segments in the run's folder.
    const FOLDER: &'static str;
    /// The one file that schema 1 kept them in.
    const FILE_OF_SCHEMA_1: &'static str;
    /// The moment by which records are in order.
    fn moment(&self) -> RunTime;
    /// What it is counted under.
    fn name(&self) -> &str;
    /// Whose it is.
    fn node(&self) -> &str;
    /// What the line of every record with that name has in it, if anything does.
    fn needle(name: &str) -> Option<String>;
}

impl Record for SpanRecord {
    const FOLDER: &'static str = file::SPANS;
    const FILE_OF_SCHEMA_1: &'static str = "spans.jsonl";

    fn moment(&self) -> RunTime {
        self.arrived
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn node(&self) -> &str {
        self.node.as_str()
    }

    fn needle(name: &str) -> Option<String> {
        Some(format!("\"name\":{}", serde_json::to_string(name).ok()?))
    }
}

/// What the harness's own samples are counted under, in the place of a node.
pub const HARNESS: &str = "harness";

impl Record for Sample {
    const FOLDER: &'static str = file::SAMPLES;
    const FILE_OF_SCHEMA_1: &'static str = "samples.jsonl";

    fn moment(&self) -> RunTime {
        self.at
    }

    fn name(&self) -> &str {
        "process"
    }

    fn node(&self) -> &str {
        process(&self.of)
    }

    fn needle(_name: &str) -> Option<String> {
        None
    }
}

impl Record for SampleMinute {
    const FOLDER: &'static str = file::MINUTES;
    const FILE_OF_SCHEMA_1: &'static str = "minutes.jsonl";

    fn moment(&self) -> RunTime {
        self.at
    }

    fn name(&self) -> &str {
        "minute"
    }

    fn node(&self) -> &str {
        process(&self.of)
    }

    fn needle(_name: &str) -> Option<String> {
        None
    }
}

macro_rules! of_a_node {
    ($record:ty, $folder:expr, $name:literal) => {
        impl Record for $record {
            const FOLDER: &'static str = $folder;
            const FILE_OF_SCHEMA_1: &'static str = concat!($name, ".jsonl");

            fn moment(&self) -> RunTime {
                self.at
            }

            /// The same for all: with a name for each number, what is counted would be larger than
            /// what is kept.
            fn name(&self) -> &str {
                $name
            }

            fn node(&self) -> &str {
                self.node.as_str()
            }

            fn needle(_name: &str) -> Option<String> {
                None
            }
        }
    };
}

of_a_node!(CounterSample, file::COUNTERS, "counters");
of_a_node!(CounterMinute, file::COUNTER_MINUTES, "counter_minutes");

fn process(of: &SampleSource) -> &str {
    match of {
        SampleSource::Node(node) => node.as_str(),
        SampleSource::Harness => HARNESS,
    }
}

/// Which records are wanted. Empty, it wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// From this moment on.
    pub since: Option<RunTime>,
    /// Up to this moment, itself included.
    pub until: Option<RunTime>,
    /// With this name.
    pub name: Option<String>,
    /// Of this node.
    pub node: Option<String>,
    /// With a number of this name among its values. Only a help: records without one may be given
    /// as well.
    pub number: Option<String>,
}

impl Filter {
    /// Records with that name.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// What every line that is wanted has in it, if anything.
    pub(crate) fn needle<T: Record>(&self) -> Option<String> {
        match (&self.name, &self.number) {
            (Some(name), _) => T::needle(name),
            (None, Some(number)) => Some(format!("{}:", serde_json::to_string(number).ok()?)),
            (None, None) => None,
        }
    }

    pub(crate) fn wants<T: Record>(&self, record: &T) -> bool {
        let moment = record.moment();
        self.since.is_none_or(|since| moment >= since)
            && self.until.is_none_or(|until| moment <= until)
            && self.name.as_deref().is_none_or(|name| name == record.name())
            && self.node.as_deref().is_none_or(|node| node == record.node())
    }

    /// Whether records between these moments may be wanted.
    pub(crate) fn wants_times(&self, from: u64, until: u64) -> bool {
        self.since.is_none_or(|since| until >= since.micros)
            && self.until.is_none_or(|last| from <= last.micros)
    }

    /// Whether any of the records counted here has the wanted name and node.
    pub(crate) fn is_among(&self, counts: &crate::Counts) -> bool {
        let any = |nodes: &std::collections::BTreeMap<String, u64>| match &self.node {
            Some(node) => nodes.contains_key(node),
            None => true,
        };
        match &self.name {
            Some(name) => counts.get(name).is_some_and(any),
            None => counts.values().any(any),
        }
    }
}
