//! What is read out of a record, and which records are refused.

use std::path::Path;

use meshlab_model::{ChaosTally, EndReason, NetworkMode, RunEvent, TestId, Verdict};

use super::*;
use crate::{binaries::sha256_hex, same_script};

fn place(place: u32) -> ChaosPlace {
    ChaosPlace { chaos: ChaosId(1), place }
}

fn drawn(at_micros: u64, target: &str) -> ChaosFault {
    let (name, target) = ("wedge_node".to_owned(), target.into());
    ChaosFault { at_micros, name, target, realised: None }
}

/// Three drawn: one that hurt another node than was drawn, one skipped, one never reached.
fn kinds() -> Vec<(u64, RunEventKind)> {
    use RunEventKind as K;
    let (chaos, test, fault) = (ChaosId(1), TestId(0), FaultId(4));
    let plan = vec![drawn(10, "node-1"), drawn(20, "node-2"), drawn(90, "node-3")];
    let acted = FaultStage::Acted { witness: "seen".to_owned(), unnoticed: None };
    let planned = K::FaultPlanned {
        fault,
        test,
        name: "wedge_node".to_owned(),
        targets: vec!["node-2".into(), "node-3".into()],
        against: 1,
        told: String::new(),
        chaos: Some(place(0)),
    };
    vec![
        (1000, K::ChaosPlanned { chaos, test, seed: 1, on: Vec::new(), plan, length_micros: None }),
        (1015, planned),
        (1019, K::FaultReached { fault, stage: acted }),
        (1030, K::ChaosSkipped { place: place(1), why: "nobody is fit".to_owned() }),
        (1040, K::FaultFinished { fault, verdict: Verdict::Passed }),
        (1050, K::ChaosFinished { chaos, tally: ChaosTally::default(), early: None }),
        (1060, K::RunFinished { reason: EndReason::Completed }),
    ]
}

fn record(kinds: Vec<(u64, RunEventKind)>) -> RunRecord {
    let event = |(seq, (micros, kind))| RunEvent {
        seq,
        at: RunTime { micros },
        source: None,
        manual: false,
        kind,
    };
    let script = "test()".to_owned();
    let manifest = Manifest {
        schema: meshlab_model::MANIFEST_SCHEMA,
        meshlab: "0".to_owned(),
        run: "x/1".to_owned(),
        scenario: "x".to_owned(),
        script_path: "x.lua".to_owned(),
        script_sha256: sha256_hex(script.as_bytes()),
        arguments: Vec::new(),
        seed: 42,
        started_unix_nanos: 0,
        commit: None,
        tests: Vec::new(),
        timeout_secs: 1.0,
        network: NetworkMode::Lab,
        binaries: BTreeMap::new(),
        duration_secs: None,
        time_scale: None,
        nodes: None,
        params: BTreeMap::new(),
        replays: None,
        node_env: BTreeMap::new(),
        host: meshlab_model::HostFacts::default(),
    };
    RunRecord {
        counters: Vec::new().into(),
        counter_minutes: Vec::new().into(),
        folder: "results/x/1".into(),
        manifest,
        script,
        events: (1..).zip(kinds).map(event).collect(),
        spans: Vec::new().into(),
        samples: Vec::new().into(),
        minutes: Vec::new().into(),
        damage: Vec::new(),
    }
}

fn refused(record: &RunRecord) -> String {
    format!("failed to replay {}", Replay::of(record).unwrap_err())
}

#[test]
fn what_a_schedule_came_to_be_is_in_its_record() {
    let replay = Replay::of(&record(kinds())).unwrap();
    let acted = Realised {
        targets: vec!["node-2".into()],
        against: vec!["node-3".into()],
        onset_micros: Some(19),
        skipped: None,
    };
    let first = ChaosFault { realised: Some(acted), ..drawn(15, "node-2") };
    let skipped = Some("nobody is fit".to_owned());
    let realised = Some(Realised { skipped, ..Realised::default() });
    let second = ChaosFault { realised, ..drawn(30, "node-2") };
    let schedules = BTreeMap::from([(ChaosId(1), vec![first, second])]);
    assert_eq!(replay, Replay { run: "x/1".to_owned(), schedules });
}

#[test]
fn a_record_that_was_cut_anywhere_is_refused_with_what_is_missing() {
    let all = kinds();
    for kept in 0..all.len() {
        let told = refused(&record(all[..kept].to_vec()));
        let what = format!("the run's end is not among its {kept} events");
        assert!(told.contains(&what), "{told}");
    }
    let without = |missing: usize| {
        let mut kinds = all.clone();
        kinds.remove(missing);
        refused(&record(kinds))
    };
    assert!(without(0).contains("schedule 1 has no beginning"), "{}", without(0));
    assert!(without(4).contains("fault 4 was begun and never judged"), "{}", without(4));
    assert!(without(5).contains("schedule 1 was begun and never ended"), "{}", without(5));
    let mut damaged = record(all.clone());
    damaged.damage.push("spans.jsonl ends at line 7: no".to_owned());
    assert!(Replay::of(&damaged).is_ok(), "spans are not needed");
    damaged.damage.push("events.jsonl ends at line 9: no".to_owned());
    let told = "failed to replay x/1: its record is incomplete: events.jsonl ends at line 9: no; \
                `meshlab run` with its seed draws the same schedule";
    assert_eq!(refused(&damaged), told);
}

#[test]
fn a_run_without_a_schedule_says_how_to_run_it_again() {
    let end = vec![(1, RunEventKind::RunFinished { reason: EndReason::Completed })];
    let told = refused(&record(end));
    assert!(told.ends_with("`meshlab run x.lua --seed 42` runs it again"), "{told}");
}

#[test]
fn an_edited_scenario_is_refused_and_the_copy_named() {
    let record = record(kinds());
    let check = |text| same_script(&record.manifest, &record.folder, Path::new("x.lua"), text);
    assert!(check("test()").is_ok());
    let told = check("test() -- edited").unwrap_err().to_string();
    assert!(told.starts_with("x/1: its scenario changed since: x.lua had SHA-256"), "{told}");
    let copy = Path::new("results/x/1/scenario.lua").display().to_string();
    assert!(told.contains(&copy), "{told}");
}
