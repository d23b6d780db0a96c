//! What a rehearsal believes to be there: meshes, nodes, what acts on them, what was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use meshlab_engine::{
    Condition, Grant, HostError, MeshOptions, NODE_BINARY, NodeInfo, NodeOptions, RELAY_BINARY,
    SpanQuery,
};
use meshlab_model::{FaultId, MeshId, NodeId, RunTime, SpanRecord};
use meshlab_wire::{attr, span};
use serde_json::Value;

use super::Needs;

/// Spans that a rehearsal keeps; a scenario that asks for more than that reads them by number.
const SPANS_MAX: usize = 20_000;

/// Whether a node's process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Runs,
    Ended,
    /// Ended, and started again by itself at that time.
    Until(Duration),
    /// Nobody can know without running it: it was asked to end by another node.
    Unsure,
}

pub(super) struct Node {
    pub(super) info: NodeInfo,
    pub(super) life: Life,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) meshes: BTreeMap<MeshId, Vec<NodeId>>,
    pub(super) relays: BTreeMap<MeshId, NodeId>,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    /// Nodes that a fault ended and that start again when it is taken back.
    pub(super) fallen: BTreeMap<FaultId, Vec<NodeId>>,
    /// What the operator allowed whom, and when.
    pub(super) grants: BTreeMap<NodeId, Vec<(Grant, Duration)>>,
    spans: Vec<SpanRecord>,
    named: usize,
    pub(super) faults: u32,
    /// The scenario was told something that only real nodes know.
    pub(super) invented: bool,
    pub(super) needs: Needs,
    /// What was there when the round of a comparison began.
    before_round: (BTreeSet<MeshId>, BTreeSet<NodeId>),
}

fn misuse<T>(text: String) -> Result<T, HostError> {
    Err(HostError::Misuse(text))
}

impl World {
    /// A test begins: nothing of the last one is there.
    pub(super) fn clear(&mut self) {
        let needs = std::mem::take(&mut self.needs);
        *self = Self { needs, faults: self.faults, ..Self::default() };
    }

    pub(super) fn start_mesh(&mut self, options: MeshOptions, now: Duration) -> Refused {
        let mesh = options.name;
        if self.meshes.contains_key(&mesh) {
            return misuse(format!(
                "there is a mesh `{mesh}` already; give this one another `name`"
            ));
        }
        self.meshes.insert(mesh.clone(), Vec::new());
        if options.relay {
            let id = NodeId(format!("relay-{}", self.relays.len() + 1));
            self.relays.insert(mesh.clone(), id.clone());
            self.insert(&mesh, id, "relay".to_owned(), RELAY_BINARY.to_owned());
            self.needs.relay = true;
        }
        for role in options.roles {
            let (role, binary, kind) = (Some(role), options.binary.clone(), options.kind.clone());
            let node = NodeOptions { role, binary, kind, ..NodeOptions::default() };
            let id = self.place(&mesh, node)?;
            if options.backbone {
                self.tell(span::BACKBONE_PUBLISHED, &id, "", &[], now);
            }
            self.tell(span::NODE_READY, &id, "", &[], now);
        }
        self.count();
        Ok(())
    }

    fn place(&mut self, mesh: &MeshId, options: NodeOptions) -> Result<NodeId, HostError> {
        self.named += 1;
        let id = options.id.unwrap_or_else(|| NodeId(format!("node-{}", self.named)));
        let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.0.is_empty() || id.0.len() > 40 || !id.0.chars().all(fit) {
            return misuse(format!(
                "`{id}` cannot be a node's id: use 1 to 40 letters, digits, `-` and `_`"
            ));
        }
        if self.nodes.contains_key(&id) {
            return misuse(format!("there is a node {id} already"));
        }
        let role = options.role.unwrap_or_else(|| {
            let first = self.meshes.get(mesh).and_then(|nodes| nodes.first());
            first.and_then(|id| self.nodes.get(id)).map(|n| n.info.role.clone()).unwrap_or_default()
        });
        let first = self.meshes.get(mesh).and_then(|nodes| self.nodes.get(nodes.first()?));
        let of_kind = options.kind.as_ref().map(|kind| kind.binary.clone());
        let binary =
            options.binary.or(of_kind).or_else(|| first.map(|node| node.info.binary.clone()));
        let binary = binary.unwrap_or_else(|| NODE_BINARY.to_owned());
        self.needs.node |= binary == NODE_BINARY;
        self.insert(mesh, id.clone(), role, binary);
        self.meshes.entry(mesh.clone()).or_default().push(id.clone());
        Ok(id)
    }

