//! What a run has of each process over time, in columns: read once from the record, then any
//! stretch of it is found by two binary searches.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use meshlab_engine::results::{HARNESS, ResultsError, RunRecord, read_run};
use meshlab_model::{CounterSample, RunEventKind, Sample, SampleSource, Spread};

use super::{MINUTE, NUMBERS, SAMPLES_WHOLE, USED};

/// What a process used, in the order of [`USED`].
pub(super) type Used = [Option<Spread>; USED.len()];

/// A node's own numbers as they are from a moment on, in the order of [`NUMBERS`].
pub(super) type Counted = [Option<f64>; NUMBERS.len()];

/// What one process or node had, in order of time.
#[derive(Debug)]
pub(super) struct Column<T> {
    pub(super) whose: String,
    /// In seconds since the run started.
    at: Vec<f64>,
    values: Vec<T>,
}

impl<T: Copy> Column<T> {
    /// The places from `from` on and before `to`, in seconds.
    fn places(&self, from: f64, to: f64) -> Range<usize> {
        let before = |moment: f64| self.at.partition_point(|at| *at < moment);
        before(from)..before(to).max(before(from))
    }

    pub(super) fn between(&self, from: f64, to: f64) -> impl Iterator<Item = (f64, T)> + '_ {
        let places = self.places(from, to);
        self.at[places.clone()].iter().copied().zip(self.values[places].iter().copied())
    }

    /// The last value before `moment`.
    pub(super) fn before(&self, moment: f64) -> Option<T> {
        self.values[..self.places(moment, moment).start].last().copied()
    }
}

/// A column for everybody, in order of their names.
#[derive(Debug, Default)]
pub(super) struct Columns<T> {
    pub(super) all: Vec<Column<T>>,
    /// Whether they are of single samples, and not of minutes.
    pub(super) exact: bool,
}

/// Puts values together by whose they are; those of one come in order of time.
#[derive(Debug)]
struct Filling<T>(BTreeMap<String, Column<T>>);

impl<T> Filling<T> {
    fn add(&mut self, whose: &str, at: f64, value: T) {
        if !self.0.contains_key(whose) {
            let empty = Column { whose: whose.to_owned(), at: Vec::new(), values: Vec::new() };
            self.0.insert(whose.to_owned(), empty);
        }
        if let Some(column) = self.0.get_mut(whose) {
            // What is searched has to be in order, whatever a record says.
            column.at.push(column.at.last().map_or(at, |last| at.max(*last)));
            column.values.push(value);
        }
    }

    fn filled(self, exact: bool) -> Columns<T> {
        Columns { all: self.0.into_values().collect(), exact }
    }
}

/// A value of one moment.
pub(super) fn moment(value: f64) -> Spread {
    Spread { min: value, mean: value, max: value }
}

/// What a process used at a moment.
pub(super) fn used(sample: &Sample) -> Used {
    [
        sample.cpu.map(moment),
        Some(moment(sample.rss_bytes as f64)),
        Some(moment(f64::from(sample.open_files))),
        Some(moment(f64::from(sample.threads))),
    ]
}

pub(super) fn process(of: &SampleSource) -> &str {
    match of {
        SampleSource::Node(node) => node.as_str(),
        SampleSource::Harness => HARNESS,
    }
}

fn read_used(record: &RunRecord) -> Columns<Used> {
    let mut filling = Filling(BTreeMap::new());
    let exact = record.samples.len() <= SAMPLES_WHOLE;
    if exact {
        for sample in record.samples.iter() {
            filling.add(process(&sample.of), sample.at.as_secs_f64(), used(&sample));
        }
    } else {
        for minute in record.minutes.iter() {
            let values =
                [minute.cpu, Some(minute.rss_bytes), Some(minute.open_files), Some(minute.threads)];
            // It stands for the middle of its minute.
            let middle = minute.at.as_secs_f64() + MINUTE / 2.0;
            filling.add(process(&minute.of), middle, values);
        }
    }
    filling.filled(exact)
}

/// What each node's numbers are, as they change.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeMap<String, Counted>);

impl Numbers {
    /// What they were when nobody looked yet.
    pub(super) fn begin(&mut self, of: &str, numbers: Counted) {
        self.0.insert(of.to_owned(), numbers);
    }

    pub(super) fn of(&self, node: &str) -> Option<Counted> {
        self.0.get(node).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Counted)> {
        self.0.iter().map(|(of, numbers)| (of.as_str(), numbers))
    }

