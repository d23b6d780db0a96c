//! `meshlab export`: a run's record in forms that other tools open.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use meshlab_engine::{
    Collector, forward_record,
    results::{RunRecord, read_run},
};
use meshlab_model::{ExitCode, RunTime};
use meshlab_report::write_perfetto;

use crate::{cli::moment, report::locate, watch};

/// The name of the file that `--perfetto` writes into the run's folder.
const PERFETTO: &str = "trace.perfetto.json";

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("form").required(true).multiple(true))]
pub(crate) struct ExportArguments {
    /// The run's folder, such as results/chaos-smoke/latest, or its name under results/; it may
    /// still be running
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Write a trace for ui.perfetto.dev or chrome://tracing: nodes as processes, their spans,
    /// faults, CPU, memory and counters; to trace.perfetto.json in the run's folder, or `-` for
    /// stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, group = "form")]
    perfetto: Option<Option<PathBuf>>,
    /// Send the spans, and the faults as spans, to a collector over OTLP/http:
    /// http://127.0.0.1:4318
    #[arg(long, value_name = "URL", group = "form", value_parser = watch::collector)]
    otlp: Option<Collector>,
    /// Only what arrived from then on: `90s`, `1h2m`, or `01:30.250` as reports write it
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<RunTime>,
    /// Only what arrived until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<RunTime>,
}

pub(crate) fn export(arguments: &ExportArguments) -> Result<ExitCode> {
    let Some(folder) = locate(&arguments.run) else { return Ok(ExitCode::Usage) };
    let record = read_run(&folder).context("failed to read the run")?;
    if let Some(file) = &arguments.perfetto {
        let file = file.clone().unwrap_or_else(|| folder.join(PERFETTO));
        perfetto(&record, arguments, &file)?;
    }
    if let Some(collector) = &arguments.otlp {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sent = forward_record(collector, &record, arguments.since, arguments.until);
        let sent = runtime.block_on(sent).map_err(|error| anyhow!("failed to {error}"))?;
        eprintln!("{sent} spans sent to {collector}");
    }
    for damage in record.all_damage() {
        eprintln!("warning: the record is damaged, or still being written: {damage}");
    }
    Ok(ExitCode::Passed)
}

fn perfetto(record: &RunRecord, arguments: &ExportArguments, file: &Path) -> Result<()> {
    let write = |out: &mut dyn Write| {
        write_perfetto(record, arguments.since, arguments.until, out)
            .with_context(|| format!("failed to write the trace to {}", file.display()))
    };
    if file == Path::new("-") {
        // What is written for a program is all that goes to stdout.
        let traced = write(&mut BufWriter::new(io::stdout().lock()))?;
        eprintln!("{} spans, {} values, {} faults", traced.spans, traced.values, traced.faults);
        return Ok(());
    }
    let out = File::create(file).with_context(|| format!("failed to make {}", file.display()))?;
    let traced = write(&mut BufWriter::new(out))?;
    println!(
        "{} spans, {} values and {} faults in {}; open it in ui.perfetto.dev or chrome://tracing",
        traced.spans,
        traced.values,
        traced.faults,
        file.display()
    );
    Ok(())
}
