//! `meshlab gate` and `meshlab baseline`: a finished run held against ceilings and earlier runs.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use meshlab_model::{Baseline, ByteSize, ExitCode, Percent, Resource};
use meshlab_report::{
    BaselineError, COMMENT_BYTES_MAX, GateLimits, GateReport, Quantile, RunFigures,
    SUMMARY_BYTES_MAX, gate, make_baseline, read_baseline,
};

use crate::{
    finished,
    profile::{Changes, draw_changes},
};

#[derive(Debug, Args)]
pub(crate) struct GateArguments {
    /// The run's folder, such as results/idle-is-quiet/latest, or its name under results/
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Hold it against what earlier runs came to; `meshlab baseline` makes the file
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// The most CPU that each node may use: a share of one core, such as `10%`
    #[arg(long, value_name = "SHARE", value_parser = share)]
    cpu: Option<f64>,
    /// The most memory that each node may have resident, such as `64MiB`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    rss: Option<f64>,
    /// The most files that each node may have open
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    open_files: Option<u32>,
    /// The most threads that each node may have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Which of a node's samples is held against its ceiling
    #[arg(long, value_enum, default_value_t = Held::P95)]
    quantile: Held,
    /// Processes count from this age on; found from their samples if absent
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    after: Option<Duration>,
    /// With --baseline: how much more than that is allowed
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "10%",
        requires = "baseline")]
    allow: f64,
    /// With --baseline: hold this metric of the scenario's own too; less of it is better
    #[arg(long, value_name = "NAME", requires = "baseline")]
    metric: Vec<String>,
    /// With --baseline: hold it against one made under other conditions all the same; the reason
    /// stands beside the verdict
    #[arg(long, value_name = "REASON", requires = "baseline")]
    allow_unlike: Option<String>,
    /// Write annotations and the step summary for GitHub; so it is if GITHUB_ACTIONS is set
    #[arg(long)]
    github: bool,
    /// Write a comment for a pull request to this file, in markdown, less than 64 KiB
    #[arg(long, value_name = "FILE")]
    comment: Option<PathBuf>,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BaselineArguments {
    /// Runs of one scenario that were green, or a folder of them such as results/idle-is-quiet;
    /// three are the fewest that a gate can be decided by
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Processes count from this age on; found from their samples if absent
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    after: Option<Duration>,
    /// The file that is written
    #[arg(short, long, value_name = "FILE", default_value = "baseline.json")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Held {
    /// 95 % of the samples are not above it
    P95,
    /// 99 % of the samples are not above it
    P99,
    /// No sample is above it
    Max,
}

pub(crate) fn length(text: &str) -> Result<Duration, String> {
    meshlab_model::parse_duration(text).map_err(|error| error.to_string())
}

fn share(text: &str) -> Result<f64, String> {
    let share = Percent::parse(text).map_err(|error| error.to_string())?.0;
    if share > 0.0 { Ok(share) } else { Err("it is above `0%`".to_owned()) }
}

fn size(text: &str) -> Result<f64, String> {
    let bytes = ByteSize::parse(text).map_err(|error| error.to_string())?.0;
    if bytes > 0 { Ok(bytes as f64) } else { Err("it is above `0B`".to_owned()) }
}

pub(crate) fn gate_run(arguments: &GateArguments) -> Result<ExitCode> {
    let mut limits = GateLimits {
        ceilings: ceilings(arguments),
        quantile: match arguments.quantile {
            Held::P95 => Quantile::P95,
            Held::P99 => Quantile::P99,
            Held::Max => Quantile::Max,
        },
        baseline: None,
        allow: arguments.allow,
        metrics: arguments.metric.clone(),
        allow_unlike: arguments.allow_unlike.clone(),
    };
    if limits.ceilings.is_empty() && arguments.baseline.is_none() {
        eprintln!(
            "error: there is nothing to hold the run against: give a ceiling such as `--cpu 10%` \
             or `--rss 64MiB`, or `--baseline FILE`"
        );
        return Ok(ExitCode::Usage);
    }
    if let Some(path) = &arguments.baseline {
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "failed to read the baseline {}; `meshlab baseline RUN...` makes one",
                path.display()
            )
        })?;
        limits.baseline = Some(read_baseline(path, &text).context("failed to read a baseline")?);
    }
    let after = arguments.after.map(|after| after.as_secs_f64());
    let Some(run) = finished::figures(&arguments.run, after)? else { return Ok(ExitCode::Usage) };
    let report = gate(&run, &limits);
    print!("{}", report.terminal());
    if let Some(baseline) = &limits.baseline {
        tell_changes(baseline, &run);
    }
    write_files(arguments, &report)?;
    Ok(report.exit_code())
}

