//! The tables, and how each gets its rows from the record.

use std::{borrow::Cow, ffi::CStr, ffi::c_int, marker::PhantomData, sync::Arc};

use meshlab_model::{
    CounterMinute, CounterSample, RunEvent, RunTime, Sample, SampleMinute, SpanRecord, Spread,
};
use meshlab_results::{Filter, Record, Records, RunRecord};
use rusqlite::{
    Connection, Error, Result, ffi,
    types::Value,
    vtab::{
        Context, Filters, IndexConstraintOp as Op, IndexInfo, Module, VTab, VTabConfig,
        VTabConnection, VTabCursor,
    },
};

use crate::{
    numbers::{Number, Numbers, numbers},
    tally::Tally,
};

/// A table: what it is called, its columns, and which of them the record can be searched by.
struct Shape {
    name: &'static CStr,
    declared: &'static CStr,
    at: c_int,
    named: c_int,
    node: c_int,
    /// Whether a row is a record, so that the indexes know how many there are.
    counted: bool,
}

impl Shape {
    /// Whether rows with these columns are told by how many there are of each name and node.
    fn needs_no_record(&self, used: u64) -> bool {
        let bit = |column: c_int| if column < 0 { 0 } else { 1_u64 << column };
        self.counted && used & !(bit(self.named) | bit(self.node)) == 0
    }
}

/// No column.
const NONE: c_int = -1;

const SHAPES: [Shape; 7] = [
    Shape {
        name: c"events",
        declared: c"CREATE TABLE x(seq INTEGER, at REAL, event TEXT, line TEXT, data TEXT)",
        at: NONE,
        named: NONE,
        node: NONE,
        counted: false,
    },
    Shape {
        name: c"spans",
        declared: c"CREATE TABLE x(seq INTEGER, at REAL, node TEXT, name TEXT, took_ms REAL, \
            attributes TEXT, start_unix_nanos INTEGER, end_unix_nanos INTEGER, trace_id TEXT, \
            span_id TEXT, parent_id TEXT)",
        at: 1,
        named: 3,
        node: 2,
        counted: true,
    },
    Shape {
        name: c"samples",
        declared: c"CREATE TABLE x(at REAL, node TEXT, pid INTEGER, cpu REAL, \
            cpu_seconds_total REAL, rss_bytes INTEGER, open_files INTEGER, threads INTEGER)",
        at: 0,
        named: NONE,
        node: 1,
        counted: true,
    },
    Shape {
        name: c"sample_minutes",
        declared: c"CREATE TABLE x(at REAL, node TEXT, samples INTEGER, cpu_min REAL, \
            cpu_mean REAL, cpu_max REAL, rss_min REAL, rss_mean REAL, rss_max REAL, \
            open_files_max REAL, threads_max REAL)",
        at: 0,
        named: NONE,
        node: 1,
        counted: true,
    },
    Shape {
        name: c"span_counts",
        declared: c"CREATE TABLE x(name TEXT, node TEXT, spans INTEGER)",
        at: NONE,
        named: NONE,
        node: NONE,
        counted: false,
    },
    Shape {
        name: c"counters",
        declared: c"CREATE TABLE x(at REAL, node TEXT, name TEXT, value REAL)",
        at: 0,
        named: 2,
        node: 1,
        counted: false,
    },
    Shape {
        name: c"counter_minutes",
        declared: c"CREATE TABLE x(at REAL, node TEXT, name TEXT, min REAL, mean REAL, max REAL)",
        at: 0,
        named: 2,
        node: 1,
        counted: false,
    },
];

/// Names and columns of the tables, for messages.
pub(crate) fn described() -> String {
    let one = |shape: &Shape| {
        let columns = shape.declared.to_string_lossy();
        let columns = columns.trim_start_matches("CREATE TABLE x(").trim_end_matches(')');
        let names: Vec<&str> =
            columns.split(',').filter_map(|column| column.split_whitespace().next()).collect();
        format!("{}({})", shape.name.to_string_lossy(), names.join(", "))
    };
    SHAPES.each_ref().map(one).join(", ")
}

