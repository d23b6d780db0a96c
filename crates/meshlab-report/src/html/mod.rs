//! The page: one file without anything from outside. This file owns its order and its tables;
//! `timeline` and `charts` draw from events and spans, `plots` from samples, `work` lists what
//! nodes were asked.

mod chaos;
mod charts;
mod comparison;
mod counters;
mod hands;
mod lanes;
mod packets;
mod plots;
mod profiles;
mod recovery;
mod timeline;
mod work;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use meshlab_engine::results::RunRecord;
use meshlab_model::{ByteSize, TestId, Verdict};

use crate::{
    measured::Measured,
    text::{clean, excerpt, tallies, took},
    view::{ClaimView, RunView},
};

/// Rows of the table of spans.
const SPAN_NAMES_MAX: usize = 200;

/// The whole page.
///
/// `results` leads from the page's folder to the run's.
pub(crate) fn page(
    record: &RunRecord,
    view: &RunView,
    measured: &Measured,
    results: &str,
) -> String {
    let manifest = &record.manifest;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy"
                    content=(format!("default-src 'none'; style-src 'unsafe-inline'; script-src \
                        '{}'", plots::SCRIPT_HASH));
                title { (view.verdict().word()) " - " (manifest.scenario) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (header(record, view))
                h2 { "Verdicts" } (verdicts(record, view, results))
                (comparison::section(view))
                h2 { "Faults" } (chaos::chaos(view)) (faults(view, results))
                h2 { "Recovery" } (recovery::section(&view.recovery))
                h2 { "Timeline" } (timeline::section(view, measured))
                h2 { "Boot" } (charts::boot(view, measured))
                h2 { "Topology" } (charts::topology(view, measured))
                h2 { "Network" } (packets::section(record, view))
                h2 { "Work" } (work::section(view))
                (hands::section(view))
                h2 { "Resources" } (limits(view)) (resources(view, measured))
                (plots::plots(view, measured))
                (counters::section(view, measured))
                @if !measured.memory.is_empty() || !measured.counted.values.is_empty() {
                    (plots::script())
                }
                @if !view.profiles.is_empty() || !view.heaps.is_empty() {
                    h2 { "Profiles" } (profiles::section(view, results))
                }
                h2 { "Telemetry" } (telemetry(record, view))
                h2 { "Notes and metrics" } (notes(view))
                h2 { "Scenario" }
                pre {
                    @for (number, line) in (1..).zip(record.script.lines()) {
                        span class="dim" { (format!("{number:>4} ")) } (clean(line)) "\n"
                    }
                }
            }
        }
    }
    .into_string()
}

fn word(verdict: &Verdict) -> Markup {
    html! { span class={ "v " (verdict.word()) } { (verdict.word()) } }
}

fn header(record: &RunRecord, view: &RunView) -> Markup {
    let (manifest, verdict) = (&record.manifest, view.verdict());
    let started = crate::text::utc(manifest.started_unix_nanos);
    let host = &manifest.host;
    let memory = ByteSize(host.memory_bytes);
    let facts = [
        ("seed", manifest.seed.to_string()),
        ("started", started),
        ("duration", took(view.last.micros)),
        ("run", manifest.run.clone()),
        ("commit", manifest.commit.clone().unwrap_or_else(|| "outside git".into())),
        ("network", format!("{:?}", manifest.network).to_lowercase()),
        ("host", format!("{}, {}, {} cores, {memory}", host.os, host.cpu, host.cores)),
        ("command", manifest.arguments.join(" ")),
        (
            "exit code",
            format!("{} ({})", view.exit_code() as u8, crate::text::meaning(view.exit_code())),
        ),
    ];
    html! {
        h1 { (manifest.scenario) ": " (word(&verdict)) }
        @if let Some(why) = verdict.reason() { p { (clean(why)) } }
        @if let Some(told) = crate::ending::unfinished(record) { p { (clean(&told)) } }
        @if let Some(hands) = view.hands_line() { p { b { "By hand" } " " (hands) } }
        @for gap in &view.gaps { p { b { "Gap" } " " (clean(&gap.told())) } }
        @let damage = record.all_damage();
        @if !damage.is_empty() {
            p class="v broken" { "The record is damaged" }
            ul { @for damage in &damage { li { (clean(damage)) } } }
        }
        table {
            @for (name, value) in facts { tr { th { (name) } td { (clean(&value)) } } }
            @for (name, binary) in &manifest.binaries {
                tr { th { (name) } td {
                    (binary.path) ", SHA-256 " code { (binary.sha256) } ", built "
                    (crate::text::utc(binary.built_unix_nanos))
                    @if !binary.built_by_run { ", not built by this run" }
                    @if let Some(with) = &binary.built_with {
                        br; (clean(&crate::built::line(with))) "; its lock has SHA-256 "
                        code { (with.lock_sha256) }
                    }
                } }
            }
        }
    }
}

