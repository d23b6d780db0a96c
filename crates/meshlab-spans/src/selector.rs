//! Which spans are meant.

use std::collections::{BTreeMap, BTreeSet};

use meshlab_model::{NodeId, RunTime};
use serde_json::Value;

/// A question to the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// The span's name.
    pub name: String,
    /// Senders; `None` for all.
    pub nodes: Option<BTreeSet<NodeId>>,
    /// Attributes that must be equal: numbers by value, also where the span has the number as a
    /// text (unsigned fields of `tracing` arrive so), everything else exactly.
    pub attributes: BTreeMap<String, Value>,
    /// Spans that happened before this do not count.
    pub since: RunTime,
}

impl Selector {
    pub(crate) fn matches(&self, attributes: &BTreeMap<String, Value>) -> bool {
        self.attributes
            .iter()
            .all(|(name, wanted)| attributes.get(name).is_some_and(|found| same(found, wanted)))
    }
}

fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => found.as_f64() == wanted.as_f64(),
        (Value::String(found), Value::Number(wanted)) => {
            found.parse().ok().is_some_and(|found: f64| wanted.as_f64() == Some(found))
        }
        _ => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value() {
        assert!(same(&3.into(), &3.0.into()));
        assert!(same(&"16777216".into(), &16_777_216.into()));
        assert!(!same(&"16777217".into(), &16_777_216.into()));
        assert!(!same(&"many".into(), &3.into()));
        assert!(!same(&3.into(), &"3".into()), "a text was asked for");
        assert!(same(&"x".into(), &"x".into()));
    }
}
