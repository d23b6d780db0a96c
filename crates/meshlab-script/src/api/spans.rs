//! `spans`: what has arrived so far, without waiting.

use std::sync::Arc;

use meshlab_engine::SpanQuery;
use mlua::{Lua, MultiValue, Result, Table, UserData, UserDataMethods};

use crate::{
    call::{Call, Outcome, instant},
    context::Context,
};

const OPTIONS: &[&str] = &["from", "where", "since"];

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
    let query = SpanQuery {
        name,
        from: options.nodes("from", false)?,
        attributes: options.attributes("where")?,
        since: options.since()?,
    };
    Ok(Spans { query, context: Arc::clone(&call.context) })
}

impl UserData for Spans {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("count", |lua, this, arguments: MultiValue| {
            let call = Call::new(&this.context, lua, "count", arguments);
            let count = call.host().and_then(|host| call.answer(host.count_spans(&this.query)));
            count.map_err(|error| mlua::Error::external(*error))
        });
    }
}
