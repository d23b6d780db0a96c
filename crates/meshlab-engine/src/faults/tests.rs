//! Whole faults on subjects that do what they are told: applied, noticed or not, judged.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use meshlab_faults::{Applied, DEATH, Evidence, Fault, FaultError, Hurts, Target, Undo, WedgeNode};
use meshlab_model::{
    FaultId, FaultStage, NetworkMode::Host as HostNetwork, NetworkMode::Lab, NodeId, RunEventKind,
    RunTime, Verdict,
};
use meshlab_wire::span::{PEER_CONNECTED, PEER_RESTARTED, STATE_HEARD, STATE_INFERRED};
use tokio::time::Instant;

use super::judge::{Starved, Watch, judge};
use crate::{
    FaultCall, Host,
    fixture::{Bench, here},
};

/// A wedge whose undo says that it is done, after a while, and does nothing.
pub(super) struct Hollow {
    name: &'static str,
    undo_takes: Duration,
}

const HOLLOW: &str = "hollow_wedge";
const SLOW: &str = "slow_hollow_wedge";

pub(super) static HOLLOWS: [Hollow; 2] = [
    Hollow { name: HOLLOW, undo_takes: Duration::ZERO },
    Hollow { name: SLOW, undo_takes: Duration::from_millis(500) },
];

#[async_trait]
impl Fault for Hollow {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hurts(&self) -> Hurts {
        WedgeNode.hurts()
    }

    fn evidence(&self) -> Evidence {
        WedgeNode.evidence()
    }

    fn heals_within(&self) -> Duration {
        Duration::from_millis(500)
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let applied = WedgeNode.apply(target).await?;
        let (real, takes) = (applied.undo, self.undo_takes);
        let undo = Undo::needed("nothing at all", move || async move {
            // Kept, so that the test can end: the node goes on only after this was judged.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                if let Some(real) = real {
                    let _ = real.carry_out().await;
                }
            });
            tokio::time::sleep(takes).await;
            Ok(())
        });
        Ok(Applied { undo: Some(undo), ..applied })
    }
}

fn reason(verdict: &Verdict) -> &str {
    verdict.reason().unwrap_or_default()
}

impl Bench {
    /// `observer` infers that each of `subjects` is dead.
    fn buries(&self, observer: &str, subjects: &[&str]) {
        for subject in subjects {
            self.says(observer, STATE_INFERRED, subject, Some("Dead"));
        }
    }
}

/// Each of three nodes holds each other one to be there.
fn all_there(bench: &Bench) {
    let nodes = ["node-1", "node-2", "node-3"];
    for (observer, subject) in nodes.iter().flat_map(|a| nodes.map(|b| (*a, b))) {
        if observer != subject {
            bench.says(observer, PEER_CONNECTED, subject, None);
        }
    }
}

#[tokio::test]
async fn a_wedge_that_all_others_notice_passes_and_is_taken_back() {
    let bench = Bench::start(HostNetwork, 3).await;
    let started = bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
    assert!(started.acted);
    bench.buries("node-1", &["node-2"]);
    bench.buries("node-3", &["node-2"]);
    // A wedged node that is not let go on does not leave when asked; that would be a warning and a
    // kill, and a test that takes seconds longer.
    let (verdicts, acted) = bench.finish().await;
    assert_eq!(verdicts, [Verdict::Passed]);
    assert!(acted[0].contains("is stopped (state T)"), "{acted:?}");
}

#[tokio::test]
async fn what_one_observer_misses_fails_and_names_it() {
    let bench = Bench::start(HostNetwork, 3).await;
    bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
    bench.buries("node-1", &["node-2"]);
    bench.buries("node-3", &["node-1"]);
    bench.says("node-3", STATE_INFERRED, "node-2", Some("Degraded"));
    let (verdicts, _) = bench.finish().await;
    let [Verdict::Failed(why)] = verdicts.as_slice() else { panic!("{verdicts:?}") };
    let wanted = "not noticed by node-3 within 2.30 s \
                  (no span `node.state_inferred { state = Dead }` about node-2)";
    assert_eq!(why, wanted);
}

