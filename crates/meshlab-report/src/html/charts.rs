//! Drawings from events and spans: boot, topology.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use meshlab_model::{NodeId, SpanRecord, format_duration};

use crate::{
    measured::{BOOT, Measured},
    text::{clean, took},
    view::{NodeView, RunView},
};

/// A name that fits beside a row.
pub(super) fn short(id: &str) -> String {
    clean(id).chars().take(14).collect()
}

/// How each node came up: its own spans, from the start of its boot, and the harness's time.
pub(super) fn boot(view: &RunView, measured: &Measured) -> Markup {
    let mut first: BTreeMap<&NodeId, BTreeMap<&str, &SpanRecord>> = measured
        .boot
        .iter()
        .map(|(node, by)| (node, by.iter().map(|(name, span)| (name.as_str(), span)).collect()))
        .collect();
    for by in first.values_mut() {
        // The first node has nobody to dial; what it dials later, after a fault, is not its boot.
        let over = ["neighbor.up", "node.ready"].iter().find_map(|name| by.get(name));
        let over = over.map_or(u64::MAX, |span| span.end_unix_nanos);
        by.retain(|_, span| span.start_unix_nanos <= over);
    }
    let zero = |by: &BTreeMap<&str, &SpanRecord>| {
        by.values().map(|span| span.start_unix_nanos).min().unwrap_or(0)
    };
    let ends = first
        .values()
        .flat_map(|by| by.values().map(|span| span.end_unix_nanos.saturating_sub(zero(by))));
    let longest = (ends.max().unwrap_or(1) as f64).max(1.0);
    let rows: usize = first.values().map(|by| by.len() + 1).sum();
    let last = std::cell::Cell::new(0.0);
    let next = || {
        last.set(last.get() + 16.0);
        last.get()
    };
    html! { section {
        @if first.is_empty() { p class="dim" { "no node told of its boot" } } @else {
        svg viewBox=(format!("0 0 1200 {}", rows as f64 * 16.0 + 8.0)) role="img"
            aria-label="boot" {
        @for (id, by) in &first {
            @let y = next();
            @let ready = view.nodes.get(*id).and_then(|n| n.lives.first()).and_then(|l|
                l.ready_micros);
            text x="0" y=(y) { (short(id.as_str())) @if let Some(ready) = ready { ": ready after "
                (took(ready)) } }
            @let zero = zero(by);
            @for name in BOOT { @if let Some(span) = by.get(name) {
                @let y = next();
                @let from = (span.start_unix_nanos - zero) as f64 / longest * 800.0;
                text x="20" y=(y) { (name) }
                rect class="bar" x=(160.0 + from) y=(y - 9.0) height="9"
                    width=((span.took_nanos() as f64 / longest * 800.0).clamp(2.0, 800.0)) {}
                text x="1000" y=(y) { (took(span.took_nanos() / 1000)) }
            } }
        } } }
    } }
}

/// The connections that stood at the end, by the nodes' own spans, and who heard whom.
pub(super) fn topology(view: &RunView, measured: &Measured) -> Markup {
    let edges = &measured.edges;
    let heard = |by: &NodeId, of: &NodeId| {
        measured.heard.get(&(by.clone(), of.clone())).copied().unwrap_or(0)
    };
    let meshes: BTreeSet<&str> = view.nodes.values().map(|node| node.mesh.as_str()).collect();
    html! {
        @for mesh in meshes {
            @let ids: Vec<&NodeId> = view.nodes.iter().filter(|(_, n)| n.mesh == mesh).map(|(id,
                _)| id).collect();
            @let place = |id: &NodeId| {
                let at = ids.iter().position(|other| *other == id).unwrap_or(0) as f64;
                let angle = at / ids.len().max(1) as f64 * std::f64::consts::TAU;
                (200.0 + 130.0 * angle.sin(), 175.0 - 130.0 * angle.cos())
            };
            h3 { "Mesh " (clean(mesh)) }
            svg class="small" viewBox="0 0 400 350" role="img" aria-label="topology" {
                @for (a, b) in edges.iter().filter(|(a, b)| ids.contains(&a) && ids.contains(&b)) {
                    @let (from, to) = (place(a), place(b));
                    line class="edge" x1=(from.0) y1=(from.1) x2=(to.0) y2=(to.1) {}
                }
                @for id in &ids {
                    @let (at, node) = (place(id), &view.nodes[*id]);
                    @let fate = fate(node);
                    circle class=(if fate == "ended" || fate == "live" { "dot" } else { "dot dead"
                        })
                        cx=(at.0) cy=(at.1) r="12" {}
                    text x=(at.0) y=(at.1 + 27.0) text-anchor="middle" { (short(id.as_str())) }
                    text x=(at.0) y=(at.1 + 40.0) text-anchor="middle" {
                        (clean(&node.role)) ", " (fate)
                    }
                }
            }
        }
        h3 { "Digests heard (row heard column)" }
        @if let Some(long) = &measured.long {
            p class="dim" { "Of a run this long, those of its last "
                (format_duration(long.heard_for)) " are counted."
                @if long.too_many_neighbors { " Neighbours came and went too often for it to be \
                    known here who had whom at the end; `meshlab spans` shows them." } }
        }
        div class="scroll" { table {
            tr { th {} @for id in view.nodes.keys() { th { (id) } } }
            @for by in view.nodes.keys() { tr { th { (by) }
                @for of in view.nodes.keys() { td class="n" {
                    @if by == of { "-" } @else { (heard(by, of)) }
                } }
            } }
        } }
    }
}

/// How a node came out of its test. All nodes end with it, so what counts is how.
fn fate(node: &NodeView) -> &'static str {
    match node.lives.last().and_then(|life| life.exited.as_ref()) {
        None => "live",
        Some((_, _, false)) => "died by itself",
        Some((_, exit, true)) if exit.signal.is_some() => "killed",
        Some(_) => "ended",
    }
}
