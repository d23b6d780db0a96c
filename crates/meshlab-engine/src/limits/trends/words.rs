//! How growth is told.

use std::time::Duration;

use meshlab_model::{Resource, Trend, format_duration};
use meshlab_stats::{Growth, NODES_MIN};

use super::Grown;

/// How far ahead a growth is told.
const AHEAD: Duration = Duration::from_secs(4 * 86_400);
/// Nodes with too little data that are named.
const NAMED_MAX: usize = 4;

/// A limit in words: an amount an hour, or for each peer.
pub(in crate::limits) fn limit(resource: Resource, trend: Trend) -> String {
    match trend.per_peer {
        true => format!("{}/peer", resource.amount(trend.max_growth)),
        false => resource.growth(trend.max_growth),
    }
}

/// Who was left out of a verdict, and is not all of them; `None` where nobody was.
pub(super) fn left_out(nodes: usize, enough: &[&Grown], few: &[&Grown]) -> Option<String> {
    let left_out = nodes - enough.len();
    if left_out == 0 || enough.is_empty() {
        return None;
    }
    let named: Vec<&str> = few.iter().take(NAMED_MAX).map(|grown| grown.node.as_str()).collect();
    let named = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    Some(format!("{left_out} of {nodes} nodes left out, too little data{named}"))
}

pub(super) fn too_little(
    trend: Trend,
    warm: f64,
    nodes: usize,
    all: &[Grown],
    enough: &[&Grown],
) -> String {
    let needs = format_duration(trend.needs);
    let warm = format_duration(Duration::from_secs_f64(warm));
    if nodes < NODES_MIN {
        let plural = if nodes == 1 { "" } else { "s" };
        return format!(
            "{nodes} node{plural}: {NODES_MIN} are the fewest that show how much nodes differ"
        );
    }
    let most = all.iter().max_by_key(|grown| grown.length);
    let most = most.map_or("no node has any".to_owned(), |grown| {
        format!("the most is {} of {}", format_duration(grown.length), grown.node)
    });
    format!(
        "too little data: {} of {nodes} nodes have {needs} of it after a warm-up of {warm}; {most}",
        enough.len()
    )
}

pub(super) fn words(resource: Resource, growth: &Growth, nodes: &[&Grown]) -> String {
    let Growth { mean, low, high, .. } = *growth;
    let level = nodes.iter().map(|grown| grown.level).sum::<f64>() / nodes.len() as f64;
    let ahead = |slope: f64| resource.amount(level + slope * AHEAD.as_secs_f64());
    format!(
        "{resource} grows by {} ({} to {}, 95 % interval over {} nodes); at this rate {} ({} to \
         {}) after 4 d",
        resource.growth(mean),
        resource.growth(low),
        resource.growth(high),
        growth.nodes,
        ahead(mean),
        ahead(low),
        ahead(high)
    )
}

pub(super) fn one(resource: Resource, grown: &Grown) -> String {
    let Grown { node, slope, level, .. } = grown;
    format!(
        "{resource} of {node} grows by {} ({} to {}); at this rate {} after 4 d",
        resource.growth(slope.value),
        resource.growth(slope.low),
        resource.growth(slope.high),
        resource.amount(level + slope.value * AHEAD.as_secs_f64())
    )
}

pub(super) fn worst(resource: Resource, nodes: &[&Grown]) -> String {
    let worst = nodes.iter().max_by(|a, b| a.slope.value.total_cmp(&b.slope.value));
    worst.map_or(String::new(), |worst| format!("worst: {}", one(resource, worst)))
}
