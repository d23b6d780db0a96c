//! Curves of what processes used: a picture each, and the numbers by which the page's script draws
//! it anew where somebody looks closer.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use meshlab_engine::results::HARNESS;
use meshlab_model::{NodeId, RunTime};
use plotters::prelude::*;
use serde_json::{Value, json};

use crate::{
    measured::{Curve, Measured},
    view::RunView,
};

/// The page's script. It is the only one that the page lets run, by its hash.
const SCRIPT: &str = include_str!("zoom.js");

/// SHA-256 of [`SCRIPT`], as a content security policy takes it; a test holds them together.
pub(super) const SCRIPT_HASH: &str = "sha256-TWZXwJ5KnaRqFSQ5LBhoBHQorLJc+UhI51J4dnTCfcI=";

/// Faults that are drawn as bands behind the curves; more would be one band.
const BANDS_MAX: usize = 2000;

/// One curve each process, with the faults and gaps as bands.
pub(super) fn plots(view: &RunView, measured: &Measured) -> Markup {
    let any = !measured.memory.is_empty();
    html! {
        @if any { p class="dim" { "The least and greatest of each stretch of time. Drag over a \
            chart to zoom in, double click for all of it, click on a name to hide it." } }
        h3 { "Memory, MiB" } (plot(&measured.memory, view, 1.0 / 1024.0))
        h3 { "CPU, % of a core" } (plot(&measured.cpu, view, 0.01))
        @if any {
            h3 { "Open files" } (plot(&measured.files, view, 1.0))
            h3 { "Threads" } (plot(&measured.threads, view, 1.0))
            script { (PreEscaped(SCRIPT)) }
        }
    }
}

/// What the script draws a chart from; values are kept in `unit`s.
fn numbers(series: &Series<'_>, view: &RunView, unit: f64) -> String {
    let step = series.values().next().map_or(1.0, |(_, curve)| curve.step());
    let seconds = |from: RunTime, to: RunTime| json!([from.as_secs_f64(), to.as_secs_f64()]);
    let gaps: Vec<Value> = view.gaps.iter().map(|gap| seconds(gap.from, gap.to)).collect();
    let faults = view.faults.values().take(BANDS_MAX).map(|fault| {
        let to = fault.undone.as_ref().or(fault.acted.as_ref()).map_or(fault.planned, |to| to.0);
        seconds(fault.planned, to)
    });
    let faults: Vec<Value> = faults.collect();
    let curve = |(place, (name, curve)): (usize, &(&str, &Curve))| {
        let (red, green, blue) = Palette99::pick(place).to_rgba().rgb();
        json!({ "name": crate::text::clean(name), "d": curve.encoded(unit),
            "color": format!("#{red:02x}{green:02x}{blue:02x}") })
    };
    let all: Vec<Value> = series.values().enumerate().map(curve).collect();
    let end = view.last.as_secs_f64().max(0.001);
    let data = json!({ "end": end, "step": step, "unit": unit, "gaps": gaps, "faults": faults,
        "series": all });
    // A name must not end the element that it stands in.
    data.to_string().replace('<', "\\u003c")
}

/// Names and points of the curves, in the order in which they are drawn.
type Series<'a> = BTreeMap<(bool, NodeId), (&'a str, &'a Curve)>;

pub(super) fn plot(curves: &BTreeMap<String, Curve>, view: &RunView, unit: f64) -> Markup {
    let series: Series<'_> = curves
        .iter()
        .map(|(of, curve)| {
            // As nodes are counted, and the harness after them.
            let harness = of == HARNESS;
            ((harness, NodeId::from(of.as_str())), (of.as_str(), curve))
        })
        .collect();
    if series.is_empty() {
        return html! { p class="dim" { "no samples" } };
    }
    let mut svg = String::new();
    match draw(&mut svg, &series, view) {
        Ok(()) => html! { div class="plot zoom" {
            (PreEscaped(svg))
            script type="application/json" { (PreEscaped(numbers(&series, view, unit))) }
        } },
        Err(why) => html! { p { "the plot cannot be drawn: " (why) } },
    }
}

