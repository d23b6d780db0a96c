//! What is told to a collector that somebody named: every span as it comes, and faults as spans.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use meshlab_model::{
    FaultId, FaultStage, NodeId, RunEvent, RunEventKind, RunTime, SpanRecord, Verdict,
};
use meshlab_spans::{Collector, Forward, ForwardError, forward_all};
use serde_json::Value;

use crate::{
    Engine,
    engine::Shared,
    results::{Filter, HARNESS, RunRecord},
};

/// How long the end of a run waits for its collector.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Faults that are going on, as spans that have not ended.
#[derive(Debug, Default)]
pub(crate) struct FaultSpans {
    open: BTreeMap<FaultId, SpanRecord>,
}

impl FaultSpans {
    /// Takes in an event; the span of a fault that is judged by it.
    pub(crate) fn apply(
        &mut self,
        at: RunTime,
        kind: &RunEventKind,
        started_unix_nanos: u64,
    ) -> Option<SpanRecord> {
        let nanos = started_unix_nanos.saturating_add(at.micros.saturating_mul(1000));
        match kind {
            RunEventKind::FaultPlanned { fault, name, targets, told, .. } => {
                let span = begin(*fault, name, targets, told, nanos);
                self.open.insert(*fault, span);
                None
            }
            RunEventKind::FaultReached { fault, stage } => {
                let span = self.open.get_mut(fault)?;
                if !matches!(stage, FaultStage::Healed { .. }) {
                    // The fault itself; that everybody is whole again comes after it.
                    span.end_unix_nanos = span.end_unix_nanos.max(nanos);
                }
                reached(span, stage, at);
                None
            }
            RunEventKind::FaultFinished { fault, verdict } => {
                let span = self.open.remove(fault)?;
                Some(judged(span, verdict, at))
            }
            _ => None,
        }
    }
}

fn begin(fault: FaultId, name: &str, targets: &[NodeId], told: &str, nanos: u64) -> SpanRecord {
    let targets: Vec<&str> = targets.iter().map(NodeId::as_str).collect();
    let mut attributes = BTreeMap::from([
        ("fault.name".to_owned(), name.into()),
        ("fault.targets".to_owned(), Value::from(targets)),
    ]);
    if !told.is_empty() {
        attributes.insert("fault.told".to_owned(), told.into());
    }
    let number = u64::from(fault.0) + 1;
    SpanRecord {
        seq: number,
        arrived: RunTime::ZERO,
        node: HARNESS.into(),
        name: format!("fault {name}"),
        // A trace of its own for each fault of the run.
        trace_id: format!("{nanos:016x}{number:016x}"),
        span_id: format!("{number:016x}"),
        parent_id: String::new(),
        start_unix_nanos: nanos,
        end_unix_nanos: nanos,
        attributes,
    }
}

fn reached(span: &mut SpanRecord, stage: &FaultStage, at: RunTime) {
    let seconds = Value::from(at.as_secs_f64());
    let (name, value) = match stage {
        FaultStage::Acted { witness, .. } => {
            span.attributes.insert("fault.witness".to_owned(), witness.as_str().into());
            ("fault.acted_at_s".to_owned(), seconds)
        }
        FaultStage::Noticed { by, .. } => (format!("fault.noticed_at_s.{by}"), seconds),
        FaultStage::Undone { .. } => ("fault.undone_at_s".to_owned(), seconds),
        FaultStage::Healed { by } => (format!("fault.healed_at_s.{by}"), seconds),
    };
    span.attributes.insert(name, value);
}

fn judged(mut span: SpanRecord, verdict: &Verdict, at: RunTime) -> SpanRecord {
    span.arrived = at;
    span.attributes.insert("fault.verdict".to_owned(), verdict.word().into());
    if let Some(why) = verdict.reason() {
        span.attributes.insert("fault.reason".to_owned(), why.into());
    }
    span
}

/// The faults of a run that is over, as spans of the harness.
fn fault_spans(events: &[RunEvent], started_unix_nanos: u64) -> Vec<SpanRecord> {
    let mut faults = FaultSpans::default();
    let one = |event: &RunEvent| faults.apply(event.at, &event.kind, started_unix_nanos);
    events.iter().filter_map(one).collect()
}

/// Sends the spans and the faults of a run's record to a collector, those that arrived between
/// `since` and `until`. How many there were.
///
/// # Errors
/// The collector does not take them.
pub async fn forward_record(
    collector: &Collector,
    record: &RunRecord,
    since: Option<RunTime>,
    until: Option<RunTime>,
) -> Result<u64, ForwardError> {
    let within = |span: &SpanRecord| {
        since.is_none_or(|since| span.arrived >= since)
            && until.is_none_or(|until| span.arrived <= until)
    };
    let faults = fault_spans(&record.events, record.manifest.started_unix_nanos);
    let spans = record.spans.select(Filter { since, until, ..Filter::default() });
    let all = faults.into_iter().filter(within).chain(spans);
    forward_all(collector, &record.manifest.run, all).await
}

impl Engine {
    /// Sends every span and every fault of the run to a collector from now on. The run does not
    /// wait for it, but for five seconds at its end.
    pub fn forward_to(&self, collector: Collector) {
        let shared = &self.shared;
        let forward = Forward::spawn(&shared.runtime, collector, &shared.folder.name);
        // A second collector is nothing that the command line can ask for.
        let _ = shared.forward.set(Arc::new(forward));
    }
}

