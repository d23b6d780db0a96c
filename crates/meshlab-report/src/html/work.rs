//! What nodes were asked to do, and the workloads that they drove.

use maud::{Markup, html};
use meshlab_model::{ByteSize, TrafficMeasure, format_duration};
use meshlab_stats::Latency;

use crate::{
    text::{clean, took},
    view::RunView,
};

/// Rows of the table of acts; a scenario may deliver thousands of messages.
const ACTS_MAX: usize = 300;

/// Percentiles in the table of workloads.
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

pub(crate) fn section(view: &RunView) -> Markup {
    let left_out = view.acts.len().saturating_sub(ACTS_MAX);
    html! {
        @if !view.traffic.is_empty() {
            h3 { "Workloads" }
            div class="scroll" { table {
                tr {
                    th { "at" } th { "from" } th { "to" } th { "kind" } th { "streams" }
                    th { "size" } th { "round trips" } th { "a second" } th { "errors" }
                    @for p in PERCENTILES { th { "p" (p) } } th { "max" } th { "why" }
                }
                @for (at, measure) in &view.traffic { tr { td { (at) } (row(measure)) } }
            } }
        }
        @if !view.acts.is_empty() {
            h3 { "Asked of nodes" }
            div class="scroll" { table {
                tr { th { "at" } th { "node" } th { "to" } th { "what came of it" } th { "took" } }
                @for act in view.acts.iter().take(ACTS_MAX) { tr {
                    td { (act.at) } td { (clean(act.node.as_str())) } td { (clean(&act.act)) }
                    td { (clean(&act.outcome)) } td class="n" { (took(act.took_micros)) }
                } }
            } }
            @if left_out > 0 { p { (left_out) " more are left out" } }
        }
        @if view.traffic.is_empty() && view.acts.is_empty() { p class="dim" { "nothing" } }
    }
}

fn row(measure: &TrafficMeasure) -> Markup {
    let seconds = measure.took_micros as f64 / 1e6;
    let rate = if seconds > 0.0 { measure.round_trips as f64 / seconds } else { 0.0 };
    let times = Latency::decode(&measure.histogram).ok().filter(|latency| latency.count() > 0);
    let at = |p| times.as_ref().map_or("-".to_owned(), |times| format_duration(times.at(p)));
    html! {
        td { (clean(measure.from.as_str())) } td { (clean(measure.to.as_str())) }
        td { (clean(&measure.kind)) } td class="n" { (measure.streams) }
        td class="n" { (ByteSize(measure.bytes_each)) }
        td class="n" { (measure.round_trips) } td class="n" { (format!("{rate:.0}")) }
        td class="n" { (measure.errors) }
        @for p in PERCENTILES { td class="n" { (at(p)) } }
        td class="n" {
            (times.as_ref().map_or("-".to_owned(), |times| format_duration(times.max())))
        }
        td { (clean(measure.reasons.first().map(String::as_str).unwrap_or_default())) }
    }
}
