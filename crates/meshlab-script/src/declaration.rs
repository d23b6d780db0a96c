//! What a file says of itself before anything runs.

use std::{collections::BTreeMap, time::Duration};

use meshlab_engine::Limits;
use meshlab_model::{Bound, Ceilings, DeclaredTest, ParamValue, Trends};

/// What the command line puts in the place of what the file declares.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// How long the plan lasts.
    pub duration: Option<Duration>,
    /// What the lengths of the plan that the file writes as text are multiplied by: its duration,
    /// sleeps, rounds, the times of a chaos. More than 0; deadlines and holds are never scaled.
    pub time_scale: Option<f64>,
    /// How many nodes its mesh has: its parameter `nodes` if it has one, else the one plain number
    /// of its one `mesh`. [`crate::Script::takes_nodes`] says whether that can be.
    pub nodes: Option<u32>,
    /// Parameters by name, as text; each is read as what its default is.
    pub params: BTreeMap<String, String>,
    /// Programs by name, those that the file declares among them; none for a rehearsal.
    pub binaries: BTreeMap<String, Program>,
}

/// A program that was given for a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Where it lies.
    pub path: String,
    /// What tells one build from another: the first digits of its SHA-256.
    pub version: String,
}

/// What the top level of a file declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// What the scenario is about.
    pub description: Option<String>,
    /// How long the plan lasts, if it says so.
    pub duration: Option<Duration>,
    /// Hard stop for the whole file; 10 minutes over its duration unless it says otherwise.
    pub timeout: Duration,
    /// Time between two samples; 1 s unless it says otherwise.
    pub sample_every: Duration,
    /// Words to choose scenarios by.
    pub tags: Vec<String>,
    /// Its parameters, with what the command line puts in the place of their defaults.
    pub params: BTreeMap<String, ParamValue>,
    /// Programs that it needs, by the names that `--binary` gives them.
    pub binaries: Vec<String>,
    /// Programs of its kinds of nodes, by the kind's name: a path, or a name on PATH. `--binary`
    /// replaces one.
    pub programs: BTreeMap<String, String>,
    /// How to get such a program, by the kind's name, where it says so.
    pub installs: BTreeMap<String, String>,
    /// The most that a node may use at any sample.
    pub ceilings: Limits<Ceilings>,
    /// Limits for some nodes or some of the time, and what is needed at least.
    pub bounds: Limits<Vec<Bound>>,
    /// The most that nodes may grow by.
    pub trends: Limits<Trends>,
    /// Its tests, in order.
    pub tests: Vec<DeclaredTest>,
}

impl Default for Declaration {
    fn default() -> Self {
        Self {
            description: None,
            duration: None,
            timeout: Duration::from_secs(600),
            sample_every: Duration::from_secs(1),
            tags: Vec::new(),
            params: BTreeMap::new(),
            binaries: Vec::new(),
            programs: BTreeMap::new(),
            installs: BTreeMap::new(),
            ceilings: Limits::default(),
            bounds: Limits::default(),
            trends: Limits::default(),
            tests: Vec::new(),
        }
    }
}
