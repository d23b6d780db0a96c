//! The control channel: JSON, one message a line, over a Unix socket.
//!
//! The harness asks ([`RequestFrame`]), the node answers each request once and tells a few things
//! unasked ([`Message`]). What comes from a node is hostile until it is decoded here: a line has a
//! bound, and what does not decode is an error that shows its beginning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Command, Outcome, State};

/// Version of this protocol. A node of another version is refused at its `hello`.
pub const PROTOCOL: u32 = 2;

/// Longest line either side accepts, in bytes, newline included.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// What the harness asks of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Say that you are there.
    Ping,
    /// Send every span you have, then say how many you ended.
    Telemetry,
    /// Say whom you hold to be where.
    View,
    /// Set the program's wall clock, if a shift is given, and say what it shows. The shift takes
    /// the place of the one before; the clock of the host is left alone.
    Clock {
        /// How far from the host's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shift: Option<ClockShift>,
    },
    /// Write what the heap holds now, by allocation site, to a file: JSON as DHAT's viewer reads
    /// it, with addresses in the place of names.
    Heap {
        /// The file; it is there whole or not at all.
        path: String,
    },
    /// Sample the stacks of what runs, and write them to a file: folded, with addresses.
    Cpu {
        /// The file; it is there whole or not at all.
        path: String,
        /// How long, in milliseconds.
        for_ms: u64,
        /// Samples in a second of CPU time.
        hz: u32,
    },
    /// Do something.
    Command(Command),
    /// Leave: announce it, flush, close the endpoint and exit with code 0.
    Stop,
}

/// How far a program's wall clock is from the host's. The default is not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockShift {
    /// Ahead by so many microseconds when it is set; negative is behind.
    pub offset_micros: i64,
    /// From then on, gains so many microseconds each second; negative is slower.
    pub drift_ppm: i64,
}

/// A request with the number that its reply carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// Chosen by the harness, unique on the connection.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
}

/// What a node says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub enum Message {
    /// First line of every connection.
    Hello {
        /// [`PROTOCOL`] of the node.
        protocol: u32,
        /// The node's program and version.
        program: String,
        /// Whether it keeps book of its heap, which takes CPU time and memory of its own.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        records_heap: bool,
    },
    /// The endpoint is bound, the accept loop runs, gossip is subscribed.
    Ready(Ready),
    /// The answer to a request.
    Reply {
        /// The request's number.
        id: u64,
        /// The answer.
        #[serde(flatten)]
        reply: Reply,
    },
}

/// What others need to reach a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The node's own name, `<mesh>.<role>.<6 hex>`.
    pub name: String,
    /// Its public key, 64 hex digits.
    pub public_key: String,
    /// Socket addresses that its endpoint is bound to.
    pub addresses: Vec<String>,
    /// Silence after which it infers that a peer is dead, in milliseconds.
    pub dead_after_ms: u64,
    /// From the start of its `main` to ready, in microseconds, by its own clock.
    #[serde(default)]
    pub boot_micros: u64,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Ping`].
    Pong,
    /// To [`Request::Telemetry`], and to [`Request::Stop`] once everything is flushed.
    Telemetry(Telemetry),
    /// To [`Request::View`].
    View {
        /// Whom it knows, itself not included.
        peers: Vec<ViewEntry>,
        /// Public keys of its gossip neighbours.
        neighbors: Vec<String>,
        /// Live connections of its gossip, by the peer's public key.
        connections: BTreeMap<String, u32>,
    },
    /// To [`Request::Clock`].
    Clock {
        /// What the program's wall clock shows, in microseconds since 1970.
        unix_micros: i64,
    },
    /// To [`Request::Heap`].
    Heap {
        /// Bytes that are allocated and not freed.
        bytes: u64,
        /// Blocks that they are in.
        blocks: u64,
    },
    /// To [`Request::Cpu`].
    Cpu {
        /// Stacks that were seen.
        samples: u64,
    },
    /// To [`Request::Command`]: what came of it. A command that failed is refused.
    Outcome(Outcome),
    /// The request failed, or is not known to this node.
    Refused {
        /// Why.
        why: String,
    },
}

/// Counts of spans at the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Ended and meant for export.
    pub ended: u64,
    /// Handed to the collector and accepted.
    pub exported: u64,
    /// Dropped, because the queue was full or the collector refused them.
    pub dropped: u64,
}

/// One peer as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewEntry {
    /// Its public key, 64 hex digits.
    pub public_key: String,
    /// Its name.
    pub name: String,
    /// What the node holds it to be.
    pub state: State,
    /// How long ago it was last heard, in milliseconds.
    pub heard_ms_ago: u64,
}

/// Why a line is not a message. Completes "failed to read a control message: ...".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// Longer than [`MAX_LINE_BYTES`].
    TooLong(usize),
    /// Not the JSON it should be.
    Malformed {
        /// What the parser said.
        why: String,
        /// The beginning of the line.
        got: String,
    },
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(bytes) => {
                write!(f, "the line has {bytes} bytes, at most {MAX_LINE_BYTES} are allowed")
            }
            Self::Malformed { why, got } => write!(f, "{why}, got `{got}`"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads a line that a node sent.
///
/// # Errors
/// A line that is too long or is no [`Message`].
pub fn decode_message(line: &[u8]) -> Result<Message, DecodeError> {
    decode(line)
}

/// Reads a line that the harness sent.
///
/// # Errors
/// A line that is too long or is no [`RequestFrame`].
pub fn decode_request(line: &[u8]) -> Result<RequestFrame, DecodeError> {
    decode(line)
}

/// Writes a message or a request as a line, newline included.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Every type of this module serialises: no maps with other keys than text, no failing impl.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, DecodeError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(DecodeError::TooLong(line.len()));
    }
    serde_json::from_slice(line).map_err(|error| DecodeError::Malformed {
        why: error.to_string(),
        got: String::from_utf8_lossy(&line[..line.len().min(80)]).trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_and_its_reply_survive_the_wire() {
        let ask = RequestFrame { id: 7, request: Request::Stop };
        let line = encode(&ask);
        assert_eq!(line, b"{\"id\":7,\"ask\":\"stop\"}\n");
        assert_eq!(decode_request(&line), Ok(ask));
        let shift = Some(ClockShift { offset_micros: -5, drift_ppm: 0 });
        let ask = RequestFrame { id: 8, request: Request::Clock { shift } };
        assert_eq!(decode_request(&encode(&ask)), Ok(ask));
        let counts = Telemetry { ended: 3, exported: 2, dropped: 1 };
        let reply = Message::Reply { id: 7, reply: Reply::Telemetry(counts) };
        assert_eq!(decode_message(&encode(&reply)), Ok(reply));
    }

    #[test]
    fn garbage_is_refused_with_its_beginning() {
        let error = decode_message(b"GET / HTTP/1.1\r\n").expect_err("no JSON");
        assert!(error.to_string().ends_with("got `GET / HTTP/1.1`"), "{error}");
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(decode_message(&long), Err(DecodeError::TooLong(MAX_LINE_BYTES + 1)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(),
            0..200)) {
            let _ = decode_message(&bytes);
            let _ = decode_request(&bytes);
        }
    }
}
