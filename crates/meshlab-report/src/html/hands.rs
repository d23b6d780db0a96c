//! What somebody did by hand: no verdict rests on what came of it, and while a test ran it spoils
//! the test's.

use maud::{Markup, html};
use meshlab_model::TestId;

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
        @if let Some(at) = view.kept {
            p { "The mesh was kept at " (at) ", after the tests. What follows decides nothing." }
        }
        @if let Some(line) = view.hands_line() { p { (line) } }
        @if view.by_hand.is_empty() { p class="dim" { "nobody gave a line" } }
        @else { table {
            tr { th { "at" } th { "test" } th { "line" } }
            @for (at, test, line) in view.by_hand.iter().take(LINES_MAX) {
                tr {
                    td { (at) } td { (title(view, *test)) }
                    td { pre { @for line in line.lines() { (clean(line)) "\n" } } }
                }
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

/// The test in which somebody acted.
fn title(view: &RunView, test: Option<TestId>) -> String {
    let test = test.and_then(|test| view.tests.get(&test));
    test.map_or_else(|| "after the tests".to_owned(), |test| clean(&test.title))
}
