//! What the faults that limit a process share.

use std::time::Duration;

use meshlab_fleet::{CgroupError, Confined};
use meshlab_model::NodeId;

use crate::FaultError;

/// What a witness of a limit may take: the kernel acts at once, a busy host schedules its probe
/// late.
pub(crate) const LIMITED_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at a probe.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What two limits set that are of the same hierarchy on some hosts: a process can be in one group
/// of it only.
pub(crate) const SETS: &str = "control group";

/// A group that cannot be made here is no fault of the subject; any other error is told.
pub(crate) fn failed(fault: &'static str, on: &NodeId) -> impl Fn(CgroupError) -> FaultError {
    let on = on.to_string();
    move |error| match error {
        CgroupError::Unavailable(why) => FaultError::Unavailable { fault, why },
        error => refused(fault, &on, format!("failed to {error}")),
    }
}

pub(crate) fn refused(fault: &'static str, on: &impl ToString, why: String) -> FaultError {
    FaultError::Refused { fault, on: on.to_string(), why }
}

/// Moves the process back and removes its group.
pub(crate) async fn release(
    fault: &'static str,
    on: NodeId,
    confined: Confined,
) -> Result<(), FaultError> {
    let failed =
        |error: CgroupError| FaultError::Undo { fault, on: on.to_string(), why: error.to_string() };
    confined.release().await.map_err(failed)
}
