//! The timeline: faults in lanes of their own, below them a row for each node, claims and the time.

use std::{collections::BTreeMap, time::Duration};

use maud::{Markup, html};
use meshlab_model::{NodeId, RunTime, SpanRecord, format_duration};
use meshlab_wire::attr;

use super::{
    charts::short,
    lanes::{Axis, Bar, lay_out, pack, sign, tenth},
};
use crate::{
    measured::{Mark, Measured, Ticks},
    text::{clean, took},
    view::{FaultView, NodeView, RunView},
};

/// Observers listed in a tooltip.
const TOLD_MAX: usize = 40;

/// Height of a lane: a label above a bar.
const LANE: f64 = 28.0;
const ROW: f64 = 24.0;
/// Height of a row of claims.
const MARKS: f64 = 16.0;
const TOP: f64 = 8.0;
const LEFT: f64 = 110.0;
const WIDE: f64 = 1070.0;

/// Steps of the axis, in seconds.
const STEPS: [u64; 16] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400];

pub(super) fn section(view: &RunView, measured: &Measured) -> Markup {
    let axis = Axis { left: LEFT, wide: WIDE, end: view.last };
    let (bars, left_out) = lay_out(view.faults.values(), axis);
    let lanes = bars.iter().map(|bar| bar.lane + 1).max().unwrap_or(0);
    let rows = TOP + lanes as f64 * LANE;
    let claims = rows + view.nodes.len() as f64 * ROW;
    let (marks, marks_high) = marks(view, axis, claims);
    let foot = claims + marks_high;
    html! {
        section { svg class="timeline" viewBox=(format!("0 0 1200 {}", foot + 22.0)) role="img"
            aria-label="timeline" {
            defs { pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse"
                patternTransform="rotate(45)" { rect class="stripe" width="2.5" height="5" {} } }
            (grid(axis, foot))
            @for gap in &view.gaps {
                @let (from, to) = (axis.x(gap.from), axis.x(gap.to));
                rect class="gap" x=(from) y="0" width=(tenth((to - from).max(2.0))) height=(foot) {
                    title { (clean(&gap.told())) } }
            }
            @if lanes > 0 { text x="0" y=(TOP + 11.0) { "faults" } }
            @for bar in &bars { (fault(bar, view)) }
            @for (row, (id, node)) in view.nodes.iter().enumerate() {
                (nodes(measured, view, axis, (rows + row as f64 * ROW, id, node)))
            }
            @if marks_high > 0.0 { text x="0" y=(claims + 12.0) { "claims" } }
            (marks)
        } }
        (legend())
        @if left_out > 0 { p { (left_out) " faults are left out here; the table has all" } }
    }
}

fn legend() -> Markup {
    let part = |class: &str| {
        html! { svg class="key" viewBox="0 0 24 10" aria-hidden="true" {
        rect class={ "part " (class) } x="1" y="1" width="22" height="8" {} } }
    };
    html! { p class="dim" {
        (part("planned")) " until it acted " (part("acting")) " acting " (part("healing"))
        " healing; a dot is a node that noticed. ✓ passed, ✗ failed, – skipped, ? inconclusive, \
         ! broken. On a node's row: above its bar whom it found, below it whom it lost or took \
         for dead, through it what it became itself."
    } }
}

/// Lines at whole steps of time.
fn grid(axis: Axis, foot: f64) -> Markup {
    let seconds = axis.end.as_secs_f64();
    let step = STEPS.into_iter().find(|step| seconds / *step as f64 <= 12.0).unwrap_or(604_800);
    let steps = (0..=(seconds as u64 / step)).map(|turn| turn * step).take(200);
    html! { @for at in steps {
        @let x = axis.x(RunTime { micros: at.saturating_mul(1_000_000) });
        line class="grid" x1=(x) x2=(x) y1="0" y2=(foot + 4.0) {}
        text x=(x) y=(foot + 17.0) text-anchor="middle" class="dim" {
            @if at == 0 { "0" } @else if at < 120 { (at) " s" }
            @else { (format_duration(Duration::from_secs(at))) } }
    } }
}

fn fault(bar: &Bar<'_>, view: &RunView) -> Markup {
    let y = TOP + bar.lane as f64 * LANE;
    html! { g {
        title { (told(bar.fault, view)) }
        @if let Some((x, label)) = &bar.label {
            text class={ "label " (bar.fault.judged().word()) } x=(x) y=(y + 11.0) { (label) }
        }
        @for part in &bar.parts {
            rect class={ "part " (part.class) } x=(part.from) y=(y + 15.0) height="9"
                width=(tenth(part.to - part.from)) {}
        }
        @for x in &bar.noticed { circle class="seen" cx=(x) cy=(y + 19.5) r="2.5" {} }
    } }
}

