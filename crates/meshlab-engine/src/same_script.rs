//! Whether a scenario is still the one of which a run was made: what goes on with a run, or repeats
//! it, must not do so with another text.

use std::path::{Path, PathBuf};

use meshlab_model::Manifest;
use meshlab_results::file;

use crate::binaries::sha256_hex;

/// The scenario is not the one that was run.
#[derive(Debug, thiserror::Error)]
#[error("{run}: its scenario changed since: {} had SHA-256 {recorded} and has {found}; what was \
    run lies in {}: name that file", .path.display(), .copy.display())]
pub struct ScriptChanged {
    /// The run.
    pub run: String,
    /// The scenario.
    pub path: PathBuf,
    /// Its hash then.
    pub recorded: String,
    /// Its hash now.
    pub found: String,
    /// The copy in the record.
    pub copy: PathBuf,
}

/// Holds the text of a scenario, read from `path`, against that of the run in `folder`.
///
/// # Errors
/// It is another one.
pub fn same_script(
    manifest: &Manifest,
    folder: &Path,
    path: &Path,
    text: &str,
) -> Result<(), ScriptChanged> {
    let (found, recorded) = (sha256_hex(text.as_bytes()), &manifest.script_sha256);
    if found == *recorded {
        return Ok(());
    }
    Err(ScriptChanged {
        run: manifest.run.clone(),
        path: path.to_owned(),
        recorded: recorded.clone(),
        found,
        copy: folder.join(file::SCRIPT),
    })
}
