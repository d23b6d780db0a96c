//! How what nodes use grows over a stretch of a run: the statistics that judge `trends`, of what a
//! chart shows.

use std::collections::BTreeMap;

use meshlab_engine::results::{HARNESS, RunRecord};
use meshlab_model::{Resource, RunEventKind};
use meshlab_stats::{Leak, MinuteMedians};
use serde_json::{Value, json};

use crate::series::{Minutes, Stretch, values};

const MINUTE: f64 = 60.0;

/// Points of a process that a slope is worked out of; more are taken together first. A claim takes
/// more, but a page is to answer while somebody waits, and the pairs are their square.
const POINTS_MAX: usize = 150;

/// Medians of a process from which a slope is told; of fewer it says nothing.
pub(crate) const MEDIANS_MIN: usize = 3;

/// One process over the stretch.
#[derive(Debug, Default)]
struct Life {
    began: f64,
    medians: MinuteMedians,
    /// The last value and its age.
    last: Option<(f64, f64)>,
}

impl Life {
    /// Takes in a value. One that holds is one of every minute until it changes.
    fn add(&mut self, at: f64, value: f64, holds: bool) {
        let age = (at - self.began).max(0.0);
        if let Some((mut before, held)) = self.last.filter(|_| holds) {
            while before + MINUTE < age {
                before += MINUTE;
                self.medians.add(before, held);
            }
        }
        self.medians.add(age, value);
        self.last = Some((age, value));
    }
}

/// The slope of each of these measures over the nodes, where there is enough to tell one.
///
/// A node is one observation, by its longest process of the stretch: medians a minute (of a long
/// stretch the means of the record's minutes), without the warm-up and without steps of an
/// allocator, as [`Leak`] works it out.
pub(crate) fn slopes(
    record: &RunRecord,
    minutes: &Minutes,
    measures: &[&str],
    stretch: Stretch,
) -> Value {
    let spans = lives_of(record);
    let mut all: BTreeMap<&str, BTreeMap<String, Vec<Life>>> = BTreeMap::new();
    values(record, minutes, measures, stretch, |of| {
        if of.whose == HARNESS {
            return;
        }
        let began = spans
            .get(of.whose)
            .and_then(|lives| lives.iter().rev().copied().find(|began| *began <= of.at));
        let began = began.unwrap_or(0.0);
        let measure = measures[of.measure];
        let lives = all.entry(measure).or_default().entry(of.whose.to_owned()).or_default();
        if lives.last().is_none_or(|life| life.began < began) {
            lives.push(Life { began, ..Life::default() });
        }
        if let Some(life) = lives.last_mut() {
            life.add(of.at, of.value.mean, holds(measure));
        }
    });
    let told = all
        .into_iter()
        .filter_map(|(measure, nodes)| Some((measure.to_owned(), one(measure, &nodes, stretch)?)));
    Value::from(told.collect::<serde_json::Map<_, _>>())
}

/// Whether a value of it holds until the next one.
fn holds(measure: &str) -> bool {
    resource(measure).is_none()
}

/// What the harness samples itself, by the name of a measure.
fn resource(measure: &str) -> Option<Resource> {
    match measure {
        "cpu" => Some(Resource::Cpu),
        "rss" => Some(Resource::Rss),
        "files" => Some(Resource::OpenFiles),
        "threads" => Some(Resource::Threads),
        _ => None,
    }
}

/// When the processes of each node began, in seconds.
fn lives_of(record: &RunRecord) -> BTreeMap<&str, Vec<f64>> {
    let mut lives: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for event in &record.events {
        if let RunEventKind::NodeSpawned { node, .. } = &event.kind {
            lives.entry(node.as_str()).or_default().push(event.at.as_secs_f64());
        }
    }
    lives
}

fn one(measure: &str, nodes: &BTreeMap<String, Vec<Life>>, stretch: Stretch) -> Option<Value> {
    let longest = |lives: &Vec<Life>| {
        let all = lives.iter().map(|life| (life.began, together(&life.medians.points())));
        all.max_by_key(|(_, points)| points.len()).filter(|(_, points)| points.len() >= MEDIANS_MIN)
    };
    let lives: Vec<(f64, Vec<(f64, f64)>)> = nodes.values().filter_map(longest).collect();
    // Ages count from where the stretch begins: what lies before it is not looked at.
    let first = |points: &[(f64, f64)]| points.first().map_or(0.0, |point| point.0);
    let young = lives.iter().map(|(_, points)| first(points)).fold(f64::INFINITY, f64::min);
    let aged: Vec<Vec<(f64, f64)>> = lives
        .iter()
        .map(|(_, points)| points.iter().map(|(age, value)| (age - young, *value)).collect())
        .collect();
    let leak = Leak::of(&aged, 0.0)?;
    let (mut at, mut value, mut count, mut from) = (0.0, 0.0, 0.0, f64::INFINITY);
    for (began, points) in &lives {
        for (age, one) in points.iter().filter(|(age, _)| age - young >= leak.warmup.until) {
            (at, value, count) = (at + began + age, value + one, count + 1.0);
            from = from.min(began + age);
        }
    }
    if count < 1.0 {
        return None;
    }
    let growth = leak.growth;
    let certain = leak.alarm(0.0);
    Some(json!({
        "nodes": growth.nodes, "mean": growth.mean, "low": growth.low, "high": growth.high,
        "certain": certain, "text": words(resource(measure), growth),
        // The line goes through the middle of what it was worked out of.
        "from": from.max(stretch.from), "at": at / count, "value": value / count,
    }))
}

