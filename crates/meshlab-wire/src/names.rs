//! Words that nodes emit and scenarios ask for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Span names.
pub mod span {
    /// Root of the boot trace: from the start of `main` to ready.
    pub const NODE_READY: &str = "node.ready";
    /// Boot: identity loaded and endpoint bound.
    pub const ENDPOINT_CREATED: &str = "endpoint_created";
    /// Boot: protocols registered with the router.
    pub const ALPN_REGISTERED: &str = "alpn_registered";
    /// Boot: gossip topic subscribed.
    pub const GOSSIP_STARTED: &str = "gossip_started";
    /// Boot: the accept loop runs.
    pub const ACCEPT_LOOP_STARTED: &str = "accept_loop_started";
    /// A seed was asked to let this node in.
    pub const SEED_DIALED: &str = "seed.dialed";
    /// A seed did not answer; the next try comes after `retry.after_ms`.
    pub const SEED_RETRY: &str = "seed.retry";
    /// A gossip neighbour (a direct connection of the overlay) came up.
    pub const NEIGHBOR_UP: &str = "neighbor.up";
    /// A gossip neighbour went away.
    pub const NEIGHBOR_DOWN: &str = "neighbor.down";
    /// A peer entered this node's directory: it was heard for the first time, or again after it
    /// had left. Says nothing of a direct connection; a gossip view is partial.
    pub const PEER_CONNECTED: &str = "peer.connected";
    /// A peer left this node's directory.
    pub const PEER_DISCONNECTED: &str = "peer.disconnected";
    /// A peer that this node knew came back with a new incarnation: it was restarted.
    pub const PEER_RESTARTED: &str = "peer.restarted";
    /// A digest was broadcast.
    pub const DIGEST_SENT: &str = "gossip.digest_sent";
    /// A digest of another node was received and accepted.
    pub const DIGEST_RECEIVED: &str = "gossip.digest_received";
    /// A digest was refused: malformed, of another version, or not by its sender.
    pub const DIGEST_REFUSED: &str = "gossip.digest_refused";
    /// The node announces a state of its own.
    pub const STATE_CHANGED: &str = "node.state_changed";
    /// The node heard a peer announce a state.
    pub const STATE_HEARD: &str = "node.state_heard";
    /// The node worked out a peer's state from its silence.
    pub const STATE_INFERRED: &str = "node.state_inferred";

    /// This node's own clock of progress stood still: it was stopped for `gap.ms`.
    pub const NODE_PAUSED: &str = "node.paused";
    /// A gossip connection that nobody needs any more was closed by its guard.
    pub const CONNECTION_CLOSED: &str = "connection.closed";
    /// An order arrived and is carried out.
    pub const ORDER_ACCEPTED: &str = "order.accepted";
    /// An order arrived and was refused.
    pub const ORDER_REFUSED: &str = "order.refused";
    /// An order was sent to another node.
    pub const ORDER_SENT: &str = "order.sent";
    /// This node publishes its mesh's summary from now on.
    pub const BACKBONE_CLAIMED: &str = "backbone.claimed";
    /// It does so no longer.
    pub const BACKBONE_YIELDED: &str = "backbone.yielded";
    /// A summary of the own mesh was published.
    pub const BACKBONE_PUBLISHED: &str = "backbone.published";
    /// A summary was refused: malformed, of another version, or not by its sender.
    pub const BACKBONE_REFUSED: &str = "backbone.refused";
    /// Another mesh was heard of for the first time, or again.
    pub const MESH_DISCOVERED: &str = "mesh.discovered";
    /// Another mesh was not heard of for too long.
    pub const MESH_LOST: &str = "mesh.lost";
    /// A connection to a node of another mesh came up.
    pub const CROSS_PEER_CONNECTED: &str = "cross.peer_connected";
    /// A message was sent to the node of that name; parent of the receiver's span.
    pub const CROSS_DELIVER: &str = "cross.deliver";
    /// A message arrived; child of the sender's span.
    pub const CROSS_DELIVERED: &str = "cross.delivered";
    /// The path of a data connection changed: `via` is `direct` or `relay`.
    pub const PATH_CHANGED: &str = "path.changed";
    /// A frame of a peer was refused.
    pub const FRAME_REFUSED: &str = "frame.refused";
    /// New work was refused because the node drains.
    pub const WORK_REFUSED: &str = "work.refused";
    /// A workload was driven to its end.
    pub const TRAFFIC_FINISHED: &str = "traffic.finished";
    /// A bulk transfer arrived whole.
    pub const BULK_RECEIVED: &str = "bulk.received";
    /// A directory was fetched whole.
    pub const DIRECTORY_FETCHED: &str = "directory.fetched";