    fn insert(&mut self, mesh: &MeshId, id: NodeId, role: String, binary: String) {
        let name = Some(format!("{mesh}.{role}.{:06x}", self.nodes.len() + 1));
        let public_key = Some(format!("{:064x}", self.nodes.len() + 1));
        let mesh = mesh.clone();
        let info = NodeInfo { id: id.clone(), mesh, role, live: true, name, binary, public_key };
        self.nodes.insert(id, Node { info, life: Life::Runs });
    }

    pub(super) fn add(
        &mut self,
        mesh: &MeshId,
        options: NodeOptions,
        now: Duration,
    ) -> Result<NodeId, HostError> {
        if !self.meshes.contains_key(mesh) {
            return misuse(format!("there is no mesh {mesh}"));
        }
        let id = self.place(mesh, options)?;
        self.tell(span::NODE_READY, &id, "", &[], now);
        self.count();
        Ok(id)
    }

    /// A round of a comparison begins: what comes from now on goes with it.
    pub(super) fn begin_round(&mut self) {
        let meshes = self.meshes.keys().cloned().collect();
        self.before_round = (meshes, self.nodes.keys().cloned().collect());
    }

    pub(super) fn end_round(&mut self) {
        let (meshes, nodes) = std::mem::take(&mut self.before_round);
        self.meshes.retain(|mesh, _| meshes.contains(mesh));
        self.relays.retain(|mesh, _| meshes.contains(mesh));
        self.nodes.retain(|node, _| nodes.contains(node));
    }

    /// Counts the nodes that run; a relay is none.
    fn count(&mut self) {
        let members = self.meshes.values().flatten().filter_map(|id| self.nodes.get(id));
        let live = members.filter(|node| node.life == Life::Runs).count();
        self.needs.nodes_max = self.needs.nodes_max.max(live);
    }

    pub(super) fn life(&self, id: &NodeId, now: Duration) -> Result<Life, HostError> {
        match self.nodes.get(id) {
            Some(Node { life: Life::Until(when), .. }) if *when <= now => Ok(Life::Runs),
            Some(Node { life: Life::Until(_), .. }) => Ok(Life::Ended),
            Some(node) => Ok(node.life),
            None => misuse(format!("there is no node {id}; it belongs to a test that has ended")),
        }
    }