/// Ends what is sent to a collector, and tells what became of it.
pub(crate) async fn finish(shared: &Shared) {
    let Some(forward) = shared.forward.get() else { return };
    let counts = forward.finish(FINISH_WITHIN).await;
    let to = forward.collector();
    if counts.dropped == 0 {
        let text = format!("{} spans were forwarded to {to}", counts.sent);
        shared.event(RunEventKind::Note { text });
        return;
    }
    let why = counts.first_problem.unwrap_or_else(|| "it did not keep up".to_owned());
    shared.warn(format!(
        "{} of {} spans were not forwarded to {to}: {why}; the record has all of them, \
         `meshlab export` sends them again",
        counts.dropped,
        counts.dropped + counts.sent
    ));
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use meshlab_model::NetworkMode;
    use meshlab_spans::{Receiver, RunClock, Selector, SpanStore};
    use tokio::runtime::Handle;

    use super::*;
    use crate::fixture::Bench;

    fn listen() -> (TcpListener, Collector) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, Collector::at(&url).unwrap())
    }

    /// What a run told of its collector.
    fn told(record: &RunRecord) -> Vec<&str> {
        let all = record.events.iter().filter_map(|event| match &event.kind {
            RunEventKind::Note { text } | RunEventKind::Warning { text } => Some(text.as_str()),
            _ => None,
        });
        all.filter(|text| text.contains("forwarded")).collect()
    }

    #[tokio::test]
    async fn a_run_and_its_record_go_to_a_collector_with_the_faults() {
        let clock = RunClock { started: std::time::Instant::now(), started_unix_nanos: 0 };
        let store = SpanStore::new(clock, 10_000);
        let ((http, collector), (grpc, _)) = (listen(), listen());
        let handle = Handle::current();
        let _receiver = Receiver::spawn(&handle, "c".into(), http, grpc, store.clone()).unwrap();
        let bench = Bench::start(NetworkMode::Host, 2).await;
        bench.engine.forward_to(collector.clone());
        (0..700).for_each(|_| bench.says("node-1", "x", "peer", None));
        bench.fault("kill_node", &["node-2"], &[], None).await.unwrap();
        let (record, _folder) = bench.finish_with_record().await;
        let count = |name: &str| store.count(&Selector::named(name));
        assert_eq!((count("x"), count("fault kill_node")), (700, 1));
        let spans = record.spans.len() + 1;
        assert_eq!(told(&record), [format!("{spans} spans were forwarded to {collector}")]);
        let again = forward_record(&collector, &record, None, None).await.unwrap();
        assert_eq!((again, count("x"), count("fault kill_node")), (spans, 1400, 2));
    }

    #[tokio::test]
    async fn a_run_does_not_wait_for_a_silent_collector_and_tells_what_it_lost() {
        // Connections are accepted by the kernel; nobody reads.
        let (_silent, collector) = listen();
        let bench = Bench::start(NetworkMode::Host, 1).await;
        bench.engine.forward_to(collector);
        (0..9).for_each(|_| bench.says("node-1", "x", "peer", None));
        let (record, _folder) = bench.finish_with_record().await;
        assert_eq!(record.spans.len(), 9, "the record has all of them");
        let told = told(&record);
        assert!(told[0].starts_with("9 of 9 spans were not forwarded to http://127"), "{told:?}");
        assert!(told[0].contains("no answer") || told[0].contains("keep up"), "{told:?}");
    }

    #[test]
    fn a_fault_becomes_a_span_from_its_plan_to_its_end_with_who_noticed() {
        let at = |millis: u64| RunTime { micros: millis * 1000 };
        let fault = FaultId(3);
        let reach = |stage| RunEventKind::FaultReached { fault, stage };
        let kinds = [
            (
                1000,
                RunEventKind::FaultPlanned {
                    fault,
                    test: meshlab_model::TestId(0),
                    name: "slow_link".into(),
                    targets: vec!["node-2".into()],
                    against: 0,
                    told: "delay = \"9 ms\"".into(),
                    chaos: None,
                },
            ),
            (1100, reach(FaultStage::Acted { witness: "probes".into(), unnoticed: None })),
            (1200, reach(FaultStage::Noticed { by: "node-1".into(), evidence: "x".into() })),
            (2000, reach(FaultStage::Undone { how: "reset".into() })),
            (2500, reach(FaultStage::Healed { by: "node-1".into() })),
            (2600, RunEventKind::FaultFinished { fault, verdict: Verdict::Passed }),
        ];
        let mut faults = FaultSpans::default();
        let spans: Vec<SpanRecord> =
            kinds.iter().filter_map(|(ms, kind)| faults.apply(at(*ms), kind, 7)).collect();
        let [span] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((span.name.as_str(), span.node.as_str()), ("fault slow_link", "harness"));
        assert_eq!((span.start_unix_nanos, span.end_unix_nanos), (1_000_000_007, 2_000_000_007));
        assert_eq!(span.attributes["fault.noticed_at_s.node-1"], 1.2);
        assert_eq!(span.attributes["fault.verdict"], "passed");
        assert_eq!((span.trace_id.len(), span.span_id.len()), (32, 16));
        assert!(faults.open.is_empty(), "what is judged is forgotten");
    }
}
