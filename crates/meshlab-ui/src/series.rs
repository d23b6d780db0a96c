//! Curves of a stretch of a run: the least and the greatest of each part of it, so that no peak is
//! lost however far somebody zooms out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use meshlab_engine::results::{Filter, HARNESS, RunRecord};
use meshlab_model::{RunTime, SampleSource};
use serde_json::{Value, json};

/// Up to this length of a stretch, in seconds, samples are read; of a longer one minutes, where
/// there are so many samples that it matters.
const SAMPLES_SECS: f64 = 3600.0;

/// Samples of a run that are read whole.
const SAMPLES_WHOLE: u64 = 60_000;

const MINUTE: f64 = 60.0;

/// What processes use, by its name in a question.
const USED: [&str; 4] = ["cpu", "rss", "files", "threads"];

/// Numbers of nodes themselves: the name in a question, the number, and what is taken away from it.
const COUNTED: &[(&str, &str, Option<&str>)] = &[
    ("connections", "connections.opened", Some("connections.closed")),
    ("tasks", "tasks.spawned", Some("tasks.finished")),
    ("neighbors", "gossip.neighbors", None),
    ("directory", "directory.entries", None),
];

/// A value over a minute: when it began, least and greatest of each of [`USED`].
#[derive(Debug, Clone)]
struct Minute {
    at: f64,
    of: String,
    values: [Option<(f64, f64)>; 4],
}

/// The minutes of a run that is over, read once.
#[derive(Default)]
pub(crate) struct Minutes(Mutex<Option<Arc<Vec<Minute>>>>);

impl Minutes {
    fn of(&self, record: &RunRecord) -> Arc<Vec<Minute>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept {
            return Arc::clone(kept);
        }
        let read: Vec<Minute> = record
            .minutes
            .iter()
            .map(|minute| {
                let pair = |of: &meshlab_model::Spread| Some((of.min, of.max));
                Minute {
                    at: minute.at.as_secs_f64(),
                    of: process(&minute.of).to_owned(),
                    values: [
                        minute.cpu.as_ref().and_then(pair),
                        pair(&minute.rss_bytes),
                        pair(&minute.open_files),
                        pair(&minute.threads),
                    ],
                }
            })
            .collect();
        let read = Arc::new(read);
        // A run that goes on has more of them soon.
        let over = record.events.last().is_some_and(|last| {
            matches!(last.kind, meshlab_model::RunEventKind::RunFinished { .. })
        });
        if over {
            *kept = Some(Arc::clone(&read));
        }
        read
    }
}

/// A stretch of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    /// In seconds since the run started.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Into how many parts it is divided.
    pub(crate) parts: usize,
}

impl Stretch {
    fn step(self) -> f64 {
        ((self.to - self.from) / self.parts.max(1) as f64).max(1e-6)
    }

    fn filter(self, before: f64) -> Filter {
        let micros = |seconds: f64| RunTime { micros: (seconds.max(0.0) * 1e6) as u64 };
        Filter {
            since: Some(micros(self.from - before)),
            until: Some(micros(self.to + self.step())),
            ..Filter::default()
        }
    }
}

/// Least and greatest value of each part of the stretch that has one, by process.
#[derive(Debug, Default)]
struct Curves(BTreeMap<String, BTreeMap<usize, (f64, f64)>>);

impl Curves {
    fn add(&mut self, stretch: Stretch, of: &str, at: f64, (least, most): (f64, f64)) {
        if at < stretch.from - stretch.step() || at > stretch.to + stretch.step() {
            return;
        }
        let part = ((at - stretch.from) / stretch.step()).floor().max(0.0) as usize;
        if !self.0.contains_key(of) {
            self.0.insert(of.to_owned(), BTreeMap::new());
        }
        if let Some(curve) = self.0.get_mut(of) {
            let both = curve.entry(part.min(stretch.parts)).or_insert((least, most));
            *both = (both.0.min(least), both.1.max(most));
        }
    }

    fn json(&self, stretch: Stretch) -> Value {
        let curves: serde_json::Map<String, Value> = self
            .0
            .iter()
            .map(|(of, parts)| {
                let points: Vec<Value> = parts
                    .iter()
                    .map(|(part, (least, most))| {
                        let at = stretch.from + *part as f64 * stretch.step();
                        json!([(at * 1e3).round() / 1e3, rounded(*least), rounded(*most)])
                    })
                    .collect();
                (of.clone(), Value::from(points))
            })
            .collect();
        json!({ "from": stretch.from, "to": stretch.to, "step": stretch.step(), "curves": curves })
    }
}

