//! The fault catalogue: one file, one struct, one test for each fault.
//!
//! A fault hurts something, has a witness outside the script that it did, says which evidence
//! shows that others noticed, and can take itself back. Open `fault.rs` for the contract and
//! `kill_node.rs` for the pattern; `process.rs`, `limits.rs` and `links.rs` hold what several
//! witnesses share.
//!
//! It does not know when a fault is due, who asks, or how the evidence is judged.

mod burst_kill;
mod cpu_limit;
mod disk_full;
mod fault;
mod fd_limit;
mod kill_node;
mod limits;
mod links;
mod lossy_link;
mod memory_limit;
mod partition;
mod process;
mod restart_node;
mod settings;
mod undo;
mod wedge_node;

#[cfg(test)]
mod fixture;

pub use burst_kill::BurstKill;
pub use cpu_limit::CpuLimit;
pub use disk_full::DiskFull;
pub use fault::{
    Applied, AtMost, DEATH, Evidence, Fault, FaultError, Hurts, Revive, Revived, Sign, Target,
    Victim,
};
pub use fd_limit::FdLimit;
pub use kill_node::KillNode;
pub use links::cut_links;
pub use lossy_link::LossyLink;
pub use memory_limit::MemoryLimit;
pub use partition::Partition;
pub use restart_node::RestartNode;
pub use settings::{Direction, Flap, Settings};
pub use undo::Undo;
pub use wedge_node::WedgeNode;

/// Every fault there is, by name.
pub fn catalogue() -> &'static [&'static dyn Fault] {
    &[
        &BurstKill,
        &CpuLimit,
        &DiskFull,
        &FdLimit,
        &KillNode,
        &LossyLink,
        &MemoryLimit,
        &Partition,
        &RestartNode,
        &WedgeNode,
    ]
}

/// The fault of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Fault> {
    catalogue().iter().copied().find(|fault| fault.name() == name)
}
