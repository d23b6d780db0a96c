//! SQL over the record of a run: SQLite with tables that read the record as they are asked.
//!
//! Open `tables.rs` for what can be asked, `output.rs` for how answers are written. Nothing is
//! loaded beforehand: a table streams from the run's files, and what a query says of time, name
//! and node decides which of them are opened at all. A query reads; it cannot write, attach a
//! file or load code. It knows the results format, and neither the engine nor the command line.

mod numbers;
mod output;
mod tables;
mod tally;

use std::{io, sync::Arc};

use meshlab_results::RunRecord;
use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
    types::ValueRef,
};

pub use output::{Format, write_answer};

/// Why a query has no answer. Completes "failed to ask the run: ...".
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The SQL is wrong, or asks for something that a query may not do.
    #[error("{0}; the tables are {tables}", tables = tables::described())]
    Sql(String),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// A value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// Text.
    Text(String),
}

/// Takes an answer as it comes: its columns first, then each row.
pub trait Answer {
    /// The names of the columns.
    ///
    /// # Errors
    /// They cannot be written.
    fn columns(&mut self, names: &[String]) -> io::Result<()>;

    /// A row, a cell for each column.
    ///
    /// # Errors
    /// It cannot be written.
    fn row(&mut self, cells: &[Cell]) -> io::Result<()>;
}

/// Asks one SELECT of the run and hands its answer on, row by row.
///
/// # Errors
/// The SQL is wrong or is no SELECT, or `answer` fails.
pub fn query(record: RunRecord, sql: &str, answer: &mut dyn Answer) -> Result<(), QueryError> {
    let wrong = |error: rusqlite::Error| QueryError::Sql(said(&error));
    let connection = open(Arc::new(record)).map_err(wrong)?;
    let mut statement = connection.prepare(sql).map_err(wrong)?;
    if statement.column_count() == 0 {
        return Err(QueryError::Sql("there is no SELECT in it".to_owned()));
    }
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    answer.columns(&names)?;
    let mut rows = statement.query([]).map_err(wrong)?;
    let mut cells = Vec::new();
    while let Some(row) = rows.next().map_err(wrong)? {
        cells.clear();
        for place in 0..names.len() {
            cells.push(match row.get_ref(place).map_err(wrong)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Integer(number),
                ValueRef::Real(number) => Cell::Real(number),
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    Cell::Text(String::from_utf8_lossy(text).into_owned())
                }
            });
        }
        answer.row(&cells)?;
    }
    Ok(())
}

/// What SQLite says, without the words of the library around it.
fn said(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::MultipleStatement => "it has several statements; ask one".to_owned(),
        other => other.to_string(),
    }
}

fn open(record: Arc<RunRecord>) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    tables::register(&connection, &record)?;
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Function { .. }
        | AuthAction::Recursive => Authorization::Allow,
        _ => Authorization::Deny,
    }))?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
