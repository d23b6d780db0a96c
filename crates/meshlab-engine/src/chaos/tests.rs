//! Whole schedules on subjects whose observers do as they are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use meshlab_model::{NetworkMode::Host as HostNetwork, Realised};
use meshlab_wire::span::{PEER_CONNECTED, STATE_INFERRED};

use super::*;
use crate::{
    Aim, FaultSettings, Host, Replay,
    fixture::{Bench, here},
    results::RunRecord,
};

fn options(on: &[&str]) -> ChaosOptions {
    let wedge = ChaosKind {
        fault: "wedge_node".to_owned(),
        weight: 1.0,
        aim: Aim::Node,
        settings: FaultSettings::default(),
        hold: None,
    };
    ChaosOptions {
        on: on.iter().map(|node| NodeId::from(*node)).collect(),
        kinds: vec![wedge],
        every: Duration::from_millis(300),
        jitter: Duration::ZERO,
        duration: Some(Duration::from_millis(1300)),
        at_once: 1,
        detect_within: Duration::from_millis(600),
        flake_budget: Percent(0.0),
        skip_budget: Percent(0.0),
    }
}

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// Lets each node bury whom a fault hurts and greet it when that is over, but for the first `deaf`
/// faults, which nobody notices.
async fn observers(bench: &Bench, deaf: usize, until: &AtomicBool) {
    let mut told = BTreeSet::new();
    while !until.load(Ordering::SeqCst) {
        let faults: Vec<_> = {
            let state = bench.engine.shared.state();
            let faults = state.faults.iter();
            faults
                .map(|(id, open)| (*id, open.targets[0].clone(), open.taken_back.is_some()))
                .collect()
        };
        for (id, target, back) in faults.into_iter().filter(|(id, ..)| id.0 as usize > deaf) {
            if told.insert((id, back)) {
                for observer in NODES.iter().filter(|node| **node != target.as_str()) {
                    match back {
                        false => {
                            bench.says(observer, STATE_INFERRED, target.as_str(), Some("Dead"))
                        }
                        true => bench.says(observer, PEER_CONNECTED, target.as_str(), None),
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Each node holds each other one to be there.
fn all_there(bench: &Bench, nodes: &[&str]) {
    for (observer, subject) in nodes.iter().flat_map(|a| nodes.iter().map(move |b| (a, b))) {
        if observer != subject {
            bench.says(observer, PEER_CONNECTED, subject, None);
        }
    }
}

async fn rage(options: ChaosOptions, deaf: usize) -> (ChaosTally, Vec<(String, Verdict)>) {
    let bench = Bench::start(HostNetwork, 3).await;
    all_there(&bench, &NODES);
    let done = AtomicBool::new(false);
    let (_over, never) = watch::channel(false);
    let (tally, ()) = tokio::join!(
        async {
            let tally = bench.engine.chaos(options, never, here()).await;
            done.store(true, Ordering::SeqCst);
            tally
        },
        observers(&bench, deaf, &done)
    );
    (tally.unwrap(), bench.finish_with_claims().await)
}

fn failed(claims: &[(String, Verdict)]) -> Vec<String> {
    let failed = claims.iter().filter(|(_, verdict)| !verdict.is_passed());
    failed.map(|(_, verdict)| verdict.reason().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn what_is_noticed_and_heals_is_within_any_budget() {
    let (tally, claims) = rage(options(&NODES), 0).await;
    assert_eq!(tally, ChaosTally { planned: 4, detected: 4, ..ChaosTally::default() });
    assert_eq!(failed(&claims), Vec::<String>::new(), "{claims:?}");
    assert_eq!(claims.len(), 4, "{claims:?}");
}

#[tokio::test]
async fn a_budget_that_is_gone_ends_it_early_and_says_how_many_were_missed() {
    let (tally, claims) = rage(options(&NODES), 99).await;
    assert_eq!((tally.missed, tally.detected), (1, 0), "it went on: {tally:?}");
    let why = failed(&claims);
    assert!(why[0].starts_with("1 of 1 of the judged faults: 100.00 %"), "{why:?}");
}

#[tokio::test]
async fn a_budget_allows_what_it_says() {
    let (tally, claims) =
        rage(ChaosOptions { flake_budget: Percent(0.25), ..options(&NODES) }, 1).await;
    assert_eq!((tally.missed, tally.detected), (1, 3), "{tally:?}");
    assert_eq!(failed(&claims), Vec::<String>::new(), "{claims:?}");
}

/// A run of this schedule from its beginning to its record.
async fn recorded(options: ChaosOptions, deaf: usize, replay: Option<Replay>) -> RunRecord {
    let bench = Bench::start_again(HostNetwork, 3, replay).await;
    all_there(&bench, &NODES);
    let done = AtomicBool::new(false);
    let (_over, never) = watch::channel(false);
    let (tally, ()) = tokio::join!(
        async {
            let tally = bench.engine.chaos(options, never, here()).await;
            done.store(true, Ordering::SeqCst);
            tally
        },
        observers(&bench, deaf, &done)
    );
    tally.unwrap();
    bench.finish_with_record().await.0
}

fn what_and_whom(replay: &Replay) -> Vec<(String, NodeId)> {
    let faults = replay.schedules[&ChaosId(1)].iter();
    faults.map(|fault| (fault.name.clone(), fault.target.clone())).collect()
}

#[tokio::test]
async fn a_replay_does_what_was_done_and_not_what_would_be_drawn() {
    let first = Replay::of(&recorded(options(&NODES), 0, None).await).unwrap();
    assert_eq!(what_and_whom(&first).len(), 4);
    let mut changed = first.clone();
    let plan = changed.schedules.get_mut(&ChaosId(1)).unwrap();
    // Not what the seed draws, so nothing but the schedule can have brought it about.
    for fault in plan.iter_mut() {
        fault.target = "node-3".into();
        fault.realised.as_mut().unwrap().targets = vec!["node-3".into()];
    }
    plan[1].realised.as_mut().unwrap().skipped = Some("nobody".to_owned());
    assert_ne!(what_and_whom(&first), what_and_whom(&changed));
    let record = recorded(options(&NODES), 0, Some(changed.clone())).await;
    let run = changed.run.clone();
    assert_eq!(record.manifest.replays, Some(run.clone()));
    let RunEventKind::RunStarted { replays, .. } = &record.events[0].kind else { panic!() };
    assert_eq!(*replays, Some(run));
    let again = Replay::of(&record).unwrap();
    assert_eq!(what_and_whom(&again), what_and_whom(&changed));
    for (asked, done) in changed.schedules[&ChaosId(1)].iter().zip(&again.schedules[&ChaosId(1)]) {
        assert!(done.at_micros >= asked.at_micros, "{asked:?} {done:?}");
        let skipped = |fault: &ChaosFault| fault.realised.as_ref().unwrap().skipped.is_some();
        assert_eq!(skipped(asked), skipped(done), "{asked:?} {done:?}");
    }
}

#[tokio::test]
async fn a_replay_goes_on_where_the_budget_is_gone_and_hurts_nobody_else() {
    let wedge = |at_micros, target: &str| ChaosFault {
        at_micros,
        name: "wedge_node".to_owned(),
        target: target.into(),
        realised: Some(Realised {
            targets: vec![target.into()],
            onset_micros: Some(at_micros),
            ..Realised::default()
        }),
    };
    // The second one is no node of the schedule, so nobody is fit for it.
    let plan = vec![wedge(1000, "node-1"), wedge(2000, "node-9"), wedge(3000, "node-2")];
    let schedules = BTreeMap::from([(ChaosId(1), plan)]);
    let replay = Replay { run: "x/1".to_owned(), schedules };
    let record = recorded(options(&NODES), 99, Some(replay)).await;
    let finished = record.events.iter().find_map(|event| match &event.kind {
        RunEventKind::ChaosFinished { tally, early, .. } => Some((*tally, early.clone())),
        _ => None,
    });
    let (tally, early) = finished.unwrap();
    let expected = ChaosTally { planned: 3, missed: 2, skipped: 1, ..ChaosTally::default() };
    assert_eq!((tally, early), (expected, None));
    let why = record.events.iter().find_map(|event| match &event.kind {
        RunEventKind::ChaosSkipped { why, .. } => Some(why.clone()),
        _ => None,
    });
    let told = "node-9 was hurt by it in the run that is replayed, and is not fit for it now";
    assert_eq!(why.as_deref(), Some(told));
}

#[tokio::test]
async fn nobody_is_hurt_twice_while_the_first_fault_is_still_being_applied() {
    // A wedge takes 200 ms to be seen, and the second one is due before that.
    let twice = ChaosOptions {
        at_once: 2,
        every: Duration::from_millis(50),
        duration: Some(Duration::from_millis(140)),
        skip_budget: Percent(1.0),
        ..options(&["node-2"])
    };
    let (tally, claims) = rage(twice, 0).await;
    assert_eq!(tally, ChaosTally { planned: 2, detected: 1, skipped: 1, ..ChaosTally::default() });
    assert_eq!(failed(&claims), Vec::<String>::new(), "{claims:?}");
}

#[tokio::test]
async fn a_replay_waits_for_whom_its_own_fault_still_hurts_and_holds_up_nobody_else() {
    let wedge = |at_micros, target: &str| ChaosFault {
        at_micros,
        name: "wedge_node".to_owned(),
        target: target.into(),
        realised: Some(Realised { targets: vec![target.into()], ..Realised::default() }),
    };
    let plan = vec![wedge(1000, "node-1"), wedge(2000, "node-1"), wedge(3000, "node-2")];
    let order = async |at_once| {
        let schedules = BTreeMap::from([(ChaosId(1), plan.clone())]);
        let replay = Replay { run: "x/1".to_owned(), schedules };
        let options = ChaosOptions { at_once, ..options(&NODES) };
        let record = recorded(options, 0, Some(replay)).await;
        let of = |event: &meshlab_model::RunEvent| match &event.kind {
            RunEventKind::FaultPlanned { targets, .. } => Some(targets[0].clone()),
            RunEventKind::FaultFinished { fault: meshlab_model::FaultId(1), .. } => {
                Some("over".into())
            }
            _ => None,
        };
        let order: Vec<NodeId> = record.events.iter().filter_map(of).collect();
        order.iter().map(|node| node.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order(2).await, ["node-1", "node-2", "over", "node-1"]);
    // Where one acts at a time, a slower notice than before makes no two act at once.
    assert_eq!(order(1).await, ["node-1", "over", "node-1", "node-2"]);
}

#[tokio::test]
async fn a_chaos_in_which_nothing_could_act_is_red() {
    let bench = Bench::start(HostNetwork, 2).await;
    bench.engine.stop_node(&"node-2".into(), here()).await.unwrap();
    let (_over, never) = watch::channel(false);
    let tally = bench.engine.chaos(options(&["node-2"]), never, here()).await.unwrap();
    assert_eq!((tally.planned, tally.skipped), (4, 4));
    let why = failed(&bench.finish_with_claims().await);
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(why[0].starts_with("4 of 4 of the drawn faults"), "{why:?}");
    assert_eq!(why[1], "0 of 4 planned ones");
}

#[tokio::test]
async fn the_end_of_the_body_is_the_end() {
    let bench = Bench::start(HostNetwork, 2).await;
    all_there(&bench, &NODES[..2]);
    let (over, until) = watch::channel(true);
    let hour = ChaosOptions { duration: Some(Duration::from_secs(3600)), ..options(&["node-2"]) };
    let tally = bench.engine.chaos(hour, until, here()).await.unwrap();
    drop(over);
    assert_eq!(tally.detected + tally.missed + tally.skipped, 0);
    let why = failed(&bench.finish_with_claims().await);
    assert_eq!(why, ["0 of 11999 planned ones"], "nothing was judged, and that is red");
}

#[tokio::test]
async fn what_cannot_be_drawn_is_refused() {
    let bench = Bench::start(HostNetwork, 1).await;
    let refused = async |options: ChaosOptions, told: &str| {
        let (_over, never) = watch::channel(false);
        let error = bench.engine.chaos(options, never, here()).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    };
    refused(options(&[]), "nobody to hurt").await;
    refused(options(&["node-9"]), "there is no node node-9").await;
    let one = || options(&["node-1"]);
    refused(ChaosOptions { kinds: Vec::new(), ..one() }, "no fault to draw").await;
    let second = Some(Duration::from_millis(300));
    refused(ChaosOptions { duration: second, ..one() }, "draws no fault").await;
    let year = Some(Duration::from_secs(365 * 86_400));
    refused(ChaosOptions { duration: year, ..one() }, "would draw").await;
    bench.finish_with_claims().await;
}
