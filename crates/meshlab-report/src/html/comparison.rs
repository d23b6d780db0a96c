//! Two programs beside each other: what each measure comes to, and the rounds it comes from.

use maud::{Markup, html};
use meshlab_model::Measure;

use crate::{
    text::{change, clean, took},
    view::{ComparisonView, RunView},
};

/// The section; nothing for a run that compares nothing.
pub(super) fn section(view: &RunView) -> Markup {
    html! {
        @if !view.comparisons.is_empty() { h2 { "Before and after" } }
        @for comparison in view.comparisons.values() {
            p { "`" (clean(&comparison.before)) "` and `" (clean(&comparison.after)) "`, "
                (comparison.pairs()) " rounds with both"
                @if !comparison.finished { ", and it did not end" } }
            (table(comparison))
            (rounds(comparison))
        }
    }
}

fn table(comparison: &ComparisonView) -> Markup {
    html! { div class="scroll" { table {
        tr { th { "measure" } th { "before, median" } th { "after, median" } th { "effect" }
            th { "95 % interval" } th { "p" } th { "word" } }
        @for measure in comparison.measures() { tr {
            td { (clean(&measure.name)) }
            td class="n" { (Measure::show(measure.before, &measure.unit)) }
            td class="n" { (Measure::show(measure.after, &measure.unit)) }
            td class="n" { (change(measure.effect)) }
            td class="n" { @match measure.interval {
                Some((low, high)) => { (change(low)) " to " (change(high)) }
                None => { "too few rounds" }
            } }
            td class="n" { (format!("{:.4}", measure.p_value)) }
            td { (measure.word.as_str()) }
        } }
    } }
    p class="dim" { "Effects are ratios of after to before by rounds (Hodges-Lehmann), intervals \
        and p by the signed-rank test; words are corrected for the number of measures (Holm); \
        \"same\" is an interval within 5 %." } }
}

fn rounds(comparison: &ComparisonView) -> Markup {
    let names: Vec<String> = comparison.measures().into_iter().map(|m| m.name).collect();
    html! { details {
        summary { (comparison.rounds.len()) " rounds, in order" }
        div class="scroll" { table {
            tr { th { "began" } th { "round" } th { "took" }
                @for name in &names { th { (clean(name)) } } th { "" } }
            @for round in &comparison.rounds { tr {
                td { (round.started) } td { (clean(&round.round.to_string())) }
                td class="n" { @if let Some(end) = round.finished {
                    (took(end.micros.saturating_sub(round.started.micros))) } @else { "-" } }
                @for name in &names { td class="n" {
                    @if let Some(measure) = round.measures.get(name) { (measure) } } }
                td { (clean(round.failed.as_deref().unwrap_or_default())) }
            } }
        } }
    } }
}
