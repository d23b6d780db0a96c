//! `kill_node`: ends a node's process at once, by SIGKILL.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo,
    fault::DEATH,
    process::{REAPED_WITHIN, reaped_by_sigkill},
};

const NAME: &str = "kill_node";

/// Ends a node's process at once. Nothing is flushed, nobody is told.
#[derive(Debug, Clone, Copy)]
pub struct KillNode;

#[async_trait]
impl Fault for KillNode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn heals_within(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn hurts(&self) -> Hurts {
        Hurts::Life
    }

    fn evidence(&self) -> Evidence {
        Evidence::Spans {
            any_of: DEATH,
            // An observer hears the last digest at the latest just before the kill and infers
            // death one failure-detection time after that; the rest is batching and scheduling.
            slack: Duration::from_secs(2),
            none_of: &[],
        }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victim = target.one(NAME)?;
        victim.process.signal(libc::SIGKILL)?;
        let witness = reaped_by_sigkill(NAME, victim, REAPED_WITHIN).await?;
        let (node, revive) = (victim.node.clone(), Arc::clone(&target.revive));
        let undo = Undo::optional("started again, same identity and address", move || {
            let started = revive(node.clone());
            async move {
                let failed = |why| FaultError::Undo { fault: NAME, on: node.to_string(), why };
                started.await.map(drop).map_err(failed)
            }
        });
        Ok(Applied { witness, undo: Some(undo) })
    }
}

#[cfg(test)]
mod tests {
    use meshlab_model::NodeId;

    use super::*;
    use crate::{Revived, fixture::sleeper};

    #[tokio::test]
    async fn it_acts_is_witnessed_and_can_be_taken_back() {
        let one = sleeper("exec sleep 600").await;
        let target = one.target(Ok(Revived { pid: 7, key: "k".to_owned() }));
        let applied = KillNode.apply(&target).await.unwrap();
        let pid = one.victim.process.pid();
        assert_eq!(applied.witness, format!("pid {pid} reaped, ended by signal 9"));
        assert!(one.revived.lock().unwrap().is_empty(), "nothing is undone before it is asked for");
        applied.undo.unwrap().carry_out().await.unwrap();
        assert_eq!(*one.revived.lock().unwrap(), [NodeId::from("node-1")]);
    }

    #[tokio::test]
    async fn a_node_that_does_not_start_again_is_told() {
        let one = sleeper("exec sleep 600").await;
        let applied = KillNode.apply(&one.target(Err("no disk".to_owned()))).await.unwrap();
        let error = applied.undo.unwrap().carry_out().await.unwrap_err();
        assert_eq!(error.to_string(), "undo kill_node on node-1: no disk");
    }
}
