//! Curves of a stretch of a run: the least and the greatest of each part of it, so that no peak is
//! lost however far somebody zooms out.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use meshlab_engine::results::{Filter, HARNESS, ResultsError, RunRecord, read_run};
use meshlab_model::{RunEventKind, RunTime, SampleSource, Spread};
use serde_json::{Value, json};

/// Up to this length of a stretch, in seconds, samples are read; of a longer one minutes, where
/// there are so many samples that it matters.
const SAMPLES_SECS: f64 = 3600.0;

/// Samples of a run that are read whole.
const SAMPLES_WHOLE: u64 = 60_000;

const MINUTE: f64 = 60.0;

/// What processes use, by its name in a question.
const USED: [&str; 4] = ["cpu", "rss", "files", "threads"];

/// Numbers of nodes themselves that are drawn.
const NUMBERS: [&str; 6] = [
    "connections.opened",
    "connections.closed",
    "tasks.spawned",
    "tasks.finished",
    "gossip.neighbors",
    "directory.entries",
];

/// Curves of them: the name in a question, the place of the number in [`NUMBERS`], and of what is
/// taken away from it.
const COUNTED: [(&str, usize, Option<usize>); 4] = [
    ("connections", 0, Some(1)),
    ("tasks", 2, Some(3)),
    ("neighbors", 4, None),
    ("directory", 5, None),
];

/// What one had of each thing over a minute, or at a moment.
#[derive(Debug, Clone)]
struct Minute<const THINGS: usize> {
    /// When it began, in seconds.
    at: f64,
    of: String,
    values: [Option<Spread>; THINGS],
}

/// The record of a run that is over and its minutes, read once.
#[derive(Default)]
pub(crate) struct Minutes {
    record: Mutex<Option<Arc<RunRecord>>>,
    used: Kept<{ USED.len() }>,
    counted: Kept<{ NUMBERS.len() }>,
}

type Kept<const THINGS: usize> = Mutex<Option<Arc<Vec<Minute<THINGS>>>>>;

impl Minutes {
    /// The record in `folder`, as it is now.
    pub(crate) fn record(&self, folder: &Path) -> Result<Arc<RunRecord>, ResultsError> {
        let kept = || self.record.lock().unwrap_or_else(PoisonError::into_inner);
        // Who deletes a run that is shown is to be told so.
        if let Some(record) = kept().as_ref().filter(|_| folder.is_dir()) {
            return Ok(Arc::clone(record));
        }
        let record = Arc::new(read_run(folder)?);
        if is_over(&record) {
            *kept() = Some(Arc::clone(&record));
        }
        Ok(record)
    }

    fn used(&self, record: &RunRecord) -> Arc<Vec<Minute<{ USED.len() }>>> {
        kept(&self.used, record, || {
            let minutes = record.minutes.iter().map(|minute| Minute {
                at: minute.at.as_secs_f64(),
                of: process(&minute.of).to_owned(),
                values: [
                    minute.cpu,
                    Some(minute.rss_bytes),
                    Some(minute.open_files),
                    Some(minute.threads),
                ],
            });
            minutes.collect()
        })
    }

    fn counted(&self, record: &RunRecord) -> Arc<Vec<Minute<{ NUMBERS.len() }>>> {
        kept(&self.counted, record, || {
            let minutes = record.counter_minutes.iter().map(|minute| Minute {
                at: minute.at.as_secs_f64(),
                of: minute.node.as_str().to_owned(),
                values: NUMBERS.map(|name| minute.values.get(name).copied()),
            });
            minutes.collect()
        })
    }
}

fn kept<const THINGS: usize>(
    kept: &Kept<THINGS>,
    record: &RunRecord,
    read: impl FnOnce() -> Vec<Minute<THINGS>>,
) -> Arc<Vec<Minute<THINGS>>> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = &*kept {
        return Arc::clone(kept);
    }
    let read = Arc::new(read());
    if is_over(record) {
        *kept = Some(Arc::clone(&read));
    }
    read
}

