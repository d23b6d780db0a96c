//! What no run could do, told without one.

use std::time::Duration;

use meshlab_engine::{Aim, ChaosOptions, FaultCall, Group, HostError};
use meshlab_model::format_duration;

use super::world::{Life, World};
use crate::error::nearest;

type Checked = Result<(), HostError>;

fn misuse(text: String) -> Checked {
    Err(HostError::Misuse(text))
}

/// Whether the nodes run and can be parted as asked.
pub(super) fn check_fault(world: &World, call: &FaultCall, now: Duration) -> Checked {
    let name = &call.name;
    for node in call.targets.iter().chain(&call.against) {
        if world.life(node, now)? == Life::Ended {
            return misuse(format!(
                "`fault.{name}` needs a node that runs, and {node} does not; `mesh:live()` has \
                 those that do"
            ));
        }
    }
    if let Some(both) = call.targets.iter().find(|node| call.against.contains(node)) {
        return misuse(format!("`fault.{name}`: {both} is on both sides"));
    }
    if call.targets.is_empty() && !world.invented {
        return misuse(format!("`fault.{name}` needs at least one node"));
    }
    let Some(group) = &call.group else { return Ok(()) };
    let all = call.targets.len();
    let why = match group {
        Group::Role(role) => return check_role(world, &format!("fault.{name}"), role, call),
        Group::Mesh if world.meshes.len() < 2 => "there is no other mesh".to_owned(),
        Group::One | Group::Majority if all < 2 => "there is nobody to be parted from".to_owned(),
        Group::Ring if all < 4 => {
            format!("a ring of {all} cuts nothing, it takes at least 4 nodes")
        }
        _ => return Ok(()),
    };
    misuse(format!("`fault.{name}`: {why}"))
}

fn check_role(world: &World, call: &str, role: &str, fault: &FaultCall) -> Checked {
    let roles = world.roles(&fault.targets);
    if roles.contains(role) {
        return match roles.len() {
            1 => misuse(format!("`{call}`: every node has the role `{role}`")),
            _ => Ok(()),
        };
    }
    misuse(no_role(call, role, roles.iter().map(String::as_str)))
}

fn no_role<'a>(call: &str, role: &str, roles: impl Iterator<Item = &'a str> + Clone) -> String {
    let meant = match nearest(role, roles.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the roles are: {}", roles.collect::<Vec<_>>().join(", ")),
    };
    format!("`{call}`: no node has the role `{role}`; {meant}")
}

/// Whether there is anything to draw, and for how long.
pub(super) fn check_chaos(world: &World, options: &ChaosOptions, timeout: Duration) -> Checked {
    if options.on.is_empty() && !world.invented {
        return misuse("`chaos` has nobody to hurt: `on` is empty".to_owned());
    }
    if !options.kinds.iter().any(|kind| kind.weight > 0.0) {
        return misuse("`chaos` has no fault to draw: no weight is more than 0".to_owned());
    }
    let length = options.duration.unwrap_or(timeout);
    if options.duration.is_some() && length < options.every.saturating_sub(options.jitter) {
        return misuse(format!(
            "`chaos` over {} draws no fault at one each {}",
            format_duration(length),
            format_duration(options.every)
        ));
    }
    let roles = world.roles(&options.on);
    for kind in &options.kinds {
        match &kind.aim {
            Aim::Group(Group::Role(role)) if !roles.contains(role) => {
                return misuse(no_role("chaos", role, roles.iter().map(String::as_str)));
            }
            Aim::Relay if world.relays.is_empty() => {
                return misuse("`chaos` takes down a relay, and no mesh has one".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}
