//! Which spans a call means: a name, and what the attributes must be.

use meshlab_engine::{Condition, Since, SpanQuery};
use meshlab_model::NodeId;
use mlua::{Table, Value};
use serde_json::Value as Json;

use super::spans::{UNDER, WHERE as WHERE_OPTION};
use crate::{
    call::{Call, Options, Outcome, describe},
    define::{Class, Field},
    error::nearest,
};

/// `{ "name", where = ..., under = ... }`
pub(super) const SPAN_PART: Class = Class::options(
    "SpanPart",
    "A span in a claim about several.",
    &[Field::needed("[1]", "SpanName", "its name, which stands first"), WHERE_OPTION, UNDER],
);

pub(super) const CONDITION: Class = Class::options(
    "Condition",
    "What an attribute must be. Of several, all must hold.",
    &[
        Field::optional("contains", "string", "text with this in it"),
        Field::optional("above", "number", "a number above this"),
        Field::optional("at_least", "number", "a number not below this"),
        Field::optional("below", "number", "a number below this"),
        Field::optional("at_most", "number", "a number not above this"),
        Field::optional("one_of", "(string|number|boolean)[]", "one of these values"),
        Field::optional("is_not", "string|number|boolean", "any other value"),
        Field::optional("present", "boolean", "whether the attribute is there"),
    ],
);

const WHERE: &str = "a table of texts, numbers, booleans or conditions by attribute name";

/// `name, { where = ..., under = ..., since = ... }`: the spans that a call is about.
pub(super) fn query(
    call: &Call,
    name: String,
    options: &Options,
    from: Option<Vec<NodeId>>,
) -> Outcome<SpanQuery> {
    query_since(call, name, options, from, options.since()?)
}

/// The same for a call that says itself from when on.
pub(super) fn query_since(
    call: &Call,
    name: String,
    options: &Options,
    from: Option<Vec<NodeId>>,
    since: Since,
) -> Outcome<SpanQuery> {
    let conditions = conditions(call, &options.get("where"))?;
    Ok(SpanQuery { name, from, conditions, under: options.text("under")?, since })
}

/// `from` or `from_each`, and whether it was the latter. `together` says what `from` does.
pub(super) fn senders(
    options: &Options,
    together: &str,
    each: &str,
) -> Outcome<(Option<Vec<NodeId>>, bool)> {
    let from = options.nodes("from", false)?;
    let from_each = options.nodes("from_each", true)?;
    if from.is_some() && from_each.is_some() {
        let message = format!("`from` {together}, `from_each` {each}");
        return Err(options.mistake("from_each", message));
    }
    let of_each = from_each.is_some();
    Ok((from.or(from_each), of_each))
}

/// A span within a claim about several: `"name"` or `{ "name", where = { ... } }`.
pub(super) fn part(
    call: &Call,
    what: &str,
    value: &Value,
    since: Since,
    from: Option<Vec<NodeId>>,
) -> Outcome<SpanQuery> {
    let wrong = || {
        call.mistake_with(
            format!("{what} of `{}` is {}", call.name, describe(value)),
            "a span is its name, or `{ \"name\", where = { attribute = value } }`",
        )
    };
    let (name, conditions, under) = match value {
        Value::String(name) => (name.to_string_lossy(), Vec::new(), None),
        Value::Table(table) => {
            for pair in table.pairs::<Value, Value>() {
                match pair {
                    Ok((Value::Integer(1), _)) => {}
                    Ok((Value::String(key), _)) => known(call, &key.to_string_lossy(), &SPAN_PART)?,
                    _ => return Err(wrong()),
                }
            }
            let get = |key: &str| table.raw_get::<Value>(key).unwrap_or(Value::Nil);
            let Ok(Value::String(name)) = table.raw_get::<Value>(1) else { return Err(wrong()) };
            let under = match get("under") {
                Value::Nil => None,
                Value::String(name) => Some(name.to_string_lossy()),
                _ => return Err(wrong()),
            };
            (name.to_string_lossy(), self::conditions(call, &get("where"))?, under)
        }
        _ => return Err(wrong()),
    };
    Ok(SpanQuery { name, from, conditions, under, since })
}

