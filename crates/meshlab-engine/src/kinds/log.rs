//! What the log of a program says while it gets ready.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

/// The longest line of a log that is looked at.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What the log of a program says from some place on.
pub(super) struct Tail {
    path: PathBuf,
    at: u64,
    line: Vec<u8>,
}

impl Tail {
    pub(super) fn new(path: PathBuf, at: u64) -> Self {
        Self { path, at, line: Vec::new() }
    }

    /// Hands out what has come since the last look, line by line, and whether the line is whole. A
    /// prompt may have no end of line.
    pub(super) fn look(&mut self, mut each: impl FnMut(&str, bool)) {
        let Ok(mut file) = File::open(&self.path) else { return };
        let mut new = Vec::new();
        if file.seek(SeekFrom::Start(self.at)).is_err() || file.read_to_end(&mut new).is_err() {
            return;
        }
        self.at += new.len() as u64;
        for byte in new {
            if byte == b'\n' {
                each(&String::from_utf8_lossy(&self.line), true);
                self.line.clear();
            } else if self.line.len() < LINE_BYTES_MAX {
                self.line.push(byte);
            }
        }
        each(&String::from_utf8_lossy(&self.line), false);
    }
}

/// Whether a line has the parts of a pattern, `*` between two, in their order.
pub(super) fn fits(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    pattern.split('*').filter(|part| !part.is_empty()).all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    }) && !line.is_empty()
}

/// What the `*` of a pattern stands for in a line: up to what follows it in the pattern, or up to
/// the next blank.
pub(super) fn captured(line: &str, pattern: &str) -> Option<String> {
    let (before, after) = pattern.split_once('*')?;
    let (_, rest) = line.split_once(before)?;
    let found = match after {
        "" => rest.split_whitespace().next()?,
        after => rest.split_once(after)?.0,
    };
    (!found.is_empty()).then(|| found.to_owned())
}
