//! What a node can be asked to do, beyond what the agent answers by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::State;

/// Something to do. A program that does not know one of these refuses it, and says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Enter a state and announce it: Alive (resume), Updating or Draining.
    SetState {
        /// The state.
        state: State,
    },
    /// Keep a capability, to send orders with it.
    Grant {
        /// The encoded capability.
        token: String,
    },
    /// Send an order to another node, as a message over the mesh.
    Order {
        /// Whom.
        to: Contact,
        /// What it should do.
        order: Order,
    },
    /// Say how to reach the node of that name, in whatever mesh.
    Resolve {
        /// `<mesh>.<role>.<6 hex>`.
        name: String,
    },
    /// Deliver a message to the node of that name, in whatever mesh.
    Deliver {
        /// `<mesh>.<role>.<6 hex>`.
        to: String,
        /// The message.
        text: String,
    },
    /// Drive a workload against another node and say how it went.
    Traffic(Traffic),
    /// Make a directory of files with drawn contents and offer it to others.
    Share {
        /// How many files.
        files: u32,
        /// Size of each, in bytes.
        bytes_each: u64,
        /// Seed of the contents.
        seed: u64,
    },
    /// Fetch a directory that another node offers.
    Fetch {
        /// From whom.
        from: Contact,
        /// What [`Outcome::Shared`] said of it.
        hash: String,
    },
    /// Say every counter.
    Counters,
}

/// A node as others reach it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its name.
    pub name: String,
    /// Its public key, 64 hex digits.
    pub public_key: String,
    /// Socket addresses; may be empty where it is reached through the relay only.
    pub addresses: Vec<String>,
}

/// What one node may order another to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Leave and exit.
    Shutdown,
    /// Enter a state: Alive (resume), Updating or Draining.
    SetState {
        /// The state.
        state: State,
    },
}

/// A workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Against whom.
    pub to: Contact,
    /// What kind.
    pub kind: TrafficKind,
    /// Concurrent streams (echo) or requests in flight.
    pub streams: u32,
    /// Size of each message, or of the whole transfer, in bytes.
    pub bytes: u64,
    /// How long, in milliseconds; a bulk transfer ends when it is done, this is its deadline.
    pub for_ms: u64,
    /// Messages a second over all streams, sent by the clock (open loop); absent: each stream
    /// sends as soon as its reply is there (closed loop).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

/// Kinds of workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficKind {
    /// Round trips on bidirectional streams that stay open.
    Echo,
    /// A stream for each request and its response.
    Request,
    /// One transfer, checked by its BLAKE3 hash, at lower priority than everything else.
    Bulk,
}

/// How a workload went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrafficResult {
    /// Round trips that were completed; of a bulk transfer, 1 when it arrived whole.
    pub round_trips: u64,
    /// Messages that failed.
    pub errors: u64,
    /// The first few reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Payload bytes, there and back.
    pub bytes: u64,
    /// How long it took, in microseconds.
    pub took_micros: u64,
    /// Round-trip times in microseconds: an HDR histogram (V2 with DEFLATE, base64). In an open
    /// loop each is counted from when it was due, so that a stall is not left out.
    pub histogram: String,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "came", rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// To [`Command::Order`]: what the other node said.
    Ordered {
        /// Whether it does as ordered.
        accepted: bool,
        /// Why not, in a word: `expired`, `unrooted`, `widened`, `replayed`, `not-permitted`, ...
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// To [`Command::Resolve`].
    Resolved(Contact),
    /// To [`Command::Deliver`].
    Delivered {
        /// Trace that the sender's and the receiver's spans share, 32 hex digits; empty when
        /// spans are not exported.
        trace: String,
        /// `direct` or `relay`.
        via: String,
        /// From the first byte to the receiver's word, in microseconds.
        took_micros: u64,
    },
    /// To [`Command::Traffic`].
    Traffic(TrafficResult),
    /// To [`Command::Share`].
    Shared {
        /// The directory's BLAKE3 root, hex.
        hash: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// To [`Command::Fetch`].
    Fetched {
        /// Files that arrived.
        files: u64,
        /// Bytes that arrived.
        bytes: u64,
        /// How long it took, in microseconds.
        took_micros: u64,
    },
    /// To [`Command::Counters`].
    Counters {
        /// Numbers that only grow, by name.
        counters: BTreeMap<String, u64>,
        /// Numbers that rise and fall, by name.
        #[serde(default)]
        gauges: BTreeMap<String, u64>,
    },
}
