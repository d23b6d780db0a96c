//! Answers as text: a table for people, JSON and CSV for programs.

use std::io::{self, Write};

use crate::{Answer, Cell};

/// Rows that a table's widths are taken from; those that come later are written as they are, so
/// that an answer of any length needs no more memory than this.
const MEASURED_ROWS: usize = 1000;

/// Widest column of a table; longer texts stand out of it, whole.
const WIDTH_MAX: usize = 60;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns beside each other.
    Table,
    /// An array of objects.
    Json,
    /// RFC 4180, with a line of names.
    Csv,
}

/// Writes answers to `out` in that format. The end is written by [`Writer::finish`].
pub fn write_answer<W: Write>(out: W, format: Format) -> Writer<W> {
    Writer { out, format, names: Vec::new(), waiting: Vec::new(), widths: Vec::new(), rows: 0 }
}

/// An answer on its way out.
pub struct Writer<W> {
    out: W,
    format: Format,
    names: Vec<String>,
    /// Rows of a table whose widths are not known yet.
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
    rows: u64,
}

impl<W: Write> Answer for Writer<W> {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        self.names = names.to_vec();
        match self.format {
            Format::Table => Ok(()),
            Format::Json => self.out.write_all(b"["),
            Format::Csv => {
                let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
                write!(self.out, "{}\r\n", names.join(","))
            }
        }
    }

    fn row(&mut self, cells: &[Cell]) -> io::Result<()> {
        self.rows += 1;
        match self.format {
            Format::Table => {
                self.waiting.push(cells.iter().map(shown).collect());
                if self.widths.is_empty() && self.waiting.len() < MEASURED_ROWS {
                    return Ok(());
                }
                self.write_waiting()
            }
            Format::Json => {
                self.out.write_all(if self.rows == 1 { b"\n" } else { b",\n" })?;
                let object: serde_json::Map<String, serde_json::Value> =
                    self.names.iter().cloned().zip(cells.iter().map(json)).collect();
                serde_json::to_writer(&mut self.out, &object)?;
                Ok(())
            }
            Format::Csv => {
                let cells: Vec<String> = cells
                    .iter()
                    .map(|cell| match cell {
                        Cell::Text(text) => quoted(text),
                        other => plain(other),
                    })
                    .collect();
                write!(self.out, "{}\r\n", cells.join(","))
            }
        }
    }
}

impl<W: Write> Writer<W> {
    /// Writes the end of the answer.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        match self.format {
            Format::Table => {
                self.write_waiting()?;
                let plural = if self.rows == 1 { "" } else { "s" };
                writeln!(self.out, "({} row{plural})", self.rows)?;
            }
            Format::Json => self.out.write_all(b"\n]\n")?,
            Format::Csv => {}
        }
        self.out.flush()
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        if self.widths.is_empty() {
            let longest = |place: usize| {
                let of = self.waiting.iter().filter_map(|row| row.get(place));
                let longest =
                    of.chain(self.names.get(place)).map(|text| text.chars().count()).max();
                longest.unwrap_or(0).min(WIDTH_MAX)
            };
            self.widths = (0..self.names.len()).map(longest).collect();
            let lines: Vec<String> = self.widths.iter().map(|width| "-".repeat(*width)).collect();
            let names = std::mem::take(&mut self.names);
            self.line(&names)?;
            self.line(&lines)?;
            self.names = names;
        }
        for row in std::mem::take(&mut self.waiting) {
            self.line(&row)?;
        }
        Ok(())
    }

    fn line(&mut self, cells: &[String]) -> io::Result<()> {
        let padded = cells.iter().zip(&self.widths).map(|(cell, &width)| format!("{cell:<width$}"));
        let line: Vec<String> = padded.collect();
        writeln!(self.out, "{}", line.join("  ").trim_end())
    }
}

/// What a node sent may hold anything; a terminal gets no control characters from it.
fn shown(cell: &Cell) -> String {
    let clean =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    plain(cell).chars().map(clean).collect()
}

fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
    }
}

fn json(cell: &Cell) -> serde_json::Value {
    match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Integer(number) => (*number).into(),
        Cell::Real(number) => (*number).into(),
        Cell::Text(text) => text.clone().into(),
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
