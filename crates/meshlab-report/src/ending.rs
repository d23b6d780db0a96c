//! What is said of a record that has no end: where it breaks off.

use meshlab_engine::results::{RunRecord, file};
use meshlab_model::{RunEventKind, RunTime};
use serde_json::{Value, json};

/// Where a record breaks off whose run has no end, in a sentence; `None` if it has one. The harness
/// was killed, the host stopped, or the run still goes on.
pub fn unfinished(record: &RunRecord) -> Option<String> {
    if ended(record) {
        return None;
    }
    let mut told = match record.events.last() {
        None => format!("the run has no end: there is no event in {}", file::EVENTS),
        Some(last) => format!(
            "the run has no end: the last of its events is number {} at {} ({})",
            last.seq,
            last.at,
            utc(record, last.at)
        ),
    };
    for (what, last) in lasts(record) {
        if let Some((at, segment)) = last {
            told.push_str(&format!(", the last of its {what} at {at} in {segment}"));
        }
    }
    let run = &record.manifest.run;
    told.push_str(&format!("; `meshlab run --resume {run}` goes on with one that was killed"));
    Some(told)
}

/// The same for machines.
pub(crate) fn json(record: &RunRecord) -> Value {
    let mut ending = json!({ "complete": ended(record) });
    if let Some(last) = record.events.last() {
        ending["last_event"] =
            json!({ "seq": last.seq, "at": last.at, "utc": utc(record, last.at) });
    }
    for (what, last) in lasts(record) {
        if let Some((at, segment)) = last {
            ending[format!("last_of_{what}")] = json!({ "at": at, "segment": segment });
        }
    }
    ending
}

fn ended(record: &RunRecord) -> bool {
    let last = record.events.last();
    last.is_some_and(|last| matches!(last.kind, RunEventKind::RunFinished { .. }))
}

fn lasts(record: &RunRecord) -> [(&'static str, Option<(RunTime, String)>); 2] {
    [(file::SPANS, record.spans.last()), (file::SAMPLES, record.samples.last())]
}

fn utc(record: &RunRecord, at: RunTime) -> String {
    let started = record.manifest.started_unix_nanos;
    crate::text::utc(started.saturating_add(at.micros.saturating_mul(1000)))
}