fn draw(svg: &mut String, series: &Series<'_>, view: &RunView) -> Result<(), String> {
    let points: Vec<(&str, Vec<(f64, f64)>)> =
        series.values().map(|(name, curve)| (*name, curve.points())).collect();
    let all = points.iter().flat_map(|each| &each.1);
    let high = all.map(|point| point.1).fold(1.0, f64::max) * 1.1;
    let end = view.last.as_secs_f64().max(0.001);
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let root = SVGBackend::with_string(svg, (1000, 300)).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(45)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..end, 0.0..high)
        .map_err(|error| told(&error))?;
    let mesh = chart.configure_mesh().x_desc("seconds").light_line_style(TRANSPARENT).draw();
    mesh.map_err(|error| told(&error))?;
    let bands = view.faults.values().map(|fault| {
        let from = fault.planned.as_secs_f64();
        let to = fault.undone.as_ref().map_or(from, |undone| undone.0.as_secs_f64());
        Rectangle::new([(from, 0.0), (to.max(from + end / 300.0), high)], RED.mix(0.2).filled())
    });
    chart.draw_series(bands).map_err(|error| told(&error))?;
    let gaps = view.gaps.iter().map(|gap| {
        let (from, to) = (gap.from.as_secs_f64(), gap.to.as_secs_f64());
        Rectangle::new([(from, 0.0), (to, high)], BLACK.mix(0.2).filled())
    });
    chart.draw_series(gaps).map_err(|error| told(&error))?;
    for (place, (name, points)) in points.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        let mut parts = parts(points, view).into_iter();
        let first = parts.next().unwrap_or_default();
        for part in parts {
            let line = LineSeries::new(part.iter().copied(), color);
            chart.draw_series(line).map_err(|error| told(&error))?;
        }
        chart
            .draw_series(LineSeries::new(first.iter().copied(), color))
            .map_err(|error| told(&error))?
            .label(crate::text::clean(name))
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color));
    }
    let labels = chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw();
    labels.map_err(|error| told(&error))?;
    root.present().map_err(|error| told(&error))
}

/// The points in parts between which nothing is known, so that no line joins them.
fn parts<'a>(points: &'a [(f64, f64)], view: &RunView) -> Vec<&'a [(f64, f64)]> {
    let middle = |gap: &crate::view::Gap| (gap.from.as_secs_f64() + gap.to.as_secs_f64()) / 2.0;
    let within = |at: f64, from: f64, to: f64| from <= at && at <= to;
    let is_gap =
        |a: &(f64, f64), b: &(f64, f64)| view.gaps.iter().any(|gap| within(middle(gap), a.0, b.0));
    points.chunk_by(|a, b| !is_gap(a, b)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::view::Gap;

    #[test]
    fn the_policy_of_the_page_knows_its_script() {
        let digest = Sha256::digest(SCRIPT.as_bytes());
        let hash = format!("sha256-{}", base64(&digest));
        assert_eq!(hash, SCRIPT_HASH, "zoom.js changed: put its hash here");
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let number = three.iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
            let number = number << (8 * (3 - three.len()));
            for place in 0..4 {
                let digit = DIGITS[(number >> (18 - 6 * place)) as usize & 63];
                text.push(if place > three.len() { '=' } else { char::from(digit) });
            }
        }
        text
    }

    #[test]
    fn no_line_joins_what_a_gap_parts() {
        let time = |second: u64| RunTime { micros: second * 1_000_000 };
        let gap = Gap { from: time(10), to: time(50), part: 2, test: None, spent: Duration::ZERO };
        let view = RunView { gaps: vec![gap], ..RunView::default() };
        let points = [(8.0, 1.0), (10.0, 1.0), (51.0, 2.0), (52.0, 2.0)];
        let parted: Vec<usize> = parts(&points, &view).iter().map(|part| part.len()).collect();
        assert_eq!(parted, [2, 2]);
        assert_eq!(parts(&points, &RunView::default()).len(), 1);
    }
}