    /// Takes in what some of a node's numbers have become; what all of them are then.
    fn take(&mut self, of: &str, new: impl Fn(&str) -> Option<f64>) -> Counted {
        if !self.0.contains_key(of) {
            self.begin(of, Counted::default());
        }
        let Some(numbers) = self.0.get_mut(of) else { return Counted::default() };
        for (number, name) in numbers.iter_mut().zip(NUMBERS) {
            *number = new(name).or(*number);
        }
        *numbers
    }

    pub(super) fn take_sample(&mut self, sample: &CounterSample) -> Counted {
        self.take(sample.node.as_str(), |name| sample.values.get(name).copied())
    }
}

/// Whether one of the numbers that are drawn is among these.
pub(super) fn are_drawn<T>(values: &BTreeMap<String, T>) -> bool {
    NUMBERS.iter().any(|name| values.contains_key(*name))
}

fn read_counted(record: &RunRecord) -> Columns<Counted> {
    let (mut filling, mut numbers) = (Filling(BTreeMap::new()), Numbers::default());
    let exact = has_few_counters(record);
    if exact {
        for sample in record.counters.iter().filter(|sample| are_drawn(&sample.values)) {
            let values = numbers.take_sample(&sample);
            filling.add(sample.node.as_str(), sample.at.as_secs_f64(), values);
        }
    } else {
        for minute in record.counter_minutes.iter().filter(|minute| are_drawn(&minute.values)) {
            let (of, at) = (minute.node.as_str(), minute.at.as_secs_f64());
            let of_minute = |name: &str| minute.values.get(name).copied();
            // Its least values at its beginning and its greatest at its end: exact for what only
            // grows, and no peak of the rest is lost.
            let least = numbers.take(of, |name| of_minute(name).map(|value| value.min));
            filling.add(of, at, least);
            let most = numbers.take(of, |name| of_minute(name).map(|value| value.max));
            filling.add(of, at + MINUTE, most);
        }
    }
    filling.filled(exact)
}

/// The record of a run and its columns; of one that is over they are read once.
#[derive(Default)]
pub(crate) struct Minutes {
    record: Mutex<Option<Arc<RunRecord>>>,
    used: Kept<Used>,
    counted: Kept<Counted>,
}

type Kept<T> = Mutex<Option<Arc<Columns<T>>>>;

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

    /// What processes used, where that is to be taken from columns: where the record has so few
    /// samples that all of them are, and of a long stretch from its minutes.
    pub(super) fn used(&self, record: &RunRecord, is_long: bool) -> Option<Arc<Columns<Used>>> {
        let few = record.samples.len() <= SAMPLES_WHOLE;
        let minutes = !few && is_long && !record.minutes.is_empty();
        // What goes on is read anew for each question: no more of it than is asked for.
        let wanted = minutes || few && is_over(record);
        wanted.then(|| kept(&self.used, record, read_used))
    }

    /// The nodes' own numbers: of a run with many always, for what holds since before a stretch is
    /// there, of a run that goes on only those.
    pub(super) fn counted(&self, record: &RunRecord) -> Option<Arc<Columns<Counted>>> {
        let wanted = match has_few_counters(record) {
            true => is_over(record),
            false => !record.counter_minutes.is_empty(),
        };
        wanted.then(|| kept(&self.counted, record, read_counted))
    }
}

/// Whether all of them are read, not their minutes.
pub(super) fn has_few_counters(record: &RunRecord) -> bool {
    record.counters.len() <= SAMPLES_WHOLE
}

fn kept<T>(
    kept: &Kept<T>,
    record: &RunRecord,
    read: impl FnOnce(&RunRecord) -> Columns<T>,
) -> Arc<Columns<T>> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = &*kept {
        return Arc::clone(kept);
    }
    let read = Arc::new(read(record));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_what_lies_in_it_and_before_it_the_last_counts() {
        let mut filling = Filling(BTreeMap::new());
        for (at, value) in [(1.0, 10), (5.0, 50), (5.0, 51), (4.0, 52), (9.0, 90)] {
            filling.add("node-1", at, value);
        }
        let columns = filling.filled(true);
        let column = &columns.all[0];
        let between = |from, to| column.between(from, to).collect::<Vec<_>>();
        assert_eq!(between(5.0, 9.0), [(5.0, 50), (5.0, 51), (5.0, 52)]);
        assert_eq!(between(5.1, 9.0), []);
        assert_eq!(between(9.0, 1.0), []);
        let before = [0.5, 1.0, 1.5, 100.0].map(|moment| column.before(moment));
        assert_eq!(before, [None, None, Some(10), Some(90)]);
    }
}
