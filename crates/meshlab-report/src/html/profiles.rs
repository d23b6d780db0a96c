//! Where CPU time went, how long spans were entered and what heaps held.

use std::collections::BTreeMap;

use maud::{Markup, html};
use meshlab_model::{ByteSize, ClaimId, HeapGain, HeapSnapshot, NodeId};

use super::address;
use crate::{text::clean, view::RunView};

/// Sites of a heap that are shown.
const SITES: usize = 10;

pub(super) fn section(view: &RunView, results: &str) -> Markup {
    let flames: Vec<_> = view.profiles.iter().filter(|profile| profile.kind != "heap").collect();
    html! {
        @if !flames.is_empty() {
            p { "CPU: samples of what runs, so what waits (off-CPU) is not in them; a second of \
                CPU time is as many samples as the rate says. Spans: time between enter and exit, \
                which is not CPU time." }
            table {
                tr { th { "of" } th { "flamegraph" } th { "rests on" } th { "by" } }
                @for profile in flames { tr {
                    td { (clean(profile.node.as_ref().map_or("all nodes", NodeId::as_str))) }
                    td { a href=(address(results, &profile.file)) { (clean(&profile.kind)) } }
                    td { (crate::text::rests_on(profile.samples, profile.hz)) }
                    td { (clean(profile.sampler.as_deref().unwrap_or(""))) }
                } }
            }
        }
        @if !view.heaps.is_empty() { (heaps(view, results)) }
    }
}

/// The profiles that were taken because a claim failed.
pub(super) fn of_claim(view: &RunView, claim: ClaimId, results: &str) -> Markup {
    let flames = view.profiles.iter().filter(|profile| profile.claim == Some(claim));
    let heaps = view.heaps.iter().filter(|(_, heap)| heap.claim == Some(claim));
    html! {
        @for profile in flames { p {
            "taken when it failed: " a href=(address(results, &profile.file)) {
                (clean(&profile.kind)) " of "
                (clean(profile.node.as_ref().map_or("all nodes", NodeId::as_str)))
            } ", " (crate::text::rests_on(profile.samples, profile.hz))
        } }
        @for (_, heap) in heaps { p {
            "taken when it failed: " a href=(address(results, &flame(heap))) {
                "heap of " (clean(heap.node.as_str()))
            } ", " (ByteSize(heap.bytes))
        } }
    }
}

/// The flamegraph beside a dump.
fn flame(heap: &HeapSnapshot) -> String {
    format!("{}.svg", heap.file.trim_end_matches(".dhat.json"))
}

/// The newest look at each process of each node.
fn newest(view: &RunView) -> Vec<&HeapSnapshot> {
    let mut newest: BTreeMap<(&NodeId, u32), &HeapSnapshot> = BTreeMap::new();
    for (_, heap) in &view.heaps {
        newest.insert((&heap.node, heap.pid), heap);
    }
    newest.into_values().collect()
}

fn heaps(view: &RunView, results: &str) -> Markup {
    let newest = newest(view);
    html! {
        h3 { "What heaps held" }
        p { "Allocated and not freed, by subsystem (rule " (rules(&newest)) "), at the last look; \
            below it what it gained since the first look at the same process." }
        div class="scroll" { table class="wide" {
            tr { th { "node" } th { "looks" } th { "bytes" } th { "blocks" }
                @for row in newest.first().map(|heap| &heap.buckets).into_iter().flatten() {
                    th { (clean(&row.bucket)) }
                }
                th { "open" } }
            @for heap in &newest { (rows(view, heap, results)) }
        } }
        @for heap in &newest { (sites(heap)) }
        @if let Some(heap) = newest.first() { p class="dim" { (clean(&heap.recorder)) } }
    }
}

fn rules(heaps: &[&HeapSnapshot]) -> String {
    let mut rules: Vec<u32> = heaps.iter().map(|heap| heap.rule).collect();
    rules.dedup();
    rules.iter().map(u32::to_string).collect::<Vec<String>>().join(", ")
}

fn rows(view: &RunView, heap: &HeapSnapshot, results: &str) -> Markup {
    let same = |other: &HeapSnapshot| other.node == heap.node && other.pid == heap.pid;
    let looks = view.heaps.iter().filter(|(_, other)| same(other)).count();
    html! {
        tr {
            td { (clean(heap.node.as_str())) } td class="n" { (looks) }
            td class="n" { (ByteSize(heap.bytes)) } td class="n" { (heap.blocks) }
            @for row in &heap.buckets { td class="n" { (ByteSize(row.bytes)) } }
            td { a href=(address(results, &heap.file)) { "DHAT" } " "
                a href=(address(results, &flame(heap))) { "flamegraph" } }
        }
        @if let Some(since) = &heap.since {
            tr class="dim" {
                td { "gained" } td {}
                td class="n" { (signed(since.bytes())) } td {}
                @for gain in &since.buckets { td class="n" { (signed(gain.bytes)) } }
                td { (crate::text::pace(since)) }
            }
        }
    }
}

fn sites(heap: &HeapSnapshot) -> Markup {
    let grown: &[HeapGain] = heap.since.as_ref().map_or(&[], |since| &since.sites);
    html! {
        details {
            summary { (clean(heap.node.as_str())) ": allocation sites" }
            table {
                tr { th { "bytes" } th { "blocks" } th { "part" } th { "site" } }
                @for row in heap.sites.iter().take(SITES) { tr {
                    td class="n" { (ByteSize(row.bytes)) } td class="n" { (row.blocks) }
                    td { (clean(&row.bucket)) }
                    td { code { (clean(row.site.as_deref().unwrap_or(""))) } }
                } }
            }
            @if !grown.is_empty() {
                p { "gained most since the first look:" }
                table {
                    tr { th { "bytes" } th { "each end" } th { "part" } th { "site" } }
                    @for gain in grown.iter().take(SITES) { tr {
                        td class="n" { (signed(gain.bytes)) }
                        td class="n" { (each(heap, gain.bytes)) }
                        td { (clean(&gain.bucket)) }
                        td { code { (clean(gain.site.as_deref().unwrap_or(""))) } }
                    } }
                }
            }
        }
    }
}

/// For each process that ended meanwhile.
fn each(heap: &HeapSnapshot, bytes: i64) -> String {
    let each = heap.since.as_ref().and_then(|since| since.per_churn(bytes));
    each.map_or_else(|| "-".to_owned(), |bytes| signed(bytes.round() as i64))
}

fn signed(bytes: i64) -> String {
    crate::text::signed_bytes(bytes)
}
