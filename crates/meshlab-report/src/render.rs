//! Draws everything again from a run's folder alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use meshlab_engine::results::{ResultsError, RunRecord, file, read_run};
use meshlab_model::{ExitCode, Verdict};

use crate::{
    exports, html,
    measured::Measured,
    view::{ProblemView, RunView},
};

/// What was drawn.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The run's verdict.
    pub verdict: Verdict,
    /// What `meshlab run` exits with.
    pub exit_code: ExitCode,
    /// The page.
    pub html: PathBuf,
    /// The run's seed.
    pub seed: u64,
    /// Where the record breaks off, if the run has no end.
    pub unfinished: Option<String>,
}

/// Why a report cannot be drawn. Completes "failed to draw the report: ...".
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run cannot be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// A file cannot be written.
    #[error("cannot write {}: {error}; is the disk full, or the folder another user's?",
        .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Reads the run in `run_folder` and writes `index.html`, `summary.md` and `junit.xml` to
/// `report_folder`, which is made, and `summary.json` beside the record.
///
/// # Errors
/// The folder holds no readable run, or a file cannot be written.
pub fn render(run_folder: &Path, report_folder: &Path) -> Result<Rendered, ReportError> {
    draw(&read_run(run_folder)?, report_folder)
}

/// The same as [`render`], for a record that was read already.
///
/// # Errors
/// A file cannot be written.
pub fn draw(record: &RunRecord, report_folder: &Path) -> Result<Rendered, ReportError> {
    let view = RunView::of(record);
    let measured = Measured::of(record, &view);
    let failed = |path: &Path, error| ReportError::Write { path: path.to_owned(), error };
    fs::create_dir_all(report_folder).map_err(|error| failed(report_folder, error))?;
    let page = report_folder.join("index.html");
    let summary = format!("{:#}\n", exports::summary(record, &view, &measured));
    let files = [
        (page.clone(), html::page(record, &view, &measured, &way(report_folder, &record.folder))),
        (report_folder.join("summary.md"), exports::markdown(record, &view)),
        (report_folder.join("junit.xml"), exports::junit(record, &view)),
        (record.folder.join(file::SUMMARY), summary),
    ];
    for (path, text) in files {
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    let (verdict, exit_code) = (view.verdict(), view.exit_code());
    let (seed, unfinished) = (record.manifest.seed, crate::ending::unfinished(record));
    Ok(Rendered { verdict, exit_code, html: page, seed, unfinished })
}

/// The page of [`draw`], not written anywhere. Its links to files of the run begin with `files`.
pub fn page_of(record: &RunRecord, files: &str) -> String {
    let view = RunView::of(record);
    html::page(record, &view, &Measured::of(record, &view), files)
}

impl RunView {
    /// What is known of a run by its record, damage included.
    pub fn of(record: &RunRecord) -> Self {
        let mut view = Self::new(&record.manifest.tests);
        for event in &record.events {
            view.apply(event);
        }
        // What is missing from the events may be the very claim that failed.
        for damage in record.damage.iter().filter(|damage| damage.starts_with(file::EVENTS)) {
            let text = format!("the record is damaged: {damage}");
            let at = view.last;
            view.problems.push(ProblemView { at, test: None, script: false, text, source: None });
        }
        view
    }
}

/// The way from one folder to another.
fn way(from: &Path, to: &Path) -> String {
    let absolute = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let (Ok(from), Ok(to)) = (absolute(from), absolute(to)) else {
        return to.display().to_string();
    };
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| "..".to_owned());
    let down = to.components().skip(common);
    let down = down.map(|part| part.as_os_str().to_string_lossy().into_owned());
    let all: Vec<String> = up.chain(down).collect();
    if all.is_empty() { ".".to_owned() } else { all.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_leads_up_and_down() {
        let way = |from: &str, to: &str| way(from.as_ref(), to.as_ref());
        assert_eq!(way("/a/reports/s/r", "/a/results/s/r"), "../../../results/s/r");
        assert_eq!(way("/a/r/report", "/a/r"), "..");
        assert_eq!(way("/a", "/a"), ".");
    }
}
