//! `relay_down`: a mesh's relay ends, and is started again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    Applied, Evidence, Fault, FaultError, Hurts, Target, Undo,
    fault::DEATH,
    process::{REAPED_WITHIN, reaped_by_sigkill},
};

const NAME: &str = "relay_down";

/// Ends a relay's process at once.
#[derive(Debug, Clone, Copy)]
pub struct RelayDown;

#[async_trait]
impl Fault for RelayDown {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::Life
    }

    fn evidence(&self) -> Evidence {
        let why = "nodes that reach each other directly do not need it";
        Evidence::Unnoticed { none_of: DEATH, why }
    }

    fn heals_within(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        let victim = target.one(NAME)?;
        victim.process.signal(libc::SIGKILL)?;
        let witness = reaped_by_sigkill(NAME, victim, REAPED_WITHIN).await?;
        let (node, revive) = (victim.node.clone(), Arc::clone(&target.revive));
        let undo = Undo::needed("the relay runs again", move || async move {
            let on = node.to_string();
            let back = revive(node).await;
            back.map(drop).map_err(|why| FaultError::Undo { fault: NAME, on, why })
        });
        Ok(Applied { witness, undo: Some(undo) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Revived, fixture::sleeper};

    #[tokio::test]
    async fn it_ends_the_relay_and_starts_it_again() {
        let one = sleeper("exec sleep 600").await;
        let back = Revived { pid: 7, key: String::new() };
        let applied = RelayDown.apply(&one.target(Ok(back))).await.unwrap();
        assert!(applied.witness.ends_with("reaped, ended by signal 9"), "{applied:?}");
        let undo = applied.undo.unwrap();
        assert!(undo.is_needed(), "a mesh is not left without its relay");
        undo.carry_out().await.unwrap();
        assert_eq!(one.revived.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn one_that_cannot_be_started_again_says_why() {
        let one = sleeper("exec sleep 600").await;
        let applied = RelayDown.apply(&one.target(Err("no port".to_owned()))).await.unwrap();
        let error = applied.undo.unwrap().carry_out().await.unwrap_err();
        assert_eq!(error.to_string(), "undo relay_down on node-1: no port");
    }
}
