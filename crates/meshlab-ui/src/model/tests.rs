use std::collections::BTreeMap;

use meshlab_report::fixture;

use super::*;

fn model() -> (RunRecord, Model, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let record = fixture::run(folder.path());
    let model = Model::of(&record, Ceilings::new(), true);
    (record, model, folder)
}

use crate::runs::Ceilings;

#[test]
fn what_is_shown_is_what_the_report_says() {
    let (record, model, _folder) = model();
    let view = RunView::of(&record);
    let shown = model.since(0);
    for (id, claim) in &view.claims {
        let page = &shown[&format!("claim/{id}")];
        assert_eq!(page["text"], claim.text.as_str());
        assert_eq!(page["verdict"]["is"], claim.judged().word(), "claim {id}");
    }
    for (id, fault) in &view.faults {
        let page = &shown[&format!("fault/{id}")];
        assert_eq!(page["verdict"]["is"], fault.judged().word(), "fault {id}");
        assert_eq!(page["noticed"].as_array().unwrap().len(), fault.noticed.len());
    }
    for (id, node) in &view.nodes {
        let page = &shown[&format!("node/{id}")];
        assert_eq!(page["alive"], node.alive());
        assert_eq!(page["lives"].as_array().unwrap().len(), node.lives.len());
    }
    assert_eq!(shown["run"]["verdict"]["is"], view.verdict().word());
    assert!(view.claims.len() > 2 && !view.faults.is_empty() && view.nodes.len() == 4);
}

#[test]
fn a_page_is_sent_what_changed_and_that_in_its_newest_form() {
    let (record, mut model, _folder) = model();
    let known = model.at();
    assert!(model.since(known).is_empty());
    let mut seq = record.events.last().unwrap().seq;
    let mut tell = |model: &mut Model, text: &str| {
        seq += 1;
        let kind = RunEventKind::Note { text: text.into() };
        let at = RunTime { micros: 90_000_000 + seq };
        let event = RunEvent { seq, at, source: None, manual: false, kind };
        model.apply(&News::Event(event.into()));
    };
    tell(&mut model, "one");
    tell(&mut model, "two");
    let changed = model.since(known);
    // Two notes, and the run once although it changed twice.
    assert_eq!(changed.len(), 3, "{changed:?}");
    assert_eq!(changed["run"]["events"], model.view.events);
    assert_eq!(model.at() - known, 4);
    // What is in the record already is not taken in twice.
    let before = model.at();
    model.apply(&News::Event(record.events[3].clone().into()));
    assert_eq!(model.at(), before);
}

#[test]
fn a_connection_comes_and_goes_with_the_spans_that_say_so() {
    let (_record, mut model, _folder) = model();
    let (one, other) = (NodeId::from("node-1"), NodeId::from("node-2"));
    let key = model.view.nodes[&other].public_key.clone();
    let mut seq = 1_000_000;
    let mut span = |model: &mut Model, name: &str| {
        seq += 1;
        model.apply(&News::Span(SpanRecord {
            seq,
            arrived: RunTime { micros: 80_000_000 },
            node: one.clone(),
            name: name.into(),
            trace_id: String::new(),
            span_id: String::new(),
            parent_id: String::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 0,
            attributes: BTreeMap::from([("peer.id".to_owned(), key.clone().into())]),
        }));
        model.since(0)["node/node-1"]["neighbors"].to_string()
    };
    span(&mut model, span::NEIGHBOR_DOWN);
    assert!(span(&mut model, span::NEIGHBOR_UP).contains("node-2"));
    assert!(!span(&mut model, span::NEIGHBOR_DOWN).contains("node-2"));
}

#[test]
fn a_ceiling_that_is_about_to_break_is_told_until_it_is_far_again() {
    let (_record, mut model, _folder) = model();
    model.ceilings = Ceilings::from([(Resource::Rss, 1000.0)]);
    let mut alerts = |rss_bytes| {
        let at = RunTime { micros: 95_000_000 };
        let of = SampleSource::Node("node-1".into());
        let sample = Sample {
            at,
            of,
            pid: 1,
            cpu_micros_total: 0,
            cpu: None,
            rss_bytes,
            open_files: 1,
            threads: 1,
        };
        let before = model.at();
        model.apply(&News::Samples(vec![sample]));
        model.since(before).get("alert/ceiling/node-1/rss").cloned()
    };
    assert_eq!(alerts(500), None);
    let text = alerts(850).unwrap()["text"].to_string();
    assert!(text.contains("node-1 is near its ceiling: rss 850 B of 1000 B, 85 %"), "{text}");
    assert_eq!(alerts(750), None, "between the two it stays as it is");
    assert_eq!(alerts(500), Some(Value::Null), "it is withdrawn");
}
