//! A scenario's question for spans: as the store takes it, and in words.

use std::time::Duration;

use meshlab_model::{NodeId, format_duration};
use meshlab_spans::Selector;

use super::notes;
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

/// Whose spans are meant: "of node-1 and node-2".
pub(super) fn from_words(query: &SpanQuery) -> String {
    match &query.from {
        Some(nodes) => format!("of {}", notes::names(nodes)),
        None => "of all nodes".to_owned(),
    }
}

/// For how long is watched: " during 5.00 s", or nothing.
pub(super) fn during_words(during: Option<Duration>) -> String {
    during.map(|during| format!(" during {}", format_duration(during))).unwrap_or_default()
}
