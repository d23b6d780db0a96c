//! Everything that a person sees of a run: the terminal while it goes on, and the files that are
//! drawn from its record afterwards.
//!
//! Open [`view`](RunView) first: the fold of the event stream that everything else reads, and the
//! rules of the verdict. `terminal` writes it live, `html` draws the page, `exports` the files for
//! machines. The crate reads a record through `meshlab_engine::results` and never changes it; it
//! starts nothing and measures nothing.

mod built;
mod compare;
mod counted;
mod ending;
mod exports;
mod figures;
#[doc(hidden)]
pub mod fixture;
mod gate;
mod hands;
mod history;
mod html;
mod measured;
mod moment;
mod perfetto;
mod render;
mod terminal;
mod text;
mod verdict;
mod view;

pub use built::built_sides;
pub use compare::{
    ClaimsWord, CompareLatency, CompareOptions, CompareReport, CompareRow, Replicate, compare,
};
pub use ending::unfinished;
pub use figures::{Figure, NodeFigures, RunFigures};
pub use gate::{
    Annotations, BaselineError, COMMENT_BYTES_MAX, GateLimits, GateReport, GateRow, Quantile,
    SUMMARY_BYTES_MAX, baseline_terminal, gate, make_baseline, read_baseline,
};
pub use history::{History, HistoryPoint, histories, history_overview};
pub use moment::{has_attribute, is_log_name, log_excerpt, span_line};
pub use perfetto::{Traced, write_perfetto};
pub use render::{Rendered, ReportError, draw, page_of, render};
pub use terminal::{Closing, Terminal, TerminalStyle};
pub use view::{
    ChaosView, ClaimView, ComparisonView, Deviation, FaultView, Fired, Gap, Life, MeasureView,
    NodeView, ProblemView, Recovery, RecoveryTimes, RoundView, RunView, StepView, TestView,
};
