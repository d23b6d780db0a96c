//! Growth for each peer that goes away.

use std::collections::BTreeMap;

use meshlab_model::{NodeId, Resource, Trend, Verdict};
use meshlab_stats::{Growth, NODES_MIN, TROUGHS_MIN, odd_one};

use super::{Series, words::limit};

/// The verdict on what nodes grow by for each peer that went away: the slope of their troughs.
pub(super) fn per_peer(
    resource: Resource,
    trend: Trend,
    series: &BTreeMap<NodeId, Series>,
) -> (Verdict, Vec<String>) {
    let most = limit(resource, trend);
    let (mut slopes, mut nodes, mut cycles) = (Vec::new(), Vec::new(), 0);
    for (node, series) in series {
        let (slope, count) = series.per_peer(resource);
        cycles = cycles.max(count);
        let Some(slope) = slope else { continue };
        slopes.push(slope.value);
        nodes.push(node);
    }
    let Some(growth) = Growth::of(&slopes) else {
        let why = format!(
            "too little churn: {} of {} nodes lived through {TROUGHS_MIN} peers that went away, \
             {NODES_MIN} are needed; the most is {cycles}",
            slopes.len(),
            series.len()
        );
        return (Verdict::Inconclusive(why), Vec::new());
    };
    let found = format!(
        "{resource} grows by {}/peer that goes away ({} to {}, 95 % interval over {} nodes)",
        resource.amount(growth.mean),
        resource.amount(growth.low),
        resource.amount(growth.high),
        growth.nodes
    );
    let place = (0..slopes.len()).max_by(|a, b| slopes[*a].total_cmp(&slopes[*b])).unwrap_or(0);
    let named = format!("{} grows most, by {}/peer", nodes[place], resource.amount(slopes[place]));
    let odd = odd_one(&slopes).is_some_and(|place| slopes[place] >= trend.max_growth);
    let verdict = if odd {
        Verdict::Failed(format!("{named}, apart from all others; less than {most} is allowed"))
    } else if growth.high < trend.max_growth {
        Verdict::Passed
    } else if growth.low > 0.0 {
        Verdict::Failed(format!("{found}; less than {most} is allowed; {named}"))
    } else {
        Verdict::Inconclusive(format!("{found}: too much noise to tell it from {most}"))
    };
    (verdict, vec![found, named])
}
