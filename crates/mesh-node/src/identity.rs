//! Who the node is: a secret key on disk, and the name that follows from its public half.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use iroh::{PublicKey, SecretKey};

/// The key's file in the data directory: 64 hex digits and a newline, readable by the owner only.
const KEY_FILE: &str = "identity.key";

/// Why there is no identity. Completes "failed to load the identity: ...".
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// A file or directory could not be read or written.
    #[error("could not {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key file holds something else.
    #[error(
        "{} is damaged: it has {bytes} bytes and should have 64 hex digits; restore it from a \
            copy, \
         or remove it to start as a new node",
        path.display()
    )]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
}

/// Reads the key of `directory`, or mints one when there is none. A damaged file is an error:
/// a new key would be another node under the eyes of the mesh.
pub(crate) fn load_or_mint(directory: &Path) -> Result<SecretKey, IdentityError> {
    load_or_mint_file(&directory.join(KEY_FILE))
}

/// The same for a key in a file of any name.
pub(crate) fn load_or_mint_file(path: &Path) -> Result<SecretKey, IdentityError> {
    match load_file(path) {
        Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            mint(path.parent().unwrap_or(Path::new(".")), path)
        }
        loaded => loaded,
    }
}

/// Reads a key that must be there.
pub(crate) fn load_file(path: &Path) -> Result<SecretKey, IdentityError> {
    let damaged = |bytes| IdentityError::Damaged { path: path.to_owned(), bytes };
    match fs::read(path) {
        Ok(bytes) => parse(&bytes).ok_or_else(|| damaged(bytes.len())),
        Err(source) => Err(IdentityError::Io { what: "read", path: path.to_owned(), source }),
    }
}

/// `<mesh>.<role>.<first 6 hex digits of the public key>`.
pub(crate) fn name(mesh: &str, role: &str, key: &PublicKey) -> String {
    format!("{mesh}.{role}.{}", HEXLOWER.encode(&key.as_bytes()[..3]))
}

/// A public key as 64 hex digits.
pub(crate) fn hex(key: &PublicKey) -> String {
    HEXLOWER.encode(key.as_bytes())
}

fn parse(bytes: &[u8]) -> Option<SecretKey> {
    let secret = HEXLOWER_PERMISSIVE.decode(bytes.trim_ascii_end()).ok()?;
    Some(SecretKey::from_bytes(&secret.try_into().ok()?))
}

fn mint(directory: &Path, path: &Path) -> Result<SecretKey, IdentityError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| IdentityError::Io { what, path, source }
    };
    fs::create_dir_all(directory).map_err(failed("create", directory))?;
    let key = SecretKey::generate();
    let temporary = path.with_extension("key.new");
    write_private(&temporary, &format!("{}\n", HEXLOWER.encode(&key.to_bytes())))
        .map_err(failed("write", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("write", path))?;
    // The rename is on disk once the directory is.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync", directory))?;
    Ok(key)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    // A leftover of a start that was cut short is of no use to anybody.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_minted_key_is_private_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("a/b");
        let minted = load_or_mint(&data).unwrap();
        let mode = fs::metadata(data.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load_or_mint(&data).unwrap().public(), minted.public());
        let files = fs::read_dir(&data).unwrap().count();
        assert_eq!(files, 1, "no temporary file is left");
    }

    #[test]
    fn a_damaged_file_stops_the_start_and_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(KEY_FILE);
        for damaged in ["", "abcd", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            fs::write(&path, damaged).unwrap();
            let error = load_or_mint(directory.path()).expect_err("damaged");
            assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_with_its_path() {
        // A file in the place of the directory refuses every user; permissions do not stop root.
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("file");
        fs::write(&data, "").unwrap();
        let error = load_or_mint(&data).expect_err("no directory");
        assert!(error.to_string().contains("file"), "{error}");
        let read_only = load_or_mint(Path::new("/proc/self")).expect_err("no files there");
        assert!(matches!(read_only, IdentityError::Io { what: "write", .. }), "{read_only}");
    }

    #[test]
    fn the_name_ends_in_the_key() {
        let key = SecretKey::from_bytes(&[7; 32]).public();
        assert_eq!(name("m", "broker", &key), format!("m.broker.{}", &hex(&key)[..6]));
    }
}
