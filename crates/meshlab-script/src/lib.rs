//! The language of scenarios: Lua 5.4, sandboxed, every call checked, every error with its place.
//!
//! Open `script.rs` for how a file is loaded and run, `api/` for the functions (a file a family),
//! `call.rs` for how arguments and options are checked, `sandbox.rs` for what Lua is left,
//! `rehearsal/` for how a scenario is checked without a node.
//!
//! It turns calls into those of `meshlab_engine::Host`. It knows no process and no socket, and it
//! judges nothing: a verdict comes from the record.

mod api;
mod call;
mod context;
mod declaration;
mod error;
mod library;
mod locate;
mod rehearsal;
mod sandbox;
mod script;
mod task;
mod unwind;
mod values;

pub use declaration::{Declaration, Overrides, Program};
pub use error::{ErrorKind, ScriptError, nearest};
pub use rehearsal::{Needs, Rehearsed};
pub use script::{RunOutcome, Script, globals};
