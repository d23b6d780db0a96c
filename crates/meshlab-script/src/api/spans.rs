//! `spans`: what has arrived so far, without waiting.

use std::sync::Arc;

use meshlab_engine::SpanQuery;
use meshlab_model::SpanRecord;
use meshlab_wire::span;
use mlua::{Lua, MetaMethod, Result, Table, UserData, UserDataMethods};

use super::query::{CONDITION, SPAN_PART, query};
use crate::{
    call::{Bound, Call, Outcome, instant, method},
    context::Context,
    define::{ASKS, Alias, Class, Definition, Family, Field},
    values::{DurationValue, micros},
};

/// Spans that `list` gives at most, the newest.
const LISTED_MAX: usize = 10_000;

pub(super) const FAMILY: Family = Family {
    title: "Spans",
    text: "What nodes say of themselves while they run: OpenTelemetry spans with attributes.",
    functions: &[&SPANS],
    classes: &[&SPAN_FILTER, &SPANS_CLASS, &SPAN, &CONDITION, &SPAN_PART],
    aliases: &[
        &Alias {
            name: "SpanName",
            summary: "The name of a span. Ours has these; another subject may have others.",
            kind: "string",
            texts: span::ALL,
        },
        &Alias {
            name: "Where",
            summary: "What attributes must be: equal to a value, or what a condition says; \
                      `{ [\"peer.name\"] = node.name, bytes = { above = 200 } }`.",
            kind: "table<string, string|number|boolean|Condition>",
            texts: &[],
        },
        &Alias {
            name: "Part",
            summary: "A span in a claim about several: its name, or `{ \"name\", where = { ... } \
                      }`.",
            kind: "string|SpanPart",
            texts: &[],
        },
        &Alias {
            name: "Since",
            summary: "The moment at which a fault began to act, or a length of time before now.",
            kind: "Hit|Duration",
            texts: &[],
        },
    ],
};

/// What is said of `since` everywhere.
pub(super) const SINCE: &str =
    "from when on; the start of the innermost test, fault body or round where it is not given";
pub(super) const FROM: Field = Field::optional("from", "From", "their senders; else everybody");
pub(super) const WHERE: Field = Field::optional("where", "Where", "what their attributes must be");
pub(super) const UNDER: Field =
    Field::optional("under", "SpanName", "a span that must be above them in their trace");
pub(super) const SINCE_OPTION: Field = Field::optional("since", "Since", SINCE);

const SPAN_FILTER: Class =
    Class::options("SpanFilter", "Which spans.", &[FROM, WHERE, UNDER, SINCE_OPTION]);

const SPANS_CLASS: Class = Class::given("Spans", "A question for spans.", &[], &[&COUNT, &LIST]);

const SPAN: Class = Class::given(
    "Span",
    "A span as it was received.",
    &[
        Field::needed("name", "string", "its name"),
        Field::needed("node", "string", "the id of the node that sent it"),
        Field::needed("attributes", "table<string, any>", "its attributes"),
        Field::needed("trace", "string", "the id of its trace"),
        Field::needed("id", "string", "its id"),
        Field::needed("parent", "string", "the id of its parent; empty for a root"),
        Field::needed("started", "number", "its start, in seconds since 1970"),
        Field::needed("took", "DurationValue", "how long it took"),
    ],
    &[],
);

const SPANS: Definition = Definition {
    name: "spans",
    summary: "Asks for spans that have arrived so far.",
    text: "It does not wait; to wait for spans, claim them with `expect.spans`.",
    arguments: &[
        Field::needed("name", "SpanName", "their name"),
        Field::optional("filter", "SpanFilter", ""),
    ],
    options: Some(&SPAN_FILTER),
    returns: &[Field::needed("spans", "Spans", "")],
    example: "local met = spans(\"peer.connected\", { from = swarm:node(1) })\nprint(met:count())",
    see_also: &["expect.spans", "expect.no_spans"],
    ..ASKS
};

const COUNT: Definition = Definition {
    name: "spans:count",
    summary: "How many there are now.",
    returns: &[Field::needed("count", "integer", "")],
    example: "print(spans(\"gossip.digest_sent\"):count())",
    see_also: &["spans:list"],
    ..ASKS
};

const LIST: Definition = Definition {
    name: "spans:list",
    summary: "The spans themselves, the newest 10,000.",
    returns: &[Field::needed("spans", "Span[]", "")],
    example: "for _, span in ipairs(spans(\"peer.connected\"):list()) do\n  \
              print(span.node, span.attributes[\"peer.name\"], span.took)\nend",
    see_also: &["spans:count"],
    ..ASKS
};

#[derive(Clone)]
struct Spans {
    query: SpanQuery,
    context: Arc<Context>,
}

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    globals.raw_set("spans", instant(lua, context, &SPANS, spans)?)
}

fn spans(call: Call) -> Outcome<Spans> {
    let name = call.text(0, "a span's name")?;
    let options = call.options(1)?;
    call.host()?;
    let from = options.nodes("from", false)?;
    let query = query(&call, name, &options, from)?;
    Ok(Spans { query, context: Arc::clone(&call.context) })
}

impl Spans {
    /// The newest of them as tables.
    fn list(&self, call: &Call) -> Outcome<Vec<Table>> {
        let spans = call.answer(call.host()?.list_spans(&self.query, LISTED_MAX))?;
        spans.iter().map(|span| call.table(&SPAN, |table| fill(call, table, span))).collect()
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

impl Bound for Spans {
    fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

impl UserData for Spans {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        method(methods, &COUNT, |this: &Self, call| {
            call.answer(call.host()?.count_spans(&this.query))
        });
        method(methods, &LIST, |this: &Self, call| this.list(&call));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            let count = this.context.host().map(|host| host.count_spans(&this.query));
            let count = count.and_then(|count| count.ok()).unwrap_or_default();
            Ok(format!("{count} spans {}", this.query.name))
        });
    }
}
