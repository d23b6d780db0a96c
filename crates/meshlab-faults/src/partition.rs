//! `partition`: the switch drops every packet between two sides.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Applied, Evidence, Fault, FaultError, Hurts, Target, cut::Cut};

const NAME: &str = "partition";

/// As for a killed node, and a second more: what crossed just before the cut is handed on within
/// its side.
pub(crate) const SLACK: Duration = Duration::from_secs(3);

/// Cuts both directions of every link between two sides.
#[derive(Debug, Clone, Copy)]
pub struct Partition;

#[async_trait]
impl Fault for Partition {
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
