//! Small files in the data directory: read whole or not at all, replaced in one step.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// What the file holds; `None` if it is not there, cannot be read, or is longer than `bytes_max`:
/// then it is not what this node wrote.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= bytes_max).then_some(bytes)
}

/// Puts `text` in the place of what the file held. Whoever looks sees one or the other; where the
/// disk refuses, the former stays.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let replaced = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    if replaced.is_err() {
        // Half a file is of no use, and on a full disk in the way.
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_long_one_is_not_read() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("file");
        assert_eq!(read(&path, 10), None);
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(read(&path, 3).as_deref(), Some(b"two".as_slice()));
        assert_eq!(read(&path, 2), None);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_disk_that_refuses_leaves_the_former() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("file");
        replace(&path, "one").unwrap();
        // A folder in the place of the temporary file refuses every user, root included.
        fs::create_dir(path.with_extension("new")).unwrap();
        assert!(replace(&path, "two").is_err());
        assert_eq!(read(&path, 10).as_deref(), Some(b"one".as_slice()));
    }
}
