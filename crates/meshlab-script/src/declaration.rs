//! What a file says of itself before anything runs.

use std::time::Duration;

use meshlab_model::DeclaredTest;

/// What the command line puts in the place of what the file declares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// How long the plan lasts.
    pub duration: Option<Duration>,
}

/// What the top level of a file declared.
#[derive(Debug, Clone, PartialEq, Eq)]
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
            tests: Vec::new(),
        }
    }
}