fn verdicts(record: &RunRecord, view: &RunView, results: &str) -> Markup {
    html! {
        @for (id, test) in &view.tests {
            @let verdict = view.test_verdict(*id);
            h3 { (word(&verdict)) " " (clean(&test.title)) }
            @if let Some(why) = verdict.reason() { p { (clean(why)) } }
            (claims(record, view, *id, results))
        }
        @for problem in &view.problems {
            p class="v broken" { "Problem at " (problem.at) } pre { (problem.text) }
        }
        @for (at, text) in &view.warnings { p { b { "Warning" } " " (at) " " (clean(text)) } }
    }
}

fn claims(record: &RunRecord, view: &RunView, test: TestId, results: &str) -> Markup {
    html! {
        @for (id, claim) in view.claims.iter().filter(|(_, claim)| claim.test == test) {
            @let verdict = claim.judged();
            details open[!verdict.is_passed()] {
                summary { (word(&verdict)) " " code { (claim.call) } " " (clean(&claim.text)) " "
                    span class="dim" { (took(claim.took_micros)) }
                    @if claim.after_hand { " " span class="dim" { "after an act by hand" } } }
                (evidence(record, view, claim, &verdict))
                (profiles::of_claim(view, *id, results))
            }
        }
    }
}

fn evidence(record: &RunRecord, view: &RunView, claim: &ClaimView, verdict: &Verdict) -> Markup {
    let place = claim.source.as_ref().filter(|place| view.in_scenario(place));
    let shown = place.and_then(|place| excerpt(&record.script, place, &claim.call));
    html! {
        @if let Some(source) = &claim.source { p class="dim" { (source.to_string()) } }
        @if let Some(shown) = shown {
            @let pad = " ".repeat(shown.gutter);
            pre { (shown.line) " | " (shown.code) "\n" (pad) " | " (shown.carets) " "
                (clean(verdict.reason().unwrap_or(""))) }
        } @else if let Some(why) = verdict.reason() { p { (clean(why)) } }
        @if let Some(since) = claim.evidence.since { p { "counted since " (since) } }
        @if !claim.evidence.by_node.is_empty() { p { "by node: " (tallies(&claim.evidence)) } }
        @for note in &claim.evidence.notes { p { "note: " (clean(note)) } }
    }
}

fn faults(view: &RunView, results: &str) -> Markup {
    html! {
        @if view.faults.is_empty() { p class="dim" { "none" } } @else {
            div class="scroll" { table class="wide" {
            tr { th { "verdict" } th { "fault" } th { "targets" } th { "planned" } th { "acted" }
                th { "noticed" } th { "undone" } th { "healed" } }
            @for fault in view.faults.values() {
                @let after = |at: &meshlab_model::RunTime|
                    took(at.since(fault.planned).as_micros() as u64);
                tr {
                    td { (word(&fault.judged())) " \
                        " (clean(fault.judged().reason().unwrap_or("")))
                        @if let Some((file, packets)) = &fault.capture {
                            " " a href=(address(results, file)) { "capture" } " ("
                            (packets) " packets)" } }
                    td { (fault.name) @if !fault.told.is_empty() { " (" (clean(&fault.told)) ")" } }
                    td { (crate::text::whom(fault)) }
                    td { (fault.planned) }
                    td { @if let Some((at, how)) = &fault.acted { "after " (after(at)) ": "
                        (clean(how)) } @else { "never" } }
                    td { @if let Some(why) = &fault.unnoticed {
                        "not to be noticed: " (clean(why))
                    } @else { (each(&fault.noticed.iter().map(|(at, by, how)|
                        (after(at), format!("{}: {}", clean(by.as_str()), clean(how))))
                        .collect::<Vec<_>>())) } }
                    td { @if let Some((at, how)) = &fault.undone { "after " (after(at)) ": "
                        (clean(how)) } @else { "not undone" } }
                    td { (each(&fault.healed.iter().map(|(at, by)|
                        (after(at), clean(by.as_str()))).collect::<Vec<_>>())) }
                }
            }
        } } }
    }
}

