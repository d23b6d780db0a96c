//! The most that nodes may grow by: slopes, judged at the end of a test.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{NodeId, Resource, RunTime, Sample, Trend, Verdict, format_duration};
use meshlab_stats::{Growth, MinuteMedians, NODES_MIN, Slope, odd_one, warmup};

use super::value;

/// How far ahead a growth is told.
const AHEAD: Duration = Duration::from_secs(4 * 86_400);
/// Nodes with too little data that are named.
const NAMED_MAX: usize = 4;

/// What one node used over time, a process at a time.
#[derive(Debug, Default)]
pub(super) struct Series {
    lives: Vec<Life>,
}

#[derive(Debug)]
struct Life {
    pid: u32,
    began: RunTime,
    by_resource: BTreeMap<Resource, MinuteMedians>,
}

impl Series {
    pub(super) fn add(&mut self, sample: &Sample) {
        if self.lives.last().is_none_or(|life| life.pid != sample.pid) {
            let (pid, began) = (sample.pid, sample.at);
            self.lives.push(Life { pid, began, by_resource: BTreeMap::new() });
        }
        let Some(life) = self.lives.last_mut() else { return };
        for resource in Resource::ALL {
            if let Some(value) = value(sample, resource) {
                let medians = life.by_resource.entry(resource).or_default();
                medians.add(sample.at.since(life.began).as_secs_f64(), value);
            }
        }
    }

    /// The points of each process by its age, in seconds, from this age on.
    fn from(&self, resource: Resource, age: f64) -> Vec<Vec<(f64, f64)>> {
        let one = |life: &Life| {
            let mut points = life.by_resource.get(&resource)?.points();
            points.retain(|(at, _)| *at >= age);
            (points.len() > 1).then_some(points)
        };
        self.lives.iter().filter_map(one).collect()
    }
}

/// What is known of the growth of a node.
struct Grown {
    node: NodeId,
    length: Duration,
    slope: Slope,
    /// Its last median.
    level: f64,
}

fn grown(node: &NodeId, lives: &[Vec<(f64, f64)>]) -> Option<Grown> {
    let slope = Slope::of(lives)?;
    let span = |life: &Vec<(f64, f64)>| Some(life.last()?.0 - life.first()?.0);
    let length = Duration::from_secs_f64(lives.iter().filter_map(span).sum::<f64>().max(0.0));
    let level = lives.last()?.last()?.1;
    Some(Grown { node: node.clone(), length, slope, level })
}

/// The node that grew most.
pub(super) fn worst_node(resource: Resource, series: &BTreeMap<NodeId, Series>) -> Option<NodeId> {
    let of = |(node, series): (&NodeId, &Series)| grown(node, &series.from(resource, 0.0));
    let all = series.iter().filter_map(of);
    all.max_by(|a, b| a.slope.value.total_cmp(&b.slope.value)).map(|grown| grown.node)
}

/// How a trend came out, and what it rests on.
///
/// It holds where the upper end of the interval over the nodes is below the limit and no single
/// node is apart from the others and above it. It fails where there is growth for sure that may
/// reach the limit. What is neither is undecided: more data tells.
pub(super) fn judge(
    resource: Resource,
    trend: Trend,
    series: &BTreeMap<NodeId, Series>,
) -> (Verdict, Vec<String>) {
    // What the scenario leaves out, and what still settled after that.
    let after = trend.after.as_secs_f64();
    let mut late: Vec<_> = series.values().flat_map(|node| node.from(resource, after)).collect();
    late.iter_mut().flatten().for_each(|(age, _)| *age -= after);
    let warm = after + warmup(&late);
    let of = |(node, series): (&NodeId, &Series)| grown(node, &series.from(resource, warm));
    let all: Vec<Grown> = series.iter().filter_map(of).collect();
    if all.iter().any(|grown| !grown.slope.value.is_finite()) {
        return (Verdict::Failed(format!("{resource} is no number")), Vec::new());
    }
    let (enough, few): (Vec<&Grown>, Vec<&Grown>) =
        all.iter().partition(|grown| grown.length >= trend.needs);
    let mut notes = Vec::new();
    let left_out = series.len() - enough.len();
    if left_out > 0 && !enough.is_empty() {
        let named: Vec<&str> =
            few.iter().take(NAMED_MAX).map(|grown| grown.node.as_str()).collect();
        let named =
            if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
        notes
            .push(format!("{left_out} of {} nodes left out, too little data{named}", series.len()));
    }
    if enough.len() < NODES_MIN || enough.len() * 2 < series.len() {
        return (
            Verdict::Inconclusive(too_little(trend, warm, series.len(), &all, &enough)),
            notes,
        );
    }
    let slopes: Vec<f64> = enough.iter().map(|grown| grown.slope.value).collect();
    let Some(growth) = Growth::of(&slopes) else {
        return (Verdict::Failed(format!("{resource} is no number")), notes);
    };
    let found = words(resource, &growth, &enough);
    notes.push(worst(resource, &enough));
    let most = resource.growth(trend.max_growth);
    let odd = odd_one(&slopes).map(|place| enough[place]);
    if let Some(odd) = odd.filter(|odd| odd.slope.low >= trend.max_growth) {
        let why =
            format!("{}, apart from all others; less than {most} is allowed", one(resource, odd));
        notes.push(found);
        return (Verdict::Failed(why), notes);
    }
    let verdict = if growth.high < trend.max_growth {
        notes.push(found);
        Verdict::Passed
    } else if growth.low > 0.0 {
        Verdict::Failed(format!("{found}; less than {most} is allowed"))
    } else {
        Verdict::Inconclusive(format!("{found}: too much noise to tell it from {most}"))
    };
    (verdict, notes)
}

fn too_little(trend: Trend, warm: f64, nodes: usize, all: &[Grown], enough: &[&Grown]) -> String {
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

fn words(resource: Resource, growth: &Growth, nodes: &[&Grown]) -> String {
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

fn one(resource: Resource, grown: &Grown) -> String {
    let Grown { node, slope, level, .. } = grown;
    format!(
        "{resource} of {node} grows by {} ({} to {}); at this rate {} after 4 d",
        resource.growth(slope.value),
        resource.growth(slope.low),
        resource.growth(slope.high),
        resource.amount(level + slope.value * AHEAD.as_secs_f64())
    )
}

fn worst(resource: Resource, nodes: &[&Grown]) -> String {
    let worst = nodes.iter().max_by(|a, b| a.slope.value.total_cmp(&b.slope.value));
    worst.map_or(String::new(), |worst| format!("worst: {}", one(resource, worst)))
}
