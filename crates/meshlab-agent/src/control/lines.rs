//! Lines with a bound, read so that a dropped read loses nothing.

use std::io;

use meshlab_wire::MAX_LINE_BYTES;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// One line of the peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A whole line, newline included.
    Whole(Vec<u8>),
    /// A line over the bound, so many bytes of it; it was discarded.
    TooLong(usize),
}

/// Reads lines of at most [`MAX_LINE_BYTES`] and skips what is longer.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    partial: Vec<u8>,
    discarded: usize,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, partial: Vec::new(), discarded: 0 }
    }

    /// The next line; `None` at the end of the stream, where an unfinished line is dropped.
    /// Cancel safe: what was read of a line is kept for the next call.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = self.reader.fill_buf().await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let take = end.map_or(bytes.len(), |end| end + 1);
            if self.discarded > 0 || self.partial.len() + take > MAX_LINE_BYTES {
                self.discarded += self.partial.len() + take;
                self.partial = Vec::new();
            } else {
                self.partial.extend_from_slice(&bytes[..take]);
            }
            self.reader.consume(take);
            if end.is_some() {
                let line = match std::mem::take(&mut self.discarded) {
                    0 => Line::Whole(std::mem::take(&mut self.partial)),
                    discarded => Line::TooLong(discarded),
                };
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_over_the_bound_is_skipped_and_the_next_one_read() {
        let mut bytes = vec![b'x'; MAX_LINE_BYTES + 1];
        bytes.extend_from_slice(b"\nshort\nunfinished");
        let mut lines = Lines::new(&bytes[..]);
        assert_eq!(lines.next().await.unwrap(), Some(Line::TooLong(MAX_LINE_BYTES + 2)));
        assert_eq!(lines.next().await.unwrap(), Some(Line::Whole(b"short\n".to_vec())));
        assert_eq!(lines.next().await.unwrap(), None);
    }
}