/// A file in the run's folder, as the page refers to it.
fn address(results: &str, file: &str) -> String {
    let mut address = String::new();
    for byte in format!("{results}/{file}").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                address.push(char::from(byte));
            }
            // A colon would make the first folder a scheme.
            byte => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address
}

/// What several nodes told, and when: from the first to the last, and each by itself on demand.
fn each(told: &[(String, String)]) -> Markup {
    let (Some((first, _)), Some((last, _))) = (told.first(), told.last()) else {
        return html! { "by nobody" };
    };
    html! { details {
        summary { (told.len()) @if told.len() == 1 { " node" } @else { " nodes" } ", after " (first)
            @if first != last { " to " (last) } }
        @for (after, what) in told { div { (after) " " (what) } }
    } }
}

/// What nodes were allowed to use and to grow by, and what they did.
fn limits(view: &RunView) -> Markup {
    html! { @if view.limits().next().is_some() { div class="scroll" { table {
        tr { th { "limit" } th { "verdict" } th { "found" } }
        @for claim in view.limits() {
            @let verdict = claim.judged();
            tr { td { (clean(&claim.text)) } td { (word(&verdict)) } td {
                @if let Some(why) = verdict.reason() { div { (clean(why)) } }
                @for note in &claim.evidence.notes { div { (clean(note)) } }
            } }
        }
    } } } }
}

fn resources(view: &RunView, measured: &Measured) -> Markup {
    let share = |cpu: Option<f64>| match cpu {
        Some(cpu) => format!("{:.1}%", cpu * 100.0),
        None => "-".into(),
    };
    let names = view.nodes.keys().map(|id| Some(id.as_str())).chain([None]);
    html! { div class="scroll" { table {
        tr { th { "process" } th { "CPU mean" } th { "CPU max" } th { "RSS last" } th { "RSS max" }
            th { "open files" } th { "threads" } }
        @for node in names {
            @if let Some(used) = measured.usage(node) { tr {
                td { (node.unwrap_or("the harness")) }
                td class="n" { (share(used.cpu_mean)) } td class="n" { (share(used.cpu_max)) }
                td class="n" { (ByteSize(used.rss_last)) } td class="n" { (ByteSize(used.rss_max)) }
                td class="n" { (used.files_max) } td class="n" { (used.threads_max) }
            } } @else { tr { td { (node.unwrap_or("the harness")) } td colspan="6" {
                "never sampled" } } }
        }
    } } }
}

fn telemetry(record: &RunRecord, view: &RunView) -> Markup {
    let names = record.spans.counts();
    let left_out = names.len().saturating_sub(SPAN_NAMES_MAX);
    html! { div class="scroll" {
        table {
            tr { th { "node" } th { "ended" } th { "received" } th { "lost" } th {
                "dropped by the node" } }
            @for (id, node) in &view.nodes { @for (_, count) in &node.telemetry { tr {
                td { (id) }
                td class="n" { @match count.ended { Some(n) => (n), None => "not known" } }
                td class="n" { (count.received) }
                td class="n" { @match count.lost() { Some(n) => (n), None => "not known" } }
                td class="n" { (count.dropped) }
            } } }
        }
        h3 { "Spans by name" }
        table {
            tr { th { "name" } th { "all" } @for id in view.nodes.keys() { th { (id) } } }
            @for (name, by) in names.iter().take(SPAN_NAMES_MAX) { tr {
                td { (clean(name)) } td class="n" { (by.values().sum::<u64>()) }
                @for id in view.nodes.keys() {
                    td class="n" { (by.get(id.as_str()).copied().unwrap_or(0)) }
                }
            } }
        }
        @if left_out > 0 { p { (left_out) " more names are left out" } }
    } }
}

fn notes(view: &RunView) -> Markup {
    html! {
        @for (at, text) in &view.notes { p { span class="dim" { (at) } " " (clean(text)) } }
        @if !view.metrics.is_empty() { table { @for (at, name, value, unit) in &view.metrics { tr {
            td { (at) } td { (clean(name)) } td class="n" { (value) " " (clean(unit)) }
        } } } }
        @if view.notes.is_empty() && view.metrics.is_empty() { p class="dim" { "none" } }
    }
}