/// The same in no more than [`POINTS_MAX`] points, each the middle one of some.
fn together(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let one = |few: &[(f64, f64)]| {
        let mut values: Vec<f64> = few.iter().map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        Some((f64::midpoint(few.first()?.0, few.last()?.0), values[values.len() / 2]))
    };
    points.chunks(points.len().div_ceil(POINTS_MAX).max(1)).filter_map(one).collect()
}

/// `+2.1 MiB/h (95 %: 1.8 MiB/h to 2.4 MiB/h over 18 nodes)`.
pub(crate) fn words(resource: Option<Resource>, growth: meshlab_stats::Growth) -> String {
    let an_hour = |slope: f64| match resource {
        // A number that is whole has a slope that is not.
        Some(resource @ (Resource::Cpu | Resource::Rss)) => resource.growth(slope),
        _ => format!("{:.2}/h", slope * 3600.0 + 0.0),
    };
    let sign = if growth.mean > 0.0 { "+" } else { "" };
    format!(
        "{sign}{} (95 %: {} to {} over {} nodes)",
        an_hour(growth.mean),
        an_hour(growth.low),
        an_hour(growth.high),
        growth.nodes
    )
}

#[cfg(test)]
mod tests {
    use meshlab_model::{NodeId, RunTime, Sample, SampleSource};
    use meshlab_report::fixture;
    use meshlab_stats::Stream;

    use super::*;

    /// Half an hour of four nodes that grow by this much a second.
    fn record(folder: &std::path::Path, growth: f64) -> RunRecord {
        let mut record = fixture::run(folder);
        let mut stream = Stream::new(7, "slopes");
        let mut samples = Vec::new();
        for second in (0..3600_u64).step_by(5) {
            for node in 1..=4_u32 {
                let noise = stream.normal() * 20_000.0;
                samples.push(Sample {
                    at: RunTime { micros: second * 1_000_000 },
                    of: SampleSource::Node(NodeId(format!("node-{node}"))),
                    pid: node,
                    cpu_micros_total: 0,
                    cpu: None,
                    rss_bytes: (3e7 + growth * second as f64 + noise) as u64,
                    open_files: 20,
                    threads: 4,
                });
            }
        }
        record.samples = samples.into();
        record
    }

    fn told(growth: f64) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let record = record(folder.path(), growth);
        let stretch = Stretch { from: 0.0, to: 3600.0, parts: 100 };
        slopes(&record, &Minutes::default(), &["rss", "files", "tasks"], stretch)
    }

    #[test]
    fn a_leak_is_told_with_its_interval_and_a_level_one_is_not_certain() {
        let leak = told(1000.0);
        let (low, high) = (leak["rss"]["low"].as_f64(), leak["rss"]["high"].as_f64());
        assert!(low < Some(1000.0) && high > Some(1000.0) && low > Some(900.0), "{leak}");
        assert_eq!(leak["rss"]["certain"], true);
        let text = leak["rss"]["text"].as_str().unwrap();
        assert!(text.starts_with("+3.4 MiB/h (95 %: 3.4 MiB/h to 3."), "{text}");
        let level = told(0.0);
        assert_eq!(level["rss"]["certain"], false, "{level}");
        assert_eq!(level["files"]["text"], "0.00/h (95 %: 0.00/h to 0.00/h over 4 nodes)");
        assert!(level["tasks"].is_null(), "nobody counted any: {level}");
    }

    #[test]
    fn many_points_are_taken_together_and_keep_their_slope() {
        let line: Vec<(f64, f64)> =
            (0..5760).map(|minute| (f64::from(minute), 2.0 * f64::from(minute))).collect();
        let few = together(&line);
        assert!(few.len() <= POINTS_MAX && few.len() > POINTS_MAX / 2, "{}", few.len());
        let slope = meshlab_stats::Slope::of(&[few]).unwrap();
        assert!((slope.value - 2.0).abs() < 1e-9, "{slope:?}");
        assert_eq!(together(&line[..150]), line[..150]);
    }

    #[test]
    fn a_number_that_holds_is_one_of_every_minute() {
        let mut life = Life::default();
        life.add(10.0, 5.0, true);
        life.add(200.0, 9.0, true);
        let points: Vec<f64> = life.medians.points().iter().map(|point| point.1).collect();
        // In the last minute it is five at first and nine then.
        assert_eq!(points, [5.0, 5.0, 5.0, 7.0]);
    }
}
