//! `expect.*` and `check.*`: the same claims; a failed `expect` ends the test, `check` goes on.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use meshlab_engine::{Claim, ClaimOutcome, SpanQuery, Via};
use meshlab_model::{Severity, format_duration};
use meshlab_wire::State;
use mlua::{Function, Lua, Result, Table, Value};

use crate::{
    call::{Call, Outcome, as_data, describe, waiting},
    context::Context,
    error::nearest,
    sandbox,
    values::{DurationValue, as_duration},
};

const SPANS: &[&str] = &["from", "from_each", "where", "since", "at_least", "within"];
const FORMED: &[&str] = &["within"];
const STATE: &[&str] = &["seen_by", "via", "since", "within"];
const WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &Table) -> Result<()> {
    for (module, severity) in [("expect", Severity::Expect), ("check", Severity::Check)] {
        let entries = entries(lua, context, severity)?;
        globals.raw_set(module, sandbox::module(lua, context, module, entries)?)?;
    }
    Ok(())
}

type Entries = Vec<(&'static str, Function)>;

fn entries(lua: &Lua, context: &Arc<Context>, severity: Severity) -> Result<Entries> {
    let names: [&'static str; 6] = match severity {
        Severity::Expect => [
            "expect.spans",
            "expect.formed",
            "expect.state",
            "expect.equal",
            "expect.at_least",
            "expect.at_most",
        ],
        Severity::Check => [
            "check.spans",
            "check.formed",
            "check.state",
            "check.equal",
            "check.at_least",
            "check.at_most",
        ],
    };
    let claims: [fn(&Call) -> Outcome<Claim>; 6] = [spans, formed, state, equal, at_least, at_most];
    names
        .into_iter()
        .zip(claims)
        .map(|(name, claim)| {
            let function = waiting(lua, context, name, move |call| async move {
                let wanted = claim(&call)?;
                let host = Arc::clone(call.host()?);
                let outcome = host.claim(wanted, severity, call.at()).await;
                met(&call, call.answer(outcome)?)
            })?;
            Ok((name.split_once('.').map_or(name, |(_, entry)| entry), function))
        })
        .collect()
}

/// What a claim hands back: how long it took, and whether it held (a `check` may not have).
fn met(call: &Call, outcome: ClaimOutcome) -> Outcome<Table> {
    let make = || {
        let met = call.lua.create_table()?;
        met.raw_set("took", call.lua.create_userdata(DurationValue(outcome.took))?)?;
        met.raw_set("passed", outcome.passed)?;
        Ok::<_, mlua::Error>(met)
    };
    make().map_err(|error| call.mistake(error.to_string()))
}

fn spans(call: &Call) -> Outcome<Claim> {
    call.at_most(2)?;
    let name = call.text(0, "a span's name")?;
    let options = call.options(1, SPANS)?;
    call.host()?;
    let from = options.nodes("from", false)?;
    let from_each = options.nodes("from_each", true)?;
    if from.is_some() && from_each.is_some() {
        let message = "`from` counts all together, `from_each` each by itself: use one of them";
        return Err(options.mistake("from_each", message.to_owned()));
    }
    let each = from_each.is_some();
    Ok(Claim::Spans {
        query: SpanQuery {
            name,
            from: from.or(from_each),
            attributes: options.attributes("where")?,
            since: options.since()?,
        },
        each,
        at_least: options.count("at_least")?.unwrap_or(1),
        within: options.duration("within")?.unwrap_or(WITHIN),
    })
}

fn formed(call: &Call) -> Outcome<Claim> {
    call.at_most(2)?;
    call.host()?;
    let mesh = call.mesh(0)?.id;
    let options = call.options(1, FORMED)?;
    Ok(Claim::Formed { mesh, within: options.duration("within")?.unwrap_or(WITHIN) })
}

fn state(call: &Call) -> Outcome<Claim> {
    call.at_most(3)?;
    call.host()?;
    let node = call.node(0)?.id;
    let state = call.text(1, "a state's name")?;
    let known = State::ALL.map(State::as_str);
    if State::from_name(&state).is_none() {
        let mut error = call.mistake(format!("there is no state `{state}`"));
        error.label = nearest(&state, known).map(|meant| format!("did you mean `{meant}`?"));
        error.help = Some(format!("states: {}", known.join(", ")));
        return Err(error);
    }
    let options = call.options(2, STATE)?;
    let via = match options.text("via")?.as_deref() {
        None => None,
        Some("message") => Some(Via::Message),
        Some("inference") => Some(Via::Inference),
        Some(other) => {
            let message = format!("`via` is \"message\" or \"inference\", not \"{other}\"");
            return Err(options.mistake("via", message));
        }
    };
    Ok(Claim::State {
        node,
        state,
        seen_by: options.nodes("seen_by", true)?,
        via,
        since: options.since()?,
        within: options.duration("within")?.unwrap_or(WITHIN),
    })
}

fn equal(call: &Call) -> Outcome<Claim> {
    let (actual, wanted) = (call.argument(0), call.argument(1));
    let holds = actual.equals(&wanted).map_err(|error| call.mistake(error.to_string()))?;
    compared(call, "expect.equal", holds, "is")
}

fn at_least(call: &Call) -> Outcome<Claim> {
    let order = order(call)?;
    compared(call, "expect.at_least", order != Ordering::Less, "is at least")
}

fn at_most(call: &Call) -> Outcome<Claim> {
    let order = order(call)?;
    compared(call, "expect.at_most", order != Ordering::Greater, "is at most")
}

/// Orders the two arguments: both numbers, or both lengths of time.
fn order(call: &Call) -> Outcome<Ordering> {
    let (actual, bound) = (call.argument(0), call.argument(1));
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    };
    let order = match (number(&actual), number(&bound)) {
        (Some(actual), Some(bound)) => actual.partial_cmp(&bound),
        (None, _) => match (as_duration(&actual), as_duration(&bound)) {
            (Ok(actual), Ok(bound)) => Some(actual.cmp(&bound)),
            (Ok(_), Err(why)) | (Err(why), _) => {
                return Err(call.mistake(format!("`{}` cannot order these: {why}", call.name)));
            }
        },
        _ => None,
    };
    order.ok_or_else(|| {
        call.mistake(format!(
            "`{}` cannot order {} and {}",
            call.name,
            describe(&actual),
            describe(&bound)
        ))
    })
}

fn compared(call: &Call, name: &'static str, holds: bool, relation: &str) -> Outcome<Claim> {
    call.at_most(3)?;
    let label = match call.argument(2) {
        Value::Nil => "the value".to_owned(),
        _ => call.text(2, "a label")?,
    };
    let shown = |value: &Value| match as_data::<DurationValue>(value) {
        Some(length) => format_duration(length.0),
        None => value.to_string().unwrap_or_default(),
    };
    let text = format!("{label} {relation} {}", shown(&call.argument(1)));
    let found = format!("{label} is {}", shown(&call.argument(0)));
    Ok(Claim::Compared { call: name, holds, text, found })
}
