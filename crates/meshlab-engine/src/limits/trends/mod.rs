//! The most that nodes may grow by: slopes, judged at the end of a test.

mod peers;
mod words;

use std::{collections::BTreeMap, time::Duration};

use meshlab_model::{NodeId, Resource, RunTime, Sample, Trend, Verdict};
use meshlab_mutants::{Mutant, on};
use meshlab_stats::{
    Growth, MinuteMedians, NODES_MIN, Slope, Troughs, Warmup, goes_on, odd_one, per_event,
    settling, without_steps,
};

pub(super) use self::words::limit;
use self::words::{one, too_little, words, worst};
use super::{Counted, value};

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
    /// By how many peers had gone away.
    troughs: BTreeMap<Resource, Troughs>,
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
                life.troughs.entry(resource).or_default().add(gone, value);
            }
        }
    }

    /// What it keeps of each peer that goes away, and how many troughs that rests on.
    fn per_peer(&self, resource: Resource) -> (Option<Slope>, usize) {
        per_event(self.lives.iter().filter_map(|life| life.troughs.get(&resource)))
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

    /// The same without the steps of an allocator.
    fn steady(&self, resource: Resource, age: f64) -> Vec<Vec<(f64, f64)>> {
        self.from(resource, age).iter().map(|life| without_steps(life)).collect()
    }
}

/// How the nodes settled after what the scenario leaves out, and the age from which they are looked
/// at, in seconds.
fn warm_up(resource: Resource, trend: Trend, series: &BTreeMap<NodeId, Series>) -> (Warmup, f64) {
    let after = trend.after.as_secs_f64();
    let mut late: Vec<_> = series.values().flat_map(|node| node.from(resource, after)).collect();
    late.iter_mut().flatten().for_each(|(age, _)| *age -= after);
    let settling = settling(&late, trend.max_growth / 2.0);
    let warm = after + settling.until;
    (settling, warm)
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
        return peers::per_peer(resource, trend, series);
    }
    let (settling, warm) = warm_up(resource, trend, series);
    let warm_lives = |series: &Series| series.steady(resource, warm);
    let of = |(node, series): (&NodeId, &Series)| grown(node, &warm_lives(series));
    let all: Vec<Grown> = series.iter().filter_map(of).collect();
    if all.iter().any(|grown| !grown.slope.value.is_finite()) {
        return (Verdict::Failed(format!("{resource} is no number")), Vec::new());
    }
    let (enough, few): (Vec<&Grown>, Vec<&Grown>) =
        all.iter().partition(|grown| grown.length >= trend.needs);
    let mut notes: Vec<String> = words::left_out(series.len(), &enough, &few).into_iter().collect();
    if enough.len() < NODES_MIN || enough.len() * 2 < series.len() {
        if on(Mutant::TrendBlind) {
            return (Verdict::Passed, notes);
        }
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

/// How unlikely it is that no more is grown by than is allowed; `None` where it cannot be told.
pub(super) fn excess(
    resource: Resource,
    trend: Trend,
    series: &BTreeMap<NodeId, Series>,
) -> Option<f64> {
    let slopes: Vec<Option<Slope>> = if trend.per_peer {
        series.values().map(|node| node.per_peer(resource).0).collect()
    } else {
        let (settling, warm) = warm_up(resource, trend, series);
        if !settling.settled {
            return None;
        }
        series.values().map(|node| Slope::of(&node.steady(resource, warm))).collect()
    };
    let slopes: Vec<f64> =
        slopes.into_iter().flatten().map(|slope| slope.value - trend.max_growth).collect();
    Growth::of(&slopes).map(|growth| growth.p_value)
}
