//! What a program was built with, noted beside it by whoever built it: `<program>.built.json` and
//! `<program>.lock`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use meshlab_model::{BinaryRecord, BuiltWith};
use serde::{Deserialize, Serialize};

use crate::binaries::digest_of;

/// Folder of a run with the lock of each program that has one.
pub(crate) const LOCKS: &str = "locks";

#[derive(Serialize, Deserialize)]
struct Note {
    /// The note is of this program, and of no later one of the same name.
    program_sha256: String,
    built_with: BuiltWith,
}

/// Notes what a program was built with, beside it; `lock` is the Cargo.lock.
///
/// # Errors
/// A file cannot be read or written.
pub fn note_built_with(program: &Path, with: &BuiltWith, lock: &Path) -> io::Result<()> {
    let note = Note { program_sha256: sha256_file(program)?, built_with: with.clone() };
    fs::write(beside(program, "built.json"), serde_json::to_vec_pretty(&note)?)?;
    fs::copy(lock, beside(program, "lock")).map(drop)
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// It cannot be read; the error names it.
pub fn sha256_file(path: &Path) -> io::Result<String> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("{} cannot be read: {error}", path.display()))
    };
    digest_of(path).map(|(digest, _)| digest).map_err(named)
}

/// What was noted of the program with this fingerprint.
pub(crate) fn built_with(program: &Path, sha256: &str) -> Option<BuiltWith> {
    let note: Note = serde_json::from_slice(&fs::read(beside(program, "built.json")).ok()?).ok()?;
    (note.program_sha256 == sha256).then_some(note.built_with)
}

/// Keeps the lock of a program in the run's folder, if it is the one that was noted.
pub(crate) fn keep_lock(results: &Path, name: &str, record: &BinaryRecord) -> io::Result<()> {
    let Some(with) = &record.built_with else { return Ok(()) };
    let lock = beside(Path::new(&record.path), "lock");
    if sha256_file(&lock)? != with.lock_sha256 {
        let why = format!("{} is not the lock that {name} was built with", lock.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let locks = results.join(LOCKS);
    fs::create_dir_all(&locks)?;
    fs::copy(&lock, locks.join(format!("{name}.lock"))).map(drop)
}

fn beside(program: &Path, extension: &str) -> PathBuf {
    let mut name = program.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint;

    #[test]
    fn a_note_holds_for_its_program_only_and_its_lock_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("node"), "program").unwrap();
        fs::write(at("Cargo.lock"), "lock").unwrap();
        let with = BuiltWith {
            asked: vec!["iroh=1.3.0".to_owned()],
            lock_sha256: sha256_file(&at("Cargo.lock")).unwrap(),
            ..BuiltWith::default()
        };
        note_built_with(&at("node"), &with, &at("Cargo.lock")).unwrap();
        let record = fingerprint(&at("node"), false).unwrap();
        assert_eq!(record.built_with, Some(with));
        keep_lock(folder.path(), "mesh-node", &record).unwrap();
        assert_eq!(fs::read_to_string(at("locks/mesh-node.lock")).unwrap(), "lock");
        fs::write(at("node.lock"), "another").unwrap();
        let error = keep_lock(folder.path(), "mesh-node", &record).unwrap_err();
        assert!(error.to_string().contains("is not the lock"), "{error}");
        fs::write(at("node"), "another program").unwrap();
        assert_eq!(fingerprint(&at("node"), false).unwrap().built_with, None);
    }
}