/// Whether nothing more is written into it.
fn is_over(record: &RunRecord) -> bool {
    let last = record.events.last();
    last.is_some_and(|last| matches!(last.kind, RunEventKind::RunFinished { .. }))
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

/// Least, greatest and last value of each part of the stretch that has one, by whose they are.
#[derive(Debug, Default)]
struct Curves {
    by: BTreeMap<String, BTreeMap<usize, [f64; 3]>>,
    /// Whether a value holds until the next one, so that the last of each part is told.
    holds: bool,
}

impl Curves {
    fn add(&mut self, stretch: Stretch, of: &str, at: f64, (least, most): (f64, f64)) {
        if at < stretch.from - stretch.step() || at > stretch.to + stretch.step() {
            return;
        }
        let part = ((at - stretch.from) / stretch.step()).floor().max(0.0) as usize;
        if !self.by.contains_key(of) {
            self.by.insert(of.to_owned(), BTreeMap::new());
        }
        if let Some(curve) = self.by.get_mut(of) {
            let all = curve.entry(part.min(stretch.parts)).or_insert([least, most, most]);
            *all = [all[0].min(least), all[1].max(most), most];
        }
    }

    fn json(&self, stretch: Stretch) -> Value {
        let curves: serde_json::Map<String, Value> = self
            .by
            .iter()
            .map(|(of, parts)| {
                let point = |(part, [least, most, last]): (&usize, &[f64; 3])| {
                    let at = stretch.from + *part as f64 * stretch.step();
                    let at = (at * 1e3).round() / 1e3;
                    match self.holds {
                        true => json!([at, rounded(*least), rounded(*most), rounded(*last)]),
                        false => json!([at, rounded(*least), rounded(*most)]),
                    }
                };
                (of.clone(), parts.iter().map(point).collect())
            })
            .collect();
        json!({ "from": stretch.from, "to": stretch.to, "step": stretch.step(), "curves": curves })
    }
}

fn rounded(value: f64) -> f64 {
    if value.abs() >= 1000.0 { value.round() } else { (value * 1e4).round() / 1e4 }
}

/// The curves of these measures, by their names; `Err` with one that there is not. What processes
/// use is read once for all of them, and so are the numbers of nodes.
pub(crate) fn series<'a>(
    record: &RunRecord,
    minutes: &Minutes,
    measures: &[&'a str],
    stretch: Stretch,
) -> Result<Value, &'a str> {
    let mut curves: BTreeMap<&str, Curves> = BTreeMap::new();
    for measure in measures {
        let counted = COUNTED.iter().any(|(name, ..)| name == measure);
        if !counted && !USED.contains(measure) {
            return Err(measure);
        }
        curves.insert(measure, Curves { holds: counted, ..Curves::default() });
    }
    values(record, minutes, measures, stretch, |of| {
        if let Some(curves) = curves.get_mut(of.measure) {
            curves.add(stretch, of.whose, of.at, (of.value.min, of.value.max));
        }
    });
    let told = curves.iter().map(|(name, curves)| ((*name).to_owned(), curves.json(stretch)));
    Ok(Value::from(told.collect::<serde_json::Map<_, _>>()))
}

/// A value of one measure, of one node or the harness.
pub(crate) struct OneValue<'a> {
    pub(crate) measure: &'a str,
    pub(crate) whose: &'a str,
    /// In seconds since the run started.
    pub(crate) at: f64,
    /// At a moment, where all are the same, or over a minute.
    pub(crate) value: Spread,
}

