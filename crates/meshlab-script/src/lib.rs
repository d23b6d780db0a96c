//! The language of scenarios: Lua 5.4, sandboxed, every call checked, every error with its place.
//!
//! Open `script.rs` for how a file is loaded and run, `api/` for the functions (a file a family),
//! `define/` for what is written about each, `call/` for how arguments and options are checked,
//! `sandbox.rs` for what Lua is left, `guard.rs` for what its library functions may cost,
//! `rehearsal/` for how a scenario is checked without a node, `console/` for a prompt on a mesh
//! that was kept.
//!
//! It turns calls into those of `meshlab_engine::Host`. It knows no process and no socket, and it
//! judges nothing: a verdict comes from the record.

mod api;
mod call;
mod console;
mod context;
mod declaration;
mod define;
mod error;
mod guard;
mod library;
mod locate;
mod nodes;
mod patterns;
mod rehearsal;
mod sandbox;
mod script;
mod task;
mod unwind;
mod values;

pub use console::{Answer, Asks, Console, Kept, Line as ConsoleLine, Said};
pub use declaration::{Declaration, Overrides, Program};
pub use define::{Example, FaultForm, FaultOption, examples, fault_forms, help, luacats, manual};
pub use error::{ErrorKind, ScriptError, nearest};
pub use rehearsal::{Needs, Rehearsed};
pub use script::{RunOutcome, Script};
