//! Names of things in a run. Text ids are what a person reads; number ids only join events.

use std::{cmp::Ordering, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Ord for $name {
            /// As people count: `node-2` comes before `node-10`.
            fn cmp(&self, other: &Self) -> Ordering {
                natural(&self.0, &other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

text_id! {
    /// The harness's name for a node, unique in a run: `node-1`, or the id a scenario gave.
    NodeId
}
text_id! {
    /// A mesh's id. It is what the nodes derive their gossip topic from.
    MeshId
}
number_id! {
    /// A `test` of the scenario, by its place in the file (0 is the first).
    TestId
}
number_id! {
    /// One evaluation of one claim. A claim in a loop has a new id each time round.
    ClaimId
}
number_id! {
    /// One injected fault.
    FaultId
}
number_id! {
    /// One `chaos` of a run, from 1.
    ChaosId
}
number_id! {
    /// One `compare` of a run, from 1.
    ComparisonId
}
number_id! {
    /// One entry into a `step`.
    StepId
}

/// Compares texts by their parts: numbers by value, everything else by its letters. Texts that are
/// the same so far (`node-01` and `node-1`) by their letters, so that only equal ones are equal.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (text, number, rest) = part(left);
        let (other_text, other_number, other_rest) = part(right);
        let order = text.cmp(other_text).then_with(|| {
            // Without leading zeros, the longer number is the larger one.
            number.len().cmp(&other_number.len()).then_with(|| number.cmp(other_number))
        });
        if order.is_ne() {
            return order;
        }
        if rest.is_empty() || other_rest.is_empty() {
            return rest.len().cmp(&other_rest.len()).then_with(|| a.cmp(b));
        }
        (left, right) = (rest, other_rest);
    }
}

/// What comes before the first digit, the number there without leading zeros, and the rest.
fn part(text: &str) -> (&str, &str, &str) {
    let at = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (before, from) = text.split_at(at);
    let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
    let (number, rest) = from.split_at(end);
    (before, number.trim_start_matches('0'), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_in_the_order_in_which_people_count() {
        let mut ids: Vec<NodeId> =
            ["node-10", "relay-1", "node-2", "node-1a", "node-1", "node-01", "node", "late"]
                .map(NodeId::from)
                .into();
        ids.sort();
        let sorted: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
        let wanted =
            ["late", "node", "node-01", "node-1", "node-1a", "node-2", "node-10", "relay-1"];
        assert_eq!(sorted, wanted);
    }

    proptest! {
        #[test]
        fn the_order_is_total(ids in proptest::collection::vec("[a-b0-2-]{0,6}", 3)) {
            let [a, b, c] = [0, 1, 2].map(|place: usize| NodeId(ids[place].clone()));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
            if a <= b && b <= c {
                prop_assert!(a <= c, "{a} {b} {c}");
            }
        }
    }
}
