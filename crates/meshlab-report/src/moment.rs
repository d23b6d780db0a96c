//! What a moment of a run holds: its spans as lines of text, and the lines of a node's log around
//! it. `meshlab spans` and `meshlab logs` print them, the live page shows them.

use std::{
    io::{self, BufRead},
    ops::RangeInclusive,
    time::Duration,
};

use meshlab_model::{RunTime, SpanRecord, format_duration};

/// Longest line of a log that is shown whole, in bytes.
const LINE_MAX: usize = 10_000;

/// Whether an attribute of the span is that text, or that number or truth as text.
pub fn has_attribute(span: &SpanRecord, name: &str, value: &str) -> bool {
    span.attributes.get(name).is_some_and(|found| match found {
        serde_json::Value::String(text) => text == value,
        other => value == other.to_string().as_str(),
    })
}

/// A span as a line of text without control characters.
pub fn span_line(span: &SpanRecord) -> String {
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

/// What a node sent may hold anything; whoever reads it gets no control characters from it.
fn printable(text: &str) -> String {
    let one = |c: char| match c {
        '\t' => " ".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}

/// Gives `show` the lines of a log whose time lies in `within`, in microseconds since the run
/// started, and lines without a time that follow one of those. Returns how many.
///
/// # Errors
/// The log cannot be read, or what `show` says.
pub fn log_excerpt(
    mut log: impl BufRead,
    started_unix_nanos: u64,
    within: RangeInclusive<u64>,
    mut show: impl FnMut(String) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut bytes, mut inside, mut shown) = (Vec::new(), false, 0);
    loop {
        bytes.clear();
        if log.read_until(b'\n', &mut bytes)? == 0 {
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
            show(format!("{prefix}{}", printable(text.trim_end())))?;
        }
    }
}

/// When a line was written, by the time that it begins with; before the run's start counts as it.
fn time_of(line: &str, started_unix_nanos: u64) -> Option<u64> {
    let stamp: jiff::Timestamp = line.split_whitespace().next()?.parse().ok()?;
    let since = stamp.as_nanosecond() - i128::from(started_unix_nanos);
    u64::try_from(since.max(0) / 1000).ok()
}

/// A node's name is the name of a file, and no way out of the folder.
pub fn is_log_name(node: &str) -> bool {
    !node.is_empty() && !node.contains(['/', '\0']) && node != ".." && node != "."
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-11-21T14:07:21.000000Z  INFO a: early\n\
        2026-11-21T14:07:23.500000Z  INFO b: hit\n  at a line of a trace \u{1b}[2J\n\
        2026-11-21T14:07:29.000000Z  INFO c: late\n";

    fn shown(from: u64, until: u64) -> (u64, String) {
        let started: jiff::Timestamp = "2026-11-21T14:07:20Z".parse().unwrap();
        let started = u64::try_from(started.as_nanosecond()).unwrap();
        let mut out = String::new();
        let show = |line: String| {
            out.push_str(&line);
            out.push('\n');
            Ok(())
        };
        let shown = log_excerpt(LOG.as_bytes(), started, from..=until, show).unwrap();
        (shown, out)
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
        .unwrap();
        assert!(has_attribute(&span, "state", "Dead") && has_attribute(&span, "n", "3"));
        assert!(!has_attribute(&span, "state", "Dea") && !has_attribute(&span, "none", ""));
        assert_eq!(
            span_line(&span),
            "00:01.500 node-1 x 2.0 ms n=3 state=\"Dead\" text=\"a\\u001bb\""
        );
    }
}
