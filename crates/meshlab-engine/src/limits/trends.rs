//! The most that nodes may grow by: slopes, judged at the end of a test.

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{NodeId, Resource, RunTime, Sample, Trend, Verdict, format_duration};
use meshlab_stats::{
    Growth, MinuteMedians, NODES_MIN, Slope, goes_on, odd_one, settling, without_steps,
};

use super::{Counted, value};

/// How far ahead a growth is told.
const AHEAD: Duration = Duration::from_secs(4 * 86_400);
/// Nodes with too little data that are named.
const NAMED_MAX: usize = 4;
/// Troughs of a life that are kept.
const TROUGHS_MAX: usize = 8192;
/// Troughs at the beginning of a life that are its warm-up: peers that meet for the first time.
const TROUGHS_SKIPPED: usize = 2;
/// The fewest troughs that a slope by peers is worked out of, of a node.
const TROUGHS_MIN: usize = 8;

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
    /// The least value of each cycle, between two peers that went away, by how many had.
    troughs: BTreeMap<Resource, Vec<(f64, f64)>>,
}

impl Series {
    /// Adds a sample, with what the node counts itself, at which so many peers had gone.
    pub(super) fn add(&mut self, sample: &Sample, counted: &Counted, gone: u64) {
        if self.lives.last().is_none_or(|life| life.pid != sample.pid) {
            let (pid, began) = (sample.pid, sample.at);
            let (by_resource, troughs) = (BTreeMap::new(), BTreeMap::new());
            self.lives.push(Life { pid, began, by_resource, troughs });
        }
        let Some(life) = self.lives.last_mut() else { return };
        let counters = counted.keys().map(|name| Resource::Counter(*name));
        for resource in Resource::ALL.into_iter().chain(counters) {
            if let Some(value) = value(sample, counted, resource) {
                let medians = life.by_resource.entry(resource).or_default();
                medians.add(sample.at.since(life.began).as_secs_f64(), value);
                trough(life.troughs.entry(resource).or_default(), gone as f64, value);
            }
        }
    }

    /// The troughs of each process by how many peers had gone, without its first: then it grew for
    /// another reason.
    fn troughs(&self, resource: Resource) -> Vec<Vec<(f64, f64)>> {
        let one = |life: &Life| {
            let troughs = life.troughs.get(&resource)?.get(TROUGHS_SKIPPED..)?;
            (troughs.len() > 1).then(|| troughs.to_vec())
        };
        self.lives.iter().filter_map(one).collect()
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

/// Lowers the trough of this cycle, or begins one.
fn trough(troughs: &mut Vec<(f64, f64)>, gone: f64, value: f64) {
    match troughs.last_mut().filter(|trough| trough.0 == gone) {
        Some(trough) => trough.1 = trough.1.min(value),
        None => troughs.push((gone, value)),
    }
    if troughs.len() > TROUGHS_MAX {
        // Every second one tells as much of the slope.
        let mut place = 0_usize;
        troughs.retain(|_| {
            place += 1;
            place % 2 == 1
        });
    }
}

/// A limit in words: an amount an hour, or for each peer.
pub(super) fn limit(resource: Resource, trend: Trend) -> String {
    match trend.per_peer {
        true => format!("{}/peer", resource.amount(trend.max_growth)),
        false => resource.growth(trend.max_growth),
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
    if trend.per_peer {
        return per_peer(resource, trend, series);
    }
    // What the scenario leaves out, and what still settled after that.
    let after = trend.after.as_secs_f64();
    let mut late: Vec<_> = series.values().flat_map(|node| node.from(resource, after)).collect();
    late.iter_mut().flatten().for_each(|(age, _)| *age -= after);
    let settling = settling(&late, trend.max_growth / 2.0);
    let warm = after + settling.until;
    let warm_lives = |series: &Series| -> Vec<Vec<(f64, f64)>> {
        series.from(resource, warm).iter().map(|life| without_steps(life)).collect()
    };
    let of = |(node, series): (&NodeId, &Series)| grown(node, &warm_lives(series));
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
    let all_lives: Vec<_> = series.values().map(warm_lives).collect();
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
    } else if !settling.settled && growth.low > 0.0 {
        Verdict::Inconclusive(format!(
            "{found}; but its slope still falls, so it may be a warm-up: a longer run would tell"
        ))
    } else if growth.low > 0.0 && settling.sure && !goes_on(&all_lives) {
        Verdict::Inconclusive(format!(
            "{found}; but not in its second half, so it may be the rest of a warm-up"
        ))
    } else if growth.low > 0.0 {
        Verdict::Failed(format!("{found}; less than {most} is allowed"))
    } else {
        Verdict::Inconclusive(format!("{found}: too much noise to tell it from {most}"))
    };
    (verdict, notes)
}

/// The verdict on what nodes grow by for each peer that went away: the slope of their troughs.
fn per_peer(
    resource: Resource,
    trend: Trend,
    series: &BTreeMap<NodeId, Series>,
) -> (Verdict, Vec<String>) {
    let most = limit(resource, trend);
    let (mut slopes, mut nodes, mut cycles) = (Vec::new(), Vec::new(), 0);
    for (node, series) in series {
        let lives = series.troughs(resource);
        let count = lives.iter().map(Vec::len).sum::<usize>();
        cycles = cycles.max(count);
        let Some(slope) = Slope::of(&lives).filter(|_| count >= TROUGHS_MIN) else { continue };
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

/// How unlikely it is that no more is grown by than is allowed; `None` where it cannot be told.
pub(super) fn excess(
    resource: Resource,
    trend: Trend,
    series: &BTreeMap<NodeId, Series>,
) -> Option<f64> {
    let after = trend.after.as_secs_f64();
    let mut late: Vec<_> = series.values().flat_map(|node| node.from(resource, after)).collect();
    late.iter_mut().flatten().for_each(|(age, _)| *age -= after);
    let settling = settling(&late, trend.max_growth / 2.0);
    let warm = after + settling.until;
    let slope = |series: &Series| {
        let lives: Vec<Vec<(f64, f64)>> = match trend.per_peer {
            true => series.troughs(resource),
            false => series.from(resource, warm).iter().map(|life| without_steps(life)).collect(),
        };
        let enough = !trend.per_peer || lives.iter().map(Vec::len).sum::<usize>() >= TROUGHS_MIN;
        Some(Slope::of(&lives).filter(|_| enough)?.value - trend.max_growth)
    };
    let slopes: Vec<f64> = series.values().filter_map(slope).collect();
    if !settling.settled && !trend.per_peer {
        return None;
    }
    Growth::of(&slopes).map(|growth| growth.p_value)
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
