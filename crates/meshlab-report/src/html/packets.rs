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
    let (mut spent, mut packets) = (0, 0);
    for event in &record.events {
        if let RunEventKind::PacketsCounted { links: counted, stray, switch_micros } = &event.kind {
            spent += switch_micros.unwrap_or(0);
            packets += counted.iter().map(|link| link.packets).sum::<u64>();
            links.extend(counted.iter().map(|link| ((&link.from, &link.to), link)));
            astray.extend(stray);
        }
    }
    html! {
        @if links.is_empty() {
            p class="dim" { "nothing was counted: no lab, or the record ends before its end" }
        } @else {
            h3 { "Packets (row sent to column)" }
            @if spent > 0 { p class="dim" { (cost(spent, packets, view)) } }
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

/// What the switch cost, as a share of the run and by packet.
fn cost(spent: u64, packets: u64, view: &RunView) -> String {
    let lasted = view.last.micros;
    let share = if lasted > 0 { 100.0 * spent as f64 / lasted as f64 } else { 0.0 };
    let each = if packets > 0 { spent as f64 / packets as f64 } else { 0.0 };
    format!(
        "the switch took {} of CPU time for {packets} packets: {share:.2} % of a core, \
         {each:.1} µs a packet",
        crate::text::took(spent)
    )
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
