//! A run as a trace for <https://ui.perfetto.dev> or `chrome://tracing`: the JSON of the Trace Event
//! Format (Duffy, Sinclair, "Trace Event Format", 2016). A process is a node, `lanes.rs` decides
//! the rows of its spans; faults, tests and steps have a process of their own each.
//!
//! Spans and samples are written as they are read, so a run of any length takes no more memory than
//! its events.

mod lanes;

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use meshlab_engine::results::{Filter, HARNESS, Record, RunRecord};
use meshlab_model::{NodeId, RunTime, SampleSource, SpanRecord};
use serde_json::{Value, json};

use self::lanes::{Extent, Kin, Lanes};
use crate::view::{FaultView, RunView};

/// A span is flushed within a tenth of a second; one that claims to have ended longer before its
/// arrival comes from a clock that is off. As the receiver judges it.
const FLUSHED_WITHIN_NANOS: u64 = 2_000_000_000;

/// Processes of the trace that are none of the run; nodes follow.
const TESTS: u64 = 1;
const FAULTS: u64 = 2;
const NODES: u64 = 10;

/// What a trace holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traced {
    /// Spans of nodes.
    pub spans: u64,
    /// Of those, the ones drawn by themselves because every row was taken.
    pub apart: u64,
    /// Values of counters.
    pub values: u64,
    /// Faults.
    pub faults: u64,
}

/// Writes the run as a trace. Of spans and samples those between `since` and `until`.
///
/// # Errors
/// `out` cannot be written.
pub fn write_perfetto(
    record: &RunRecord,
    since: Option<RunTime>,
    until: Option<RunTime>,
    out: &mut dyn Write,
) -> io::Result<Traced> {
    let mut view = RunView::new(&record.manifest.tests);
    record.events.iter().for_each(|event| view.apply(event));
    let mut trace = Trace {
        out,
        first: true,
        started: record.manifest.started_unix_nanos,
        processes: BTreeMap::new(),
        traced: Traced::default(),
    };
    trace.out.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
    trace.tests(&view)?;
    trace.faults(&view)?;
    for node in view.nodes.keys() {
        trace.process(node.as_str())?;
    }
    let filter = Filter { since, until, ..Filter::default() };
    for span in record.spans.select(filter.clone()) {
        trace.span(span)?;
    }
    for sample in record.samples.select(filter.clone()) {
        let of = match &sample.of {
            SampleSource::Node(node) => node.as_str(),
            SampleSource::Harness => HARNESS,
        };
        if let Some(cpu) = sample.cpu {
            trace.value(of, "CPU, % of a core", sample.at, cpu * 100.0)?;
        }
        trace.value(of, "RSS, MiB", sample.at, sample.rss_bytes as f64 / 1_048_576.0)?;
        trace.value(of, "open files", sample.at, sample.open_files.into())?;
        trace.value(of, "threads", sample.at, sample.threads.into())?;
    }
    for sample in record.counters.select(filter) {
        for (name, value) in &sample.values {
            trace.value(sample.node(), name, sample.at, *value)?;
        }
    }
    trace.out.write_all(b"\n]}\n")?;
    trace.out.flush()?;
    Ok(trace.traced)
}

struct Trace<'a> {
    out: &'a mut dyn Write,
    first: bool,
    /// When the run started, by the wall clock.
    started: u64,
    processes: BTreeMap<String, Process>,
    traced: Traced,
}

struct Process {
    number: u64,
    lanes: Lanes,
}

/// Microseconds, as exact as they came: three digits behind the point.
fn micros(nanos: u64) -> Value {
    json!(nanos as f64 / 1000.0)
}

