//! Why the lab cannot do something.

use std::io;

use meshlab_model::NodeId;

use crate::{address::PLACES_MAX, link::InvalidSetting};

/// Why the lab cannot do something. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The switch cannot be started.
    #[error("start the switch: {0}")]
    Switch(io::Error),
    /// A node's network cannot be made.
    #[error("make the network of {node}: {what}: {error}")]
    Place {
        /// Which node.
        node: NodeId,
        /// What could not be made.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The lab has no more addresses.
    #[error("make the network of {0}: all {PLACES_MAX} addresses are given out")]
    Full(NodeId),
    /// The lab has no more public addresses.
    #[error("give {0} a public address: all {PLACES_MAX} are in use")]
    PublicFull(NodeId),
    /// A setting that is out of its range.
    #[error("change {on}: {why}")]
    Invalid {
        /// What it was for.
        on: String,
        /// What is wrong with it.
        why: InvalidSetting,
    },
    /// A node that is not in the lab.
    #[error("change the link from {from} to {to}: one of them is not in the lab")]
    NoLink {
        /// Sender.
        from: NodeId,
        /// Receiver.
        to: NodeId,
    },
    /// A node that is not in the lab.
    #[error("change the network of {0}: it is not in the lab")]
    NoNode(NodeId),
    /// A node without a NAT cannot be rebound.
    #[error("rebind the NAT of {0}: it has none, set one first")]
    NoNat(NodeId),
    /// A capture cannot be made.
    #[error("capture packets: {0}")]
    Capture(io::Error),
    /// Nothing was kept to be dumped.
    #[error("dump the last packets: none are kept, ask for it with `keep_recent` first")]
    NothingKept,
    /// What was to be done in the network of a node failed.
    #[error("ask from {node}: {error}")]
    Visit {
        /// Which node.
        node: NodeId,
        /// What the system said.
        error: io::Error,
    },
    /// A probe cannot be sent.
    #[error("probe the link from {from} to {to}: {error}")]
    Probe {
        /// Sender.
        from: NodeId,
        /// Receiver.
        to: NodeId,
        /// What the system said.
        error: io::Error,
    },
    /// A measurement cannot be made.
    #[error("measure: {what}: {error}")]
    Measure {
        /// What could not be done.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}