fn rounded(value: f64) -> f64 {
    if value.abs() >= 1000.0 { value.round() } else { (value * 1e4).round() / 1e4 }
}

/// The curves of these measures, by their names; `Err` with one that there is not. What processes
/// use is read once for all of them.
pub(crate) fn series<'a>(
    record: &RunRecord,
    minutes: &Minutes,
    measures: &[&'a str],
    stretch: Stretch,
) -> Result<Value, &'a str> {
    let mut used: [Option<Curves>; 4] = Default::default();
    let mut all = serde_json::Map::new();
    for measure in measures {
        if let Some(place) = USED.iter().position(|used| used == measure) {
            used[place] = Some(Curves::default());
        } else {
            let found = COUNTED.iter().find(|(name, ..)| name == measure);
            let (_, more, less) = found.ok_or(*measure)?;
            let mut curves = Curves::default();
            counted(record, stretch, (more, *less), &mut curves);
            all.insert((*measure).to_owned(), curves.json(stretch));
        }
    }
    if used.iter().any(Option::is_some) {
        read_used(record, minutes, stretch, &mut used);
    }
    for (name, curves) in USED.iter().zip(used) {
        if let Some(curves) = curves {
            all.insert((*name).to_owned(), curves.json(stretch));
        }
    }
    Ok(Value::from(all))
}

fn read_used(
    record: &RunRecord,
    minutes: &Minutes,
    stretch: Stretch,
    used: &mut [Option<Curves>; 4],
) {
    let mut add = |of: &str, at: f64, values: [Option<(f64, f64)>; 4]| {
        for (curves, both) in used.iter_mut().zip(values) {
            if let (Some(curves), Some(both)) = (curves, both) {
                curves.add(stretch, of, at, both);
            }
        }
    };
    let long = stretch.to - stretch.from > SAMPLES_SECS && record.samples.len() > SAMPLES_WHOLE;
    if long && !record.minutes.is_empty() {
        for minute in minutes.of(record).iter() {
            add(&minute.of, minute.at + MINUTE / 2.0, minute.values);
        }
        return;
    }
    for sample in record.samples.select(stretch.filter(stretch.step())) {
        let twice = |value: f64| Some((value, value));
        let values = [
            sample.cpu.and_then(twice),
            twice(sample.rss_bytes as f64),
            twice(f64::from(sample.open_files)),
            twice(f64::from(sample.threads)),
        ];
        add(process(&sample.of), sample.at.as_secs_f64(), values);
    }
}

/// A number that holds until it changes: of before the stretch the last one counts.
fn counted(record: &RunRecord, stretch: Stretch, of: (&str, Option<&str>), curves: &mut Curves) {
    let mut last: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let whole = record.counters.len() <= SAMPLES_WHOLE;
    let before = if whole { stretch.from } else { 600.0 };
    for sample in record.counters.select(stretch.filter(before)) {
        let (more, less) = last.entry(sample.node.as_str().to_owned()).or_default();
        let changed = [(of.0, more), (of.1.unwrap_or_default(), less)];
        let mut any = false;
        for (name, value) in changed {
            if let Some(new) = sample.values.get(name) {
                (*value, any) = (*new, true);
            }
        }
        if any && let Some((more, less)) = last.get(sample.node.as_str()) {
            let (at, value) = (sample.at.as_secs_f64().max(stretch.from), more - less);
            curves.add(stretch, sample.node.as_str(), at, (value, value));
        }
    }
}

fn process(of: &SampleSource) -> &str {
    match of {
        SampleSource::Node(node) => node.as_str(),
        SampleSource::Harness => HARNESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_of_one_moment_stays() {
        let stretch = Stretch { from: 100.0, to: 200.0, parts: 10 };
        let mut curves = Curves::default();
        for tenth in 0..3000 {
            let at = f64::from(tenth) / 10.0;
            let value = if tenth == 1537 { 9.0 } else { 1.0 };
            curves.add(stretch, "node-1", at, (value, value));
        }
        let json = curves.json(stretch);
        let points = json["curves"]["node-1"].as_array().unwrap();
        assert_eq!(points.len(), 11, "{points:?}");
        assert_eq!(points[5], json!([150.0, 1.0, 9.0]));
        assert_eq!(points[4], json!([140.0, 1.0, 1.0]));
    }
}
