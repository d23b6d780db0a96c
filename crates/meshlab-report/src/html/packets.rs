//! Packets that crossed the switch, by directed pair.

use std::collections::BTreeMap;

use maud::{Markup, html};
use meshlab_engine::results::RunRecord;
use meshlab_model::{LinkCount, NodeId, RunEventKind, StrayCount};

use crate::{text::clean, view::RunView};

/// The matrix of what each node sent to each other one, and what went astray.
pub(crate) fn section(record: &RunRecord, view: &RunView) -> Markup {
    let mut links: BTreeMap<(&NodeId, &NodeId), &LinkCount> = BTreeMap::new();
    let mut astray: Vec<&StrayCount> = Vec::new();
    for event in &record.events {
        if let RunEventKind::PacketsCounted { links: counted, stray } = &event.kind {
            links.extend(counted.iter().map(|link| ((&link.from, &link.to), link)));
            astray.extend(stray);
        }
    }
    html! {
        @if links.is_empty() {
            p class="dim" { "nothing was counted: no lab, or the record ends before its end" }
        } @else {
            h3 { "Packets (row sent to column)" }
            div class="scroll" { table {
                tr { th {} @for id in view.nodes.keys() { th { (clean(id.as_str())) } } }
                @for from in view.nodes.keys() { tr { th { (clean(from.as_str())) }
                    @for to in view.nodes.keys() { td class="n" { (cell(links.get(&(from, to)))) } }
                } }
            } }
        }
        @for stray in astray { p {
            (clean(stray.node.as_str())) ": " (stray.outside) " packets out of the lab ("
            (clean(&stray.destinations.join(", "))) "), " (stray.spoofed) " with another sender, "
            (stray.malformed) " malformed; none of them went anywhere"
        } }
    }
}

fn cell(link: Option<&&LinkCount>) -> String {
    let Some(link) = link else { return "-".to_owned() };
    let dropped: Vec<String> =
        link.dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    match dropped.as_slice() {
        [] => link.packets.to_string(),
        _ => format!("{} (dropped: {})", link.packets, dropped.join(", ")),
    }
}
