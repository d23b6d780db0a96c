//! `record.*`, `print`, `sleep`.

use std::sync::Arc;

use meshlab_engine::MetricValue;
use mlua::{Lua, Result, Table, Value};

use crate::{
    call::{Call, Outcome, as_data, describe, instant, waiting},
    context::Context,
    sandbox,
    values::{DurationValue, SizeValue},
};

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    let note = instant(lua, context, "record.note", note)?;
    let entries = vec![("metric", instant(lua, context, "record.metric", metric)?), ("note", note)];
    globals.raw_set("record", sandbox::module(lua, context, "record", entries)?)?;
    globals.raw_set("print", instant(lua, context, "print", print)?)?;
    globals.raw_set("sleep", waiting(lua, context, "sleep", sleep)?)
}

fn note(call: Call) -> Outcome<()> {
    call.at_most(1)?;
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
    call.at_most(2)?;
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
    call.at_most(1)?;
    let length = call.planned(0)?;
    let host = Arc::clone(call.host()?);
    call.or_cancelled(host.sleep(length)).await
}
