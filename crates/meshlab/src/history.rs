//! `meshlab history`: what runs of a scenario came to over time, and where it changed.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use meshlab_engine::results::read_run;
use meshlab_model::ExitCode;
use meshlab_report::{RunFigures, histories, history_overview};
use meshlab_script::nearest;

use crate::finished;

#[derive(Debug, Args)]
pub(crate) struct HistoryArguments {
    /// Name of the scenario, a folder of results/; all of them if absent
    #[arg(value_name = "SCENARIO")]
    scenario: Option<String>,
    /// Show this figure run by run: `cpu, median node`, or a metric of the scenario's own
    #[arg(long, value_name = "FIGURE")]
    metric: Option<String>,
    /// Folder whose results/ is looked through
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

pub(crate) fn history(arguments: &HistoryArguments) -> Result<ExitCode> {
    let results = arguments.output.join("results");
    let mut folders: Vec<PathBuf> = match &arguments.scenario {
        Some(name) => {
            // A path works as well as a name, because a shell completes paths.
            let named = results.join(name.trim_end_matches('/'));
            vec![if named.is_dir() { named } else { PathBuf::from(name) }]
        }
        None => std::fs::read_dir(&results)
            .map_err(|error| anyhow::anyhow!("failed to list {}: {error}", results.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir())
            .collect(),
    };
    folders.sort();
    let mut shown = false;
    for folder in folders {
        if !folder.is_dir() {
            eprintln!(
                "error: there are no runs at {}; `results/` holds a folder for each scenario",
                folder.display()
            );
            return Ok(ExitCode::Usage);
        }
        let runs = match (finished::expand(&folder), &arguments.scenario) {
            (Ok(runs), _) => runs,
            (Err(error), Some(_)) => return Err(error),
            // A folder without runs is no mistake of somebody who asked for all.
            (Err(_), None) => continue,
        };
        shown |= tell(&folder, &runs, arguments)?;
    }
    if !shown {
        bail!("no run in {} has a figure", results.display());
    }
    Ok(ExitCode::Passed)
}

/// Tells of the runs of one scenario; `false` if there is nothing to tell.
fn tell(folder: &std::path::Path, runs: &[PathBuf], arguments: &HistoryArguments) -> Result<bool> {
    let (mut figures, mut left) = (Vec::new(), Vec::new());
    for run in runs {
        match read_run(run) {
            Ok(record) => figures.push(RunFigures::of(&record, None)),
            Err(error) => left.push(error.to_string()),
        }
    }
    let (mut all, unsound) = histories(&figures);
    left.extend(unsound);
    if let Some(wanted) = &arguments.metric {
        let names: Vec<String> = all.iter().map(|history| history.key.to_string()).collect();
        let bare: Vec<String> = all.iter().map(|history| history.key.name.clone()).collect();
        all.retain(|history| history.key.name == *wanted || history.key.to_string() == *wanted);
        if all.is_empty() && arguments.scenario.is_some() {
            let meant = nearest(wanted, names.iter().chain(&bare).map(String::as_str));
            let meant =
                meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            bail!("no run has a figure `{wanted}`{meant}; there are: {}", names.join("; "));
        }
    }
    if all.is_empty() {
        return Ok(false);
    }
    println!("{}\n", folder.display());
    match &arguments.metric {
        Some(_) => all.iter().for_each(|history| println!("{}", history.table())),
        None => println!("{}", history_overview(&all)),
    }
    for why in &left {
        println!("left out: {why}");
    }
    Ok(true)
}
