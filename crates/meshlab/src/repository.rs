//! The source tree that this program was built from: the node is built there, the commit read.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// The source tree, if it is still where this program was built.
pub(crate) fn root() -> Result<PathBuf> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = built_in.canonicalize().ok();
    root.filter(|root| root.join("crates/mesh-node/Cargo.toml").exists()).with_context(|| {
        format!(
            "the source tree that meshlab was built from is gone ({}), so the node cannot be \
             built; name a program with `--binary mesh-node=PATH`",
            built_in.display()
        )
    })
}

/// The commit of the source tree, with `-dirty` if files differ from it; `None` outside git.
pub(crate) fn commit() -> Option<String> {
    let root = root().ok()?;
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&root).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}
