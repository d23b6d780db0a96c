//! `kill_node`: ends a node's process at once, by SIGKILL.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use meshlab_fleet::Process;
use meshlab_model::NodeId;
use meshlab_wire::{State, span};

use crate::{Applied, Evidence, Fault, FaultError, Target, Undo};

/// The kernel reaps a killed process in well under this; a process in an uninterruptible wait
/// does not go, and then the fault did not act.
const REAPED_WITHIN: Duration = Duration::from_secs(5);

/// Ends a node's process at once. Nothing is flushed, nobody is told.
#[derive(Debug, Clone, Copy)]
pub struct KillNode;

#[async_trait]
impl Fault for KillNode {
    fn name(&self) -> &'static str {
        "kill_node"
    }

    fn evidence(&self) -> Evidence {
        Evidence {
            span: span::STATE_INFERRED,
            state: State::Dead.as_str(),
            // An observer hears the last digest at the latest just before the kill and infers
            // death one failure-detection time after that; the rest is batching and scheduling.
            slack: Duration::from_secs(2),
        }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        target.process.signal(libc::SIGKILL)?;
        let witness = reaped_by_sigkill(&target.node, &target.process, REAPED_WITHIN).await?;
        let (node, revive) = (target.node.clone(), Arc::clone(&target.revive));
        let undo = Undo::optional("started again, same identity and address", move || {
            let started = revive(node.clone());
            async move {
                started.await.map_err(|why| FaultError::Undo { fault: "kill_node", node, why })
            }
        });
        Ok(Applied { witness, undo })
    }
}

/// The witness: the kernel says that this very process ended by signal 9.
async fn reaped_by_sigkill(
    node: &NodeId,
    process: &Process,
    within: Duration,
) -> Result<String, FaultError> {
    let pid = process.pid();
    let missing = match process.exited_within(within).await {
        Some(exit) if exit.signal == Some(libc::SIGKILL) => {
            return Ok(format!("pid {pid} reaped, ended by signal 9"));
        }
        Some(exit) => format!("pid {pid} ended with {exit}, not by signal 9"),
        None => format!("pid {pid} was not reaped"),
    };
    Err(FaultError::NotWitnessed { fault: "kill_node", node: node.clone(), missing, within })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use meshlab_fleet::{Fleet, SpawnSpec};
    use tokio::runtime::Handle;

    use super::*;

    async fn sleeper(folder: &std::path::Path, script: &str) -> (Fleet, Process) {
        let fleet = Fleet::new(Handle::current()).unwrap();
        let spec = SpawnSpec {
            node: "node-1".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::new(),
            log: folder.join("node-1.log"),
            namespaces: Vec::new(),
        };
        let process = fleet.spawn(spec).await.unwrap();
        (fleet, process)
    }

    #[tokio::test]
    async fn it_acts_is_witnessed_and_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let (_fleet, process) = sleeper(folder.path(), "exec sleep 600").await;
        let revived = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&revived);
        let target = Target {
            node: "node-1".into(),
            process: process.clone(),
            revive: Arc::new(move |node| {
                seen.lock().unwrap().push(node);
                Box::pin(async { Ok(()) })
            }),
        };
        let applied = KillNode.apply(&target).await.unwrap();
        assert_eq!(applied.witness, format!("pid {} reaped, ended by signal 9", process.pid()));
        assert!(revived.lock().unwrap().is_empty(), "nothing is undone before it is asked for");
        applied.undo.carry_out().await.unwrap();
        assert_eq!(*revived.lock().unwrap(), [NodeId::from("node-1")]);
    }

    #[tokio::test]
    async fn a_process_that_ended_by_itself_is_no_witness() {
        let folder = tempfile::tempdir().unwrap();
        let (_fleet, process) = sleeper(folder.path(), "exit 0").await;
        process.exited().await;
        let error = reaped_by_sigkill(&"node-1".into(), &process, REAPED_WITHIN).await.unwrap_err();
        assert!(error.to_string().contains("ended with exit code 0, not by signal 9"), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_stays_is_no_witness() {
        let folder = tempfile::tempdir().unwrap();
        let (_fleet, process) = sleeper(folder.path(), "exec sleep 600").await;
        let soon = Duration::from_millis(50);
        let error = reaped_by_sigkill(&"node-1".into(), &process, soon).await.unwrap_err();
        assert!(error.to_string().contains("was not reaped within 50.0 ms"), "{error}");
    }
}
