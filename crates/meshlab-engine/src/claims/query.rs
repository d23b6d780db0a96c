//! A scenario's question for spans: as the store takes it, and in words.

use meshlab_model::NodeId;
use meshlab_spans::Selector;

use crate::{Engine, HostError, SpanQuery};

/// A query as the store takes it.
pub(crate) fn selector(engine: &Engine, query: &SpanQuery) -> Result<Selector, HostError> {
    Ok(Selector {
        name: query.name.clone(),
        nodes: query.from.as_ref().map(|nodes| nodes.iter().cloned().collect()),
        conditions: query.conditions.clone(),
        under: query.under.clone(),
        since: engine.since(query.since)?,
    })
}

/// The nodes whose spans are meant.
pub(super) fn senders(engine: &Engine, query: &SpanQuery) -> Vec<NodeId> {
    match &query.from {
        Some(nodes) => nodes.clone(),
        None => engine.shared.state().nodes.keys().cloned().collect(),
    }
}

/// The name and what is asked of it: "`x` where state = "Dead", under `y`".
pub(super) fn words(query: &SpanQuery) -> String {
    let conditions: Vec<String> =
        query.conditions.iter().map(|(name, condition)| format!("{name} {condition}")).collect();
    let filter = match conditions.as_slice() {
        [] => String::new(),
        all => format!(" where {}", all.join(" and ")),
    };
    let under = query.under.as_ref().map(|name| format!(" under `{name}`")).unwrap_or_default();
    format!("`{}`{filter}{under}", query.name)
}
