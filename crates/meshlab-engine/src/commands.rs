//! What nodes are asked to do, and what came of it.

use std::time::Duration;

use meshlab_model::{NodeId, RunEventKind, SourceLine, TrafficMeasure, format_duration};
use meshlab_wire::{
    Command, Contact, Order, Outcome, Reply, Request, Traffic, TrafficKind, TrafficResult,
};

use crate::{Answered, Engine, HostError, NodeAct, NodeView, TrafficCall, state::Life};

/// Longest wait for what a node does by itself.
const SOON: Duration = Duration::from_secs(5);

/// Longest wait for a message to arrive, dials and a change of path included.
const DELIVERED: Duration = Duration::from_secs(15);

/// Longest wait for a directory.
const FOLDER: Duration = Duration::from_secs(150);

/// What a workload may take beyond its length.
const TRAFFIC_SLACK: Duration = Duration::from_secs(15);

impl Engine {
    /// The present life of a node that runs.
    pub(crate) fn life(&self, node: &NodeId) -> Result<Life, HostError> {
        let state = self.shared.state();
        let life = state.node(node)?.life.clone().filter(Life::runs);
        life.ok_or_else(|| HostError::Misuse(format!("{node} does not run, so it cannot be asked")))
    }

    /// The same of a node whose program has an agent.
    fn life_with_agent(&self, node: &NodeId) -> Result<Life, HostError> {
        let life = self.life(node)?;
        if life.process.control().is_none() {
            return Err(HostError::Misuse(format!(
                "{node} cannot be asked: its program links no agent; what needs none are faults, \
                 limits, logs, spans and `expect.answers`"
            )));
        }
        Ok(life)
    }

    /// A node as others reach it; it may be dead by now, which a workload may be about.
    fn contact(&self, node: &NodeId) -> Result<Contact, HostError> {
        let state = self.shared.state();
        let ready = state.node(node)?.ready();
        let ready = ready.ok_or_else(|| HostError::Misuse(format!("{node} was never ready")))?;
        Ok(Contact {
            name: ready.name.clone(),
            public_key: ready.public_key.clone(),
            addresses: ready.addresses.clone(),
        })
    }

    pub(crate) async fn act_on(
        &self,
        node: &NodeId,
        act: NodeAct,
        at: SourceLine,
    ) -> Result<Answered, HostError> {
        let life = self.life_with_agent(node)?;
        let (command, within) = self.command(&act)?;
        let target = ordered_to_end(&act).map(|target| self.life(target)).transpose()?;
        if let Some(target) = &target {
            // The exit may be seen before the answer.
            target.expect_end();
        }
        let asked = self.shared.clock.now();
        let asking = life.process.control().ask(Request::Command(command), within);
        let answered = match self.shared.cancel.or(asking).await? {
            Ok(Reply::Outcome(outcome)) => Ok(outcome),
            Ok(Reply::Refused { why }) => Err(why),
            Ok(other) => Err(format!("it answered something else: {other:?}")),
            Err(error) => return Err(HostError::Node(format!("failed to {error}"))),
        };
        if let Some(target) = target
            && !matches!(answered, Ok(Outcome::Ordered { accepted: true, .. }))
        {
            target.end_is_not_asked_for();
        }
        let took = self.shared.clock.now().since(asked);
        self.record_act(node, &act, &answered, took, at);
        Ok(answered)
    }

    fn command(&self, act: &NodeAct) -> Result<(Command, Duration), HostError> {
        Ok(match act {
            NodeAct::SetState(state) => (Command::SetState { state: *state }, SOON),
            NodeAct::Order { to, order } => {
                (Command::Order { to: self.contact(to)?, order: *order }, SOON)
            }
            NodeAct::Resolve { name } => (Command::Resolve { name: name.clone() }, DELIVERED),
            NodeAct::Deliver { to, text } => {
                let to = self.contact(to)?.name;
                (Command::Deliver { to, text: text.clone() }, DELIVERED)
            }
            NodeAct::Traffic(call) => {
                let traffic = Traffic {
                    to: self.contact(&call.to)?,
                    kind: call.kind,
                    streams: call.streams,
                    bytes: call.size.0,
                    for_ms: u64::try_from(call.length.as_millis()).unwrap_or(u64::MAX),
                    rate: call.rate,
                };
                (Command::Traffic(traffic), call.length + TRAFFIC_SLACK)
            }
            NodeAct::Share { files, each } => {
                let seed = self.shared.config.seed;
                (Command::Share { files: *files, bytes_each: each.0, seed }, FOLDER)
            }
            NodeAct::Fetch { from, hash } => {
                (Command::Fetch { from: self.contact(from)?, hash: hash.clone() }, FOLDER)
            }
            NodeAct::Counters => (Command::Counters, SOON),
        })
    }

