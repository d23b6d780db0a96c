//! What the nodes of a rehearsal answer: what healthy ones would.

use std::{collections::BTreeMap, time::Duration};

use meshlab_engine::{Answered, HostError, NodeAct, TrafficCall};
use meshlab_model::{HeapAmount, HeapGain, HeapGrowth, HeapSnapshot, NodeId, RunTime};
use meshlab_stats::Latency;
use meshlab_wire::{Contact, Order, Outcome, TrafficKind, TrafficResult, attr, span};

use super::world::{Life, World};

/// Round trips of a workload, whatever it is: more than any floor a scenario means.
const ROUND_TRIPS: u64 = 1000;

/// What a heap holds, with a little in each part, so that a scenario can read all of it.
pub(super) fn heap(node: &NodeId) -> HeapSnapshot {
    const BUCKETS: [&str; 7] =
        ["quic", "iroh", "gossip", "otel/tracing", "sysinfo", "app", "other"];
    let site = || Some("main (src/main.rs:1)".to_owned());
    let amount =
        |bucket: &str, site| HeapAmount { bucket: bucket.to_owned(), site, bytes: 1024, blocks: 1 };
    let gain = |bucket: &str, site| HeapGain { bucket: bucket.to_owned(), site, bytes: 0 };
    HeapSnapshot {
        node: node.clone(),
        number: 1,
        pid: 0,
        taken: RunTime { micros: 0 },
        file: String::new(),
        bytes: 7 * 1024,
        blocks: 7,
        rule: 1,
        recorder: String::new(),
        buckets: BUCKETS.map(|bucket| amount(bucket, None)).to_vec(),
        sites: vec![amount("app", site())],
        since: Some(HeapGrowth {
            micros: 1,
            churn: 1,
            buckets: BUCKETS.map(|bucket| gain(bucket, None)).to_vec(),
            sites: vec![gain("app", site())],
        }),
        claim: None,
    }
}

/// How long it keeps the script waiting.
pub(super) fn length(act: &NodeAct) -> Duration {
    match act {
        NodeAct::Traffic(TrafficCall { kind: TrafficKind::Bulk, .. }) => Duration::ZERO,
        NodeAct::Traffic(call) => call.length,
        _ => Duration::ZERO,
    }
}

/// What the node answers, and what it and others tell of it.
pub(super) fn act(
    world: &mut World,
    node: &NodeId,
    act: NodeAct,
    now: Duration,
) -> Result<Answered, HostError> {
    world.invented = true;
    let name = world.info(node, now).and_then(|info| info.name).unwrap_or_default();
    let trace = format!("{:032x}", now.as_micros());
    Ok(Ok(match act {
        NodeAct::SetState(state) => {
            world.tell(span::STATE_CHANGED, node, "", &[(attr::STATE, state.to_string())], now);
            let about = [(attr::PEER_NAME, name), (attr::STATE, state.to_string())];
            for other in world.others(node, now) {
                world.tell(span::STATE_HEARD, &other, "", &about, now);
            }
            Outcome::Done
        }
        NodeAct::Order { to, order } => {
            world.life(&to, now)?;
            if !allowed(world, node, &to, order, now) {
                let reason = "not-permitted".to_owned();
                world.tell(span::ORDER_REFUSED, &to, "", &[(attr::REASON, reason.clone())], now);
                return Ok(Ok(Outcome::Ordered { accepted: false, reason: Some(reason) }));
            }
            world.tell(span::ORDER_SENT, node, &trace, &[], now);
            world.tell(span::ORDER_ACCEPTED, &to, &trace, &[], now);
            if order == Order::Shutdown {
                // When it is gone, only a run can tell.
                world.set_life(&to, Life::Unsure);
            }
            Outcome::Ordered { accepted: true, reason: None }
        }
        NodeAct::Resolve { name } => {
            Outcome::Resolved(Contact { name, public_key: "0".repeat(64), addresses: Vec::new() })
        }
        NodeAct::Deliver { to, .. } => {
            if world.life(&to, now)? == Life::Ended {
                return Ok(Err(format!("{to} does not answer")));
            }
            world.tell(span::CROSS_DELIVER, node, &trace, &[], now);
            world.tell(span::CROSS_DELIVERED, &to, &trace, &[], now);
            Outcome::Delivered { trace, via: "direct".to_owned(), took_micros: 1000 }
        }
        NodeAct::Traffic(call) => {
            let gone = world.life(&call.to, now)? == Life::Ended;
            Outcome::Traffic(traffic(&call, gone).map_err(HostError::Harness)?)
        }
        NodeAct::Share { files, each } => {
            Outcome::Shared { hash: "0".repeat(64), bytes: u64::from(files) * each.0 }
        }
        NodeAct::Fetch { from, .. } => {
            if world.life(&from, now)? == Life::Ended {
                return Ok(Err(format!("{from} does not answer")));
            }
            Outcome::Fetched { files: 1, bytes: 1024, took_micros: 1000 }
        }
        NodeAct::Counters => {
            Outcome::Counters { counters: BTreeMap::new(), gauges: BTreeMap::new() }
        }
    }))
}

/// Whether the operator allowed it, and the word still holds.
fn allowed(world: &World, node: &NodeId, to: &NodeId, order: Order, now: Duration) -> bool {
    let act = match order {
        Order::Shutdown => "shutdown",
        Order::SetState { .. } => "set_state",
    };
    let mesh = world.info(to, now).map(|info| info.mesh);
    world.grants.get(node).into_iter().flatten().any(|(grant, given)| {
        grant.may.split(',').any(|may| may == act)
            && (grant.mesh.is_none() || grant.mesh == mesh)
            && grant.valid_for.is_none_or(|length| *given + length >= now)
    })
}

fn traffic(call: &TrafficCall, gone: bool) -> Result<TrafficResult, String> {
    let done = match (gone, call.kind) {
        (true, _) => 0,
        (false, TrafficKind::Bulk) => 1,
        (false, _) => ROUND_TRIPS,
    };
    let mut latency = Latency::new();
    if done > 0 {
        latency.record(Duration::from_millis(1));
    }
    let reasons = if gone { vec![format!("{} does not answer", call.to)] } else { Vec::new() };
    Ok(TrafficResult {
        round_trips: done,
        errors: u64::from(gone),
        reasons,
        bytes: done.saturating_mul(call.size.0),
        took_micros: u64::try_from(call.length.as_micros()).unwrap_or(u64::MAX).max(1),
        histogram: latency.encode()?,
    })
}