impl Trace<'_> {
    fn event(&mut self, event: &Value) -> io::Result<()> {
        self.out.write_all(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        serde_json::to_writer(&mut *self.out, event).map_err(io::Error::from)
    }

    fn name(&mut self, number: u64, name: &str) -> io::Result<()> {
        let named = json!({ "ph": "M", "pid": number, "name": "process_name",
            "args": { "name": name } });
        self.event(&named)?;
        self.event(&json!({ "ph": "M", "pid": number, "name": "process_sort_index",
            "args": { "sort_index": number } }))
    }

    fn row(&mut self, process: u64, row: u64, name: &str) -> io::Result<()> {
        self.event(&json!({ "ph": "M", "pid": process, "tid": row, "name": "thread_name",
            "args": { "name": name } }))
    }

    /// The number of the process that stands for a node or the harness.
    fn process(&mut self, of: &str) -> io::Result<u64> {
        if let Some(known) = self.processes.get(of) {
            return Ok(known.number);
        }
        let number = NODES + self.processes.len() as u64;
        let process = Process { number, lanes: Lanes::default() };
        self.processes.insert(of.to_owned(), process);
        self.name(number, of)?;
        Ok(number)
    }

    fn slice(
        &mut self,
        (process, row): (u64, u64),
        name: &str,
        from: RunTime,
        until: RunTime,
        args: Value,
    ) -> io::Result<()> {
        self.event(&json!({ "ph": "X", "pid": process, "tid": row, "name": name,
            "cat": "run", "ts": from.micros, "dur": until.micros.saturating_sub(from.micros),
            "args": args }))
    }

    fn tests(&mut self, view: &RunView) -> io::Result<()> {
        self.name(TESTS, "scenario")?;
        self.row(TESTS, 1, "tests")?;
        self.row(TESTS, 2, "steps")?;
        for (id, test) in &view.tests {
            let Some(started) = test.started else { continue };
            let until = test.finished.as_ref().map_or(view.last, |finished| finished.0);
            let args = json!({ "verdict": view.test_verdict(*id).word() });
            self.slice((TESTS, 1), &test.title, started, until, args)?;
        }
        for step in view.steps.values() {
            let until = step.finished.unwrap_or(view.last);
            self.slice((TESTS, 2), &step.name, step.started, until, json!({}))?;
        }
        Ok(())
    }

    /// A row for each fault: how long it was there, and a mark for everything that came of it.
    fn faults(&mut self, view: &RunView) -> io::Result<()> {
        if view.faults.is_empty() {
            return Ok(());
        }
        self.name(FAULTS, "faults")?;
        for (row, fault) in (1..).zip(view.faults.values()) {
            self.traced.faults += 1;
            self.fault(row, fault)?;
        }
        Ok(())
    }

    fn fault(&mut self, row: u64, fault: &FaultView) -> io::Result<()> {
        let targets: Vec<&str> = fault.targets.iter().map(NodeId::as_str).collect();
        self.row(FAULTS, row, &format!("{} {}", fault.name, targets.join(" ")))?;
        let last = |before: RunTime, at: RunTime| before.max(at);
        let noticed = fault.noticed.iter().map(|(at, ..)| *at).fold(fault.planned, last);
        let acted = fault.acted.as_ref().map_or(noticed, |acted| acted.0.max(noticed));
        let until = fault.undone.as_ref().map_or(acted, |undone| undone.0);
        let verdict = fault.judged();
        let args = json!({ "targets": targets, "told": fault.told, "verdict": verdict.word(),
            "reason": verdict.reason() });
        self.slice((FAULTS, row), &fault.name, fault.planned, until, args)?;
        let acted = fault.acted.iter().map(|(at, by)| (*at, "acted".to_owned(), by.clone()));
        let noticed = fault
            .noticed
            .iter()
            .map(|(at, node, by)| (*at, format!("noticed by {node}"), by.clone()));
        let undone = fault.undone.iter().map(|(at, how)| (*at, "undone".to_owned(), how.clone()));
        let healed = fault.healed.iter();
        let healed = healed.map(|(at, node)| (*at, format!("healed: {node}"), String::new()));
        for (at, name, why) in acted.chain(noticed).chain(undone).chain(healed) {
            self.event(&json!({ "ph": "i", "s": "t", "pid": FAULTS, "tid": row, "cat": "run",
                "name": name, "ts": at.micros, "args": { "why": why } }))?;
        }
        Ok(())
    }

    fn span(&mut self, span: SpanRecord) -> io::Result<()> {
        self.traced.spans += 1;
        let number = self.process(span.node.as_str())?;
        let extent = extent(&span, self.started);
        let of = |id: &str| match id {
            "" => String::new(),
            id => format!("{}/{id}", span.trace_id),
        };
        let kin = Kin { id: of(&span.span_id), parent: of(&span.parent_id) };
        let process = self.processes.get_mut(span.node.as_str());
        let placed = process.and_then(|process| process.lanes.place(extent, &kin));
        let mut args = serde_json::Map::from_iter(span.attributes);
        for (name, id) in
            [("trace_id", span.trace_id), ("span_id", span.span_id), ("parent_id", span.parent_id)]
        {
            if !id.is_empty() {
                args.insert(name.to_owned(), id.into());
            }
        }
        let mut event = json!({ "ph": "X", "pid": number, "name": span.name, "cat": "span",
            "ts": micros(extent.from), "args": args });
        let Some(row) = placed else {
            // A begin and an end with an id of their own need no row.
            self.traced.apart += 1;
            event["id"] = json!(format!("{:#x}", span.seq));
            event["ph"] = "b".into();
            self.event(&event)?;
            (event["ph"], event["ts"], event["args"]) =
                ("e".into(), micros(extent.until), json!({}));
            return self.event(&event);
        };
        event["tid"] = json!(row + 1);
        event["dur"] = micros(extent.until - extent.from);
        self.event(&event)
    }

    fn value(&mut self, of: &str, name: &str, at: RunTime, value: f64) -> io::Result<()> {
        let number = self.process(of)?;
        self.traced.values += 1;
        self.event(&json!({ "ph": "C", "pid": number, "name": name, "ts": at.micros,
            "args": { "value": value } }))
    }
}

/// When a span was, in nanoseconds of the run: by the node's clock where that can be believed,
/// else so that it ended when it arrived.
fn extent(span: &SpanRecord, started: u64) -> Extent {
    let arrived = span.arrived.micros.saturating_mul(1000);
    let ended = span.end_unix_nanos.checked_sub(started);
    let believable =
        ended.filter(|ended| *ended <= arrived + 1000 && arrived <= ended + FLUSHED_WITHIN_NANOS);
    let until = believable.unwrap_or(arrived);
    Extent { from: until.saturating_sub(span.took_nanos()), until }
}

#[cfg(test)]
mod tests;
