//! The programs that a run starts: built, checked for freshness, fingerprinted.
//!
//! "The build succeeded" and "this binary is what I just built" are different sentences: cargo
//! may have built another profile or another target folder. So the file that will be started is
//! held against every source that its own dependency list names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use meshlab_model::BinaryRecord;
use sha2::{Digest, Sha256};

/// Why a program cannot be used. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// It cannot be read.
    #[error("read the program {}: {error}", .path.display())]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Cargo could not be run.
    #[error("build {bin}: cargo cannot be run: {error}")]
    NoCargo {
        /// What was to be built.
        bin: String,
        /// What the system said.
        error: io::Error,
    },
    /// Cargo said no; what it printed stands above.
    #[error("build {bin}: cargo ended with {status}; what it printed stands above")]
    Build {
        /// What was to be built.
        bin: String,
        /// How cargo ended.
        status: String,
    },
    /// A source is newer than the program.
    #[error("use {}: it is older than its source {}; build it again, or leave `--binary` away \
        and the run builds it", .program.display(), .newer.display())]
    Stale {
        /// The program.
        program: PathBuf,
        /// The newest of the sources that are newer.
        newer: PathBuf,
    },
}

/// Builds `bin` of the workspace at `root`, in the harness's own profile and with the features
/// named (`package/feature`, a comma between two), and returns where it lies. What cargo prints
/// goes to the harness's stderr as it comes.
///
/// # Errors
/// Cargo cannot be run, or the build fails.
pub fn build(
    root: &Path,
    bin: &str,
    features: Option<&str>,
    release: bool,
) -> Result<PathBuf, BinaryError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The same package selection as `cargo run`, so that every dependency has the same features
    // and nothing that the harness is made of is compiled a second time.
    command.current_dir(root).args(["build", "--locked", "--bin", bin]);
    if let Some(features) = features {
        command.args(["--features", features]);
    }
    if release {
        command.arg("--release");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status =
        command.status().map_err(|error| BinaryError::NoCargo { bin: bin.to_owned(), error })?;
    if !status.success() {
        return Err(BinaryError::Build { bin: bin.to_owned(), status: status.to_string() });
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |target| root.join(target));
    Ok(target.join(if release { "release" } else { "debug" }).join(bin))
}

/// Takes a program's fingerprint, after making sure that it is not older than its sources.
///
/// # Errors
/// It cannot be read, or it is stale.
pub fn inspect(path: &Path, built_by_run: bool) -> Result<BinaryRecord, BinaryError> {
    let unreadable = |error| BinaryError::Unreadable { path: path.to_owned(), error };
    let program = fs::canonicalize(path).map_err(unreadable)?;
    let built = fs::metadata(&program).and_then(|meta| meta.modified()).map_err(unreadable)?;
    if let Some(newer) = newest_source_after(&program, built) {
        return Err(BinaryError::Stale { program, newer });
    }
    fingerprint(path, built_by_run)
}

/// Takes a program's fingerprint, however old it is.
///
/// # Errors
/// It cannot be read.
pub fn fingerprint(path: &Path, built_by_run: bool) -> Result<BinaryRecord, BinaryError> {
    let unreadable = |error| BinaryError::Unreadable { path: path.to_owned(), error };
    let path = fs::canonicalize(path).map_err(unreadable)?;
    let built = fs::metadata(&path).and_then(|meta| meta.modified()).map_err(unreadable)?;
    // Read in pieces: a debug build has 150 MB, more than the harness may ever use.
    let mut digest = Sha256::new();
    let mut file = fs::File::open(&path).map_err(unreadable)?;
    let bytes = io::copy(&mut file, &mut digest).map_err(unreadable)?;
    let since_epoch = built.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(BinaryRecord {
        path: path.display().to_string(),
        sha256: hex(&digest.finalize()),
        bytes,
        built_unix_nanos: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
        built_by_run,
    })
}

/// SHA-256 of `bytes` in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The newest source after `built`, of those that cargo lists in the `.d` file beside the
/// program; `None` if there is none, or no such file: a program from elsewhere has no sources.
fn newest_source_after(program: &Path, built: SystemTime) -> Option<PathBuf> {
    let list = fs::read_to_string(program.with_extension("d")).ok()?;
    let sources = list.split_once(": ").map(|(_, sources)| sources)?;
    split_escaped(sources.trim_end())
        .into_iter()
        .filter_map(|source| {
            let modified = fs::metadata(&source).ok()?.modified().ok()?;
            (modified > built).then_some((modified, source))
        })
        .max()
        .map(|(_, source)| source)
}

/// Paths separated by spaces; a space within a path is written `\ `.
fn split_escaped(text: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut path = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&' ') => path.extend(chars.next()),
            ' ' => {
                if !path.is_empty() {
                    paths.push(PathBuf::from(std::mem::take(&mut path)));
                }
            }
            c => path.push(c),
        }
    }
    if !path.is_empty() {
        paths.push(path.into());
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    fn set_age(path: &Path, seconds: u64) {
        let when = SystemTime::now() - Duration::from_secs(seconds);
        File::options().write(true).open(path).unwrap().set_modified(when).unwrap();
    }

    #[test]
    fn a_program_older_than_a_source_is_refused_and_the_source_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, age) in [("node", 100), ("old.rs", 200), ("with space.rs", 200)] {
            fs::write(at(name), name).unwrap();
            set_age(&at(name), age);
        }
        let root = folder.path().display();
        fs::write(at("node.d"), format!("{root}/node: {root}/old.rs {root}/with\\ space.rs\n"))
            .unwrap();
        let record = inspect(&at("node"), true).unwrap();
        assert_eq!(record.sha256, sha256_hex(b"node"));
        set_age(&at("with space.rs"), 50);
        let error = inspect(&at("node"), false).unwrap_err();
        assert!(error.to_string().contains("older than its source"), "{error}");
        assert!(error.to_string().contains("with space.rs"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_names_its_place() {
        let error = inspect(Path::new("/nowhere/node"), false).unwrap_err();
        assert!(error.to_string().starts_with("read the program /nowhere/node"), "{error}");
    }
}
