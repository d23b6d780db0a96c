//! `spans`: what has arrived so far, without waiting.

use std::sync::Arc;

use meshlab_engine::SpanQuery;
use meshlab_model::SpanRecord;
use mlua::{Lua, MultiValue, Result, Table, UserData, UserDataMethods};

use super::{node, query::query};
use crate::{
    call::{Call, Outcome, instant},
    context::Context,
    values::{DurationValue, micros},
};

/// Spans that `list` gives at most, the newest.
const LISTED_MAX: usize = 10_000;

const OPTIONS: &[&str] = &["from", "where", "under", "since"];

#[derive(Clone)]
struct Spans {
    query: SpanQuery,
    context: Arc<Context>,
}

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    globals.raw_set("spans", instant(lua, context, "spans", spans)?)
}

fn spans(call: Call) -> Outcome<Spans> {
    call.at_most(2)?;
    let name = call.text(0, "a span's name")?;
    let options = call.options(1, OPTIONS)?;
    call.host()?;
    let from = options.nodes("from", false)?;
    let query = query(&call, name, &options, from)?;
    Ok(Spans { query, context: Arc::clone(&call.context) })
}

impl Spans {
    /// The newest of them as tables.
    fn list(&self, call: &Call) -> Outcome<Vec<Table>> {
        call.at_most(0)?;
        let spans = call.answer(call.host()?.list_spans(&self.query, LISTED_MAX))?;
        spans.iter().map(|span| node::table(call, |table| fill(call, table, span))).collect()
    }
}

fn fill(call: &Call, table: &Table, span: &SpanRecord) -> Result<()> {
    let attributes = call.lua.create_table()?;
    for (name, value) in &span.attributes {
        match value {
            serde_json::Value::String(text) => attributes.raw_set(name.as_str(), text.as_str())?,
            serde_json::Value::Bool(truth) => attributes.raw_set(name.as_str(), *truth)?,
            other => attributes.raw_set(name.as_str(), other.as_f64())?,
        }
    }
    table.raw_set("name", span.name.as_str())?;
    table.raw_set("node", span.node.to_string())?;
    table.raw_set("attributes", attributes)?;
    table.raw_set("trace", span.trace_id.as_str())?;
    table.raw_set("id", span.span_id.as_str())?;
    table.raw_set("parent", span.parent_id.as_str())?;
    // Nanoseconds since 1970 lose their last digits in a number; microseconds do not.
    table.raw_set("started", (span.start_unix_nanos / 1000) as f64 / 1e6)?;
    let took = micros(span.end_unix_nanos.saturating_sub(span.start_unix_nanos) / 1000);
    table.raw_set("took", call.lua.create_userdata(DurationValue(took))?)
}

impl UserData for Spans {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("count", |lua, this, arguments: MultiValue| {
            let call = Call::new(&this.context, lua, "count", arguments);
            let count = call.host().and_then(|host| call.answer(host.count_spans(&this.query)));
            count.map_err(|error| mlua::Error::external(*error))
        });
        methods.add_method("list", |lua, this, arguments: MultiValue| {
            let call = Call::new(&this.context, lua, "list", arguments);
            this.list(&call).map_err(|error| mlua::Error::external(*error))
        });
    }
}
