//! `expect.spans`: at least so many such spans, from all together or from each.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use meshlab_model::{NodeId, RunTime, Tally, format_duration};
use meshlab_spans::{Selector, SpanStore};
use meshlab_wire::{attr, span};

use super::{Look, Looking, notes, query, selector};
use crate::{Engine, HostError, SpanQuery};

/// Of so many that came last, so many are told when none is as asked.
const NEAREST_OF: usize = 100;
const NEAREST_TOLD: usize = 3;

pub(crate) struct SpansClaim {
    query: SpanQuery,
    selector: Selector,
    each: bool,
    at_least: u64,
    within: Duration,
}

impl SpansClaim {
    pub(crate) fn new(
        engine: &Engine,
        query: SpanQuery,
        each: bool,
        at_least: u64,
        within: Duration,
    ) -> Result<Self, HostError> {
        let selector = selector(engine, &query)?;
        if query.from.as_ref().is_some_and(Vec::is_empty) {
            return Err(HostError::Misuse(
                "no node to look at: the list given as `from` or `from_each` is empty".to_owned(),
            ));
        }
        Ok(Self { query, selector, each, at_least, within })
    }

    fn senders(&self, engine: &Engine) -> Vec<NodeId> {
        query::senders(engine, &self.query)
    }
}

impl Looking for SpansClaim {
    fn call(&self) -> &'static str {
        "expect.spans"
    }

    fn text(&self) -> String {
        let each = if self.each { " from each" } else { "" };
        let from = query::from_words(&self.query);
        format!(
            "at least {} {}{each} {from} within {}",
            self.at_least,
            query::words(&self.query),
            format_duration(self.within)
        )
    }

    fn since(&self) -> RunTime {
        self.selector.since
    }

    fn within(&self) -> Duration {
        self.within
    }

    fn look(&mut self, engine: &Engine) -> Look {
        let counts = engine.shared.store.count_by_node(&self.selector);
        let need = if self.each { self.at_least } else { 0 };
        let by_node: Vec<Tally> = self
            .senders(engine)
            .into_iter()
            .map(|node| Tally { have: counts.get(&node).copied().unwrap_or(0), need, node })
            .collect();
        let (have, need) = if self.each {
            let satisfied = by_node.iter().filter(|tally| tally.have >= self.at_least).count();
            (satisfied as u64, by_node.len() as u64)
        } else {
            (counts.values().sum(), self.at_least)
        };
        // No sender at all is nothing looked at, and nothing looked at never holds.
        let holds = have >= need && !by_node.is_empty();
        Look { holds, have, need, by_node, since_when: None }
    }

    fn found(&self, look: &Look) -> String {
        if self.each {
            format!(
                "{} of {} nodes have {} `{}`",
                look.have, look.need, self.at_least, self.query.name
            )
        } else {
            format!("{} of {}", look.have, look.need)
        }
    }

    fn notes(&self, engine: &Engine, look: &Look) -> Vec<String> {
        let mut found = Vec::new();
        let silent = look.without_any();
        if silent.len() == look.by_node.len() {
            found.extend(self.nothing_at_all(engine));
        } else if !silent.is_empty() {
            found.push(format!("{} sent no `{}` at all", notes::names(&silent), self.query.name));
        }
        found.extend(self.unheard(engine));
        let short: Vec<NodeId> = look
            .by_node
            .iter()
            .filter(|tally| tally.have == 0 || tally.have < tally.need)
            .map(|tally| tally.node.clone())
            .collect();
        found.extend(notes::about_nodes(engine, &short));
        found
    }
}

impl SpansClaim {
    /// Nothing matched: what would have, had one condition been left out?
    fn nothing_at_all(&self, engine: &Engine) -> Vec<String> {
        let store = &engine.shared.store;
        let mut wider = self.selector.clone();
        wider.conditions.clear();
        wider.under = None;
        let unfiltered = store.count(&wider);
        if unfiltered > 0 {
            let mut lines = vec![format!("{unfiltered} `{}` came, none as asked", self.query.name)];
            lines.extend(self.nearest(store, &wider));
            return lines;
        }
        wider.since = RunTime::ZERO;
        wider.nodes = None;
        let ever = store.count(&wider);
        if ever > 0 {
            return vec![format!(
                "{ever} `{}` came in this run, but before the claim began to count or from other \
                 nodes",
                self.query.name
            )];
        }
        let known: Vec<String> = store.names().into_keys().collect();
        vec![format!(
            "no `{}` came from any node in this run; names that came: {}",
            self.query.name,
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )]
    }

    /// The last few that came, those first that lack least, and what each of them lacks.
    fn nearest(&self, store: &SpanStore, wider: &Selector) -> Vec<String> {
        let mut came = store.find(wider, NEAREST_OF);
        came.reverse();
        came.sort_by_key(|span| self.selector.unmet(&span.attributes).count());
        let told = came.iter().take(NEAREST_TOLD).map(|span| {
            let unmet: Vec<String> = self
                .selector
                .unmet(&span.attributes)
                .map(|(name, condition)| match span.attributes.get(name) {
                    Some(found) => format!("{name} is {found}, asked was {condition}"),
                    None => format!("it has no {name}, asked was {condition}"),
                })
                .collect();
            let why = match (unmet.is_empty(), &self.selector.under) {
                (true, Some(name)) => format!("it is not under `{name}`"),
                _ => unmet.join("; "),
            };
            format!("nearest: {} at {}: {why}", span.node, span.arrived)
        });
        told.collect()
    }

    /// Spans that tell of a peer also tell who is never that peer.
    fn unheard(&self, engine: &Engine) -> Vec<String> {
        if ![span::DIGEST_RECEIVED, span::PEER_CONNECTED].contains(&self.query.name.as_str()) {
            return Vec::new();
        }
        let senders = self.senders(engine);
        let keys: BTreeMap<NodeId, String> = {
            let state = engine.shared.state();
            senders.iter().filter_map(|id| Some((id.clone(), state.key(id)?))).collect()
        };
        let mut lines = Vec::new();
        for (peer, key) in &keys {
            let mut about = self.selector.clone();
            about = about.with(attr::PEER_ID, key.as_str());
            let heard_by: BTreeSet<NodeId> =
                engine.shared.store.count_by_node(&about).into_keys().collect();
            let deaf: Vec<NodeId> = senders
                .iter()
                .filter(|node| *node != peer && !heard_by.contains(*node))
                .cloned()
                .collect();
            if !deaf.is_empty() {
                let who = if deaf.len() + 1 == senders.len() {
                    "nobody".to_owned()
                } else {
                    format!("all but {}", notes::names(&deaf))
                };
                lines.push(format!("{peer} was heard by {who}"));
            }
        }
        lines
    }
}
