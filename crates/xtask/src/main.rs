//! Chores of the repository: `cargo xtask tidy` checks what no compiler checks.
#![allow(clippy::print_stdout, reason = "a chore talks to the person who runs it")]

mod manifests;
mod sources;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

/// A broken rule: where, and what.
pub(crate) struct Finding {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) text: String,
}

fn main() -> Result<ExitCode> {
    let task = std::env::args().nth(1);
    match task.as_deref() {
        Some("tidy") => {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let findings = tidy(&root.canonicalize().context("failed to find the repository")?)?;
            for Finding { file, line, text } in &findings {
                println!("{}:{line}: error: {text}", file.display());
            }
            println!("tidy: {} findings", findings.len());
            Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        other => bail!("unknown chore {other:?}; there is: tidy"),
    }
}

/// Every rule over the whole repository.
fn tidy(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = manifests::check(root)?;
    findings.extend(sources::check(root)?);
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let found: Vec<String> = tidy(&root)
            .expect("the repository is readable")
            .into_iter()
            .map(|f| format!("{}:{}: {}", f.file.display(), f.line, f.text))
            .collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