pub(crate) fn register(connection: &Connection, record: &Arc<RunRecord>) -> Result<()> {
    const MODULE: Module<'static, Table> = Module::eponymous_only_module();
    for (place, shape) in SHAPES.iter().enumerate() {
        connection.create_module(shape.name, &MODULE, Some((place, Arc::clone(record))))?;
    }
    Ok(())
}

#[repr(C)]
struct Table {
    /// SQLite's part, which must come first.
    base: ffi::sqlite3_vtab,
    place: usize,
    record: Arc<RunRecord>,
}

impl Table {
    fn shape(&self) -> &'static Shape {
        &SHAPES[self.place]
    }
}

// SAFETY: `repr(C)` and the first field is SQLite's own, as the trait asks.
unsafe impl<'vtab> VTab<'vtab> for Table {
    type Aux = (usize, Arc<RunRecord>);
    type Cursor = Cursor<'vtab>;

    fn connect(
        db: &mut VTabConnection,
        aux: Option<&Self::Aux>,
        _module: &[u8],
        _database: &[u8],
        _table: &[u8],
        _arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        let Some((place, record)) = aux else {
            return Err(Error::ModuleError("the table has no record".to_owned()));
        };
        db.config(VTabConfig::Innocuous)?;
        let table =
            Self { base: ffi::sqlite3_vtab::default(), place: *place, record: Arc::clone(record) };
        Ok((Cow::Borrowed(table.shape().declared), table))
    }

    /// Asks for everything that the record can be searched by: a letter for each in `idx_str`.
    /// SQLite checks the rows again, so it does no harm that a bound of time is taken roughly.
    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let shape = self.shape();
        let mut wanted = Vec::new();
        for (place, constraint) in info.constraints().enumerate() {
            let column = constraint.column();
            if !constraint.is_usable() || column < 0 {
                continue;
            }
            let letter = match constraint.operator() {
                Op::SQLITE_INDEX_CONSTRAINT_EQ if column == shape.named => 'n',
                Op::SQLITE_INDEX_CONSTRAINT_EQ if column == shape.node => 'o',
                Op::SQLITE_INDEX_CONSTRAINT_EQ if column == shape.at => 'e',
                Op::SQLITE_INDEX_CONSTRAINT_GE | Op::SQLITE_INDEX_CONSTRAINT_GT
                    if column == shape.at =>
                {
                    's'
                }
                Op::SQLITE_INDEX_CONSTRAINT_LE | Op::SQLITE_INDEX_CONSTRAINT_LT
                    if column == shape.at =>
                {
                    'u'
                }
                _ => continue,
            };
            wanted.push((place, letter));
        }
        let mut letters = String::new();
        let mut rows = 1e9;
        for (place, letter) in wanted {
            // Another collation has more texts be equal than the record would find.
            if matches!(letter, 'n' | 'o') && info.collation(place)? != "BINARY" {
                continue;
            }
            letters.push(letter);
            let argument = c_int::try_from(letters.len()).unwrap_or(c_int::MAX);
            info.constraint_usage(place).set_argv_index(argument);
            rows /= 10.0;
        }
        info.set_idx_str(&letters);
        info.set_idx_num(c_int::from(shape.needs_no_record(info.col_used())));
        info.set_estimated_cost(rows);
        info.set_estimated_rows(rows as i64);
        Ok(true)
    }

    fn open(&'vtab mut self) -> Result<Cursor<'vtab>> {
        Ok(Cursor {
            base: ffi::sqlite3_vtab_cursor::default(),
            place: self.place,
            record: Arc::clone(&self.record),
            rows: Rows::Nothing,
            row: None,
            number: 0,
            table: PhantomData,
        })
    }
}

#[repr(C)]
struct Cursor<'vtab> {
    /// SQLite's part, which must come first.
    base: ffi::sqlite3_vtab_cursor,
    place: usize,
    record: Arc<RunRecord>,
    rows: Rows,
    row: Option<Row>,
    number: i64,
    table: PhantomData<&'vtab Table>,
}

enum Rows {
    Nothing,
    Events(usize),
    Spans(Box<Records<SpanRecord>>),
    Samples(Box<Records<Sample>>),
    Minutes(Box<Records<SampleMinute>>),
    Counts(std::vec::IntoIter<(String, String, u64)>),
    Counters(Box<Numbers<CounterSample>>),
    CounterMinutes(Box<Numbers<CounterMinute>>),
    Tally(Tally),
}

