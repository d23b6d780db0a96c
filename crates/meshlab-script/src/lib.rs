//! The language of scenarios: Lua 5.4, sandboxed, every call checked, every error with its place.
//!
//! Open `script.rs` for how a file is loaded and run, `api/` for the functions (a file a family),
//! `define/` for what is written about each, `call/` for how arguments and options are checked,
//! `sandbox.rs` for what Lua is left, `rehearsal/` for how a scenario is checked without a node.
//!
//! It turns calls into those of `meshlab_engine::Host`. It knows no process and no socket, and it
//! judges nothing: a verdict comes from the record.

mod api;
mod call;
mod context;
mod declaration;
mod define;
mod error;
mod library;
mod locate;
mod rehearsal;
mod sandbox;
mod script;
mod task;
mod unwind;
mod values;

pub use declaration::{Declaration, Overrides};
pub use define::{Example, examples, help, luacats, manual};
pub use error::{ErrorKind, ScriptError};
pub use rehearsal::{Needs, Rehearsed};
pub use script::{RunOutcome, Script};
