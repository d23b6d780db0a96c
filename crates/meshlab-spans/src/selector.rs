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
    /// Attributes that must be equal: numbers by value, everything else exactly.
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

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value() {
        assert!(same(&3.into(), &3.0.into()));
        assert!(!same(&3.into(), &"3".into()));
        assert!(same(&"x".into(), &"x".into()));
    }
}
