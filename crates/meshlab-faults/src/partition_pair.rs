//! `partition_pair`: the switch drops every packet between two nodes.

use async_trait::async_trait;

use crate::{Applied, Evidence, Fault, FaultError, Hurts, Target, cut::Cut, partition::SLACK};

const NAME: &str = "partition_pair";

/// Cuts both directions of the link between two nodes. With a third one in their mesh both stay
/// members by way of it.
#[derive(Debug, Clone, Copy)]
pub struct PartitionPair;

#[async_trait]
impl Fault for PartitionPair {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksBetween
    }

    fn sets(&self) -> &'static str {
        "cut"
    }

    fn evidence(&self) -> Evidence {
        Evidence::Parted { slack: SLACK, unbroken: true }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        Cut::of(NAME, target)?.apply().await
    }
}
