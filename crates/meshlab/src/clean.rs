//! `meshlab clean`: what a killed harness may have left on this host, found and removed.

use std::path::Path;

use anyhow::{Context, Result};
use meshlab_engine::{leftovers, unfinished_runs};
use meshlab_model::ExitCode;

use crate::cli::CleanArguments;

pub(crate) fn clean(arguments: &CleanArguments) -> Result<ExitCode> {
    let found = leftovers();
    let mut stays = 0;
    for left in &found {
        if arguments.dry_run {
            println!("found    {left}");
            continue;
        }
        match left.remove() {
            Ok(()) => println!("removed  {left}"),
            Err(error) => {
                stays += 1;
                println!("stays    {left}: {error}");
            }
        }
    }
    let unfinished = unfinished(&arguments.output)?;
    if found.is_empty() && unfinished == 0 {
        println!("nothing is left of any harness that is gone");
    }
    let dirty = stays > 0 || (arguments.dry_run && !found.is_empty());
    Ok(if dirty { ExitCode::HarnessFailed } else { ExitCode::Passed })
}

/// Lists the runs without an end. They are somebody's records: only people delete them.
fn unfinished(output: &Path) -> Result<usize> {
    let runs = unfinished_runs(output).context("failed to look through the results")?;
    for run in &runs {
        println!("no end   {} (killed, or it still runs)", run.display());
    }
    if !runs.is_empty() {
        println!("         `meshlab report RUN` draws what there is of one; none is deleted here");
    }
    Ok(runs.len())
}
