//! The network that the nodes of a run live in: a namespace and a TUN device each, and a switch
//! in the harness that every packet crosses.
//!
//! Open `lab.rs` for what it offers, `place.rs` for how a node's network is made, `switch/` for
//! the way of a packet: `link/` is what happens on it, `nat/` and `firewall.rs` what is in front of
//! a node, `packet/` reads and rewrites, `capture/` watches; `disk.rs` is a node's disk. `probe.rs`
//! says what this host can do; `privilege.rs` gets namespaces without root where the host allows
//! it; `measure/` says how well the switch does what it is told.
//!
//! It does not know why a link is cut, and it starts no process.

mod address;
mod capture;
mod clock;
mod cookie;
mod counters;
mod disk;
mod ended;
mod error;
mod fading;
mod firewall;
mod lab;
mod link;
mod measure;
mod nat;
mod packet;
mod place;
mod privilege;
mod probe;
mod random;
mod switch;
mod tmp;

#[doc(hidden)]
pub mod bench;

pub use address::Public;
pub use capture::{Capture, CaptureFilter, CaptureReport, RecentSettings};
pub use cookie::namespace_cookie;
pub use counters::{
    DropReason, FirewallCounters, LinkCounters, NatCounters, NodeCounters, StrayCounters,
};
pub use disk::{Disk, DiskSettings, mounts_under};
pub use error::LabError;
pub use firewall::FirewallSettings;
pub use lab::{Lab, NodeNet, ProbeReport, Prober, Probes};
pub use link::{
    Bursts, Checksum, Corruption, InvalidSetting, Jitter, LinkState, Rate, Reorder, Reordering,
    Side,
};
pub use measure::{
    MeasureSettings, Measured, MeasuredCuts, MeasuredDelay, MeasuredLoss, MeasuredPacket,
    MeasuredPlaces, MeasuredRate, Spread, measure,
};
pub use nat::{NatBehaviour, NatSettings, NatState, Rebind};
pub use privilege::{Privilege, enter_user_namespace};
pub use probe::{Capability, CapabilityState, HostReport, probe};
pub use switch::Mtu;
pub use tmp::OWN_TMP;
