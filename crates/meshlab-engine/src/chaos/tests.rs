//! Whole schedules on subjects whose observers do as they are told.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use meshlab_model::NetworkMode::Host as HostNetwork;
use meshlab_wire::span::{PEER_CONNECTED, STATE_INFERRED};

use super::*;
use crate::{
    Aim, FaultSettings, Host,
    fixture::{Bench, here},
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