/// `where`: attributes and what they must be.
fn conditions(call: &Call, value: &Value) -> Outcome<Vec<(String, Condition)>> {
    let wrong = |got: &Value| {
        let got = describe(got);
        call.mistake_with(
            format!("`where` of `{}` takes {WHERE}, got {got}", call.name),
            format!(
                "conditions: {}; for example {{ bytes = {{ above = 200 }} }}",
                names(&CONDITION)
            ),
        )
    };
    let table = match value {
        Value::Nil => return Ok(Vec::new()),
        Value::Table(table) => table,
        other => return Err(wrong(other)),
    };
    let mut conditions = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let Ok((Value::String(name), wanted)) = pair else { return Err(wrong(value)) };
        let name = name.to_string_lossy();
        match &wanted {
            Value::Table(tests) => {
                for condition in tested(call, tests)? {
                    conditions.push((name.clone(), condition));
                }
            }
            single => match json(single) {
                Some(wanted) => conditions.push((name, Condition::Equal(wanted))),
                None => return Err(wrong(single)),
            },
        }
    }
    // A table has no order, and what is told and recorded must not depend on chance.
    conditions.sort_by_cached_key(|(name, condition)| (name.clone(), condition.to_string()));
    Ok(conditions)
}

/// `{ above = 200, below = 300 }`: all of them must hold.
fn tested(call: &Call, tests: &Table) -> Outcome<Vec<Condition>> {
    let mut conditions = Vec::new();
    for pair in tests.pairs::<Value, Value>() {
        let (key, value) = match pair {
            Ok((Value::String(key), value)) => (key.to_string_lossy(), value),
            _ => {
                let help = format!("there are: {}", names(&CONDITION));
                return Err(call.mistake_with("a condition in `where` has a name", help));
            }
        };
        known(call, &key, &CONDITION)?;
        let wrong = |wanted: &str| {
            call.mistake(format!("`{key}` in `where` takes {wanted}, got {}", describe(&value)))
        };
        let number = || match &value {
            Value::Integer(number) => Ok(*number as f64),
            Value::Number(number) if number.is_finite() => Ok(*number),
            _ => Err(wrong("a number")),
        };
        conditions.push(match key.as_str() {
            "contains" => match &value {
                Value::String(part) => Condition::Contains(part.to_string_lossy()),
                _ => return Err(wrong("text")),
            },
            "above" => Condition::Above(number()?),
            "at_least" => Condition::AtLeast(number()?),
            "below" => Condition::Below(number()?),
            "at_most" => Condition::AtMost(number()?),
            "is_not" => {
                Condition::Not(json(&value).ok_or_else(|| wrong("text, a number or a boolean"))?)
            }
            "one_of" => {
                let Value::Table(list) = &value else { return Err(wrong("a list")) };
                let values = list.sequence_values::<Value>();
                let values: Option<Vec<Json>> = values.map(|value| json(&value.ok()?)).collect();
                let values = values.filter(|values| !values.is_empty());
                Condition::OneOf(values.ok_or_else(|| wrong("a list of texts or numbers"))?)
            }
            _ => match &value {
                Value::Boolean(wanted) => Condition::Present(*wanted),
                _ => return Err(wrong("true or false")),
            },
        });
    }
    Ok(conditions)
}

fn known(call: &Call, key: &str, class: &'static Class) -> Outcome<()> {
    if class.field(key).is_some() {
        call.context.reads(class.name, key);
        return Ok(());
    }
    let message = format!("`{}` has no `{key}` for a span", call.name);
    let mut error = call.context.option_mistake(call.name, call.line, key, false, message);
    let meant = nearest(key, class.members());
    error.label = meant.map(|meant| format!("did you mean `{meant}`?"));
    error.help = Some(format!("there are: {}", names(class)));
    Err(Box::new(error))
}

/// The names that a table of this class may have; a place in it is none.
fn names(class: &Class) -> String {
    let names: Vec<&str> = class.members().filter(|name| !name.starts_with('[')).collect();
    names.join(", ")
}

fn json(value: &Value) -> Option<Json> {
    match value {
        Value::String(text) => Some(text.to_string_lossy().into()),
        Value::Integer(number) => Some((*number as f64).into()),
        Value::Number(number) if number.is_finite() => Some((*number).into()),
        Value::Boolean(truth) => Some((*truth).into()),
        _ => None,
    }
}
