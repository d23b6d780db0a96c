//! A node's log: its stdout and stderr in one file, with a bound.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use tokio::{io::AsyncReadExt, net::unix::pipe};

/// Bytes of log kept of one life of a node. What comes after is read, so that the node does not
/// block, and counted.
pub const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Copies what a node writes to its log until the node closes it. Says in the log itself what was
/// not kept: because of the bound, or because the disk refused it.
pub(crate) async fn copy(mut from: pipe::Receiver, mut to: File) {
    let mut buffer = vec![0_u8; 16 * 1024];
    let (mut kept, mut dropped) = (0_u64, 0_u64);
    let mut refused: Option<io::Error> = None;
    loop {
        let got = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(got) => got,
        };
        let room = usize::try_from(LOG_BYTES_MAX - kept).unwrap_or(usize::MAX).min(got);
        // A log is small and goes to the page cache; a blocking write costs less than a hop to
        // another thread for each line.
        if refused.is_none() {
            if let Err(error) = to.write_all(&buffer[..room]) {
                refused = Some(error);
            }
            kept += room as u64;
            dropped += (got - room) as u64;
        } else {
            dropped += got as u64;
        }
    }
    if dropped > 0 {
        let why = refused.map_or_else(
            || format!("more than {} MiB", LOG_BYTES_MAX / 1_048_576),
            |error| error.to_string(),
        );
        // If the disk is full this line is refused too; the run says so where it stops.
        let _ = writeln!(to, "\n[meshlab kept no more of this log: {why}; {dropped} bytes lost]");
    }
}

/// The last `lines` lines of a log with their line numbers, oldest first. Reads at most its last
/// 64 KiB; line numbers are absent where the log is longer than that.
///
/// # Errors
/// The file cannot be read.
pub fn log_tail(path: &Path, lines: usize) -> io::Result<Vec<(Option<usize>, String)>> {
    const TAIL: u64 = 64 * 1024;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let first = all.len().saturating_sub(lines);
    let numbered = length <= TAIL;
    Ok(all[first..]
        .iter()
        .enumerate()
        .map(|(place, line)| (numbered.then_some(first + place + 1), (*line).to_owned()))
        .collect())
}