enum Row {
    Event(usize),
    Span(Box<SpanRecord>),
    Sample(Box<Sample>),
    Minute(Box<SampleMinute>),
    Count(String, String, u64),
    Number(Number),
    /// The row of a tally.
    Tallied,
}

impl Cursor<'_> {
    fn advance(&mut self) {
        self.row = match &mut self.rows {
            Rows::Nothing => None,
            Rows::Events(next) => {
                let place = *next;
                *next += 1;
                (place < self.record.events.len()).then_some(Row::Event(place))
            }
            Rows::Spans(spans) => spans.next().map(|span| Row::Span(Box::new(span))),
            Rows::Samples(samples) => samples.next().map(|sample| Row::Sample(Box::new(sample))),
            Rows::Minutes(minutes) => minutes.next().map(|minute| Row::Minute(Box::new(minute))),
            Rows::Counts(counts) => {
                counts.next().map(|(name, node, spans)| Row::Count(name, node, spans))
            }
            Rows::Counters(numbers) => numbers.next().map(Row::Number),
            Rows::CounterMinutes(numbers) => numbers.next().map(Row::Number),
            Rows::Tally(tally) => tally.advance().then_some(Row::Tallied),
        };
        self.number += 1;
    }

    /// Rows of records that are counted rather than read.
    fn tally(&self, filter: &Filter) -> Rows {
        let counts = match self.place {
            1 => self.record.spans.counts(),
            2 => self.record.samples.counts(),
            _ => self.record.minutes.counts(),
        };
        Rows::Tally(Tally::of(counts, filter))
    }

    /// A column of the row of a tally.
    fn tallied(&self, column: c_int) -> Value {
        let shape = &SHAPES[self.place];
        let row = match &self.rows {
            Rows::Tally(tally) => tally.row(),
            _ => None,
        };
        match row {
            Some((name, _)) if column == shape.named => name.to_owned().into(),
            Some((_, node)) if column == shape.node => node.to_owned().into(),
            _ => Value::Null,
        }
    }

    fn counts(&self) -> Vec<(String, String, u64)> {
        let mut all = Vec::new();
        for (name, nodes) in self.record.spans.counts() {
            let of = |(node, spans)| (name.clone(), node, spans);
            all.extend(nodes.into_iter().map(of));
        }
        all
    }
}

// SAFETY: `repr(C)` and the first field is SQLite's own, as the trait asks.
unsafe impl VTabCursor for Cursor<'_> {
    fn filter(&mut self, counted: c_int, letters: Option<&str>, args: &Filters<'_>) -> Result<()> {
        let filter = filter(letters.unwrap_or_default(), args)?;
        self.rows = match (self.place, filter) {
            // Something is to equal NULL: nothing does.
            (_, None) => Rows::Nothing,
            (0, _) => Rows::Events(0),
            (1..=3, Some(filter)) if counted != 0 => self.tally(&filter),
            (1, Some(filter)) => Rows::Spans(Box::new(self.record.spans.select(filter))),
            (2, Some(filter)) => Rows::Samples(Box::new(self.record.samples.select(filter))),
            (3, Some(filter)) => Rows::Minutes(Box::new(self.record.minutes.select(filter))),
            (5, Some(filter)) => Rows::Counters(numbers(&self.record.counters, filter)),
            (6, Some(filter)) => {
                Rows::CounterMinutes(numbers(&self.record.counter_minutes, filter))
            }
            _ => Rows::Counts(self.counts().into_iter()),
        };
        self.number = 0;
        self.advance();
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.advance();
        Ok(())
    }

    fn eof(&self) -> bool {
        self.row.is_none()
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<()> {
        let value = match &self.row {
            None => Value::Null,
            Some(Row::Event(place)) => {
                self.record.events.get(*place).map_or(Value::Null, |event| of_event(event, column))
            }
            Some(Row::Span(span)) => of_span(span, column),
            Some(Row::Sample(sample)) => of_sample(sample, column),
            Some(Row::Minute(minute)) => of_minute(minute, column),
            Some(Row::Tallied) => self.tallied(column),
            Some(Row::Count(name, node, spans)) => match column {
                0 => name.clone().into(),
                1 => node.clone().into(),
                _ => whole(*spans),
            },
            Some(Row::Number(number)) => match column {
                0 => number.at.as_secs_f64().into(),
                1 => number.node.as_str().to_owned().into(),
                2 => number.name.clone().into(),
                3 => number.spread.min.into(),
                4 => number.spread.mean.into(),
                _ => number.spread.max.into(),
            },
        };
        context.set_result(value)
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.number)
    }
}

