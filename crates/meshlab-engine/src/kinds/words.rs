//! What a program's spans are in the standard names, and what it has no word for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use meshlab_model::{MeshId, NodeId};
use meshlab_spans::{Spoken, Translate};
use meshlab_wire::{attr, span};

use super::{SharedKind, Words};
use crate::{Claim, Counted, Engine, Since, SpanQuery, engine::lock, state::State};

/// The attribute that keeps a span's own name, where the standard one takes its place.
const OWN_NAME: &str = "span.own_name";

/// Spans that tell who is held to be there.
const OPINIONS: &[&str] = &[span::PEER_CONNECTED, span::STATE_HEARD, span::STATE_INFERRED];

/// Names that programs have for nodes (address, id, key in base64), and the keys that they mean.
pub(crate) type Peers = Arc<Mutex<BTreeMap<String, String>>>;

/// What was said to be not available, once each.
pub(crate) type Said = Mutex<BTreeSet<String>>;

/// What says the spans of a kind in the standard names; `None` if it has those already.
pub(crate) fn translate(kind: &SharedKind, peers: &Peers) -> Option<Translate> {
    let Words::Mapped(words) = &kind.words else { return None };
    let (words, peers) = (words.clone(), Arc::clone(peers));
    Some(Arc::new(move |spoken: &mut Spoken| {
        let Some(word) = words.get(&spoken.name) else { return };
        for (own, standard) in &word.attributes {
            if let Some(value) = spoken.attributes.get(own).cloned() {
                spoken.attributes.insert(standard.clone(), value);
            }
        }
        for (name, value) in &word.with {
            spoken.attributes.entry(name.clone()).or_insert_with(|| value.as_str().into());
        }
        if let Some(peer) = spoken.attributes.get_mut(attr::PEER_ID)
            && let Some(key) = peer.as_str().and_then(|peer| lock(&peers).get(peer).cloned())
        {
            *peer = key.into();
        }
        if word.means != spoken.name {
            let own = std::mem::replace(&mut spoken.name, word.means.clone());
            spoken.attributes.insert(OWN_NAME.to_owned(), own.into());
        }
    }))
}

/// Of these nodes, the first whose kind has none of those words, and in a sentence what it lacks.
fn lacking<'a>(
    state: &State,
    nodes: impl IntoIterator<Item = &'a NodeId>,
    any_of: &[&str],
) -> Option<String> {
    nodes.into_iter().find_map(|id| {
        let kind = state.nodes.get(id)?.stranger.as_ref()?.kind.as_ref();
        (!any_of.iter().any(|name| kind.says(name))).then(|| {
            let names: Vec<String> = any_of.iter().map(|name| format!("`{name}`")).collect();
            let maps = if matches!(kind.words, Words::None) { "no spans" } else { "no span" };
            format!(
                "not available of {id}: its kind `{}` maps {maps} to {}",
                kind.name,
                names.join(" or ")
            )
        })
    })
}

/// Whether a node can send any of these spans.
pub(crate) fn can_show(state: &State, node: &NodeId, any_of: &[&str]) -> bool {
    let stranger = state.nodes.get(node).and_then(|node| node.stranger.as_ref());
    stranger.is_none_or(|stranger| any_of.iter().any(|span| stranger.kind.says(span)))
}

/// Why nobody of these can send any of these spans, in a sentence; `None` if one of them can.
pub(crate) fn nobody_shows<'a>(
    state: &State,
    observers: impl Iterator<Item = &'a NodeId> + Clone,
    any_of: &[&str],
) -> Option<String> {
    if observers.clone().any(|node| can_show(state, node, any_of)) {
        return None;
    }
    lacking(state, observers, any_of)
}

impl Engine {
    /// Why a claim cannot be judged of the nodes that it is about, because their programs have no
    /// word for what it rests on; said once each as a warning.
    pub(crate) fn not_available(&self, claim: &Claim) -> Option<String> {
        let why = self.lacking_for(claim)?;
        self.say_once(&why);
        Some(why)
    }

