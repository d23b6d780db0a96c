use std::collections::BTreeSet;

use super::*;
use crate::fixture;

fn traced(record: &RunRecord) -> (Traced, Vec<Value>) {
    let mut out = Vec::new();
    let traced = write_perfetto(record, None, None, &mut out).unwrap();
    let mut trace: Value = serde_json::from_slice(&out).unwrap();
    let Value::Array(events) = trace["traceEvents"].take() else { panic!("no array of events") };
    (traced, events)
}

fn span(seq: u64, name: &str, id: &str, parent: &str, millis: (u64, u64)) -> SpanRecord {
    let started = fixture::run("x".as_ref()).manifest.started_unix_nanos;
    SpanRecord {
        seq,
        arrived: RunTime { micros: 1_000_000 },
        node: "node-1".into(),
        name: name.into(),
        trace_id: "t".into(),
        span_id: id.into(),
        parent_id: parent.into(),
        start_unix_nanos: started + millis.0 * 1_000_000 + 1,
        end_unix_nanos: started + millis.1 * 1_000_000,
        attributes: BTreeMap::from([("peer".to_owned(), "b".into())]),
    }
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["ph"] == kind).collect()
}

#[test]
fn a_child_lies_within_its_parent_on_its_row_and_times_are_microseconds() {
    let mut record = fixture::run("x".as_ref());
    record.spans = vec![
        span(1, "child", "c", "r", (200, 300)),
        span(2, "stranger", "s", "", (250, 400)),
        span(3, "root", "r", "", (100, 500)),
    ]
    .into();
    let (traced, events) = traced(&record);
    assert_eq!((traced.spans, traced.apart), (3, 0));
    let slices: BTreeMap<&str, &Value> = of(&events, "X")
        .into_iter()
        .filter(|event| event["cat"] == "span")
        .map(|event| (event["name"].as_str().unwrap(), event))
        .collect();
    let (child, root, stranger) = (slices["child"], slices["root"], slices["stranger"]);
    assert_eq!((&child["pid"], &child["tid"]), (&root["pid"], &root["tid"]));
    assert_ne!(stranger["tid"], root["tid"]);
    assert_eq!(child["ts"].as_f64(), Some(200_000.001));
    assert_eq!(child["dur"].as_f64(), Some(99_999.999));
    let end = |slice: &Value| slice["ts"].as_f64().unwrap() + slice["dur"].as_f64().unwrap();
    assert!(root["ts"].as_f64() <= child["ts"].as_f64() && end(child) <= end(root));
    assert_eq!(child["args"]["peer"], "b");
    assert_eq!(child["args"]["parent_id"], "r");
}

#[test]
fn a_clock_that_is_off_does_not_put_spans_out_of_the_run() {
    let mut record = fixture::run("x".as_ref());
    let mut skewed = span(1, "skewed", "s", "", (100, 200));
    skewed.start_unix_nanos += 7_200_000_000_000;
    skewed.end_unix_nanos += 7_200_000_000_000;
    record.spans = vec![skewed].into();
    let (_, events) = traced(&record);
    let slice = of(&events, "X").into_iter().find(|event| event["name"] == "skewed").unwrap();
    assert_eq!(slice["ts"].as_f64(), Some(900_000.001), "it ended as it arrived");
}

#[test]
fn every_fault_has_a_row_with_its_marks_and_every_counter_a_track() {
    let record = fixture::run("x".as_ref());
    let (traced, events) = traced(&record);
    let named = |number: &Value, kind: &str| -> Vec<String> {
        let names = of(&events, "M").into_iter();
        let names = names.filter(|name| name["name"] == kind && &name["pid"] == number);
        names.map(|name| name["args"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let rows = named(&FAULTS.into(), "thread_name");
    assert_eq!(rows.len() as u64, traced.faults);
    assert!(rows.iter().any(|row| row.starts_with("kill_node ")), "{rows:?}");
    let marks = of(&events, "i");
    assert!(marks.iter().any(|mark| mark["name"] == "acted"));
    assert!(marks.iter().any(|mark| mark["name"].as_str().unwrap().starts_with("noticed by ")));
    let counters: BTreeSet<(String, String)> = of(&events, "C")
        .into_iter()
        .map(|value| {
            let process = named(&value["pid"], "process_name").pop().unwrap();
            (process, value["name"].as_str().unwrap().to_owned())
        })
        .collect();
    for name in ["CPU, % of a core", "RSS, MiB", "connections.opened"] {
        assert!(counters.contains(&("node-2".to_owned(), name.to_owned())), "{name}");
    }
    let known: BTreeSet<&str> = BTreeSet::from(["M", "X", "i", "C", "b", "e"]);
    for event in &events {
        assert!(known.contains(event["ph"].as_str().unwrap()), "{event}");
        assert!(event["pid"].is_u64(), "{event}");
        assert!(event["ph"] == "M" || event["ts"].is_number(), "{event}");
    }
}

#[test]
fn what_finds_no_row_is_drawn_by_itself() {
    let mut record = fixture::run("x".as_ref());
    record.spans =
        (1..=40).map(|n| span(n, "x", &n.to_string(), "", (100, 200))).collect::<Vec<_>>().into();
    let (traced, events) = traced(&record);
    assert_eq!((traced.spans, traced.apart), (40, 8));
    let ids = |kind| -> BTreeSet<String> {
        of(&events, kind).into_iter().map(|event| event["id"].to_string()).collect()
    };
    assert_eq!((ids("b").len(), ids("b")), (8, ids("e")));
}
