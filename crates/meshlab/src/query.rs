//! `meshlab query`, `meshlab spans` and `meshlab logs`: what a run's record holds, also while the
//! run goes on. They read and never write.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result};
use meshlab_engine::results::{Filter, RunRecord, file, read_run};
use meshlab_model::{ExitCode, RunTime};
use meshlab_query::{Format, QueryError, query as ask, write_answer};
use meshlab_report::{has_attribute, is_log_name, log_excerpt, span_line};

use crate::{
    cli::{LogsArguments, OutputFormat, QueryArguments, SpansArguments},
    report::locate,
};

pub(crate) fn query(arguments: &QueryArguments) -> Result<ExitCode> {
    let Some(record) = record(&arguments.run)? else { return Ok(ExitCode::Usage) };
    let format = match arguments.format {
        OutputFormat::Table => Format::Table,
        OutputFormat::Json => Format::Json,
        OutputFormat::Csv => Format::Csv,
    };
    let mut writer = write_answer(BufWriter::new(io::stdout().lock()), format);
    let asked = ask(record.clone(), &arguments.sql, &mut writer);
    let written = match asked {
        Ok(()) => writer.finish(),
        Err(QueryError::Output(error)) => Err(error),
        Err(error) => {
            eprintln!("error: failed to ask the run: {error}");
            return Ok(ExitCode::Usage);
        }
    };
    done(written, &record)
}

pub(crate) fn spans(arguments: &SpansArguments) -> Result<ExitCode> {
    let Some(record) = record(&arguments.run)? else { return Ok(ExitCode::Usage) };
    let filter = Filter {
        since: arguments.since,
        until: arguments.until,
        name: arguments.name.clone(),
        node: arguments.node.clone(),
        number: None,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut shown = 0_u64;
    let write = |out: &mut BufWriter<_>, shown: &mut u64| {
        for span in record.spans.select(filter) {
            if arguments.attributes.iter().all(|(name, value)| has_attribute(&span, name, value)) {
                *shown += 1;
                writeln!(out, "{}", span_line(&span))?;
            }
        }
        out.flush()
    };
    let written = write(&mut out, &mut shown);
    if shown == 0 && written.is_ok() {
        eprintln!("{}", nothing(&record, arguments));
    }
    done(written, &record)
}

/// What there would have been to find, where nothing was found.
fn nothing(record: &RunRecord, arguments: &SpansArguments) -> String {
    let counts = record.spans.counts();
    match &arguments.name {
        Some(name) if !counts.contains_key(name) => {
            let names: Vec<&str> = counts.keys().map(String::as_str).take(40).collect();
            format!("no span is called `{name}`; there are: {}", names.join(", "))
        }
        _ => "no such span; look further with another --since, --until, --node or --where".into(),
    }
}

pub(crate) fn logs(arguments: &LogsArguments) -> Result<ExitCode> {
    let Some(folder) = locate(&arguments.run) else { return Ok(ExitCode::Usage) };
    let record = read_run(&folder).context("failed to read the run")?;
    let path = folder.join(file::LOGS).join(format!("{}.log", arguments.node));
    let log = match File::open(&path) {
        Ok(log) if is_log_name(&arguments.node) => log,
        Ok(_) => return Ok(no_log(&folder, &arguments.node)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(no_log(&folder, &arguments.node));
        }
        Err(error) => {
            return Err(error).with_context(|| format!("failed to read {}", path.display()));
        }
    };
    let started = record.manifest.started_unix_nanos;
    let around = u64::try_from(arguments.around.as_micros()).unwrap_or(u64::MAX);
    let from = arguments.at.micros.saturating_sub(around);
    let until = arguments.at.micros.saturating_add(around);
    let mut out = BufWriter::new(io::stdout().lock());
    let show = |line: String| writeln!(out, "{line}");
    let shown = log_excerpt(BufReader::new(log), started, from..=until, show);
    match shown.and_then(|shown| out.flush().map(|()| shown)) {
        Ok(0) => {
            eprintln!(
                "{} wrote nothing to its log between {} and {}; look wider with --around",
                arguments.node,
                RunTime { micros: from },
                RunTime { micros: until }
            );
            Ok(ExitCode::Passed)
        }
        other => done(other.map(drop), &record),
    }
}

fn no_log(folder: &Path, node: &str) -> ExitCode {
    let entries = std::fs::read_dir(folder.join(file::LOGS)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".log")?.to_owned())).collect();
    names.sort();
    eprintln!("error: there is no log of `{node}`; there are: {}", names.join(", "));
    ExitCode::Usage
}

/// The record of a run, given by its path or name; what is wrong has been told where there is none.
fn record(run: &Path) -> Result<Option<RunRecord>> {
    let Some(folder) = locate(run) else { return Ok(None) };
    read_run(&folder).context("failed to read the run").map(Some)
}

/// The end of a command that wrote to stdout. Whoever reads it may stop when they have enough.
fn done(written: io::Result<()>, record: &RunRecord) -> Result<ExitCode> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            return Err(error).context("failed to write the answer");
        }
        _ => {}
    }
    if let Some(told) = meshlab_report::unfinished(record) {
        eprintln!("note: {told}");
    }
    for damage in record.all_damage() {
        eprintln!("warning: the record is damaged, or still being written: {damage}");
    }
    Ok(ExitCode::Passed)
}
