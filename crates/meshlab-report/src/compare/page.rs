//! Two sets of runs on one self-contained page: the table, and lengths of time over each other.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use meshlab_stats::{Latency, Word};
use plotters::prelude::*;

use super::{CompareLatency, CompareReport, shown::latency};
use crate::text::clean;

impl CompareReport {
    /// The page.
    pub fn html(&self) -> String {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta http-equiv="Content-Security-Policy"
                        content="default-src 'none'; style-src 'unsafe-inline'";
                    title { (self.verdict.word()) " - before and after: " (clean(&self.scenario)) }
                    style { (PreEscaped(include_str!("../html/style.css"))) }
                }
                body { (self.body()) }
            }
        }
        .into_string()
    }

    fn body(&self) -> Markup {
        html! {
            h1 { (clean(&self.scenario)) ", before and after: "
                span class={ "v " (self.verdict.word()) } { (self.verdict.word()) } }
            @if let Some(why) = self.verdict.reason() { p { (clean(why)) } }
            p { (self.about()) }
            ul { @for note in &self.notes { li { (clean(note)) } } }
            h2 { "Figures" }
            div class="scroll" { table {
                tr { th { "word" } th { "figure" } th { "before" } th { "after" } th { "effect" }
                    th { "99 % interval" } th { "pairs" } th { "why" } }
                @for row in &self.rows {
                    tr {
                        td { span class={ "v " (class(row.word)) } { (row.word.as_str()) } }
                        td { (clean(&row.key.to_string())) }
                        @for cell in row.cells() { td class="n" { (cell) } }
                        td class="n" { (row.pairs) }
                        td class="dim" { (clean(row.why.as_deref().unwrap_or(""))) }
                    }
                }
            } }
            p class="dim" { "Medians; effects are ratios of after to before by pairs \
                (Hodges-Lehmann), intervals by the signed-rank test. Words over rounds in the \
                order before, after, after, before come from an analysis of covariance with the \
                drift of the host, all others from the signed-rank test, both corrected \
                for the number of figures (Holm): all of them together are wrong \
                in 1 % of reports where nothing differs. \"same\" is an interval within 5 %." }
            @if !self.latencies.is_empty() { h2 { "Lengths of time" } (self.lengths()) }
            @if !self.flamegraphs.is_empty() {
                h2 { "Where CPU time and memory went" }
                @for (name, file) in &self.flamegraphs {
                    p { a href=(file.display().to_string()) { (clean(name)) }
                        ": red takes more of the whole than before, blue less" }
                }
            }
            h2 { "Runs" }
            div class="scroll" { table {
                tr { th { "pair" } th { "before" } th { "after" } }
                @for (n, (before, after)) in (1..).zip(self.before.iter().zip(&self.after)) {
                    tr { td { (n) } td { (clean(before)) } td { (clean(after)) } }
                }
            } }
        }
    }

    fn lengths(&self) -> Markup {
        html! {
            p { "How many of all were not longer: " span style="color:#0969da" { "before" } ", "
                span style="color:#cf222e" { "after" } ". A curve further to the left is faster." }
            @for of in &self.latencies {
                h3 { (clean(&of.name)) }
                (plot(of))
                div class="scroll" { table {
                    tr { th { "" } th { "n" } th { "p50" } th { "p90" } th { "p99" } th { "max" } }
                    @for (side, times) in [("before", &of.before), ("after", &of.after)] {
                        @let [_, side, count, p50, p90, p99, max] = latency("", side, times);
                        tr { td { (side) } @for cell in [count, p50, p90, p99, max] {
                            td class="n" { (cell) } } }
                    }
                } }
            }
        }
    }
}

fn class(word: Word) -> &'static str {
    match word {
        Word::Better | Word::Same => "passed",
        Word::Worse => "failed",
        Word::Undecided => "inconclusive",
    }
}

fn plot(of: &CompareLatency) -> Markup {
    let mut svg = String::new();
    match draw(&mut svg, of) {
        Ok(()) => html! { div class="plot" { (PreEscaped(svg)) } },
        Err(why) => html! { p { "the plot cannot be drawn: " (clean(&why)) } },
    }
}

/// Steps of a curve; of more only every so many, which nobody could see apart, and the last.
const STEPS_MAX: usize = 500;

/// A cumulative distribution in milliseconds and percent, as steps.
fn points(times: &Latency) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let mut last = 0.0;
    let curve = times.curve();
    let each = curve.len().div_ceil(STEPS_MAX).max(1);
    let end = curve.len().saturating_sub(1);
    let kept = curve.into_iter().enumerate().filter(|(n, _)| n % each == 0 || *n == end);
    for (_, (length, share)) in kept {
        // A microsecond is the least that is recorded, and there is no logarithm of nothing.
        let ms = (length.as_secs_f64() * 1e3).max(1e-3);
        points.push((ms, last));
        last = share * 100.0;
        points.push((ms, last));
    }
    points
}

fn draw(svg: &mut String, of: &CompareLatency) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let sides = [
        ("before", RGBColor(9, 105, 218), points(&of.before)),
        ("after", RGBColor(207, 34, 46), points(&of.after)),
    ];
    let all = || sides.iter().flat_map(|side| &side.2).map(|point| point.0);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(1e-3, f64::max));
    let range = (low.min(high) * 0.8..high * 1.25).log_scale();
    let root = SVGBackend::with_string(svg, (1000, 260)).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(45)
        .y_label_area_size(50)
        .build_cartesian_2d(range, 0.0..100.0)
        .map_err(|error| told(&error))?;
    // Numbers of a logarithmic axis have very different sizes.
    let label = |ms: &f64| meshlab_model::Measure::show(*ms, "");
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("ms").y_desc("%").light_line_style(TRANSPARENT).x_label_formatter(&label);
    mesh.draw().map_err(|error| told(&error))?;
    for (name, color, points) in sides {
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))
            .map_err(|error| told(&error))?
            .label(name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color));
    }
    let mut labels = chart.configure_series_labels();
    labels.background_style(WHITE.mix(0.8)).position(SeriesLabelPosition::LowerRight);
    labels.draw().map_err(|error| told(&error))?;
    root.present().map_err(|error| told(&error))
}
