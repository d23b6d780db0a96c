//! Faults of the host on subjects that do what they are told: applied, noticed, judged, healed.

use meshlab_model::{NetworkMode::Host as HostNetwork, NetworkMode::Lab, Verdict};
use meshlab_wire::span::{PEER_CONNECTED, STATE_HEARD};

use crate::{Host, fixture::Bench};

#[tokio::test]
async fn a_full_disk_is_noticed_by_its_nodes_word_and_healed_once_it_is_well() {
    for well in [true, false] {
        let bench = Bench::start(Lab, 2).await;
        bench.says("node-1", PEER_CONNECTED, "node-2", None);
        let hit = bench.fault("disk_full", &["node-2"], &[], None).await.unwrap();
        assert!(hit.acted);
        bench.says("node-1", STATE_HEARD, "node-2", Some("Degraded"));
        assert!(bench.engine.noticed(hit.fault).await.unwrap());
        bench.engine.undo(hit.fault).await.unwrap();
        if well {
            bench.says("node-1", STATE_HEARD, "node-2", Some("Alive"));
        }
        let (verdicts, acted) = bench.finish().await;
        assert!(acted[0].contains("fails with ENOSPC"), "{acted:?}");
        if well {
            assert_eq!(verdicts, [Verdict::Passed]);
        } else {
            let why = "not healed within 15.0 s: node-1 does not hold node-2 to be there and well";
            assert_eq!(verdicts, [Verdict::Failed(why.to_owned())]);
        }
    }
}

#[tokio::test]
async fn a_disk_of_the_host_is_not_filled() {
    let bench = Bench::start(HostNetwork, 2).await;
    let hit = bench.fault("disk_full", &["node-2"], &[], None).await.unwrap();
    assert!(!hit.acted);
    let (verdicts, acted) = bench.finish().await;
    assert_eq!(acted, Vec::<String>::new());
    let [Verdict::Skipped(why)] = verdicts.as_slice() else { panic!("{verdicts:?}") };
    assert!(why.contains("`disk_full` cannot be done here: the node's data"), "{why}");
}
