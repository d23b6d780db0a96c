//! Curves of a stretch of a run: the least and the greatest of each part of it, so that no peak is
//! lost however far somebody zooms out.

mod columns;
mod curves;

use std::collections::BTreeMap;

use meshlab_engine::results::{Filter, RunRecord};
use meshlab_model::{RunTime, Spread};
use serde::Serialize;

pub(crate) use self::columns::Minutes;
use self::{
    columns::{
        Columns, Counted, Numbers, Used, are_drawn, has_few_counters, moment, process, used,
    },
    curves::Curves,
};

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

/// The curves of these measures, by their names; `Err` with one that there is not. What processes
/// use is read once for all of them, and so are the numbers of nodes.
pub(crate) fn series<'a>(
    record: &RunRecord,
    minutes: &Minutes,
    measures: &[&'a str],
    stretch: Stretch,
) -> Result<impl Serialize + use<'a>, &'a str> {
    let mut curves: Vec<Curves> = Vec::new();
    for measure in measures {
        let counted = COUNTED.iter().any(|(name, ..)| name == measure);
        if !counted && !USED.contains(measure) {
            return Err(measure);
        }
        curves.push(Curves::new(stretch, counted));
    }
    values(record, minutes, measures, stretch, |of| {
        curves[of.measure].add(of.whose, of.at, (of.value.min, of.value.max));
    });
    Ok(measures.iter().copied().zip(curves).collect::<BTreeMap<_, _>>())
}

/// A value of one measure, of one node or the harness.
pub(crate) struct OneValue<'a> {
    /// Its place among those that were asked for.
    pub(crate) measure: usize,
    pub(crate) whose: &'a str,
    /// In seconds since the run started.
    pub(crate) at: f64,
    /// At a moment, where all are the same, or over a minute.
    pub(crate) value: Spread,
}

/// Every value of these measures in the stretch, in order of time for each of them and everybody:
/// of a long one by the minute.
pub(crate) fn values(
    record: &RunRecord,
    minutes: &Minutes,
    measures: &[&str],
    stretch: Stretch,
    mut take: impl FnMut(OneValue<'_>),
) {
    let places = |known: &mut dyn Iterator<Item = &'static str>| -> Vec<(usize, usize)> {
        let asked = |name: &str| measures.iter().position(|measure| *measure == name);
        known.enumerate().filter_map(|(place, name)| Some((place, asked(name)?))).collect()
    };
    let wanted = places(&mut USED.iter().copied());
    if !wanted.is_empty() {
        read_used(record, minutes, stretch, |at, whose, values| {
            for (place, measure) in &wanted {
                if let Some(value) = values[*place] {
                    take(OneValue { measure: *measure, whose, at, value });
                }
            }
        });
    }
    let wanted = places(&mut COUNTED.iter().map(|(name, ..)| *name));
    if !wanted.is_empty() {
        read_counted(record, minutes, stretch, |at, whose, before, values| {
            for (place, measure) in &wanted {
                let changed = before.is_none_or(|before| has_changed(before, values, *place));
                if let Some(value) = counted(values, *place).filter(|_| changed) {
                    take(OneValue { measure: *measure, whose, at, value: moment(value) });
                }
            }
        });
    }
}

/// What the curve at that place of [`COUNTED`] has where a node's numbers are these.
fn counted(numbers: &Counted, place: usize) -> Option<f64> {
    let (_, more, less) = COUNTED[place];
    Some(numbers[more]? - less.and_then(|less| numbers[less]).unwrap_or(0.0))
}

/// Whether one of the numbers that such a curve is made of has.
fn has_changed(before: &Counted, now: &Counted, place: usize) -> bool {
    let (_, more, less) = COUNTED[place];
    before[more] != now[more] || less.is_some_and(|less| before[less] != now[less])
}

fn is_long(stretch: Stretch) -> bool {
    stretch.to - stretch.from > SAMPLES_SECS
}

fn read_used(
    record: &RunRecord,
    minutes: &Minutes,
    stretch: Stretch,
    mut add: impl FnMut(f64, &str, Used),
) {
    if let Some(columns) = minutes.used(record, is_long(stretch)) {
        let beside = if columns.exact { stretch.step() } else { 1.5 * MINUTE };
        for column in &columns.all {
            for (at, values) in column.between(stretch.from - beside, stretch.to + beside) {
                add(at, &column.whose, values);
            }
        }
        return;
    }
    for sample in record.samples.select(stretch.filter(stretch.step())) {
        add(sample.at.as_secs_f64(), process(&sample.of), used(&sample));
    }
}

/// A number that holds until it changes: everything is told as it is when the stretch begins, and
/// then as it changes, with what it was before.
fn read_counted(
    record: &RunRecord,
    minutes: &Minutes,
    stretch: Stretch,
    mut add: impl FnMut(f64, &str, Option<&Counted>, &Counted),
) {
    match minutes.counted(record) {
        Some(columns) if columns.exact || is_long(stretch) => {
            for column in &columns.all {
                let mut before = column.before(stretch.from);
                if let Some(values) = &before {
                    add(stretch.from, &column.whose, None, values);
                }
                for (at, values) in column.between(stretch.from, stretch.to + stretch.step()) {
                    add(at, &column.whose, before.as_ref(), &values);
                    before = Some(values);
                }
            }
        }
        columns => read_samples(record, columns.as_deref(), stretch, add),
    }
}

/// The same from single samples, and what held before them from minutes that are over.
fn read_samples(
    record: &RunRecord,
    minutes: Option<&Columns<Counted>>,
    stretch: Stretch,
    mut add: impl FnMut(f64, &str, Option<&Counted>, &Counted),
) {
    let mut numbers = Numbers::default();
    for column in minutes.iter().flat_map(|minutes| &minutes.all) {
        if let Some(values) = column.before(stretch.from - MINUTE) {
            numbers.begin(&column.whose, values);
        }
    }
    let before = if has_few_counters(record) { stretch.from } else { 2.0 * MINUTE };
    let mut begun = false;
    let samples = record.counters.select(stretch.filter(before));
    for sample in samples.filter(|sample| are_drawn(&sample.values)) {
        let at = sample.at.as_secs_f64();
        if at >= stretch.from && !begun {
            begun = true;
            numbers.all().for_each(|(whose, values)| add(stretch.from, whose, None, values));
        }
        let before = numbers.of(sample.node.as_str());
        let values = numbers.take_sample(&sample);
        if at >= stretch.from {
            add(at, sample.node.as_str(), before.as_ref(), &values);
        }
    }
    if !begun {
        numbers.all().for_each(|(whose, values)| add(stretch.from, whose, None, values));
    }
}

#[cfg(test)]
mod tests {
    use meshlab_model::{CounterSample, RunEventKind};
    use serde_json::json;

    use super::*;

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
        let minutes = Minutes::default();
        let told = series(&record, &minutes, &["connections", "rss"], stretch);
        let told = serde_json::to_value(told.ok()).unwrap();
        // Five at the beginning, eight for a moment, one at the end of the first half.
        let wanted = json!([0, 1, 8, 1]);
        assert_eq!(told["connections"]["curves"]["node-1"], wanted);
        // A run that goes on is read from its samples, and tells the same.
        record.events.retain(|event| !matches!(event.kind, RunEventKind::RunFinished { .. }));
        let live = series(&record, &Minutes::default(), &["connections", "rss"], stretch);
        assert_eq!(serde_json::to_value(live.ok()).unwrap(), told);
        let wrong = series(&record, &minutes, &["cpu", "wrong"], stretch).err();
        assert_eq!(wrong, Some("wrong"));
    }
}