#[tokio::test]
async fn a_wedge_that_is_too_short_to_be_noticed_is_undecided() {
    let bench = Bench::start(HostNetwork, 2).await;
    let hold = Some(Duration::from_millis(20));
    let started = bench.fault("wedge_node", &["node-2"], &[], hold).await.unwrap();
    let mut undone = {
        let state = bench.engine.shared.state();
        state.faults[&started.fault].undone.subscribe()
    };
    undone.wait_for(|undone| *undone).await.unwrap();
    let (verdicts, _) = bench.finish().await;
    assert!(matches!(verdicts[0], Verdict::Inconclusive(_)), "{verdicts:?}");
    assert!(reason(&verdicts[0]).contains("too soon for node-1 to notice"), "{verdicts:?}");
}

#[tokio::test]
async fn the_same_fault_twice_on_a_node_is_refused_while_the_first_acts() {
    let bench = Bench::start(HostNetwork, 2).await;
    let first = bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
    let error = bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap_err();
    assert!(error.to_string().contains("hurts node-2 already"), "{error}");
    bench.engine.undo(first.fault).await.unwrap();
    let again = bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
    bench.engine.undo(again.fault).await.unwrap();
    bench.finish().await;
}

#[tokio::test]
async fn two_that_set_the_same_do_not_begin_at_the_same_time() {
    let bench = Bench::start(Lab, 3).await;
    let (left, right) = (["node-1"], ["node-2", "node-3"]);
    let first = bench.fault("partition", &left, &right, None);
    let second = bench.fault("partition_pair", &["node-1"], &["node-2"], None);
    let (first, second) = tokio::join!(first, second);
    let error = second.unwrap_err();
    assert!(error.to_string().contains("hurts node-1 already"), "{error}");
    bench.engine.undo(first.unwrap().fault).await.unwrap();
    let again = bench.fault("partition_pair", &["node-1"], &["node-2"], None).await.unwrap();
    bench.engine.undo(again.fault).await.unwrap();
    bench.finish().await;
}

#[tokio::test]
async fn the_body_of_a_fault_sees_what_came_before_its_witness_did() {
    let bench = Bench::start(HostNetwork, 2).await;
    let before = bench.engine.shared.clock.now();
    let hit = bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
    let acted = bench.engine.shared.clock.now();
    // The witness looks for 200 ms; what others say in that time is of this fault.
    let looked = acted.since(hit.applied);
    assert!(hit.applied >= before && looked >= Duration::from_millis(200), "{looked:?}");
    bench.engine.undo(hit.fault).await.unwrap();
    bench.finish().await;
}

#[tokio::test]
async fn who_cannot_notice_is_not_waited_for() {
    let bench = Bench::start(HostNetwork, 4).await;
    bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
    for observer in ["node-1", "node-3", "node-4"] {
        bench.buries(observer, &["node-2"]);
    }
    // node-2 is wedged, and node-4 has given node-3 up before.
    bench.buries("node-4", &["node-3"]);
    bench.fault("kill_node", &["node-3"], &[], None).await.unwrap();
    bench.buries("node-1", &["node-3"]);
    let (verdicts, _) = bench.finish().await;
    assert_eq!(verdicts, [Verdict::Passed, Verdict::Passed]);
}

/// What an observer that is wedged for a while has to notice, and how long it has for that.
const OWN: Duration = Duration::from_secs(5);

/// node-3 is killed, node-2 wedged for so long. Then some speak at once, and others when that is
/// too late for all but who was wedged; what comes of it.
async fn wedged(held: Duration, at_once: &str, late: Option<&str>) -> Verdict {
    let bench = Bench::start(HostNetwork, 3).await;
    let call = bench.call("kill_node", &["node-3".into()]);
    let call = FaultCall { detect_within: Some(OWN), ..call };
    let kill = bench.engine.fault(call, here()).await.unwrap();
    let killed = Instant::now();
    let wedge = bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
    bench.buries("node-1", &["node-2"]);
    tokio::time::sleep_until(killed + held).await;
    bench.engine.undo(wedge.fault).await.unwrap();
    bench.buries(at_once, &["node-3"]);
    match late {
        Some("node-2") => {
            tokio::time::sleep_until(killed + OWN + Duration::from_millis(200)).await;
        }
        _ => assert!(bench.engine.noticed(kill.fault).await.unwrap()),
    }
    if let Some(late) = late {
        bench.buries(late, &["node-3"]);
    }
    let (verdicts, _) = bench.finish().await;
    assert_eq!(verdicts[1], Verdict::Passed, "{verdicts:?}");
    verdicts[0].clone()
}

