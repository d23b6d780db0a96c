//! `restart_node`: kills a node and starts it again at once, with the same identity.

use std::time::Duration;

use async_trait::async_trait;
use meshlab_wire::{State, span};

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Sign, Target,
    process::{REAPED_WITHIN, reaped_by_sigkill},
};

const NAME: &str = "restart_node";

/// What a start may take. Who starts it again has a shorter deadline of its own, and says why.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How others come to know it: by the new incarnation of a node that they know, or, if they held
/// it to be dead before it spoke again, by hearing it once more.
const SIGNS: &[Sign] = &[
    Sign { span: span::PEER_RESTARTED, state: None, after: None },
    heard_again(State::Joining),
    heard_again(State::Alive),
];

const fn heard_again(state: State) -> Sign {
    let dead = (span::STATE_INFERRED, State::Dead);
    Sign { span: span::STATE_HEARD, state: Some(state), after: Some(dead) }
}

/// Ends a node's process by SIGKILL and starts the node again, same identity and address.
#[derive(Debug, Clone, Copy)]
pub struct RestartNode;

#[async_trait]
impl Fault for RestartNode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn heals_within(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn hurts(&self) -> Hurts {
        Hurts::Life
    }

    fn evidence(&self) -> Evidence {
        // A node that is back says so at once; one that others held to be dead was silent for one
        // failure-detection time before that. The rest is for its way back into the mesh.
        Evidence::Spans { any_of: SIGNS, slack: Duration::from_secs(5), none_of: &[] }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victim = target.one(NAME)?;
        let on = || victim.node.to_string();
        victim.process.signal(libc::SIGKILL)?;
        let reaped = reaped_by_sigkill(NAME, victim, REAPED_WITHIN).await?;
        let started = tokio::time::timeout(READY_WITHIN, (target.revive)(victim.node.clone()));
        let missing = match started.await {
            Ok(Ok(back)) if back.pid == victim.process.pid() => {
                format!("pid {} is still the one from before", back.pid)
            }
            Ok(Ok(back)) if victim.key.as_ref().is_some_and(|key| *key != back.key) => {
                format!("pid {} is ready as {}, which is another node", back.pid, back.key)
            }
            Ok(Ok(back)) => {
                let witness = format!("{reaped}; pid {} is ready with the same key", back.pid);
                return Ok(Applied { witness, undo: None });
            }
            Ok(Err(why)) => return Err(FaultError::NotBack { on: on(), why }),
            Err(_) => "no new process was ready".to_owned(),
        };
        Err(FaultError::NotWitnessed { fault: NAME, on: on(), missing, within: READY_WITHIN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Revived, fixture::sleeper};

    fn back(pid: u32, key: &str) -> Result<Revived, String> {
        Ok(Revived { pid, key: key.to_owned() })
    }

    #[tokio::test]
    async fn a_new_process_with_the_same_key_is_the_witness() {
        let one = sleeper("exec sleep 600").await;
        let applied = RestartNode.apply(&one.target(back(7, "k"))).await.unwrap();
        assert!(applied.undo.is_none(), "it is over: there is nothing to take back");
        let pid = one.victim.process.pid();
        let said = format!("pid {pid} reaped, ended by signal 9; pid 7 is ready with the same key");
        assert_eq!(applied.witness, said);
        assert_eq!(one.revived.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn another_key_the_same_process_or_none_is_no_witness() {
        let one = sleeper("exec sleep 600").await;
        let error = RestartNode.apply(&one.target(back(7, "other"))).await.unwrap_err();
        assert!(error.to_string().contains("ready as other, which is another node"), "{error}");
        let one = sleeper("exec sleep 600").await;
        let same = back(one.victim.process.pid(), "k");
        let error = RestartNode.apply(&one.target(same)).await.unwrap_err();
        assert!(error.to_string().contains("is still the one from before"), "{error}");
        let one = sleeper("exec sleep 600").await;
        let error = RestartNode.apply(&one.target(Err("no disk".to_owned()))).await.unwrap_err();
        assert_eq!(error.to_string(), "start node-1 again after restart_node: no disk");
    }

    #[tokio::test]
    async fn a_node_that_has_ended_already_is_not_restarted() {
        let one = sleeper("exit 0").await;
        one.victim.process.exited().await;
        let error = RestartNode.apply(&one.target(back(7, "k"))).await.unwrap_err();
        assert!(error.to_string().contains("not by signal 9"), "{error}");
        assert!(one.revived.lock().unwrap().is_empty());
    }

    #[test]
    fn the_signs_say_what_they_are() {
        let said: Vec<String> = SIGNS.iter().map(ToString::to_string).collect();
        assert_eq!(said[0], "peer.restarted");
        let dead = "node.state_inferred { state = Dead }";
        assert_eq!(said[2], format!("node.state_heard {{ state = Alive }} after {dead}"));
    }
}