    pub(super) fn set_life(&mut self, id: &NodeId, life: Life) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.life = life;
        }
    }

    pub(super) fn start(&mut self, id: &NodeId, now: Duration) -> Refused {
        if self.life(id, now)? == Life::Runs {
            return misuse(format!("{id} runs already"));
        }
        self.set_life(id, Life::Runs);
        self.tell(span::NODE_READY, id, "", &[], now);
        Ok(())
    }

    /// Whether it can be asked for something now.
    pub(super) fn must_run(&self, id: &NodeId, what: &str, now: Duration) -> Refused {
        match self.life(id, now)? {
            Life::Ended => misuse(format!("{id} does not run, so it cannot {what}")),
            _ => Ok(()),
        }
    }

    pub(super) fn info(&self, id: &NodeId, now: Duration) -> Option<NodeInfo> {
        let live = !matches!(self.life(id, now), Ok(Life::Ended) | Err(_));
        self.nodes.get(id).map(|node| NodeInfo { live, ..node.info.clone() })
    }

    pub(super) fn members(&self, mesh: &MeshId, now: Duration) -> Vec<NodeInfo> {
        let all = self.meshes.get(mesh).into_iter().flatten();
        all.filter_map(|id| self.info(id, now)).collect()
    }

    /// Every other member of its mesh that runs.
    pub(super) fn others(&self, id: &NodeId, now: Duration) -> Vec<NodeId> {
        let mesh = self.nodes.get(id).map(|node| node.info.mesh.clone());
        let all = mesh.map(|mesh| self.members(&mesh, now)).unwrap_or_default();
        all.into_iter().filter(|node| node.live && node.id != *id).map(|node| node.id).collect()
    }

    /// The roles that nodes have.
    pub(super) fn roles(&self, of: &[NodeId]) -> BTreeSet<String> {
        of.iter().filter_map(|id| Some(self.nodes.get(id)?.info.role.clone())).collect()
    }

    /// A node emits a span. Spans with the same `trace` belong together, the first is the parent.
    pub(super) fn tell(
        &mut self,
        name: &str,
        node: &NodeId,
        trace: &str,
        attributes: &[(&str, String)],
        now: Duration,
    ) {
        if self.spans.len() >= SPANS_MAX {
            return;
        }
        let parent =
            self.spans.iter().rev().find(|span| !trace.is_empty() && span.trace_id == trace);
        let seq = self.spans.len() as u64 + 1;
        let record = SpanRecord {
            seq,
            arrived: RunTime::from_duration(now),
            node: node.clone(),
            name: name.to_owned(),
            trace_id: if trace.is_empty() { format!("{seq:032x}") } else { trace.to_owned() },
            span_id: format!("{seq:016x}"),
            parent_id: parent.map(|span| span.span_id.clone()).unwrap_or_default(),
            start_unix_nanos: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            end_unix_nanos: u64::try_from(now.as_nanos() + 1_000_000).unwrap_or(u64::MAX),
            attributes: attributes
                .iter()
                .map(|(name, text)| ((*name).to_owned(), Value::from(text.as_str())))
                .collect(),
        };
        self.spans.push(record);
    }

    /// What a query finds: what nodes told here, or else one span of each sender that fits it, so
    /// that a scenario has something to go on with.
    pub(super) fn find(&self, query: &SpanQuery, now: Duration) -> Vec<SpanRecord> {
        let senders: Vec<NodeId> = match &query.from {
            Some(nodes) => nodes.clone(),
            None => self.nodes.keys().cloned().collect(),
        };
        let fits = |span: &&SpanRecord| {
            let holds = |(name, condition): &(String, Condition)| {
                condition.holds(span.attributes.get(name))
            };
            span.name == query.name
                && senders.contains(&span.node)
                && query.conditions.iter().all(holds)
        };
        let told: Vec<SpanRecord> = self.spans.iter().filter(fits).cloned().collect();
        if !told.is_empty() {
            return told;
        }
        let mut made = Self::default();
        for node in &senders {
            let others = self.others(node, now);
            let peer = others.first().and_then(|id| self.nodes.get(id)?.info.name.clone());
            let about = (attr::PEER_NAME, peer.unwrap_or_default());
            made.tell(&query.name, node, "", &[about], now);
            if let Some(span) = made.spans.last_mut() {
                let known = query
                    .conditions
                    .iter()
                    .filter_map(|(name, condition)| Some((name.clone(), an_example(condition)?)));
                span.attributes.extend(known);
            }
        }
        made.spans
    }
}

/// A value that meets a condition; `None` where the attribute must be absent or can be anything.
fn an_example(condition: &Condition) -> Option<Value> {
    match condition {
        Condition::Equal(value) => Some(value.clone()),
        Condition::OneOf(values) => values.first().cloned(),
        Condition::Contains(part) => Some(part.as_str().into()),
        Condition::AtLeast(bound) | Condition::AtMost(bound) => Some((*bound).into()),
        Condition::Above(bound) => Some((bound + 1.0).into()),
        Condition::Below(bound) => Some((bound - 1.0).into()),
        Condition::Present(true) => Some(true.into()),
        Condition::Not(_) | Condition::Present(false) => None,
    }
}

pub(super) type Refused = Result<(), HostError>;
