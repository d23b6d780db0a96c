//! Lines of a node's log that came over OTLP: written to its log file, beside what it writes to
//! stdout and stderr, in the same form.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use meshlab_fleet::LOG_BYTES_MAX;
use meshlab_model::NodeId;
use meshlab_spans::LogLine;

use crate::engine::lock;

/// Writes lines to logs; of each node as much as of what it writes itself.
#[derive(Debug)]
pub(crate) struct Logs {
    folder: PathBuf,
    of: Mutex<BTreeMap<NodeId, Written>>,
}

#[derive(Debug, Default)]
struct Written {
    bytes: u64,
    /// Lines that were not written: over the bound, or because the disk refused them.
    lost: u64,
    why: Option<String>,
}

impl Logs {
    /// Logs in that folder, a file for each node.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, of: Mutex::default() }
    }

    /// Appends lines to the log of a node. `now` stands for a time that a line does not say.
    pub(crate) fn write(&self, node: &NodeId, lines: &[LogLine], now: jiff::Timestamp) {
        let mut of = lock(&self.of);
        let written = of.entry(node.clone()).or_default();
        let mut text = String::new();
        let mut fit = 0;
        for line in lines {
            let line = render(line, now);
            if written.bytes + (text.len() + line.len()) as u64 > LOG_BYTES_MAX {
                let most = LOG_BYTES_MAX / 1_048_576;
                written.why.get_or_insert(format!("more than {most} MiB"));
                break;
            }
            text.push_str(&line);
            fit += 1;
        }
        written.lost += (lines.len() - fit) as u64;
        // As with the node's own output, the page cache takes it; another thread would cost more.
        match append(&self.folder.join(format!("{node}.log")), &text) {
            Ok(()) => written.bytes += text.len() as u64,
            Err(error) => {
                written.lost += fit as u64;
                written.why.get_or_insert(error.to_string());
            }
        }
    }

    /// What was not written, a sentence for each node.
    pub(crate) fn lost(&self) -> Vec<String> {
        let of = lock(&self.of);
        let lost = of.iter().filter(|(_, written)| written.lost > 0);
        lost.map(|(node, written)| {
            let why = written.why.as_deref().unwrap_or_default();
            format!("{} lines that {node} logged over OTLP are not in its log: {why}", written.lost)
        })
        .collect()
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    // In one piece: the node's output goes to the same file.
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

/// As `tracing` writes a line, so that `meshlab logs` and the notes of a claim read both.
fn render(line: &LogLine, now: jiff::Timestamp) -> String {
    let told = (line.at_unix_nanos > 0)
        .then(|| jiff::Timestamp::from_nanosecond(line.at_unix_nanos.into()).ok());
    let at = told.flatten().unwrap_or(now);
    let colon = if line.scope.is_empty() { "" } else { ": " };
    format!("{at:.6} {:>5} {}{colon}{}\n", line.severity, line.scope, line.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, at_unix_nanos: u64) -> LogLine {
        let (severity, scope) = ("WARN".to_owned(), "net::dial".to_owned());
        LogLine { at_unix_nanos, severity, scope, text: text.to_owned() }
    }

    #[test]
    fn lines_stand_in_the_form_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().to_owned());
        let now = jiff::Timestamp::from_second(1_800_000_001).unwrap();
        let lines = [line("no answer", 1_800_000_000_250_000_000), line("late", 0)];
        logs.write(&"node-1".into(), &lines, now);
        let text = std::fs::read_to_string(folder.path().join("node-1.log")).unwrap();
        assert_eq!(
            text,
            "2027-01-15T08:00:00.250000Z  WARN net::dial: no answer\n\
             2027-01-15T08:00:01.000000Z  WARN net::dial: late\n"
        );
        assert!(logs.lost().is_empty());
    }

    #[test]
    fn a_flood_has_a_bound_and_what_is_over_it_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(folder.path().to_owned());
        let node = "node-1".into();
        let lines = vec![line(&"y".repeat(8000), 1); 3000];
        logs.write(&node, &lines, jiff::Timestamp::UNIX_EPOCH);
        logs.write(&node, &lines[..1], jiff::Timestamp::UNIX_EPOCH);
        let length = std::fs::metadata(folder.path().join("node-1.log")).unwrap().len();
        assert!(length <= LOG_BYTES_MAX && length > LOG_BYTES_MAX - 9000, "{length}");
        let kept = std::fs::read_to_string(folder.path().join("node-1.log")).unwrap();
        let lost = 3001 - kept.lines().count();
        let told = format!(
            "{lost} lines that node-1 logged over OTLP are not in its log: more than 16 MiB"
        );
        assert_eq!(logs.lost(), [told]);
        let broken = Logs::new(folder.path().join("nowhere"));
        broken.write(&node, &lines[..2], jiff::Timestamp::UNIX_EPOCH);
        let told = broken.lost().pop().unwrap();
        assert!(told.starts_with("2 lines that node-1 logged over OTLP are not in its"), "{told}");
    }
}