    /// Whether no node of a mesh can say of any other one that it is there.
    pub(crate) fn is_blind(&self, mesh: &MeshId) -> bool {
        let state = self.shared.state();
        !state.live(mesh).iter().any(|node| can_show(&state, node, OPINIONS))
    }

    /// The claim that a mesh is whole: by its nodes' own word, or where they have none, by what
    /// they answer; `None` if they do not answer either.
    pub(crate) fn whole(&self, mesh: MeshId, within: Duration) -> Option<Claim> {
        if !self.is_blind(&mesh) {
            return Some(Claim::Formed { mesh, since: Since::Test, within });
        }
        let state = self.shared.state();
        let answers = |id: &NodeId| {
            let stranger = state.nodes.get(id).and_then(|node| node.stranger.as_ref());
            stranger.is_some_and(|stranger| stranger.kind.answers.is_some())
        };
        let nodes: Vec<NodeId> = state.live(&mesh).into_iter().filter(answers).collect();
        (!nodes.is_empty()).then_some(Claim::Answers { nodes, from: None, within })
    }

    /// Warns of something that is not available, if that was not said already.
    pub(crate) fn say_once(&self, why: &str) {
        // The node's name is left out: a kind is said once, not each of its nodes.
        let of_kind = why.split_once(": ").map_or(why, |(_, kind)| kind).to_owned();
        self.warn_once(format!("not available: {of_kind}; what rests on it is inconclusive"));
    }

    /// A warning that is true of several nodes and is told once.
    pub(crate) fn warn_once(&self, text: String) {
        if lock(&self.shared.unavailable).insert(text.clone()) {
            self.shared.warn(text);
        }
    }

    fn lacking_for(&self, claim: &Claim) -> Option<String> {
        let state = self.shared.state();
        let live = |mesh| state.meshes.get(mesh).map(|_| state.live(mesh)).unwrap_or_default();
        let of_query = |query: &SpanQuery| {
            let all: Vec<NodeId> = match &query.from {
                Some(nodes) => nodes.clone(),
                None => state.nodes.keys().cloned().collect(),
            };
            lacking(&state, &all, &[&query.name])
        };
        match claim {
            Claim::Spans { query, .. } | Claim::NoSpans { query, .. } => of_query(query),
            Claim::Temporal(temporal) => temporal.queries().into_iter().find_map(of_query),
            Claim::Formed { mesh, .. } => lacking(&state, &live(mesh), OPINIONS),
            Claim::State { node, seen_by, .. } | Claim::States { node, seen_by, .. } => {
                let mesh = state.nodes.get(node).map(|node| node.mesh.clone());
                let observers = seen_by.clone().or_else(|| mesh.as_ref().map(live));
                let observers = observers.unwrap_or_default();
                let others = observers.iter().filter(|other| *other != node);
                lacking(&state, others, &[span::STATE_HEARD, span::STATE_INFERRED])
            }
            Claim::Agreed { mesh, .. } => without_agent(&state, &live(mesh), "its view"),
            Claim::Conserved(conserved) => match conserved.counted {
                Counted::Counters => without_agent(&state, &conserved.nodes, "its counters"),
                Counted::Spans => without_agent(&state, &conserved.nodes, "its view"),
            },
            Claim::Changed(_)
            | Claim::Compared { .. }
            | Claim::Answers { .. }
            | Claim::File { .. } => None,
        }
    }
}

/// The first of these nodes that cannot be asked for something, in a sentence.
fn without_agent(state: &State, nodes: &[NodeId], what: &str) -> Option<String> {
    nodes.iter().find_map(|id| {
        let kind = &state.nodes.get(id)?.stranger.as_ref()?.kind;
        Some(format!(
            "not available of {id}: a program of the kind `{}` has no agent that could be asked \
             for {what}",
            kind.name
        ))
    })
}