/// What the arguments ask for; `None` where one of them is NULL.
fn filter(letters: &str, args: &Filters<'_>) -> Result<Option<Filter>> {
    let mut filter = Filter::default();
    for (place, letter) in letters.chars().enumerate() {
        let moment = |seconds: f64, off: f64| RunTime { micros: (seconds * 1e6 + off) as u64 };
        match (letter, args.get::<Value>(place)?) {
            (_, Value::Null) => return Ok(None),
            ('n', Value::Text(name)) => filter.name = Some(name),
            ('o', Value::Text(node)) => filter.node = Some(node),
            (letter, value) => {
                let seconds = match value {
                    Value::Integer(seconds) => seconds as f64,
                    Value::Real(seconds) => seconds,
                    // SQLite decides how a text compares with a number.
                    _ => continue,
                };
                // A microsecond to either side, for what seconds are rounded by.
                if matches!(letter, 's' | 'e') {
                    filter.since = filter.since.max(Some(moment(seconds, -1.0)));
                }
                if matches!(letter, 'u' | 'e') {
                    let until = moment(seconds, 1.0);
                    filter.until = Some(filter.until.map_or(until, |before| before.min(until)));
                }
            }
        }
    }
    Ok(Some(filter))
}

fn whole(number: u64) -> Value {
    i64::try_from(number).map_or(Value::Real(number as f64), Value::Integer)
}

fn of_event(event: &RunEvent, column: c_int) -> Value {
    let kind = || serde_json::to_value(&event.kind).unwrap_or_default();
    match column {
        0 => whole(event.seq),
        1 => event.at.as_secs_f64().into(),
        2 => kind()["event"].as_str().map_or(Value::Null, |name| name.to_owned().into()),
        3 => event.source.as_ref().map_or(Value::Null, |source| source.to_string().into()),
        _ => kind().to_string().into(),
    }
}

fn of_span(span: &SpanRecord, column: c_int) -> Value {
    match column {
        0 => whole(span.seq),
        1 => span.arrived.as_secs_f64().into(),
        2 => span.node().to_owned().into(),
        3 => span.name.clone().into(),
        4 => (span.took_nanos() as f64 / 1e6).into(),
        5 => serde_json::to_string(&span.attributes).map_or(Value::Null, Value::from),
        6 => whole(span.start_unix_nanos),
        7 => whole(span.end_unix_nanos),
        8 => span.trace_id.clone().into(),
        9 => span.span_id.clone().into(),
        _ => span.parent_id.clone().into(),
    }
}

fn of_sample(sample: &Sample, column: c_int) -> Value {
    match column {
        0 => sample.at.as_secs_f64().into(),
        1 => sample.node().to_owned().into(),
        2 => Value::Integer(sample.pid.into()),
        3 => sample.cpu.map_or(Value::Null, Value::Real),
        4 => (sample.cpu_micros_total as f64 / 1e6).into(),
        5 => whole(sample.rss_bytes),
        6 => Value::Integer(sample.open_files.into()),
        _ => Value::Integer(sample.threads.into()),
    }
}

fn of_minute(minute: &SampleMinute, column: c_int) -> Value {
    let cpu = |of: fn(Spread) -> f64| minute.cpu.map_or(Value::Null, |cpu| of(cpu).into());
    match column {
        0 => minute.at.as_secs_f64().into(),
        1 => minute.node().to_owned().into(),
        2 => Value::Integer(minute.samples.into()),
        3 => cpu(|cpu| cpu.min),
        4 => cpu(|cpu| cpu.mean),
        5 => cpu(|cpu| cpu.max),
        6 => minute.rss_bytes.min.into(),
        7 => minute.rss_bytes.mean.into(),
        8 => minute.rss_bytes.max.into(),
        9 => minute.open_files.max.into(),
        _ => minute.threads.max.into(),
    }
}
