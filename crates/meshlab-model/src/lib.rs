//! The words of a run: what happened, when, to whom, and how it came out.
//!
//! Owns [`RunEvent`] (the one ordered stream), the records beside it ([`SpanRecord`], [`Sample`],
//! [`Manifest`]), quantities with units, [`Verdict`] and [`ExitCode`]. Open `event.rs` first.
//!
//! It does no I/O, reads no clock and knows no runtime: everything here is a value that can be
//! written to `results/<run>/` and read back years later.

mod baseline;
mod comparison;
mod event;
mod host;
mod ids;
mod limits;
mod manifest;
mod profile;
mod quantity;
mod record;
mod verdict;

pub use baseline::{BASELINE_SCHEMA, Baseline, BaselineFigure, Conditions, FigureKey};
pub use comparison::{Measure, Round};
pub use event::{
    ChaosFault, ChaosPlace, ChaosTally, ClaimEvidence, EndReason, FaultStage, LinkCount, MeshMade,
    NodeExit, Realised, RunEvent, RunEventKind, Severity, SourceLine, StrayCount, Tally,
    TestOutcome, TrafficMeasure,
};
pub use host::{Disturbance, HostSample, Noise, NoiseLimits};
pub use ids::{ChaosId, ClaimId, ComparisonId, FaultId, MeshId, NodeId, StepId, TestId};
pub use limits::{Bound, Ceilings, CounterName, Phase, Resource, Trend, Trends};
pub use manifest::{
    BinaryRecord, BuiltWith, DeclaredTest, HostFacts, MANIFEST_SCHEMA, Manifest, NetworkMode,
    ParamValue,
};
pub use profile::{HeapAmount, HeapGain, HeapGrowth, HeapSnapshot};
pub use quantity::{ByteSize, Percent, QuantityError, RunTime, format_duration, parse_duration};
pub use record::{
    CounterMinute, CounterSample, Sample, SampleMinute, SampleSource, SpanRecord, Spread,
    TelemetryCount,
};
pub use verdict::{ExitCode, Verdict};