/// Draws what became of the profiles of the baseline's last run, where that still lies beside this
/// one and both have some. They explain a verdict and are no part of it.
fn tell_changes(baseline: &Baseline, run: &RunFigures) {
    let results = run.folder.parent().and_then(Path::parent);
    let Some(before) = results.zip(baseline.runs.last()).map(|(all, name)| all.join(name)) else {
        return;
    };
    if !before.exists() {
        return;
    }
    let Ok(Some(before)) = finished::figures(&before, None) else { return };
    let folder = run.folder.join("changes");
    let Changes { drawn, notes } = draw_changes(&before, run, &folder);
    for (name, file) in drawn {
        println!("{name} against {}: {}", before.run, folder.join(file).display());
    }
    notes.iter().for_each(|note| println!("{note}"));
}

fn ceilings(arguments: &GateArguments) -> BTreeMap<Resource, f64> {
    let all = [
        (Resource::Cpu, arguments.cpu),
        (Resource::Rss, arguments.rss),
        (Resource::OpenFiles, arguments.open_files.map(f64::from)),
        (Resource::Threads, arguments.threads.map(f64::from)),
    ];
    all.into_iter().filter_map(|(resource, limit)| Some((resource, limit?))).collect()
}

/// What a CI service reads.
fn write_files(arguments: &GateArguments, report: &GateReport) -> Result<()> {
    let write = |path: &Path, text: &str| {
        fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
    };
    if let Some(path) = &arguments.comment {
        // Less than, not at most.
        write(path, &report.markdown(COMMENT_BYTES_MAX - 1))?;
    }
    if let Some(path) = &arguments.junit {
        write(path, &report.junit())?;
    }
    if arguments.github || env::var_os("GITHUB_ACTIONS").is_some_and(|set| !set.is_empty()) {
        for line in report.annotations().lines() {
            println!("{line}");
        }
        match env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
            Some(path) => append_summary(Path::new(&path), |room| report.markdown(room))?,
            None => eprintln!("GITHUB_STEP_SUMMARY is not set, so no step summary is written"),
        }
    }
    Ok(())
}

/// Adds to the step summary what there is still room for: what the step wrote before counts too.
pub(crate) fn append_summary(path: &Path, text: impl Fn(usize) -> String) -> Result<()> {
    let failed = || format!("failed to write the step summary {}", path.display());
    let before = fs::metadata(path).map_or(0, |meta| meta.len());
    let room = SUMMARY_BYTES_MAX.saturating_sub(usize::try_from(before).unwrap_or(usize::MAX));
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path);
    let file = file.as_mut().map_err(|error| anyhow::anyhow!("{error}")).with_context(failed)?;
    file.write_all(text(room.saturating_sub(1)).as_bytes()).with_context(failed)
}

pub(crate) fn baseline(arguments: &BaselineArguments) -> Result<ExitCode> {
    let after = arguments.after.map(|after| after.as_secs_f64());
    let Some(runs) = finished::all(&arguments.runs, after)? else { return Ok(ExitCode::Usage) };
    let baseline = match make_baseline(&runs) {
        Ok(baseline) => baseline,
        Err(error) => {
            eprintln!("error: failed to make a baseline: {error}");
            return Ok(match error {
                BaselineError::Run(verdict) => ExitCode::from(&verdict),
                BaselineError::Unlike { .. } => ExitCode::Inconclusive,
                BaselineError::Malformed(..) | BaselineError::Schema(..) => ExitCode::HarnessFailed,
            });
        }
    };
    let text = serde_json::to_string_pretty(&baseline).context("failed to write the baseline")?;
    fs::write(&arguments.output, text + "\n")
        .with_context(|| format!("failed to write {}", arguments.output.display()))?;
    print!("{}", meshlab_report::baseline_terminal(&baseline));
    println!("\nbaseline  {}", arguments.output.display());
    Ok(ExitCode::Passed)
}