    /// All of the above, for spelling help.
    pub const ALL: &[&str] = &[
        NODE_READY,
        ENDPOINT_CREATED,
        ALPN_REGISTERED,
        GOSSIP_STARTED,
        ACCEPT_LOOP_STARTED,
        SEED_DIALED,
        SEED_RETRY,
        NEIGHBOR_UP,
        NEIGHBOR_DOWN,
        PEER_CONNECTED,
        PEER_DISCONNECTED,
        PEER_RESTARTED,
        DIGEST_SENT,
        DIGEST_RECEIVED,
        DIGEST_REFUSED,
        STATE_CHANGED,
        STATE_HEARD,
        STATE_INFERRED,
        NODE_PAUSED,
        CONNECTION_CLOSED,
        ORDER_ACCEPTED,
        ORDER_REFUSED,
        ORDER_SENT,
        BACKBONE_CLAIMED,
        BACKBONE_YIELDED,
        BACKBONE_PUBLISHED,
        BACKBONE_REFUSED,
        MESH_DISCOVERED,
        MESH_LOST,
        CROSS_PEER_CONNECTED,
        CROSS_DELIVER,
        CROSS_DELIVERED,
        PATH_CHANGED,
        FRAME_REFUSED,
        WORK_REFUSED,
        TRAFFIC_FINISHED,
        BULK_RECEIVED,
        DIRECTORY_FETCHED,
    ];
}

/// Attribute names.
pub mod attr {
    /// Public key of the peer that a span is about, 64 hex digits.
    pub const PEER_ID: &str = "peer.id";
    /// Name of that peer.
    pub const PEER_NAME: &str = "peer.name";
    /// A lifecycle state, as [`State`](super::State) prints it.
    pub const STATE: &str = "state";
    /// Why something happened, in a word: `silence`, `left`, `version`, ...
    pub const REASON: &str = "reason";
    /// How packets travel: `direct` or `relay`.
    pub const VIA: &str = "via";
    /// Id of a mesh.
    pub const MESH: &str = "mesh";
    /// Resource attribute: the name that the harness knows the node by.
    pub const NODE_ID: &str = "meshlab.node";
}

/// Environment of a node that the harness starts.
pub mod env {
    /// Descriptor of the control socket that the node inherited.
    pub const CONTROL_FD: &str = "MESHLAB_CONTROL_FD";
    /// The name that the harness knows the node by.
    pub const NODE_ID: &str = "MESHLAB_NODE_ID";
    /// The harness that started it, and which of its fleets: for finding what it left behind.
    pub const HARNESS: &str = "MESHLAB_HARNESS";
    /// Mean number of bytes between two allocations that a heap recording keeps: 1, the default,
    /// keeps each of them. Read by programs that record their heap only.
    pub const HEAP_SAMPLE: &str = "MESHLAB_HEAP_SAMPLE";
    /// File for the time between enter and exit of spans, as folded stacks; absent for none.
    pub const SPAN_FLAME: &str = "MESHLAB_SPAN_FLAME";
    /// File that stacks of what runs are added to, folded, with addresses, from the start of the
    /// program to its end; absent for none.
    pub const CPU_STACKS: &str = "MESHLAB_CPU_STACKS";
    /// Samples of them in a second of CPU time.
    pub const CPU_HZ: &str = "MESHLAB_CPU_HZ";
    /// Where spans go: the base address of an OTLP/HTTP receiver.
    pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
}

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Started, not yet heard by anybody.
    Joining,
    /// Takes part.
    Alive,
    /// Takes part, but is not well: over its own budget, or its disk refuses what it writes.
    Degraded,
    /// About to be replaced.
    Updating,
    /// Takes no new work.
    Draining,
    /// Goes away of its own will.
    Leaving,
    /// Gone without a word. Never announced, only inferred by others.
    Dead,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Joining,
        Self::Alive,
        Self::Degraded,
        Self::Updating,
        Self::Draining,
        Self::Leaving,
        Self::Dead,
    ];

    /// The state's name, as in spans and scenarios.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "Joining",
            Self::Alive => "Alive",
            Self::Degraded => "Degraded",
            Self::Updating => "Updating",
            Self::Draining => "Draining",
            Self::Leaving => "Leaving",
            Self::Dead => "Dead",
        }
    }

    /// The state of that name, exactly as [`State::as_str`] writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