/// Everything that is known of a fault, a line a stage.
fn told(fault: &FaultView, view: &RunView) -> String {
    let after =
        |at: &RunTime| took(u64::try_from(at.since(fault.planned).as_micros()).unwrap_or(u64::MAX));
    let targets: Vec<String> = fault.targets.iter().map(|node| clean(node.as_str())).collect();
    let mut lines = vec![
        format!(
            "{} on {}: {}",
            clean(&fault.name),
            targets.join(", "),
            clean(&fault.judged().to_string())
        ),
        format!("planned at {}", fault.planned),
    ];
    if let Some(place) = fault.chaos {
        let of = view.chaos.get(&place.chaos).map_or(0, |chaos| chaos.plan.len());
        lines.push(format!("number {} of {of} of schedule {}", place.place + 1, place.chaos));
    }
    if let Some(source) = &fault.source {
        lines.push(clean(&source.to_string()));
    }
    lines.push(match &fault.acted {
        Some((at, witness)) => format!("acted after {}: {}", after(at), clean(witness)),
        None => "never acted".to_owned(),
    });
    lines.extend(fault.unnoticed.as_ref().map(|why| format!("not to be noticed: {}", clean(why))));
    let noticed = fault.noticed.iter().map(|(at, by, evidence)| {
        format!("noticed after {} by {}: {}", after(at), clean(by.as_str()), clean(evidence))
    });
    lines.extend(bounded(noticed));
    lines.push(match &fault.undone {
        Some((at, how)) => format!("undone after {}: {}", after(at), clean(how)),
        None => "not undone".to_owned(),
    });
    let healed = fault
        .healed
        .iter()
        .map(|(at, by)| format!("healed after {}: {}", after(at), clean(by.as_str())));
    lines.extend(bounded(healed));
    if let Some((file, packets)) = &fault.capture {
        lines.push(format!("{packets} packets in {}", clean(file)));
    }
    lines.join("\n")
}

fn bounded(lines: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let more = lines.len().saturating_sub(TOLD_MAX);
    let mut lines: Vec<String> = lines.take(TOLD_MAX).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// A node's row: its processes, when faults hurt it, and what it told.
fn nodes(
    measured: &Measured,
    view: &RunView,
    axis: Axis,
    (y, id, node): (f64, &NodeId, &NodeView),
) -> Markup {
    let keys: BTreeMap<&str, &NodeId> =
        view.nodes.iter().map(|(id, node)| (node.public_key.as_str(), id)).collect();
    let none = Ticks::default();
    let ticks = measured.ticks.get(id).unwrap_or(&none);
    html! {
        text x="0" y=(y + 16.0) { (short(id.as_str())) }
        @for fault in view.faults.values().filter(|fault| fault.targets.contains(id)) {
            @let from = axis.x(fault.planned);
            @let until = fault.undone.as_ref().or(fault.acted.as_ref());
            @let to = until.map_or(from, |until| axis.x(until.0)).max(from + 4.0);
            rect class="fault" x=(from) y=(y) width=(tenth(to - from)) height=(ROW) {
                title { (clean(&fault.name)) " at " (fault.planned) } }
        }
        @for life in &node.lives {
            @let to = life.exited.as_ref().map_or(view.last, |exited| exited.0);
            @let (from, to) = (axis.x(life.spawned), axis.x(to));
            rect class="bar" x=(from) y=(y + 8.0) width=(tenth((to - from).max(2.0))) height="8" {
                title { (id) " pid " (life.pid) " from " (life.spawned)
                    @if let Some((at, exit, asked)) = &life.exited { " to " (at) ", " (exit)
                        @if !asked { ", by itself" } } }
            }
            @if let Some((_, _, false)) = &life.exited {
                text x=(to.min(1128.0) + 3.0) y=(y + 16.0) { "✕ by itself" } }
        }
        @for (span, mark) in &ticks.first {
            @let x = axis.x(span.arrived);
            @let (from, to) = match mark { Mark::Found => (1.0, 7.0), Mark::Lost => (17.0, 23.0),
                Mark::Became => (4.0, 20.0) };
            line class=(mark.class()) x1=(x) x2=(x) y1=(y + from) y2=(y + to) {
                title { (span.arrived) " " (span.name) (about(span, &keys)) }
            }
        }
        @if ticks.more > 0 { text class="dim" x="1198" y=(y + 7.0) text-anchor="end" {
            "+" (ticks.more) } }
    }
}

impl Mark {
    fn class(self) -> &'static str {
        match self {
            Self::Found => "tick found",
            Self::Lost => "tick lost",
            Self::Became => "tick became",
        }
    }
}

/// Whom a span is about, and what state it tells of.
fn about(span: &SpanRecord, keys: &BTreeMap<&str, &NodeId>) -> String {
    let text = |name| span.attributes.get(name).and_then(serde_json::Value::as_str);
    let peer = text(attr::PEER_ID).map(|key| match keys.get(key) {
        Some(node) => format!(" {}", clean(node.as_str())),
        None => format!(" {}", short(key)),
    });
    let state = text(attr::STATE).map(|state| format!(" {}", clean(state)));
    [peer, state].into_iter().flatten().collect()
}

/// The signs of the claims' verdicts, and how high they are together.
fn marks(view: &RunView, axis: Axis, y: f64) -> (Markup, f64) {
    let judged = |took: u64, started: RunTime| RunTime { micros: started.micros + took };
    let xs: Vec<f64> = view
        .claims
        .values()
        .map(|claim| axis.x(judged(claim.took_micros, claim.started)))
        .collect();
    let rooms: Vec<(f64, f64)> = xs.iter().map(|x| (x - 7.0, x + 7.0)).collect();
    let lanes = pack(&rooms, 1.0);
    let high = lanes.iter().map(|lane| lane + 1).max().unwrap_or(0) as f64 * MARKS;
    let drawn = html! {
        @for ((claim, x), lane) in view.claims.values().zip(&xs).zip(&lanes) {
            @let verdict = claim.judged();
            text class={ "label " (verdict.word()) } x=(x) y=(y + 12.0 + *lane as f64 * MARKS)
                text-anchor="middle" {
                title { (clean(&claim.call)) " " (clean(&claim.text)) ": "
                    (clean(&verdict.to_string())) }
                (sign(&verdict))
            }
        }
    };
    (drawn, high)
}