#[tokio::test]
async fn an_observer_that_was_wedged_has_its_time_from_when_it_was_let_go_on() {
    // As far from the end of what each has before it as after it.
    let half = OWN / 2;
    let (excused, other, silent) = tokio::join!(
        wedged(half, "node-1", Some("node-2")),
        wedged(Duration::ZERO, "node-2", Some("node-1")),
        wedged(Duration::ZERO, "node-1", None),
    );
    assert_eq!(excused, Verdict::Passed);
    assert!(reason(&other).starts_with("not noticed by node-1 within 5.00 s"), "{other:?}");
    assert!(reason(&silent).starts_with("not noticed by node-2 within 5.00 s"), "{silent:?}");
}

#[tokio::test]
async fn only_who_was_wedged_has_its_time_from_when_it_was_let_go_on() {
    let bench = Bench::start(HostNetwork, 2).await;
    let shared = &bench.engine.shared;
    for (wedged, late) in [("node-1", true), ("node-2", false)] {
        let hit = bench.fault("wedge_node", &[wedged], &[], None).await.unwrap();
        bench.engine.undo(hit.fault).await.unwrap();
        let taken_back = shared.state().faults[&hit.fault].taken_back.unwrap();
        let watch = Watch { fault: FaultId(99), ..watch(&bench, OWN, Duration::ZERO) };
        let from = if late { taken_back } else { RunTime::ZERO };
        assert!(taken_back > RunTime::ZERO);
        let due = watch.first_due(shared, RunTime::ZERO).as_duration();
        assert_eq!(due, from.as_duration() + OWN, "{wedged} was wedged");
        bench.engine.close_these_faults(&[hit.fault]).await.unwrap();
    }
    bench.finish().await;
}

#[tokio::test]
async fn what_was_taken_back_before_anybody_looked_is_undecided_and_what_was_noticed_is_not() {
    let bench = Bench::start(HostNetwork, 2).await;
    let shared = &bench.engine.shared;
    let (_undo, undone) = tokio::sync::watch::channel(true);
    for own in [Duration::ZERO, OWN] {
        let watch = Watch { applied: shared.clock.now(), ..watch(&bench, own, Duration::ZERO) };
        let verdict = judge(shared, watch, undone.clone()).await;
        assert!(matches!(verdict, Verdict::Inconclusive(_)), "{verdict:?}");
        assert!(reason(&verdict).contains("too soon for node-1 to notice"), "{verdict:?}");
    }
    bench.buries("node-1", &["node-2"]);
    for own in [Duration::ZERO, OWN] {
        let watch = watch(&bench, own, Duration::ZERO);
        assert_eq!(judge(shared, watch, undone.clone()).await, Verdict::Passed);
    }
    bench.finish().await;
}

#[tokio::test]
async fn a_fault_that_nobody_is_there_to_notice_is_skipped() {
    let bench = Bench::start(HostNetwork, 1).await;
    bench.fault("kill_node", &["node-1"], &[], None).await.unwrap();
    let (verdicts, _) = bench.finish().await;
    assert!(matches!(verdicts[0], Verdict::Skipped(_)), "{verdicts:?}");
}

#[tokio::test]
async fn a_restart_is_noticed_by_its_incarnation_or_by_a_return_from_death() {
    let bench = Bench::start(HostNetwork, 3).await;
    let old = bench.engine.shared.state().nodes[&NodeId::from("node-2")].incarnation;
    let hit = bench.fault("restart_node", &["node-2"], &[], None).await.unwrap();
    let new = bench.engine.shared.state().nodes[&NodeId::from("node-2")].incarnation;
    assert_eq!((old, new), (1, 2));
    // There is nothing to take back, and being asked to does not end the judgement.
    bench.engine.undo(hit.fault).await.unwrap();
    // The judge has its turn before there is any evidence.
    tokio::task::yield_now().await;
    bench.says("node-1", PEER_RESTARTED, "node-2", None);
    bench.buries("node-3", &["node-2"]);
    bench.says("node-3", STATE_HEARD, "node-2", Some("Joining"));
    let (verdicts, acted) = bench.finish().await;
    assert_eq!(verdicts, [Verdict::Passed]);
    assert!(acted[0].contains("is ready with the same key"), "{acted:?}");
}

