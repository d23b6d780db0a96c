//! What nodes count themselves: curves of the families that say something, and a table of all.

use maud::{Markup, html};

use super::plots::plot;
use crate::{measured::Measured, text::clean, view::RunView};

/// Nothing where no node sent numbers.
pub(super) fn section(view: &RunView, measured: &Measured) -> Markup {
    let counted = &measured.counted;
    html! { @if !counted.values.is_empty() {
        h2 { "Counters" }
        @for (title, curves) in counted.curves() { h3 { (title) } (plot(curves, view, 1.0)) }
        h3 { "Last value of each, and the greatest where it is another" }
        div class="scroll" { table {
            tr { th { "name" } @for id in view.nodes.keys() { th { (id) } } }
            @for (name, of) in &counted.values { tr {
                td { (clean(name)) }
                @for id in view.nodes.keys() { td class="n" { @if let Some(value) = of.get(id) {
                    (value.last)
                    @if value.max > value.last { " (" (value.max) ")" }
                } } }
            } }
        } }
        @if counted.left_out > 0 { p { (counted.left_out) " more names are left out" } }
    } }
}
