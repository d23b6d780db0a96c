//! Records with many numbers each, as a row for each number.

use std::{collections::BTreeMap, vec::IntoIter};

use meshlab_model::{CounterMinute, CounterSample, NodeId, RunTime, Spread};
use meshlab_results::{Filter, Record, Recorded, Records};

/// A number of a node; with a single value, all three of the spread are it.
pub(crate) struct Number {
    pub(crate) at: RunTime,
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) spread: Spread,
}

/// A record with many numbers.
pub(crate) trait Numbered: Record {
    fn into_numbers(self) -> Vec<Number>;
}

impl Numbered for CounterSample {
    fn into_numbers(self) -> Vec<Number> {
        list(self.at, &self.node, self.values, |value| Spread {
            min: value,
            mean: value,
            max: value,
        })
    }
}

impl Numbered for CounterMinute {
    fn into_numbers(self) -> Vec<Number> {
        list(self.at, &self.node, self.values, |spread| spread)
    }
}

fn list<T>(
    at: RunTime,
    node: &NodeId,
    values: BTreeMap<String, T>,
    spread: impl Fn(T) -> Spread,
) -> Vec<Number> {
    let one = |(name, value)| Number { at, node: node.clone(), name, spread: spread(value) };
    values.into_iter().map(one).collect()
}

/// The numbers of records, one after the other.
pub(crate) struct Numbers<T> {
    records: Records<T>,
    /// Only those with this name.
    name: Option<String>,
    of_one: IntoIter<Number>,
}

/// The numbers of these records that the filter wants; its name is that of a number.
pub(crate) fn numbers<T: Numbered>(recorded: &Recorded<T>, mut filter: Filter) -> Box<Numbers<T>> {
    let name = filter.name.take();
    filter.number.clone_from(&name);
    Box::new(Numbers { records: recorded.select(filter), name, of_one: Vec::new().into_iter() })
}

impl<T: Numbered> Iterator for Numbers<T> {
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        loop {
            let wanted =
                |number: &Number| self.name.as_ref().is_none_or(|name| *name == number.name);
            if let Some(number) = self.of_one.find(wanted) {
                return Some(number);
            }
            self.of_one = self.records.next()?.into_numbers().into_iter();
        }
    }
}