#[tokio::test]
async fn who_was_replaced_meanwhile_need_not_notice_what_its_former_life_saw() {
    for deaf in [false, true] {
        let bench = Bench::start(HostNetwork, 3).await;
        all_there(&bench);
        bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
        if !deaf {
            bench.buries("node-1", &["node-2"]);
        }
        // Its new life never heard node-2, so it cannot miss it.
        bench.fault("restart_node", &["node-3"], &[], None).await.unwrap();
        bench.says("node-1", PEER_RESTARTED, "node-3", None);
        let (verdicts, _) = bench.finish().await;
        let missed = reason(&verdicts[0]).starts_with("not noticed by node-1 within");
        assert_eq!(missed, deaf, "{verdicts:?}");
        assert!(!reason(&verdicts[0]).contains("noticed by node-3"), "{verdicts:?}");
    }
}

#[tokio::test]
async fn who_was_just_replaced_notices_only_whom_it_has_met() {
    for met in [false, true] {
        let bench = Bench::start(HostNetwork, 3).await;
        all_there(&bench);
        bench.fault("restart_node", &["node-3"], &[], None).await.unwrap();
        bench.says("node-1", PEER_RESTARTED, "node-3", None);
        bench.says("node-2", PEER_RESTARTED, "node-3", None);
        if met {
            bench.says("node-3", PEER_CONNECTED, "node-2", None);
        }
        bench.fault("restart_node", &["node-2"], &[], None).await.unwrap();
        bench.says("node-1", PEER_RESTARTED, "node-2", None);
        let (verdicts, _) = bench.finish().await;
        let missed = reason(&verdicts[1]).starts_with("not noticed by node-3 within");
        assert_eq!(missed, met, "{verdicts:?}");
    }
}

#[tokio::test]
async fn what_was_there_before_a_fault_must_be_there_again_after_it() {
    for whole in [true, false] {
        let bench = Bench::start(HostNetwork, 3).await;
        all_there(&bench);
        bench.fault("restart_node", &["node-2"], &[], None).await.unwrap();
        for observer in ["node-1", "node-3"] {
            bench.says(observer, PEER_RESTARTED, "node-2", None);
        }
        // The new process knows nobody until it says so.
        bench.says("node-2", PEER_CONNECTED, "node-1", None);
        if whole {
            bench.says("node-2", PEER_CONNECTED, "node-3", None);
        }
        let (verdicts, _) = bench.finish().await;
        if whole {
            assert_eq!(verdicts, [Verdict::Passed]);
        } else {
            let why = "not healed within 5.00 s: node-2 does not hold node-3 to be there and well";
            assert_eq!(verdicts, [Verdict::Failed(why.to_owned())]);
        }
    }
}

#[tokio::test]
async fn an_undo_that_does_nothing_is_red_though_it_says_that_it_is_done() {
    let bench = Bench::start(HostNetwork, 3).await;
    for observer in ["node-1", "node-3"] {
        bench.says(observer, PEER_CONNECTED, "node-2", None);
    }
    bench.fault(HOLLOW, &["node-2"], &[], None).await.unwrap();
    bench.buries("node-1", &["node-2"]);
    bench.buries("node-3", &["node-2"]);
    let (verdicts, _) = bench.finish().await;
    let why = "not healed within 500.0 ms: node-1 does not hold node-2 to be there and well, and \
               1 more are not whole";
    assert_eq!(verdicts, [Verdict::Failed(why.to_owned())]);
}

#[tokio::test]
async fn a_fault_that_is_being_taken_back_as_the_test_ends_is_judged_by_how_it_heals() {
    let bench = Bench::start(HostNetwork, 3).await;
    for observer in ["node-1", "node-3"] {
        bench.says(observer, PEER_CONNECTED, "node-2", None);
    }
    let hit = bench.fault(SLOW, &["node-2"], &[], Some(Duration::from_millis(20))).await.unwrap();
    bench.buries("node-1", &["node-2"]);
    bench.buries("node-3", &["node-2"]);
    let mut undone = bench.engine.shared.state().faults[&hit.fault].undone.subscribe();
    undone.wait_for(|undone| *undone).await.unwrap();
    let (record, _folder) = bench.finish_with_record().await;
    let kinds: Vec<&RunEventKind> = record.events.iter().map(|event| &event.kind).collect();
    let undone = kinds.iter().position(|kind| {
        matches!(kind, RunEventKind::FaultReached { stage: FaultStage::Undone { .. }, .. })
    });
    let judged = kinds.iter().position(|kind| match kind {
        RunEventKind::FaultFinished { verdict, .. } => {
            assert!(reason(verdict).starts_with("not healed within 500.0 ms"), "{verdict:?}");
            true
        }
        _ => false,
    });
    assert!(undone.is_some() && undone < judged, "{undone:?} {judged:?}");
}

