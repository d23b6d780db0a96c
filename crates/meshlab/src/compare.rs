//! `meshlab compare`: what finished runs of two programs came to, beside each other.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use meshlab_model::ExitCode;
use meshlab_mutants::{Mutant, on};
use meshlab_report::{COMMENT_BYTES_MAX, CompareOptions, CompareReport, RunFigures, compare};

use crate::{
    finished,
    gate::{append_summary, length},
    profile::{Changes, draw_changes},
};

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// Without --against two: the run before, and the run after; a folder such as
    /// results/idle-is-quiet stands for all runs in it
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The runs after, if there are several; the others are those before. Pairs are made in the
    /// order of their start
    #[arg(long, value_name = "RUN", num_args = 1..)]
    against: Vec<PathBuf>,
    #[command(flatten)]
    shown: ShownArguments,
}

/// How a comparison is made and where it is written.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShownArguments {
    /// Of this figure more is better, such as a rate; of all others less is
    #[arg(long, value_name = "FIGURE")]
    more_is_better: Vec<String>,
    /// Compare runs that are not alike all the same; the reason stands in all that is written
    #[arg(long, value_name = "REASON")]
    allow_unlike: Option<String>,
    /// Processes count from this age on; found from their samples if absent
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    after_age: Option<Duration>,
    /// Write a comment for a pull request to this file, in markdown, less than 64 KiB
    #[arg(long, value_name = "FILE")]
    comment: Option<PathBuf>,
    /// Add the table to the step summary of GitHub; so it is if GITHUB_ACTIONS is set
    #[arg(long)]
    github: bool,
    /// Folder that the page, the table and compare.json are written to; made below
    /// reports/compare/ if absent
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
}

impl ShownArguments {
    /// The age from which on processes count, in seconds.
    pub(crate) fn age(&self) -> Option<f64> {
        self.after_age.map(|age| age.as_secs_f64())
    }
}

pub(crate) fn compare_runs(arguments: &CompareArguments) -> Result<ExitCode> {
    let (before, after) = match (&arguments.runs[..], &arguments.against[..]) {
        ([before, after], []) => (vec![before.clone()], vec![after.clone()]),
        (_, []) => {
            eprintln!(
                "error: two runs are compared, and {} were given; name several with `meshlab \
                 compare BEFORE... --against AFTER...`",
                arguments.runs.len()
            );
            return Ok(ExitCode::Usage);
        }
        (before, after) => (before.to_vec(), after.to_vec()),
    };
    let age = arguments.shown.age();
    let Some(before) = finished::all(&before, age)? else { return Ok(ExitCode::Usage) };
    let Some(after) = finished::all(&after, age)? else { return Ok(ExitCode::Usage) };
    tell(&before, &after, &arguments.shown, Path::new("."))
}

/// Compares, prints and writes; the files go below `output` if nobody says where.
pub(crate) fn tell(
    before: &[RunFigures],
    after: &[RunFigures],
    shown: &ShownArguments,
    output: &Path,
) -> Result<ExitCode> {
    if let Some(both) = before.iter().find(|one| after.iter().any(|two| two.run == one.run))
        && !on(Mutant::CompareItself)
    {
        bail!("{} is on both sides: a run beside itself says nothing", both.run);
    }
    let options = CompareOptions {
        more_is_better: shown.more_is_better.clone(),
        allow_unlike: shown.allow_unlike.clone(),
    };
    let mut report = match compare(before, after, &options) {
        Ok(report) => report,
        Err(verdict) => {
            eprintln!("error: not compared: {}", verdict.reason().unwrap_or(verdict.word()));
            return Ok(ExitCode::from(&verdict));
        }
    };
    let folder = shown.page.clone().unwrap_or_else(|| place(output, &report));
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    if let (Some(before), Some(after)) = (before.first(), after.first()) {
        let Changes { drawn, notes } = draw_changes(before, after, &folder);
        report.flamegraphs.extend(drawn);
        report.notes.extend(notes);
    }
    let write = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
    };
    let page = folder.join("index.html");
    write(&page, report.html())?;
    write(&folder.join("compare.md"), report.markdown(usize::MAX / 2))?;
    write(&folder.join("compare.json"), format!("{:#}\n", report.json()))?;
    if let Some(comment) = &shown.comment {
        // Less than, not at most.
        write(comment, report.markdown(COMMENT_BYTES_MAX - 1))?;
    }
    if (shown.github || env::var_os("GITHUB_ACTIONS").is_some_and(|set| !set.is_empty()))
        && let Some(path) = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty())
    {
        append_summary(Path::new(&path), |room| report.markdown(room))?;
    }
    print!("{}", report.terminal());
    for (name, file) in &report.flamegraphs {
        println!("{name}: {}", folder.join(file).display());
    }
    println!("page       {}", page.display());
    Ok(report.exit_code())
}

/// `reports/compare/<scenario>/<before>--<after>`, by the first run of each side.
fn place(output: &Path, report: &CompareReport) -> PathBuf {
    let leaf = |runs: &[String]| {
        let name = runs.first().and_then(|run| run.rsplit('/').next()).unwrap_or("none");
        let safe = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
        name.chars().map(safe).collect::<String>()
    };
    let (before, after) = (leaf(&report.before), leaf(&report.after));
    let scenario: String =
        report.scenario.chars().map(|c| if c == '/' || c == '.' { '_' } else { c }).collect();
    output.join("reports/compare").join(scenario).join(format!("{before}--{after}"))
}
