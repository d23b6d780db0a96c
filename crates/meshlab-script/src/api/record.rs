//! `record.*`, `print`, `sleep`.

use std::sync::Arc;

use meshlab_engine::MetricValue;
use mlua::{Lua, Result, Table, Value};

use super::task_definitions::SLEEP;
use crate::{
    call::{Call, Outcome, as_data, describe, instant, waiting},
    context::Context,
    define::{Definition, Family, Field, PLAIN},
    sandbox,
    values::{DurationValue, SizeValue},
};

pub(super) const FAMILY: Family = Family {
    title: "The record",
    text: "What a scenario says of its own; all else is recorded by itself.",
    functions: &[&METRIC, &NOTE, &PRINT],
    classes: &[],
    aliases: &[],
};

const METRIC: Definition = Definition {
    name: "record.metric",
    summary: "A figure for the results and their charts, in the unit of its value.",
    arguments: &[
        Field::needed("name", "string", "what it is"),
        Field::needed("value", "number|DurationValue|SizeValue", "how much, finite"),
    ],
    example: "record.metric(\"until formed\", expect.formed(swarm).took)",
    see_also: &["record.note"],
    ..PLAIN
};

const NOTE: Definition = Definition {
    name: "record.note",
    summary: "A line in the timeline.",
    arguments: &[Field::needed("text", "string", "what it says")],
    example: "record.note(\"the calm before\")",
    see_also: &["print", "step"],
    ..PLAIN
};

const PRINT: Definition = Definition {
    name: "print",
    summary: "A line in the timeline, of any values.",
    arguments: &[Field::needed("...", "any", "what it says, with spaces between")],
    example: "print(\"the first node is\", swarm:node(1))",
    see_also: &["record.note"],
    ..PLAIN
};

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    let note = instant(lua, context, &NOTE, note)?;
    let entries = vec![("metric", instant(lua, context, &METRIC, metric)?), ("note", note)];
    globals.raw_set("record", sandbox::module(lua, context, "record", entries)?)?;
    globals.raw_set("print", instant(lua, context, &PRINT, print)?)?;
    globals.raw_set("sleep", waiting(lua, context, &SLEEP, sleep)?)
}

fn note(call: Call) -> Outcome<()> {
    let text = call.text(0, "text")?;
    call.host()?.note(&text, call.at());
    Ok(())
}

fn print(call: Call) -> Outcome<()> {
    let mut words = Vec::new();
    for place in 0.. {
        match call.argument(place) {
            Value::Nil => break,
            value => {
                words.push(value.to_string().map_err(|error| call.mistake(error.to_string()))?)
            }
        }
    }
    call.host()?.note(&words.join(" "), call.at());
    Ok(())
}

fn metric(call: Call) -> Outcome<()> {
    let name = call.text(0, "a name")?;
    let given = call.argument(1);
    let length = as_data::<DurationValue>(&given).map(|length| length.0.as_secs_f64());
    let size = as_data::<SizeValue>(&given).map(|size| size.0.0 as f64);
    let value = match (&given, length, size) {
        (Value::Integer(number), ..) => MetricValue { value: *number as f64, unit: "" },
        (Value::Number(number), ..) if number.is_finite() => {
            MetricValue { value: *number, unit: "" }
        }
        (_, Some(seconds), _) => MetricValue { value: seconds, unit: "s" },
        (_, _, Some(bytes)) => MetricValue { value: bytes, unit: "B" },
        _ => {
            return Err(call.mistake(format!(
                "`record.metric` takes a finite number or a value that meshlab gave, got {}",
                describe(&given)
            )));
        }
    };
    call.host()?.metric(&name, value, call.at());
    Ok(())
}

async fn sleep(call: Call) -> Outcome<()> {
    let length = call.planned(0)?;
    let host = Arc::clone(call.host()?);
    call.or_cancelled(host.sleep(length)).await
}
