//! Names of things in a run. Text ids are what a person reads; number ids only join events.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
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
    /// One entry into a `step`.
    StepId
}
