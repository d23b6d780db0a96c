//! Runs a scenario's calls against real nodes and records what happens: one ordered stream of
//! events.
//!
//! Open `host.rs` for what can be asked, `engine.rs` for how a run begins and ends; what it leaves
//! is `meshlab-results`. Nodes are in `nodes.rs`, where they live in `places.rs`, programs
//! of somebody else's in `kinds/`, claims in
//! `claims/`, faults in `faults/`, their schedules in `chaos/`, and what another run's came to be
//! in `replay.rs`; `resume.rs` is what is left of a run whose harness was killed; `rounds.rs`
//! compares two programs, `limits/` holds nodes to what they may use;
//! `captures.rs` keeps the packets around a fault that was missed, `kept.rs` a mesh for whoever
//! attaches, `hands.rs` tells what somebody does by hand from what the test does.
//!
//! It knows no Lua and no terminal, and it formats nothing for people: events out, nothing else.

mod audit;
mod binaries;
mod built_with;
mod calls;
mod cancel;
mod captures;
mod chaos;
mod claims;
mod clean;
mod commands;
mod config;
mod counters;
mod engine;
mod faults;
#[cfg(test)]
mod fixture;
mod forward;
mod hands;
mod host;
mod keep;
mod kept;
mod kinds;
mod limits;
mod live;
mod logs;
mod nodes;
mod noise;
mod operator;
mod packets;
mod places;
mod probing;
mod profiles;
mod prometheus;
mod relay;
mod replay;
mod resume;
mod rounds;
mod same_script;
mod state;
mod subject;
mod usage;
mod views;
mod watcher;

pub use binaries::{BinaryError, build, fingerprint, inspect};
pub use built_with::{note_built_with, sha256_file};
pub use claims::Temporal;
pub use clean::{Leftover, leftovers, unfinished_runs};
pub use config::{EngineError, Limits, NODE_BINARY, Profiling, RELAY_BINARY, RunConfig};
pub use engine::Engine;
pub use faults::fault_names;
pub use forward::forward_record;
pub use hands::by_hand;
pub use host::{
    Aim, Answered, Changed, ChaosKind, ChaosOptions, Claim, ClaimOutcome, ComparisonOptions,
    Conserved, Counted, CpuProfile, Draw, FaultCall, FaultStarted, Gain, Grant, Group, Host,
    HostError, InView, Measured, MeshOptions, MetricValue, NodeAct, NodeInfo, NodeOptions,
    NodeView, Since, SpanQuery, TrafficCall, Usage, Via,
};
pub use kinds::{
    Answers, NodeKind, PLACEHOLDERS, Readiness, SIGNALS, SharedKind, Template, Transport, Word,
    Words, clock_library,
};
pub use meshlab_faults::{
    Direction as FaultDirection, Flap as FaultFlap, Settings as FaultSettings,
};
pub use meshlab_fleet::Rest;
/// The results format, from its crate.
pub use meshlab_results as results;
pub use meshlab_spans::{Collector, Condition, ForwardError};
pub use probing::{PROBE_PORT, ProbeSettings, Probed, is_outside, probe_program};
pub use replay::{Replay, ReplayError};
pub use resume::{Resume, ResumeError};
pub use same_script::{ScriptChanged, same_script};
pub use watcher::Watcher;

/// Whether the fault of that name is done to links, in a network that the harness makes.
pub fn fault_needs_lab(name: &str) -> bool {
    meshlab_faults::by_name(name).is_some_and(|fault| fault.hurts().needs_lab())
}
