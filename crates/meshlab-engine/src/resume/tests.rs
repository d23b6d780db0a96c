use meshlab_model::{ClaimId, Severity, StepId, TestOutcome};

use super::*;

type K = RunEventKind;

fn at(second: u64) -> RunTime {
    RunTime { micros: second * 1_000_000 }
}

/// Events at these seconds.
fn events(kinds: Vec<(u64, K)>) -> Vec<RunEvent> {
    let event = |(seq, (second, kind)): (u64, (u64, K))| RunEvent {
        seq,
        at: at(second),
        source: None,
        manual: false,
        kind,
    };
    (1..).zip(kinds).map(event).collect()
}

fn test_started(test: u32) -> K {
    K::TestStarted { test: TestId(test), title: "t".into() }
}

fn test_finished(test: u32) -> K {
    K::TestFinished { test: TestId(test), outcome: TestOutcome::Completed }
}

fn spawned(node: &str, role: &str) -> K {
    K::NodeSpawned {
        node: node.into(),
        mesh: "m".into(),
        role: role.into(),
        binary: "b".into(),
        pid: 1,
        incarnation: 1,
        address: String::new(),
        host: String::new(),
    }
}

fn claimed(claim: u32) -> K {
    K::ClaimStarted {
        claim: ClaimId(claim),
        test: TestId(0),
        call: "c".into(),
        text: String::new(),
        severity: Severity::Check,
        within_micros: 0,
    }
}

fn chaos(test: u32, chaos: u32) -> K {
    let fault = |second: u64| ChaosFault {
        at_micros: second * 1_000_000,
        name: "kill_node".into(),
        target: "node-1".into(),
        realised: None,
    };
    K::ChaosPlanned {
        chaos: ChaosId(chaos),
        test: TestId(test),
        seed: 1,
        on: Vec::new(),
        plan: vec![fault(5), fault(10), fault(20), fault(30)],
        length_micros: Some(60_000_000),
    }
}

fn place(place: u32) -> ChaosPlace {
    ChaosPlace { chaos: ChaosId(2), place }
}

fn fault(fault: u32, of: u32) -> K {
    K::FaultPlanned {
        fault: FaultId(fault),
        test: TestId(1),
        name: "kill_node".into(),
        targets: vec!["node-1".into()],
        against: 0,
        told: String::new(),
        chaos: Some(place(of)),
    }
}

fn judged(fault: u32, verdict: Verdict) -> K {
    K::FaultFinished { fault: FaultId(fault), verdict }
}

/// A test that ended, and one that was interrupted in its schedule, twice.
fn interrupted() -> Vec<(u64, K)> {
    vec![
        (0, test_started(0)),
        (0, spawned("node-1", "broker")),
        (0, spawned("relay-1", "relay")),
        (1, claimed(7)),
        (1, chaos(0, 1)),
        (3, K::StepStarted { step: StepId(4), name: "s".into() }),
        (5, test_finished(0)),
        (10, test_started(1)),
        (10, spawned("node-2", "broker")),
        (20, chaos(1, 2)),
        (25, fault(1, 0)),
        (27, judged(1, Verdict::Passed)),
        (30, K::ChaosSkipped { place: place(1), why: "nobody".into() }),
        (40, fault(2, 2)),
    ]
}

#[test]
fn what_has_ended_is_not_run_again_and_ids_go_on() {
    let left = left(&events(interrupted()), at(45));
    assert_eq!((left.part, left.next), (2, 1));
    let wanted = Some((TestId(1), at(10), Duration::from_secs(35)));
    assert_eq!(left.interrupted, wanted);
    assert_eq!((left.last_claim, left.last_step, left.last_fault), (7, 4, 2));
    // What the test names again has the same name, so that its schedule means the same nodes.
    assert_eq!((left.last_chaos, left.nodes_named), (1, 1));
    assert_eq!(left.ran, Duration::from_secs(45));
}

#[test]
fn faults_that_are_over_are_not_fired_again_and_the_rest_is() {
    let left = left(&events(interrupted()), at(45));
    assert_eq!(left.chaos.keys().copied().collect::<Vec<_>>(), [ChaosId(2)]);
    let carried = &left.chaos[&ChaosId(2)];
    assert_eq!(carried.over.keys().copied().collect::<Vec<_>>(), [0, 1], "the third was acting");
    assert_eq!((carried.spent, carried.ended), (Duration::from_secs(25), false));
    assert_eq!(carried.left(Duration::from_secs(1)), Duration::from_secs(35));
    let tally = carried.tally();
    assert_eq!((tally.planned, tally.detected, tally.skipped, tally.missed), (4, 1, 1, 0));
}

#[test]
fn a_gap_is_no_time_that_was_run_and_parts_add_up() {
    let mut twice = interrupted();
    let (test, spent_micros) = (Some(TestId(1)), 35_000_000);
    twice.extend([
        (500, K::RunResumed { part: 2, from: at(45), test, spent_micros }),
        (501, test_started(1)),
        (505, chaos(1, 2)),
        (506, fault(3, 2)),
        (507, judged(3, Verdict::Failed("unseen".into()))),
    ]);
    let again = left(&events(twice.clone()), at(511));
    assert_eq!((again.part, again.next), (3, 1));
    assert_eq!(again.interrupted, Some((TestId(1), at(10), Duration::from_secs(45))));
    let carried = &again.chaos[&ChaosId(2)];
    assert_eq!(carried.over.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(carried.spent, Duration::from_secs(31));
    assert_eq!(again.ran, Duration::from_secs(45 + 11));
    // It may be killed again before the test has begun again.
    twice.truncate(interrupted().len() + 1);
    let early = left(&events(twice), at(500));
    assert_eq!(early.interrupted, Some((TestId(1), at(10), Duration::from_secs(35))));
}
