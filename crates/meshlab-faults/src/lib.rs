//! The fault catalogue: one file, one struct, one test for each fault.
//!
//! A fault hurts something, has a witness outside the script that it did, says which evidence
//! shows that others noticed, and can take itself back. Open `fault.rs` for the contract and
//! `kill_node.rs` for the pattern. `process.rs`, `limits.rs`, `links.rs`, `node_links.rs` and
//! `cut.rs` hold what several faults share.
//!
//! It does not know when a fault is due, who asks, or how the evidence is judged.

mod burst_kill;
mod clock_preload;
mod clock_skew;
mod cpu_limit;
mod cut;
mod disk_full;
mod fault;
mod fd_limit;
mod firewall_inbound;
mod flap_link;
mod kill_node;
mod latency_spike;
mod limits;
mod links;
mod lossy_link;
mod memory_limit;
mod mtu;
mod nat_shift;
mod node_links;
mod packet_corrupt;
mod partition;
mod partition_pair;
mod partition_subset;
mod process;
mod rate_limit;
mod relay_down;
mod restart_node;
mod settings;
mod slow_link;
mod undo;
mod wedge_node;

#[cfg(test)]
mod fixture;

pub use burst_kill::BurstKill;
pub use clock_skew::ClockSkew;
pub use cpu_limit::CpuLimit;
pub use disk_full::DiskFull;
pub use fault::{
    Applied, AtMost, DEATH, Evidence, Fault, FaultError, Hurts, Revive, Revived, Sign, Stir,
    Target, Victim,
};
pub use fd_limit::FdLimit;
pub use firewall_inbound::FirewallInbound;
pub use flap_link::FlapLink;
pub use kill_node::KillNode;
pub use latency_spike::LatencySpike;
pub use links::cut_links;
pub use lossy_link::LossyLink;
pub use memory_limit::MemoryLimit;
pub use mtu::Mtu;
pub use nat_shift::NatShift;
pub use packet_corrupt::PacketCorrupt;
pub use partition::Partition;
pub use partition_pair::PartitionPair;
pub use partition_subset::PartitionSubset;
pub use rate_limit::RateLimit;
pub use relay_down::RelayDown;
pub use restart_node::RestartNode;
pub use settings::{Direction, Flap, Settings};
pub use slow_link::SlowLink;
pub use undo::Undo;
pub use wedge_node::WedgeNode;

/// Every fault there is, by name.
pub fn catalogue() -> &'static [&'static dyn Fault] {
    &[
        &BurstKill,
        &ClockSkew,
        &CpuLimit,
        &DiskFull,
        &FdLimit,
        &FirewallInbound,
        &FlapLink,
        &KillNode,
        &LatencySpike,
        &LossyLink,
        &MemoryLimit,
        &Mtu,
        &NatShift,
        &PacketCorrupt,
        &Partition,
        &PartitionPair,
        &PartitionSubset,
        &RateLimit,
        &RelayDown,
        &RestartNode,
        &SlowLink,
        &WedgeNode,
    ]
}

/// The fault of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Fault> {
    catalogue().iter().copied().find(|fault| fault.name() == name)
}