#[tokio::test]
async fn a_node_that_does_not_come_back_after_a_thaw_is_red_and_named() {
    for whole in [true, false] {
        let bench = Bench::start(HostNetwork, 3).await;
        for observer in ["node-1", "node-3"] {
            bench.says(observer, PEER_CONNECTED, "node-2", None);
        }
        let hit = bench.fault("wedge_node", &["node-2"], &[], None).await.unwrap();
        bench.buries("node-1", &["node-2"]);
        bench.buries("node-3", &["node-2"]);
        bench.engine.undo(hit.fault).await.unwrap();
        bench.says("node-1", PEER_CONNECTED, "node-2", None);
        if whole {
            bench.says("node-3", PEER_CONNECTED, "node-2", None);
        }
        let (verdicts, _) = bench.finish().await;
        if whole {
            assert_eq!(verdicts, [Verdict::Passed]);
        } else {
            let why = "not healed within 15.0 s: node-3 does not hold node-2 to be there and well";
            assert_eq!(verdicts, [Verdict::Failed(why.to_owned())]);
        }
    }
}

#[tokio::test]
async fn network_faults_are_skipped_on_the_network_of_the_host() {
    let bench = Bench::start(HostNetwork, 2).await;
    let cut = bench.fault("partition", &["node-1"], &["node-2"], None).await.unwrap();
    assert!(!cut.acted);
    bench.engine.undo(cut.fault).await.unwrap();
    let (verdicts, acted) = bench.finish().await;
    assert!(matches!(verdicts[0], Verdict::Skipped(_)), "{verdicts:?}");
    assert!(reason(&verdicts[0]).contains("`--network host`"), "{verdicts:?}");
    assert_eq!(acted, Vec::<String>::new());
}

#[tokio::test]
async fn each_side_of_a_partition_must_bury_the_whole_other_side() {
    let (left, right) = (["node-1", "node-2"], ["node-3", "node-4"]);
    for whole in [true, false] {
        let bench = Bench::start(Lab, 4).await;
        bench.fault("partition", &left, &right, None).await.unwrap();
        for node in left {
            bench.buries(node, &right);
        }
        bench.buries("node-3", &left);
        bench.buries("node-4", if whole { &left } else { &left[..1] });
        let (verdicts, acted) = bench.finish().await;
        assert!(acted[0].contains("node-1 and node-2 | node-3 and node-4"), "{acted:?}");
        if whole {
            assert_eq!(verdicts, [Verdict::Passed]);
        } else {
            assert!(matches!(verdicts[0], Verdict::Failed(_)), "{verdicts:?}");
            let why = reason(&verdicts[0]);
            assert!(why.starts_with("not noticed by node-4 ") && why.contains("about node-2)"));
        }
    }
}

#[tokio::test]
async fn nobody_must_notice_a_cut_pair_that_others_connect() {
    let bench = Bench::start(Lab, 3).await;
    bench.fault("partition", &["node-1"], &["node-2"], None).await.unwrap();
    let (verdicts, acted) = bench.finish().await;
    assert_eq!(verdicts, [Verdict::Passed]);
    let said = "; the links that are left still join them";
    assert!(acted[0].ends_with(said), "{acted:?}");
}

#[tokio::test]
async fn who_buries_a_node_that_a_path_still_joins_fails_and_is_named() {
    let bench = Bench::start(Lab, 3).await;
    bench.fault("partition_pair", &["node-1"], &["node-2"], None).await.unwrap();
    bench.buries("node-3", &["node-1"]);
    let (verdicts, _) = bench.finish().await;
    let [Verdict::Failed(why)] = verdicts.as_slice() else { panic!("{verdicts:?}") };
    let who = "node-3 sent `node.state_inferred { state = Dead }` about node-1, ";
    assert!(why.starts_with(who), "{why}");
    assert!(why.ends_with("though the links that are left still join them"), "{why}");
}

#[tokio::test]
async fn a_death_that_another_fault_explains_is_not_held_against_this_one() {
    let bench = Bench::start(Lab, 3).await;
    bench.fault("partition_pair", &["node-1"], &["node-2"], None).await.unwrap();
    bench.fault("kill_node", &["node-2"], &[], None).await.unwrap();
    bench.buries("node-1", &["node-2"]);
    bench.buries("node-3", &["node-2"]);
    let (verdicts, _) = bench.finish().await;
    assert_eq!(verdicts, [Verdict::Passed, Verdict::Passed]);
}