    fn record_act(
        &self,
        node: &NodeId,
        act: &NodeAct,
        answered: &Answered,
        took: Duration,
        at: SourceLine,
    ) {
        if let (NodeAct::Traffic(call), Ok(Outcome::Traffic(result))) = (act, answered) {
            let measure = measure(node, call, result.clone());
            self.shared.event_at(RunEventKind::TrafficMeasured(measure), at);
            return;
        }
        let (outcome, done) = match answered {
            Ok(Outcome::Ordered { accepted: false, reason }) => {
                (format!("refused: {}", reason.as_deref().unwrap_or("no reason given")), false)
            }
            Ok(Outcome::Ordered { .. }) => ("accepted".to_owned(), true),
            Ok(Outcome::Delivered { via, .. }) => (format!("arrived, {via}"), true),
            Ok(Outcome::Fetched { files, bytes, .. }) => {
                (format!("{files} files, {bytes} bytes"), true)
            }
            Ok(_) => ("done".to_owned(), true),
            Err(why) => (why.clone(), false),
        };
        let kind = RunEventKind::NodeActed {
            node: node.clone(),
            act: sentence(act),
            outcome,
            done,
            took_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        };
        self.shared.event_at(kind, at);
    }

    pub(crate) async fn view_of(&self, node: &NodeId) -> Result<NodeView, HostError> {
        let life = self.life_with_agent(node)?;
        match life.process.control().ask(Request::View, SOON).await {
            Ok(Reply::View { peers, neighbors, connections }) => Ok(NodeView {
                peers: peers.len() as u64,
                neighbors: neighbors.len() as u64,
                connections: connections.values().map(|count| u64::from(*count)).sum(),
            }),
            Ok(other) => Err(HostError::Node(format!("{node} did not tell its view: {other:?}"))),
            Err(error) => Err(HostError::Node(format!("failed to {error}"))),
        }
    }
}

/// Whose end an act asks for.
fn ordered_to_end(act: &NodeAct) -> Option<&NodeId> {
    match act {
        NodeAct::Order { to, order: Order::Shutdown } => Some(to),
        _ => None,
    }
}

/// An act in a few words, for the record.
fn sentence(act: &NodeAct) -> String {
    match act {
        NodeAct::SetState(state) => format!("be {state}"),
        NodeAct::Order { to, order: Order::Shutdown } => format!("order {to} to shut down"),
        NodeAct::Order { to, order: Order::SetState { state } } => {
            format!("order {to} to be {state}")
        }
        NodeAct::Resolve { name } => format!("find {name}"),
        NodeAct::Deliver { to, text } => format!("deliver {} bytes to {to}", text.len()),
        NodeAct::Traffic(call) => format!(
            "drive {} streams against {} for {}",
            call.streams,
            call.to,
            format_duration(call.length)
        ),
        NodeAct::Share { files, each } => format!("offer {files} files of {each}"),
        NodeAct::Fetch { from, hash } => {
            format!("fetch {} from {from}", hash.get(..10).unwrap_or(hash))
        }
        NodeAct::Counters => "say its counters".to_owned(),
    }
}

fn measure(from: &NodeId, call: &TrafficCall, result: TrafficResult) -> TrafficMeasure {
    let kind = match call.kind {
        TrafficKind::Echo => "echo",
        TrafficKind::Request => "request",
        TrafficKind::Bulk => "bulk",
    };
    TrafficMeasure {
        from: from.clone(),
        to: call.to.clone(),
        kind: kind.to_owned(),
        streams: call.streams,
        bytes_each: call.size.0,
        round_trips: result.round_trips,
        errors: result.errors,
        reasons: result.reasons,
        bytes: result.bytes,
        took_micros: result.took_micros,
        histogram: result.histogram,
    }
}
