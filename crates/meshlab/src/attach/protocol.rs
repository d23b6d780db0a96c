//! What is said over the socket: JSON, a message a line, each way.

use serde::{Deserialize, Serialize};

/// Version of the messages. Both sides are of one build in all but odd cases; then this tells.
pub(super) const VERSION: u32 = 1;
/// Bytes of one message from a client, its line end included.
pub(super) const ASK_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one message to a client: an answer is shorter by far, unless it is no answer of ours.
pub(super) const TELL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// From whoever attaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Ask {
    /// Run a line.
    Line {
        /// Lua.
        text: String,
        /// Whether errors are coloured.
        color: bool,
    },
    /// Cancel the line that runs.
    Cancel,
    /// Finish the word at the end of a text.
    Complete {
        /// The text up to the cursor.
        text: String,
    },
    /// End the mesh, and with it the run.
    End,
}

/// To whoever attaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub(super) enum Tell {
    /// First of all.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// The run.
        run: String,
    },
    /// Nothing is answered, for this reason; the connection ends.
    Refused {
        /// Why.
        why: String,
    },
    /// A value, what was printed, or an error.
    Text {
        /// As it is shown.
        text: String,
    },
    /// The line is over.
    Ended {
        /// Whether it ran to its end.
        ok: bool,
        /// Whether it is only the beginning of something, and nothing was run.
        incomplete: bool,
    },
    /// What the word can become.
    Completions {
        /// From which byte on they take the place of what is there.
        start: usize,
        /// They.
        words: Vec<String>,
    },
    /// The mesh is being ended; the connection ends.
    Ending,
}

/// A message as it is sent.
pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    // Text and numbers always are JSON.
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// A message of a client; what is wrong with it where it is none.
pub(super) fn decode_ask(line: &[u8]) -> Result<Ask, String> {
    serde_json::from_slice(line).map_err(|error| format!("this is no message: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_arrives() {
        let line = |text: &str| Ask::Line { text: text.into(), color: true };
        let complete = Ask::Complete { text: "sw".into() };
        for ask in [line("a\nb\u{0}\"é"), line(""), Ask::Cancel, complete, Ask::End] {
            let bytes = encode(&ask);
            let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!((ends, bytes.last()), (1, Some(&b'\n')));
            assert_eq!(decode_ask(&bytes), Ok(ask));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let deep = "[".repeat(100_000);
        for bytes in [
            &b""[..],
            b"\xff\xfe",
            b"{}",
            b"{\"ask\":\"line\"}",
            b"{\"ask\":\"line\",\"text\":1,\"color\":true}",
            b"{\"ask\":\"format the disk\"}",
            b"{\"ask\":\"end\"} {\"ask\":\"end\"}",
            deep.as_bytes(),
        ] {
            assert!(decode_ask(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
