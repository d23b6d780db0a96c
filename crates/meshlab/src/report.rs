//! `meshlab report`: the report of a run, drawn again from its record.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use meshlab_model::ExitCode;
use meshlab_report::render;

use crate::cli::ReportArguments;

pub(crate) fn report(arguments: &ReportArguments) -> Result<ExitCode> {
    let Some(run) = locate(&arguments.run) else { return Ok(ExitCode::Usage) };
    let rendered = render(&run, &beside(&run)).context("failed to draw the report")?;
    println!("{}", rendered.verdict);
    if let Some(told) = rendered.unfinished {
        println!("{told}");
    }
    println!("report {}", rendered.html.display());
    Ok(rendered.exit_code)
}

/// The folder of a run, given by its path or by its name under `results/`; tells what is wrong
/// where there is none.
pub(crate) fn locate(run: &Path) -> Option<PathBuf> {
    let named = || Path::new("results").join(run).canonicalize();
    let found = run.canonicalize().or_else(|error| named().map_err(|_| error));
    let told = |error: &std::io::Error| {
        eprintln!(
            "error: there is no run at {}: {error}; `results/` holds a folder for each run, \
             `results/<scenario>/latest` is the newest",
            run.display()
        );
    };
    found.inspect_err(told).ok()
}

/// `<output>/reports/<scenario>/<run>` for `<output>/results/<scenario>/<run>`; a run that lies
/// elsewhere gets its report in a folder inside itself.
fn beside(run: &Path) -> PathBuf {
    let parts = || {
        let leaf = run.file_name()?;
        let scenario = run.parent()?;
        let results = scenario.parent()?;
        (results.file_name()? == "results").then_some(())?;
        Some(results.parent()?.join("reports").join(scenario.file_name()?).join(leaf))
    };
    parts().unwrap_or_else(|| run.join("report"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_the_name_of_its_run() {
        assert_eq!(beside(Path::new("/a/results/s/r")), Path::new("/a/reports/s/r"));
        assert_eq!(beside(Path::new("/tmp/copy")), Path::new("/tmp/copy/report"));
    }
}
