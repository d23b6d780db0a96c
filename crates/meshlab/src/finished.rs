//! Finished runs, as the commands that judge and compare them take them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use meshlab_engine::results::{file, read_run};
use meshlab_report::RunFigures;

use crate::report::locate;

/// What one run comes to; `None`, and it is told why, where there is no such run.
///
/// # Errors
/// It cannot be read: no run, damaged, or of another version of the format.
pub(crate) fn figures(run: &Path, after_secs: Option<f64>) -> Result<Option<RunFigures>> {
    let Some(folder) = locate(run) else { return Ok(None) };
    let record = read_run(&folder).context("failed to read the run")?;
    Ok(Some(RunFigures::of(&record, after_secs)))
}

/// What several runs come to; of a folder with runs, such as `results/<scenario>`, all of them.
/// `None`, and it is told why, where there is no such run.
///
/// # Errors
/// One of them cannot be read.
pub(crate) fn all(runs: &[PathBuf], after_secs: Option<f64>) -> Result<Option<Vec<RunFigures>>> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for run in runs {
        let Some(folder) = locate(run) else { return Ok(None) };
        for folder in expand(&folder)? {
            if seen.contains(&folder) {
                bail!("{} is given twice: a run counts once", folder.display());
            }
            found.extend(figures(&folder, after_secs)?);
            seen.push(folder);
        }
    }
    Ok(Some(found))
}

/// The run in a folder, or the runs below it, by name; links such as `latest` are no runs.
pub(crate) fn expand(folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.join(file::MANIFEST).exists() {
        return Ok(vec![folder.to_owned()]);
    }
    let listed = std::fs::read_dir(folder);
    let listed = listed.with_context(|| format!("failed to list {}", folder.display()))?;
    let is_run = |path: &PathBuf| !path.is_symlink() && path.join(file::MANIFEST).exists();
    let mut runs: Vec<PathBuf> =
        listed.filter_map(|entry| Some(entry.ok()?.path())).filter(is_run).collect();
    runs.sort();
    if runs.is_empty() {
        bail!(
            "{} holds no run: there is no {} in it or below it; `results/` holds a folder for \
            each run",
            folder.display(),
            file::MANIFEST
        );
    }
    Ok(runs)
}
