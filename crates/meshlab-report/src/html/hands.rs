//! What somebody did by hand, which no verdict rests on.

use maud::{Markup, html};

use crate::{
    text::{clean, whom},
    view::RunView,
};

/// Lines of the table; a prompt that is fed by a program may be given many.
const LINES_MAX: usize = 300;

/// Nothing where nobody did anything.
pub(crate) fn section(view: &RunView) -> Markup {
    if view.kept.is_none() && view.by_hand.is_empty() {
        return html! {};
    }
    let left_out = view.by_hand.len().saturating_sub(LINES_MAX);
    let hands = view.hands.as_deref();
    let faults = hands.iter().flat_map(|hands| hands.faults.values());
    let claims = hands.iter().flat_map(|hands| hands.claims.values());
    html! {
        h2 { "By hand" }
        @match view.kept {
            Some(at) => p { "The mesh was kept at " (at) ", after the tests. What follows decides \
                nothing." },
            None => p { "Somebody interfered while a test ran." },
        }
        @if view.by_hand.is_empty() { p class="dim" { "nobody gave a line" } }
        @else { table {
            tr { th { "at" } th { "line" } }
            @for (at, _, line) in view.by_hand.iter().take(LINES_MAX) {
                tr { td { (at) } td { pre { @for line in line.lines() { (clean(line)) "\n" } } } }
            }
        } }
        @if left_out > 0 { p { (left_out) " more are left out" } }
        ul {
            @for fault in faults {
                li { "fault " (clean(&fault.name)) " " (whom(fault)) ": "
                    (clean(&fault.judged().to_string())) }
            }
            @for claim in claims {
                li { (clean(&claim.call)) " " (clean(&claim.text)) ": "
                    (clean(&claim.judged().to_string())) }
            }
        }
    }
}
