//! The fault catalogue: one file, one struct, one test for each fault.
//!
//! A fault hurts something, has a witness outside the script that it did, says which evidence
//! shows that others noticed, and can take itself back. Open `fault.rs` for the contract and
//! `kill_node.rs` for the pattern.
//!
//! It does not know when a fault is due, who asks, or how the evidence is judged.

mod fault;
mod kill_node;

pub use fault::{Applied, Evidence, Fault, FaultError, Revive, Target, Undo};
pub use kill_node::KillNode;

/// Every fault there is, by name.
pub fn catalogue() -> &'static [&'static dyn Fault] {
    &[&KillNode]
}

/// The fault of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Fault> {
    catalogue().iter().copied().find(|fault| fault.name() == name)
}
