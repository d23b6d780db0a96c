//! The network that the nodes of a run live in: a namespace and a TUN device each, and a switch
//! in the harness that every packet crosses.
//!
//! Open `lab.rs` for what it offers, `place.rs` for how a node's network is made, `switch.rs` for
//! what happens to a packet. `probe.rs` says what this host can do; `privilege.rs` gets namespaces
//! without root where the host allows it.
//!
//! It does not know why a link is cut, and it starts no process.

mod counters;
mod lab;
mod link;
mod packet;
mod place;
mod privilege;
mod probe;
mod switch;

pub use counters::{DropReason, LinkCounters, StrayCounters};
pub use lab::{Lab, LabError, NodeNet};
pub use link::LinkState;
pub use privilege::{Privilege, enter_user_namespace};
pub use probe::{Capability, CapabilityState, HostReport, probe};
