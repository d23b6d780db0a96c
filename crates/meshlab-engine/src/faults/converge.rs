//! Waits until those whom a cut does not part hold each other to be there.
//!
//! Right after a cut an overlay may have lost most of its links, also within a side: then members
//! of one side bury each other too, and find each other again. That they do is what is judged.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{NodeId, Verdict, format_duration};
use tokio::{sync::watch, time::Instant};

use crate::{
    cancel::describe,
    claims::names,
    engine::{Shared, lock},
};

/// How long an overlay may take to find new links, after its nodes had their time to notice that
/// the old ones are gone.
pub(super) const REPAIRED_WITHIN: Duration = Duration::from_secs(15);

/// Who must hold whom to be there while links are cut.
pub(super) struct Converging {
    /// By observer: the nodes that it must hold to be there, with their keys.
    pub(super) together: BTreeMap<NodeId, BTreeMap<NodeId, String>>,
    /// When all deaths that the cut can bring are told: before that, nothing is lost yet.
    pub(super) settles_after: Duration,
    /// How long they have from then on.
    pub(super) repaired_within: Duration,
}

/// Waits until they do, or the cut is taken back before they had to.
pub(super) async fn converge(
    shared: &Shared,
    converging: Converging,
    mut ending: watch::Receiver<bool>,
) -> Verdict {
    let settled = Instant::now() + converging.settles_after;
    let within = converging.settles_after + converging.repaired_within;
    let whole = async {
        tokio::time::sleep_until(settled).await;
        let deadline = settled + converging.repaired_within;
        let together = |_: &_| converging.missing(shared).is_none().then_some(());
        shared.store.wait_for(deadline, together).await
    };
    tokio::select! {
        whole = whole => match (whole, converging.missing(shared)) {
            (Some(()), _) | (None, None) => Verdict::Passed,
            (None, Some((observer, subjects))) => Verdict::Failed(format!(
                "{observer} does not hold {} to be there {} after the cut, though the links that \
                 are left join them",
                names(&subjects),
                format_duration(within)
            )),
        },
        // Who would tell is gone: then the cut is too.
        _ = ending.wait_for(|ending| *ending) => Verdict::Passed,
        reason = shared.cancel.stopped() => Verdict::Inconclusive(describe(&reason)),
    }
}

impl Converging {
    /// The first who does not hold others to be there, and whom.
    fn missing(&self, shared: &Shared) -> Option<(NodeId, Vec<NodeId>)> {
        let state = shared.state();
        let views = lock(&shared.views);
        self.together.iter().filter(|(observer, _)| state.runs(observer)).find_map(
            |(observer, subjects)| {
                let gone = |(subject, key): &(&NodeId, &String)| {
                    let seen = views.opinion(observer, key);
                    state.runs(subject) && !seen.is_some_and(|opinion| opinion.present)
                };
                let gone: Vec<NodeId> =
                    subjects.iter().filter(gone).map(|(subject, _)| subject.clone()).collect();
                (!gone.is_empty()).then(|| (observer.clone(), gone))
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use meshlab_model::NetworkMode;
    use meshlab_wire::span::{PEER_CONNECTED, STATE_INFERRED};

    use super::*;
    use crate::fixture::Bench;

    async fn judged(bench: &Bench, over: bool) -> Verdict {
        let keys = BTreeMap::from([("node-2".into(), "node-2".to_owned())]);
        let converging = Converging {
            together: BTreeMap::from([("node-1".into(), keys)]),
            settles_after: Duration::from_millis(10),
            repaired_within: Duration::from_millis(200),
        };
        let (ending, ends) = watch::channel(over);
        let verdict = converge(&bench.engine.shared, converging, ends).await;
        drop(ending);
        verdict
    }

    #[tokio::test]
    async fn who_does_not_find_the_others_again_is_named() {
        let bench = Bench::start(NetworkMode::Host, 2).await;
        bench.says("node-1", PEER_CONNECTED, "node-2", None);
        assert_eq!(judged(&bench, false).await, Verdict::Passed);
        bench.says("node-1", STATE_INFERRED, "node-2", Some("Dead"));
        let Verdict::Failed(why) = judged(&bench, false).await else { panic!("it is not whole") };
        let who = "node-1 does not hold node-2 to be there 210.0 ms after the cut, though";
        assert!(why.starts_with(who), "{why}");
        assert_eq!(judged(&bench, true).await, Verdict::Passed, "the cut was taken back before");
        bench.says("node-1", PEER_CONNECTED, "node-2", None);
        assert_eq!(judged(&bench, false).await, Verdict::Passed, "it was repaired");
        bench.finish().await;
    }
}
