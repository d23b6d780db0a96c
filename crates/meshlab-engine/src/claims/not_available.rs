//! What is said of a claim that nobody can judge.

use super::{names, query};
use crate::{Claim, SpanQuery, Temporal};

/// The call in the scenario and what must hold, in a sentence.
pub(super) fn words(claim: &Claim) -> (&'static str, String) {
    let of = |query: &SpanQuery| format!("{} {}", query::words(query), query::from_words(query));
    match claim {
        Claim::Spans { query, at_least, .. } => {
            ("expect.spans", format!("at least {at_least} {}", of(query)))
        }
        Claim::NoSpans { query, .. } => ("expect.no_spans", format!("no {}", of(query))),
        Claim::Formed { mesh, .. } => {
            ("expect.formed", format!("every live node of {mesh} has heard every other one"))
        }
        Claim::Agreed { mesh, .. } => {
            ("expect.agreed", format!("the books of every live node of {mesh} agree"))
        }
        Claim::State { node, state, .. } => {
            ("expect.state", format!("others hold {node} to be {state}"))
        }
        Claim::States { node, states, .. } => {
            ("expect.states", format!("others saw {node} be {}", states.join(", ")))
        }
        Claim::Conserved(one) => {
            let text = format!("{} - {} of each is bounded", one.created, one.destroyed);
            ("expect.conserved", text)
        }
        Claim::Temporal(temporal) => {
            let all: Vec<String> = temporal.queries().into_iter().map(of).collect();
            let call = match temporal {
                Temporal::Sequence { .. } => "expect.sequence",
                Temporal::Follows { .. } => "expect.follows",
                Temporal::Counts { .. } => "expect.counts",
                Temporal::Until { .. } => "expect.never",
            };
            (call, all.join(", then "))
        }
        Claim::Answers { nodes, .. } => ("expect.answers", format!("{} answers", names(nodes))),
        Claim::File { nodes, path, .. } => {
            ("expect.file", format!("`{path}` of {} holds what it has to", names(nodes)))
        }
        Claim::Changed(changed) => ("expect.improved", changed.measure.clone()),
        Claim::Compared { call, text, .. } => (call, text.clone()),
    }
}
