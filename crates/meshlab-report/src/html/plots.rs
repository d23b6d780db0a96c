//! Curves of memory and CPU from the samples.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use meshlab_engine::results::RunRecord;
use meshlab_model::{Sample, SampleSource};
use plotters::prelude::*;

use crate::view::RunView;

/// Points kept of one curve.
const POINTS_MAX: usize = 1000;

/// One curve each process, with the faults as bands.
pub(super) fn plots(record: &RunRecord, view: &RunView) -> Markup {
    let rss = |sample: &Sample| Some(sample.rss_bytes as f64 / 1_048_576.0);
    html! {
        h3 { "Memory, MiB" } (plot(record, view, &rss))
        h3 { "CPU, % of a core" }
        (plot(record, view, &|sample: &Sample| sample.cpu.map(|cpu| cpu * 100.0)))
    }
}

fn plot(record: &RunRecord, view: &RunView, of: &dyn Fn(&Sample) -> Option<f64>) -> Markup {
    let mut series: BTreeMap<&SampleSource, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in &record.samples {
        if let Some(value) = of(sample).filter(|value| value.is_finite()) {
            series.entry(&sample.of).or_default().push((sample.at.as_secs_f64(), value));
        }
    }
    if series.is_empty() {
        return html! { p class="dim" { "no samples" } };
    }
    let mut svg = String::new();
    match draw(&mut svg, &series, view) {
        Ok(()) => html! { div class="plot" { (PreEscaped(svg)) } },
        Err(why) => html! { p { "the plot cannot be drawn: " (why) } },
    }
}

fn draw(
    svg: &mut String,
    series: &BTreeMap<&SampleSource, Vec<(f64, f64)>>,
    view: &RunView,
) -> Result<(), String> {
    let high = series.values().flatten().map(|point| point.1).fold(1.0, f64::max) * 1.1;
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
    for (place, (of, points)) in series.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        let name = match of {
            SampleSource::Node(node) => node.to_string(),
            SampleSource::Harness => "harness".to_owned(),
        };
        chart
            .draw_series(LineSeries::new(thin(points), color))
            .map_err(|error| told(&error))?
            .label(crate::text::clean(&name))
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color));
    }
    let labels = chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw();
    labels.map_err(|error| told(&error))?;
    root.present().map_err(|error| told(&error))
}

/// At most about [`POINTS_MAX`] points, keeping the least and the greatest of each stretch.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(POINTS_MAX / 2);
    let both = |part: &[(f64, f64)]| {
        let least = part.iter().min_by(|a, b| a.1.total_cmp(&b.1)).copied();
        let most = part.iter().max_by(|a, b| a.1.total_cmp(&b.1)).copied();
        let mut both: Vec<_> = least.into_iter().chain(most).collect();
        both.sort_by(|a, b| a.0.total_cmp(&b.0));
        both
    };
    points.chunks(stretch).flat_map(both).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn thinning_keeps_a_peak() {
        let mut points: Vec<_> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[5_003].1 = 99.0;
        let thin = super::thin(&points);
        assert!(thin.len() <= 1000);
        assert!(thin.iter().any(|point| point.1 > 98.0));
    }
}
