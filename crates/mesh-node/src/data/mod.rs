//! The data plane: streams of work between two nodes, in whatever mesh they are.
//!
//! A stream begins with an [`Opening`] that says what is wanted, and the other side's [`Word`]
//! whether it is given. `serve.rs` is the receiving side, `drive.rs` the workloads of the sending
//! side, `bulk.rs` both ends of a bulk transfer, `deliver.rs` names and messages across meshes,
//! `folder.rs` content-addressed directories, `links.rs` the connections that are kept.

pub(crate) mod bulk;
pub(crate) mod deliver;
pub(crate) mod drive;
pub(crate) mod folder;
pub(crate) mod links;
mod serve;

pub(crate) use serve::DataProtocol;

use iroh::endpoint::{Connection, RecvStream, SendStream};
use serde::{Deserialize, Serialize};

use crate::frame;

/// Name of this protocol in the handshake; its end is its version.
pub(crate) const ALPN: &[u8] = b"mesh-node/data/1";

/// Priority of a bulk transfer's stream; others have 0. Higher goes first.
pub(crate) const BULK_PRIORITY: i32 = -10;

/// The beginning of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// `traceparent` of the sender's span.
    pub trace: Option<String>,
    /// Name of the sender.
    pub from: String,
    /// What is wanted.
    pub work: Work,
}

/// Kinds of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Send back each frame until the stream ends.
    Echo,
    /// Answer one frame with one of the same size.
    Request,
    /// Take so many bytes with that BLAKE3 hash.
    Bulk {
        /// How many.
        bytes: u64,
        /// Of all of them.
        hash: [u8; 32],
    },
    /// Take a message.
    Deliver {
        /// The message.
        text: String,
    },
    /// Say how to reach the node of that name.
    Resolve {
        /// `<mesh>.<role>.<6 hex>`.
        name: String,
    },
}

/// What the other side says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// Go on.
    Ok,
    /// It is done, or this is what was asked for.
    Found {
        /// Name of the node.
        name: String,
        /// Its public key, hex.
        public_key: String,
        /// Where it can be dialled.
        addresses: Vec<String>,
    },
    /// No, and why, in a word: `draining`, `unknown`, `mismatch`.
    Refused(String),
}

/// A stream whose opening was accepted.
pub(crate) struct Stream {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

/// Opens a stream for some work and waits for the other side's word.
pub(crate) async fn open(connection: &Connection, opening: &Opening) -> Result<Stream, String> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(|error| error.to_string())?;
    if matches!(opening.work, Work::Bulk { .. }) {
        let _ = send.set_priority(BULK_PRIORITY);
    }
    let failed = |error: frame::FrameError| error.to_string();
    frame::write_message(&mut send, opening).await.map_err(failed)?;
    match frame::read_message::<Word>(&mut recv).await.map_err(failed)? {
        Word::Refused(why) => Err(format!("refused: {why}")),
        Word::Ok | Word::Found { .. } => Ok(Stream { send, recv }),
    }
}

/// How packets travel now: `direct`, `relay`, or `none` while that is open.
pub(crate) fn via(connection: &Connection) -> &'static str {
    let paths = connection.paths();
    let word = |relay| if relay { "relay" } else { "direct" };
    if let Some(selected) = paths.iter().find(|path| path.is_selected()) {
        return word(selected.is_relay());
    }
    // After the selected path was abandoned iroh 1.4 may select none for as long as the connection
    // lives, and its packets take what is left.
    let mut left = paths.iter().map(|path| path.is_relay());
    match left.next() {
        Some(first) if left.all(|relay| relay == first) => word(first),
        _ => "none",
    }
}