#[tokio::test]
async fn sides_without_nodes_or_with_the_same_node_are_refused() {
    let bench = Bench::start(Lab, 2).await;
    for (left, right, told) in [
        (vec!["node-1"], vec![], "the right side has no node"),
        (vec![], vec!["node-1"], "the left side has no node"),
        (vec!["node-1"], vec!["node-2", "node-1"], "node-1 is on both sides"),
        (vec!["node-1"], vec!["node-9"], "there is no node node-9"),
    ] {
        let error = bench.fault("partition", &left, &right, None).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
    let error = bench.fault("wedge_node", &["node-1", "node-2"], &[], None).await.unwrap_err();
    assert!(error.to_string().contains("takes one node"), "{error}");
    let (verdicts, _) = bench.finish().await;
    assert_eq!(verdicts, [], "what was refused is not in the record");
}

/// node-1 has to notice that node-2 is dead, and both waited so long for a processor.
fn watch(bench: &Bench, within: Duration, waited: Duration) -> Watch {
    let (one, two) = (NodeId::from("node-1"), NodeId::from("node-2"));
    let state = bench.engine.shared.state();
    let about = BTreeMap::from([(two.clone(), state.key(&two).unwrap())]);
    Watch {
        fault: FaultId(1),
        any_of: DEATH,
        applied: RunTime::ZERO,
        within,
        expected: BTreeMap::from([(one.clone(), about)]),
        lives: BTreeMap::from([(one.clone(), state.incarnation(&one).unwrap())]),
        starved: Some(Starved::By(waited)),
    }
}

#[tokio::test]
async fn who_got_no_processor_has_as_much_time_more_but_never_more_than_twice_its_own() {
    let bench = Bench::start(HostNetwork, 2).await;
    let shared = &bench.engine.shared;
    let own = Duration::from_millis(500);
    let (noise, hour) = (Duration::from_millis(99), Duration::from_secs(3600));
    let due = |waited| {
        let due = watch(&bench, own, waited).first_due(shared, RunTime::ZERO);
        due.as_duration()
    };
    assert_eq!(due(Duration::ZERO), own);
    assert_eq!(due(noise), own, "any process waits as long");
    assert_eq!(due(Duration::from_millis(200)), own + Duration::from_millis(200));
    assert_eq!(due(hour), own * 2);
    // A fault that has its process may be what throttles it, and excuses nothing.
    let hit = bench.fault("wedge_node", &["node-1"], &[], None).await.unwrap();
    assert_eq!(due(hour), own);
    bench.engine.undo(hit.fault).await.unwrap();
    bench.finish().await;
}

#[tokio::test]
async fn a_node_that_says_nothing_is_red_however_long_it_waited_for_a_processor() {
    let bench = Bench::start(HostNetwork, 2).await;
    let shared = &bench.engine.shared;
    let own = Duration::from_millis(50);
    for (waited, told) in [
        (Duration::ZERO, "not noticed by node-1 within 50.0 ms (no span"),
        (
            Duration::from_secs(3600),
            "not noticed by node-1 within 50.0 ms and 50.0 ms more, for which it or the harness \
             waited for a processor (no span",
        ),
    ] {
        let (_undo, undone) = tokio::sync::watch::channel(false);
        let verdict = judge(shared, watch(&bench, own, waited), undone).await;
        let Verdict::Failed(why) = &verdict else { panic!("{verdict:?}") };
        assert!(why.starts_with(told), "{why}");
    }
    bench.finish().await;
}

#[tokio::test]
async fn a_death_that_is_told_late_says_what_was_added() {
    let bench = Bench::start(HostNetwork, 2).await;
    let shared = &bench.engine.shared;
    let own = Duration::from_millis(50);
    while shared.clock.now().as_duration() <= own {
        tokio::task::yield_now().await;
    }
    bench.buries("node-1", &["node-2"]);
    let (_undo, undone) = tokio::sync::watch::channel(false);
    let late = watch(&bench, own, Duration::from_secs(3600));
    assert_eq!(judge(shared, late, undone).await, Verdict::Passed);
    let (record, _folder) = bench.finish_with_record().await;
    let told: Vec<&String> = record
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            RunEventKind::FaultReached { stage: FaultStage::Noticed { evidence, .. }, .. } => {
                Some(evidence)
            }
            _ => None,
        })
        .collect();
    let wanted =
        ": to its 50.0 ms came 50.0 ms, for which it or the harness waited for a processor";
    assert!(told.len() == 1 && told[0].ends_with(wanted), "{told:?}");
}