/// Every value of these measures in the stretch, in order of time for each of them: of a long one
/// by the minute.
pub(crate) fn values(
    record: &RunRecord,
    minutes: &Minutes,
    measures: &[&str],
    stretch: Stretch,
    mut take: impl FnMut(OneValue<'_>),
) {
    let used: Vec<(usize, &str)> =
        USED.iter().copied().enumerate().filter(|(_, name)| measures.contains(name)).collect();
    if !used.is_empty() {
        read_used(record, minutes, stretch, |at, whose, values| {
            for (place, measure) in &used {
                if let Some(value) = values[*place] {
                    take(OneValue { measure, whose, at, value });
                }
            }
        });
    }
    let counted: Vec<_> =
        COUNTED.iter().filter(|(name, ..)| measures.contains(name)).copied().collect();
    if !counted.is_empty() {
        read_counted(record, minutes, stretch, &counted, |measure, at, whose, value| {
            take(OneValue { measure, whose, at, value: moment(value) });
        });
    }
}

fn moment(value: f64) -> Spread {
    Spread { min: value, mean: value, max: value }
}

fn is_long(stretch: Stretch, values: u64) -> bool {
    stretch.to - stretch.from > SAMPLES_SECS && values > SAMPLES_WHOLE
}

fn read_used(
    record: &RunRecord,
    minutes: &Minutes,
    stretch: Stretch,
    mut add: impl FnMut(f64, &str, [Option<Spread>; USED.len()]),
) {
    if is_long(stretch, record.samples.len()) && !record.minutes.is_empty() {
        let end = stretch.to + MINUTE;
        for minute in minutes.used(record).iter() {
            if (stretch.from - MINUTE..end).contains(&minute.at) {
                add(minute.at + MINUTE / 2.0, &minute.of, minute.values);
            }
        }
        return;
    }
    for sample in record.samples.select(stretch.filter(stretch.step())) {
        let values = [
            sample.cpu.map(moment),
            Some(moment(sample.rss_bytes as f64)),
            Some(moment(f64::from(sample.open_files))),
            Some(moment(f64::from(sample.threads))),
        ];
        add(sample.at.as_secs_f64(), process(&sample.of), values);
    }
}

/// What each node's numbers are, as they change.
#[derive(Default)]
struct Numbers(BTreeMap<String, [Option<f64>; NUMBERS.len()]>);

impl Numbers {
    /// Takes in what some of a node's numbers have become.
    fn take(&mut self, of: &str, new: [Option<f64>; NUMBERS.len()]) {
        let numbers = match self.0.get_mut(of) {
            Some(numbers) => numbers,
            None => self.0.entry(of.to_owned()).or_default(),
        };
        for (number, new) in numbers.iter_mut().zip(new) {
            *number = new.or(*number);
        }
    }

    fn value(&self, of: &str, more: usize, less: Option<usize>) -> Option<f64> {
        let numbers = self.0.get(of)?;
        Some(numbers[more]? - less.and_then(|less| numbers[less]).unwrap_or(0.0))
    }
}

/// A number that holds until it changes: of before the stretch the last one counts.
fn read_counted(
    record: &RunRecord,
    minutes: &Minutes,
    stretch: Stretch,
    curves: &[(&'static str, usize, Option<usize>)],
    mut add: impl FnMut(&'static str, f64, &str, f64),
) {
    let mut numbers = Numbers::default();
    let whole = record.counters.len() <= SAMPLES_WHOLE;
    let by_minute = !whole && !record.counter_minutes.is_empty();
    let mut begun = false;
    // Everything is told once as it is when the stretch begins, and then as it changes.
    let mut take = |at: f64, of: &str, new: [Option<f64>; NUMBERS.len()]| {
        if at >= stretch.from && !begun {
            begun = true;
            for whose in numbers.0.keys() {
                for (measure, more, less) in curves {
                    let value = numbers.value(whose, *more, *less);
                    value.into_iter().for_each(|value| add(measure, stretch.from, whose, value));
                }
            }
        }
        numbers.take(of, new);
        for (measure, more, less) in curves.iter().filter(|_| at >= stretch.from) {
            if new[*more].is_some() || less.is_some_and(|less| new[less].is_some()) {
                let value = numbers.value(of, *more, *less);
                value.into_iter().for_each(|value| add(measure, at, of, value));
            }
        }
    };
    let long = by_minute && is_long(stretch, record.counters.len());
    if by_minute {
        for minute in minutes.counted(record).iter() {
            if minute.at >= if long { stretch.to } else { stretch.from - MINUTE } {
                break;
            }
            // Its least values at its beginning and its greatest at its end: exact for what only
            // grows, and no peak of the rest is lost.
            take(minute.at, &minute.of, minute.values.map(|value| Some(value?.min)));
            take(minute.at + MINUTE, &minute.of, minute.values.map(|value| Some(value?.max)));
        }
    }
    if !long {
        let before = if whole { stretch.from } else { 2.0 * MINUTE };
        for sample in record.counters.select(stretch.filter(before)) {
            let new = NUMBERS.map(|name| sample.values.get(name).copied());
            take(sample.at.as_secs_f64(), sample.node.as_str(), new);
        }
    }
    // Where nothing changes in the stretch it is as it was before.
    take(stretch.to, "", [None; NUMBERS.len()]);
}

fn process(of: &SampleSource) -> &str {
    match of {
        SampleSource::Node(node) => node.as_str(),
        SampleSource::Harness => HARNESS,
    }
}

#[cfg(test)]
mod tests {
    use meshlab_model::CounterSample;

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

    #[test]
    fn a_number_holds_from_before_the_stretch_and_its_last_value_is_told() {
        let counted = |second: u64, name: &str, value: f64| CounterSample {
            at: RunTime { micros: second * 1_000_000 },
            node: "node-1".into(),
            values: BTreeMap::from([(name.to_owned(), value)]),
        };
        let folder = tempfile::tempdir().unwrap();
        let mut record = meshlab_report::fixture::run(folder.path());
        record.counters = vec![
            counted(1, "connections.opened", 9.0),
            counted(2, "connections.closed", 4.0),
            counted(130, "connections.opened", 12.0),
            counted(131, "connections.closed", 11.0),
            counted(190, "other", 1.0),
        ]
        .into();
        let stretch = Stretch { from: 100.0, to: 200.0, parts: 2 };
        let told = series(&record, &Minutes::default(), &["connections", "rss"], stretch).unwrap();
        // Five at the beginning, eight for a moment, one at the end of the first half.
        let wanted = json!([[100.0, 1.0, 8.0, 1.0]]);
        assert_eq!(told["connections"]["curves"]["node-1"], wanted);
        assert_eq!(series(&record, &Minutes::default(), &["cpu", "wrong"], stretch), Err("wrong"));
    }
}
