//! `burst_kill`: ends several nodes' processes in one instant, by SIGKILL.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use meshlab_model::{NodeId, format_duration};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Revive, Target, Undo, Victim,
    fault::DEATH,
    process::{REAPED_WITHIN, reaped_by_sigkill},
};

const NAME: &str = "burst_kill";

/// Ends several nodes' processes at once: no two of them live through the death of a third.
#[derive(Debug, Clone, Copy)]
pub struct BurstKill;

#[async_trait]
impl Fault for BurstKill {
    fn name(&self) -> &'static str {
        NAME
    }

    fn many(&self) -> bool {
        true
    }

    fn heals_within(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn hurts(&self) -> Hurts {
        Hurts::Life
    }

    fn evidence(&self) -> Evidence {
        // As for one killed node: what a survivor holds of each is as old as for any other.
        Evidence::Spans { any_of: DEATH, slack: Duration::from_secs(2), none_of: &[] }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victims = target.nodes.as_slice();
        let nodes: BTreeSet<&NodeId> = victims.iter().map(|victim| &victim.node).collect();
        if nodes.is_empty() || nodes.len() < victims.len() {
            return Err(FaultError::Refused {
                fault: NAME,
                on: format!("{} nodes", victims.len()),
                why: format!("{} different ones are among them", nodes.len()),
            });
        }
        let witness = kill(victims, REAPED_WITHIN).await?;
        let nodes: Vec<NodeId> = victims.iter().map(|victim| victim.node.clone()).collect();
        let revive = Arc::clone(&target.revive);
        let undo = Undo::optional("started again, same identities and addresses", move || {
            start_again(nodes, revive)
        });
        Ok(Applied { witness, undo: Some(undo) })
    }
}

async fn kill(victims: &[Victim], within: Duration) -> Result<String, FaultError> {
    let first = Instant::now();
    // Nothing is waited for between two of these. A signal that is refused does not spare those
    // after it: a burst that is half done is told of, not left half done.
    let signals: Vec<_> =
        victims.iter().map(|victim| victim.process.signal(libc::SIGKILL)).collect();
    let sent = first.elapsed();
    signals.into_iter().collect::<Result<Vec<()>, _>>()?;
    let deadline = first + within;
    for victim in victims {
        reaped_by_sigkill(NAME, victim, deadline.saturating_duration_since(Instant::now())).await?;
    }
    Ok(format!(
        "{} processes reaped, each ended by signal 9, within {} of the first signal; all signals \
         were sent in {}",
        victims.len(),
        format_duration(first.elapsed()),
        format_duration(sent)
    ))
}

async fn start_again(nodes: Vec<NodeId>, revive: Revive) -> Result<(), FaultError> {
    let mut starts = JoinSet::new();
    for node in nodes {
        let started = revive(node.clone());
        starts.spawn(async move {
            let failed = |why| FaultError::Undo { fault: NAME, on: node.to_string(), why };
            started.await.map(drop).map_err(failed)
        });
    }
    let mut outcome = Ok(());
    while let Some(started) = starts.join_next().await {
        let broke = |error: tokio::task::JoinError| FaultError::Undo {
            fault: NAME,
            on: "a node".to_owned(),
            why: format!("its start broke: {error}"),
        };
        outcome = outcome.and(started.map_err(broke).and_then(|started| started));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Revived,
        fixture::{Sleeper, sleeper},
    };

    /// Several processes; the first of them holds the target.
    async fn burst(script: &str) -> ([Sleeper; 3], Target) {
        let mut all = [sleeper(script).await, sleeper(script).await, sleeper(script).await];
        for (number, one) in all.iter_mut().enumerate() {
            one.victim.node = NodeId(format!("node-{number}"));
        }
        let mut target = all[0].target(Ok(Revived { pid: 7, key: "k".to_owned() }));
        target.nodes = all.iter().map(|one| one.victim.clone()).collect();
        (all, target)
    }

    #[tokio::test]
    async fn all_end_and_all_are_started_again() {
        let (all, target) = burst("exec sleep 600").await;
        let applied = BurstKill.apply(&target).await.unwrap();
        assert!(applied.witness.starts_with("3 processes reaped, each ended by signal 9, within"));
        assert!(all.iter().all(|one| one.victim.process.exit().is_some()));
        let undo = applied.undo.unwrap();
        assert!(!undo.is_needed());
        undo.carry_out().await.unwrap();
        assert_eq!(all[0].revived.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn one_that_ended_by_itself_is_no_witness_and_one_that_does_not_start_is_told() {
        let (all, mut target) = burst("exec sleep 600").await;
        let early = sleeper("exit 0").await;
        early.victim.process.exited().await;
        target.nodes[1] = Victim { node: "node-1".into(), ..early.victim.clone() };
        let error = BurstKill.apply(&target).await.unwrap_err().to_string();
        assert!(error.contains("ended with exit code 0, not by signal 9"), "{error}");
        all[2].victim.process.exited().await;
        let revive = all[0].target(Err("no disk".to_owned())).revive;
        let error = start_again(vec!["node-0".into()], revive).await.unwrap_err();
        assert_eq!(error.to_string(), "undo burst_kill on node-0: no disk");
    }

    #[tokio::test]
    async fn nobody_and_somebody_twice_are_refused() {
        let (all, mut target) = burst("exec sleep 600").await;
        target.nodes[2] = all[0].victim.clone();
        let error = BurstKill.apply(&target).await.unwrap_err().to_string();
        let said = "apply burst_kill to 3 nodes: 2 different ones are among them";
        assert_eq!(error, said);
        target.nodes.clear();
        assert!(BurstKill.apply(&target).await.is_err());
        assert_eq!(all[0].victim.process.exit(), None);
    }
}
