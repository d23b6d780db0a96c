//! From OTLP to lines of a log, within limits.

use meshlab_model::NodeId;
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest, logs::v1::LogRecord,
};
use serde_json::Value;

use crate::decode::{clip, json};

/// Longest request, as it comes and unpacked. An empty record takes 2 bytes here and two hundred
/// once it is decoded.
pub(crate) const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Longest text of a line: what it says and its attributes. The rest is cut off and counted.
pub(crate) const TEXT_BYTES_MAX: usize = 8 * 1024;

const SEVERITY_BYTES_MAX: usize = 16;
const SCOPE_BYTES_MAX: usize = 256;
const ATTRIBUTES_MAX: usize = 128;

/// A line of a node's log that came over OTLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written by the node's clock, nanoseconds since 1970; 0 if it does not say.
    pub at_unix_nanos: u64,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE`, or the node's own word.
    pub severity: String,
    /// Who wrote it within the node: the instrumentation scope. May be empty.
    pub scope: String,
    /// What it says and its attributes, on one line, without control characters.
    pub text: String,
}

/// Hears of the lines of a node, as they come.
pub type LogSink = Box<dyn Fn(&NodeId, &[LogLine]) + Send + Sync>;

/// The lines of a request, and how many of them were cut to a limit.
pub(crate) fn lines(request: ExportLogsServiceRequest) -> (Vec<LogLine>, u64) {
    let mut truncated = 0;
    let mut lines = Vec::new();
    for logs in request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs) {
        let mut scope = logs.scope.map(|scope| scope.name).unwrap_or_default();
        let cut = clip(&mut scope, SCOPE_BYTES_MAX);
        let scope = one_line(&scope);
        for record in logs.log_records {
            let mut cut = cut;
            lines.push(line(record, &scope, &mut cut));
            truncated += u64::from(cut);
        }
    }
    (lines, truncated)
}

fn line(record: LogRecord, scope: &str, cut: &mut bool) -> LogLine {
    *cut |= record.attributes.len() > ATTRIBUTES_MAX;
    let mut text = match json(record.body, cut, 0) {
        Value::Null => record.event_name,
        Value::String(text) => text,
        other => other.to_string(),
    };
    for pair in record.attributes.into_iter().take(ATTRIBUTES_MAX) {
        if text.len() > TEXT_BYTES_MAX {
            break;
        }
        let value = json(pair.value, cut, 0);
        text.push_str(&format!(" {}={value}", pair.key));
    }
    // Escaped it may be longer, so it is cut before and after.
    *cut |= clip(&mut text, TEXT_BYTES_MAX);
    let mut text = one_line(&text);
    *cut |= clip(&mut text, TEXT_BYTES_MAX);
    LogLine {
        // A record that was bridged from elsewhere may only know when it was seen.
        at_unix_nanos: match record.time_unix_nano {
            0 => record.observed_time_unix_nano,
            at => at,
        },
        severity: severity(record.severity_number, record.severity_text, cut),
        scope: scope.to_owned(),
        text,
    }
}

/// By the numbers of the OpenTelemetry log data model; else the node's own word, else `INFO`.
fn severity(number: i32, mut text: String, cut: &mut bool) -> String {
    let known = match number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=24 => "ERROR",
        _ if text.trim().is_empty() => "INFO",
        _ => {
            *cut |= clip(&mut text, SEVERITY_BYTES_MAX);
            return one_line(text.trim()).replace(' ', "_");
        }
    };
    known.to_owned()
}

/// A record is a line: one that has several must not be able to write another's.
fn one_line(text: &str) -> String {
    let one = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    match text.chars().any(char::is_control) {
        true => text.chars().map(one).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
