//! `meshlab query`, `meshlab spans` and `meshlab logs`: what a run's record holds, also while the
//! run goes on. They read and never write.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use meshlab_engine::results::{Filter, RunRecord, file, read_run};
use meshlab_model::{ExitCode, RunTime, SpanRecord, format_duration};
use meshlab_query::{Format, QueryError, query as ask, write_answer};

use crate::{
    cli::{LogsArguments, OutputFormat, QueryArguments, SpansArguments},
    report::locate,
};

/// Longest line of a log that is shown whole.
const LINE_MAX: usize = 10_000;

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
            if arguments.attributes.iter().all(|(name, value)| has(&span, name, value)) {
                *shown += 1;
                writeln!(out, "{}", line(&span))?;
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

/// Whether an attribute of the span is that text, or that number or truth as text.
fn has(span: &SpanRecord, name: &str, value: &str) -> bool {
    span.attributes.get(name).is_some_and(|found| match found {
        serde_json::Value::String(text) => text == value,
        other => value == other.to_string().as_str(),
    })
}

fn line(span: &SpanRecord) -> String {
    let mut line = format!(
        "{} {} {} {}",
        span.arrived,
        span.node,
        span.name,
        format_duration(Duration::from_nanos(span.took_nanos()))
    );
    for (name, value) in &span.attributes {
        line.push_str(&format!(" {name}={value}"));
    }
    printable(&line)
}

/// What a node sent may hold anything; a terminal gets no control characters from it.
fn printable(text: &str) -> String {
    let one = |c: char| match c {
        '\t' => " ".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}

pub(crate) fn logs(arguments: &LogsArguments) -> Result<ExitCode> {
    let Some(folder) = locate(&arguments.run) else { return Ok(ExitCode::Usage) };
    let record = read_run(&folder).context("failed to read the run")?;
    let path = folder.join(file::LOGS).join(format!("{}.log", arguments.node));
    let log = match File::open(&path) {
        Ok(log) if is_name(&arguments.node) => log,
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
    let shown = excerpt(BufReader::new(log), started, from..=until, &mut out);
    match shown {
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

/// A node's name is the name of a file, and no way out of the folder.
fn is_name(node: &str) -> bool {
    !node.contains('/') && node != ".." && node != "."
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

/// Writes the lines whose time lies in `within`, in microseconds since the run started, and lines
/// without a time that follow one of those. Returns how many.
fn excerpt(
    mut log: impl BufRead,
    started_unix_nanos: u64,
    within: std::ops::RangeInclusive<u64>,
    out: &mut impl Write,
) -> io::Result<u64> {
    let (mut bytes, mut inside, mut shown) = (Vec::new(), false, 0);
    loop {
        bytes.clear();
        if log.read_until(b'\n', &mut bytes)? == 0 {
            out.flush()?;
            return Ok(shown);
        }
        bytes.truncate(LINE_MAX);
        let text = String::from_utf8_lossy(&bytes);
        let mut prefix = String::new();
        if let Some(at) = time_of(&text, started_unix_nanos) {
            inside = within.contains(&at);
            prefix = format!("{} ", RunTime { micros: at });
        }
        if inside {
            shown += 1;
            writeln!(out, "{prefix}{}", printable(text.trim_end()))?;
        }
    }
}

/// When a line was written, by the time that it begins with; before the run's start counts as it.
fn time_of(line: &str, started_unix_nanos: u64) -> Option<u64> {
    let stamp: jiff::Timestamp = line.split_whitespace().next()?.parse().ok()?;
    let since = stamp.as_nanosecond() - i128::from(started_unix_nanos);
    u64::try_from(since.max(0) / 1000).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-11-21T14:07:21.000000Z  INFO a: early\n\
        2026-11-21T14:07:23.500000Z  INFO b: hit\n  at a line of a trace \u{1b}[2J\n\
        2026-11-21T14:07:29.000000Z  INFO c: late\n";

    fn shown(from: u64, until: u64) -> (u64, String) {
        let started: jiff::Timestamp = "2026-11-21T14:07:20Z".parse().expect("a time");
        let started = u64::try_from(started.as_nanosecond()).expect("after 1970");
        let mut out = Vec::new();
        let shown = excerpt(LOG.as_bytes(), started, from..=until, &mut out).expect("a log");
        (shown, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_log_is_shown_around_a_moment_with_the_times_of_the_run() {
        let hit = "00:03.500 2026-11-21T14:07:23.500000Z  INFO b: hit\n  \
            at a line of a trace \\u{1b}[2J\n";
        assert_eq!(shown(3_000_000, 4_000_000), (2, hit.to_owned()));
        assert_eq!(shown(0, u64::MAX).0, 4);
        assert_eq!(shown(4_000_000, 5_000_000).0, 0);
    }

    #[test]
    fn an_attribute_is_compared_as_it_is_written() {
        let span: SpanRecord = serde_json::from_value(serde_json::json!({
            "seq": 1, "arrived": 1_500_000, "node": "node-1", "name": "x", "trace_id": "",
            "span_id": "", "start_unix_nanos": 0, "end_unix_nanos": 2_000_000,
            "attributes": { "state": "Dead", "n": 3, "text": "a\u{1b}b" }
        }))
        .expect("a span");
        assert!(has(&span, "state", "Dead") && has(&span, "n", "3"));
        assert!(!has(&span, "state", "Dea") && !has(&span, "none", ""));
        assert_eq!(line(&span), "00:01.500 node-1 x 2.0 ms n=3 state=\"Dead\" text=\"a\\u001bb\"");
    }
}
