//! Which spans are meant.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::{NodeId, RunTime};
use serde_json::Value;

use crate::Condition;

/// A question to the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// The span's name.
    pub name: String,
    /// Senders; `None` for all.
    pub nodes: Option<BTreeSet<NodeId>>,
    /// Attributes and what they must be; all of it must hold.
    pub conditions: Vec<(String, Condition)>,
    /// The name of a span that must be above it: its parent, the parent of that, and so on, as far
    /// as they have arrived and are in memory.
    pub under: Option<String>,
    /// Spans that happened before this do not count.
    pub since: RunTime,
}

impl Selector {
    /// All spans of a name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            nodes: None,
            conditions: Vec::new(),
            under: None,
            since: RunTime::ZERO,
        }
    }

    /// The same, of one node only.
    #[must_use]
    pub fn of(self, node: &NodeId) -> Self {
        Self { nodes: Some(BTreeSet::from([node.clone()])), ..self }
    }

    /// The same, where an attribute is equal.
    #[must_use]
    pub fn with(mut self, attribute: &str, value: impl Into<Value>) -> Self {
        self.conditions.push((attribute.to_owned(), Condition::Equal(value.into())));
        self
    }

    /// The same, since a moment.
    #[must_use]
    pub fn since(self, since: RunTime) -> Self {
        Self { since, ..self }
    }

    /// Whether the attributes that `of` gives by their names meet all conditions.
    pub(crate) fn matches<'a>(&self, of: impl Fn(&str) -> Option<&'a Value>) -> bool {
        self.conditions.iter().all(|(name, condition)| condition.holds(of(name)))
    }

    /// The conditions that these attributes do not meet.
    pub fn unmet<'a>(
        &'a self,
        attributes: &'a BTreeMap<String, Value>,
    ) -> impl Iterator<Item = &'a (String, Condition)> {
        let conditions = self.conditions.iter();
        conditions.filter(|(name, condition)| !condition.holds(attributes.get(name)))
    }
}
