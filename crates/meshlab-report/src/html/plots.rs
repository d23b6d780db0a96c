//! Curves of memory and CPU from the samples.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use meshlab_engine::results::HARNESS;
use meshlab_model::NodeId;
use plotters::prelude::*;

use crate::{
    measured::{Curve, Measured},
    view::RunView,
};

/// One curve each process, with the faults as bands.
pub(super) fn plots(view: &RunView, measured: &Measured) -> Markup {
    html! {
        h3 { "Memory, MiB" } (plot(&measured.memory, view))
        h3 { "CPU, % of a core" } (plot(&measured.cpu, view))
    }
}

/// Names and points of the curves, in the order in which they are drawn.
type Series<'a> = BTreeMap<(bool, NodeId), (&'a str, Vec<(f64, f64)>)>;

pub(super) fn plot(curves: &BTreeMap<String, Curve>, view: &RunView) -> Markup {
    let series: Series<'_> = curves
        .iter()
        .map(|(of, curve)| {
            // As nodes are counted, and the harness after them.
            let harness = of == HARNESS;
            ((harness, NodeId::from(of.as_str())), (of.as_str(), curve.points()))
        })
        .collect();
    if series.is_empty() {
        return html! { p class="dim" { "no samples" } };
    }
    let mut svg = String::new();
    match draw(&mut svg, &series, view) {
        Ok(()) => html! { div class="plot" { (PreEscaped(svg)) } },
        Err(why) => html! { p { "the plot cannot be drawn: " (why) } },
    }
}

fn draw(svg: &mut String, series: &Series<'_>, view: &RunView) -> Result<(), String> {
    let high =
        series.values().flat_map(|each| &each.1).map(|point| point.1).fold(1.0, f64::max) * 1.1;
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
    for (place, (name, points)) in series.values().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color))
            .map_err(|error| told(&error))?
            .label(crate::text::clean(name))
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color));
    }
    let labels = chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw();
    labels.map_err(|error| told(&error))?;
    root.present().map_err(|error| told(&error))
}
