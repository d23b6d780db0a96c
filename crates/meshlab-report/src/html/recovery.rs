//! How fast faults acted, were noticed and healed: a table, and the curves of all of them.

use maud::{Markup, PreEscaped, html};
use meshlab_stats::Latency;
use plotters::prelude::*;

use crate::{
    text::{clean, short},
    view::{Recovery, RecoveryTimes, percentiles},
};

/// Points kept of one curve; a curve of more would only make the page large.
const POINTS_MAX: usize = 400;

/// Shortest time on the axis, in seconds.
const SECONDS_MIN: f64 = 1e-4;

pub(super) fn section(recovery: &Recovery) -> Markup {
    if recovery.kinds.is_empty() {
        return html! { p class="dim" { "no fault acted" } };
    }
    let all = recovery.all();
    html! {
        div class="scroll" { table {
            tr {
                th rowspan="2" { "fault" }
                @for stage in ["onset", "noticed", "healed"] { th class="mid" colspan="4" {
                    (stage) } }
            }
            tr { @for _ in 0..3 { @for name in ["n", "p50", "p99", "max"] { th class="n" {
                (name) } } } }
            @for (name, times) in &recovery.kinds { (row(&clean(name), times)) }
            @if recovery.kinds.len() > 1 { (row("all", &all)) }
        } }
        p class="dim" {
            "Onset: from the plan, written before the act, to the witness that it acted. Noticed: \
             from there, for each observer. Healed: from when it was taken back, for each node."
        }
        @if recovery.without_beginning > 0 {
            p { (recovery.without_beginning) " more were told of faults that never acted" }
        }
        (curves(&all))
    }
}

fn row(name: &str, times: &RecoveryTimes) -> Markup {
    html! { tr {
        td { (name) }
        @for (_, times) in times.stages() {
            td class="n" { (times.count()) }
            @match percentiles(times) {
                Some([p50, _, p99, max]) => {
                    @for length in [p50, p99, max] { td class="n" { (short(length)) } }
                }
                None => { @for _ in 0..3 { td class="n" { "-" } } }
            }
        }
    } }
}

fn curves(times: &RecoveryTimes) -> Markup {
    let mut svg = String::new();
    match draw(&mut svg, times) {
        Ok(()) => html! {
            h3 { "Share that was through after a time, all faults" }
            div class="plot" { (PreEscaped(svg)) }
        },
        Err(why) => html! { p { "the plot cannot be drawn: " (why) } },
    }
}

fn draw(svg: &mut String, times: &RecoveryTimes) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let curves = times.stages().map(|(name, times)| (name, curve(times)));
    let longest = curves.iter().flat_map(|(_, curve)| curve).map(|point| point.0);
    let longest = longest.fold(10.0 * SECONDS_MIN, f64::max) * 1.2;
    let root = SVGBackend::with_string(svg, (800, 240)).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((SECONDS_MIN..longest).log_scale(), 0.0..100.0)
        .map_err(|error| told(&error))?;
    let mesh = chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc("% of all")
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|seconds| format!("{seconds}"))
        .draw();
    mesh.map_err(|error| told(&error))?;
    // Told apart by their dashes too, for print and for eyes that do not tell the colours apart.
    let looks = [(BLUE, 0), (RED, 4), (BLACK, 10)];
    for ((name, points), (color, gap)) in curves.into_iter().zip(looks) {
        if points.is_empty() {
            continue;
        }
        let line = DashedLineSeries::new(points, 12, gap, color.stroke_width(2));
        chart.draw_series(line).map_err(|error| told(&error))?.label(name).legend(move |(x, y)| {
            let size = if gap == 0 { 24 } else { 14 - gap };
            PathElement::new(vec![(x, y), (x + size, y)], color.stroke_width(2))
        });
    }
    let labels = chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw();
    labels.map_err(|error| told(&error))?;
    root.present().map_err(|error| told(&error))
}

/// Seconds and percent, as steps: a share is reached at a time and stays until the next one.
fn curve(times: &Latency) -> Vec<(f64, f64)> {
    let steps = times.curve();
    let every = steps.len().div_ceil(POINTS_MAX / 2).max(1);
    let last = steps.len().saturating_sub(1);
    let mut points = Vec::new();
    let mut before = 0.0;
    for (place, (length, share)) in steps.into_iter().enumerate() {
        if place % every != 0 && place != last {
            continue;
        }
        let seconds = length.as_secs_f64().max(SECONDS_MIN);
        points.extend([(seconds, before), (seconds, share * 100.0)]);
        before = share * 100.0;
    }
    points
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_long_curve_is_thinned_and_still_ends_at_all() {
        let mut times = Latency::new();
        (1..=100_000).for_each(|micros| times.record(Duration::from_micros(micros)));
        let points = curve(&times);
        assert!(points.len() <= POINTS_MAX + 4, "{}", points.len());
        assert_eq!(points.last().map(|point| point.1), Some(100.0));
        assert!(curve(&Latency::new()).is_empty());
    }
}
