//! Frames on the node's own streams: a length of four bytes, most significant first, then as many
//! bytes. What a peer says about a length is believed only up to a bound.

use iroh::endpoint::{RecvStream, SendStream};
use serde::{Serialize, de::DeserializeOwned};

/// Longest frame that carries a message of the node's protocols, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Longest frame of a workload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a frame is not one.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than is allowed here.
    #[error("a frame of {got} bytes, at most {max} are allowed here")]
    TooLong {
        /// What the peer announced.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// Not the message that it should be.
    #[error("a frame that is no message of this protocol: {0}")]
    Malformed(#[from] postcard::Error),
    /// The stream ended in the middle of a frame, or the connection broke.
    #[error("the stream ended: {0}")]
    Ended(String),
}

impl FrameError {
    /// Whether the peer broke the protocol, rather than going away.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Ended(_))
    }

    /// The reason in a word, as spans carry it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too-long",
            Self::Malformed(_) => "malformed",
            Self::Ended(_) => "ended",
        }
    }
}

/// The length that a frame's head announces.
///
/// # Errors
/// Above `max`.
pub fn length(head: [u8; 4], max: usize) -> Result<usize, FrameError> {
    let got = u32::from_be_bytes(head) as usize;
    if got > max { Err(FrameError::TooLong { got, max }) } else { Ok(got) }
}

/// Reads a message out of a frame's bytes; none may be left over.
///
/// # Errors
/// Not the message that it should be.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(message) } else { Err(postcard::Error::DeserializeBadEncoding.into()) }
}

/// Reads a frame; `None` at the end of the stream.
pub(crate) async fn read(
    stream: &mut RecvStream,
    max: usize,
    buffer: &mut Vec<u8>,
) -> Result<Option<()>, FrameError> {
    let ended = |error: &dyn std::fmt::Display| FrameError::Ended(error.to_string());
    let mut head = [0_u8; 4];
    match stream.read(&mut head).await.map_err(|error| ended(&error))? {
        None | Some(0) => return Ok(None),
        Some(4) => {}
        Some(read) => {
            stream.read_exact(&mut head[read..]).await.map_err(|error| ended(&error))?;
        }
    }
    let length = length(head, max)?;
    buffer.resize(length, 0);
    stream.read_exact(buffer).await.map_err(|error| ended(&error))?;
    Ok(Some(()))
}

/// Reads a frame that must be there, as a message.
pub(crate) async fn read_message<T: DeserializeOwned>(
    stream: &mut RecvStream,
) -> Result<T, FrameError> {
    let mut buffer = Vec::new();
    match read(stream, MESSAGE_BYTES_MAX, &mut buffer).await? {
        Some(()) => parse(&buffer),
        None => Err(FrameError::Ended("no message came".to_owned())),
    }
}

/// Writes bytes as a frame.
pub(crate) async fn write(stream: &mut SendStream, bytes: &[u8]) -> Result<(), FrameError> {
    let ended = |error: &dyn std::fmt::Display| FrameError::Ended(error.to_string());
    let length = u32::try_from(bytes.len())
        .map_err(|_| FrameError::TooLong { got: bytes.len(), max: PAYLOAD_BYTES_MAX })?;
    stream.write_all(&length.to_be_bytes()).await.map_err(|error| ended(&error))?;
    stream.write_all(bytes).await.map_err(|error| ended(&error))
}

/// Writes a message as a frame.
pub(crate) async fn write_message<T: Serialize>(
    stream: &mut SendStream,
    message: &T,
) -> Result<(), FrameError> {
    write(stream, &postcard::to_stdvec(message)?).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_is_believed_up_to_its_bound() {
        assert_eq!(length([0, 0, 1, 0], 256).unwrap(), 256);
        let error = length([0xff; 4], MESSAGE_BYTES_MAX).unwrap_err();
        assert_eq!((error.as_str(), error.is_refusal()), ("too-long", true));
    }

    #[test]
    fn bytes_left_over_are_refused() {
        let mut bytes = postcard::to_stdvec(&("text".to_owned(), 7_u64)).unwrap();
        assert!(parse::<(String, u64)>(&bytes).is_ok());
        bytes.push(0);
        assert_eq!(parse::<(String, u64)>(&bytes).unwrap_err().as_str(), "malformed");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<crate::control::Request>(&bytes);
            let _ = parse::<crate::data::Opening>(&bytes);
        }
    }
}
