use std::collections::BTreeMap;

use meshlab_model::{HostSample, TelemetryCount};
use meshlab_report::fixture;

use super::*;

fn model() -> (RunRecord, Model, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let record = fixture::run(folder.path());
    let model = Model::of(&record, Ceilings::new(), GoesOn::Here);
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

#[test]
fn a_slope_that_turned_certain_is_told_and_a_level_one_is_not() {
    let told = |growth: u64| {
        let (_record, mut model, _folder) = model();
        let mut noise = meshlab_stats::Stream::new(3, "growing");
        for second in (0..2400_u64).step_by(5) {
            let at = RunTime { micros: 100_000_000 + second * 1_000_000 };
            let one = |node: u32| Sample {
                at,
                of: SampleSource::Node(NodeId(format!("node-{node}"))),
                pid: node,
                cpu_micros_total: 0,
                cpu: None,
                rss_bytes: 30_000_000 + growth * second + (noise.normal().abs() * 9000.0) as u64,
                open_files: 20,
                threads: 4,
            };
            model.apply(&News::Samples((1..=4).map(one).collect()));
        }
        model.since(0).get("alert/slope/rss").map(|alert| alert["text"].to_string())
    };
    let text = told(500).expect("a leak of 1.7 MiB an hour");
    assert!(text.contains("rss grows for sure: +1.7 MiB/h (95 %: "), "{text}");
    assert!(text.contains("over 4 nodes); at this rate"), "{text}");
    assert_eq!(told(0), None);
}

#[test]
fn lost_spans_and_a_noisy_host_are_told() {
    let (record, mut model, _folder) = model();
    let mut seq = record.events.last().unwrap().seq;
    let mut happens = |model: &mut Model, kind: RunEventKind| {
        seq += 1;
        let at = RunTime { micros: 99_000_000 + seq };
        let before = model.at();
        let event = RunEvent { seq, at, source: None, manual: false, kind };
        model.apply(&News::Event(event.into()));
        model.since(before)
    };
    let count = TelemetryCount { ended: Some(10), dropped: 0, received: 7 };
    let counted = RunEventKind::TelemetryCounted { node: "node-1".into(), count };
    let alert = happens(&mut model, counted)["alert/lost/node-1"]["text"].to_string();
    assert!(alert.contains("node-1 lost 3 spans"), "{alert}");
    let count = TelemetryCount { ended: Some(10), dropped: 0, received: 10 };
    let counted = RunEventKind::TelemetryCounted { node: "node-3".into(), count };
    assert!(!happens(&mut model, counted).contains_key("alert/lost/node-3"));
    let host = |foreign: f64| {
        RunEventKind::HostSampled(HostSample {
            length_micros: 60_000_000,
            cores: 2,
            steal: foreign / 2.0,
            own: 0.1,
            foreign,
            waiting: Some(foreign),
            wakes: 100,
            late_p99_micros: 100,
            late_max_micros: 100,
        })
    };
    assert!(!happens(&mut model, host(0.0)).contains_key("alert/noise"));
    let alert = happens(&mut model, host(0.8))["alert/noise"]["text"].to_string();
    assert!(alert.contains("the host is noisy: "), "{alert}");
}
