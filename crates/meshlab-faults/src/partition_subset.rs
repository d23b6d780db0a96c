//! `partition_subset`: the switch parts a named group of nodes from the others.

use async_trait::async_trait;

use crate::{Applied, Evidence, Fault, FaultError, Hurts, Target, cut::Cut, partition::SLACK};

const NAME: &str = "partition_subset";

/// Cuts both directions of every link between a group and the rest; or, without a rest, every link
/// of a group but those of a ring ([`cut_links`](crate::cut_links)).
#[derive(Debug, Clone, Copy)]
pub struct PartitionSubset;

#[async_trait]
impl Fault for PartitionSubset {
    fn name(&self) -> &'static str {
        NAME
    }

    fn hurts(&self) -> Hurts {
        Hurts::LinksBetween
    }

    fn many(&self) -> bool {
        true
    }

    fn sets(&self) -> &'static str {
        "cut"
    }

    fn evidence(&self) -> Evidence {
        Evidence::Parted { slack: SLACK, unbroken: false }
    }

    async fn apply(&self, target: &Target) -> Result<Applied, FaultError> {
        Cut::of(NAME, target)?.apply().await
    }
}
