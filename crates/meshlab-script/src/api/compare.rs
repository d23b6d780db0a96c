//! `equal`, `at_least`, `at_most`: comparisons of what a script holds.

use std::cmp::Ordering;

use meshlab_engine::Claim;
use meshlab_model::{ByteSize, Percent, format_duration};
use mlua::Value;

use crate::{
    call::{Call, Outcome, as_data, describe},
    values::{DurationValue, SizeValue, as_duration, as_percent, as_size},
};

pub(super) fn equal(call: &Call) -> Outcome<Claim> {
    let (actual, wanted) = (call.argument(0), call.argument(1));
    let holds = actual.equals(&wanted).map_err(|error| call.mistake(error.to_string()))?;
    let (actual, wanted) = (shown(&actual), shown(&wanted));
    compared(call, "expect.equal", holds, "is", &actual, &wanted)
}

pub(super) fn at_least(call: &Call) -> Outcome<Claim> {
    let pair = pair(call)?;
    let holds = pair.order(call)? != Ordering::Less;
    let (actual, bound) = pair.shown();
    compared(call, "expect.at_least", holds, "is at least", &actual, &bound)
}

pub(super) fn at_most(call: &Call) -> Outcome<Claim> {
    let pair = pair(call)?;
    let holds = pair.order(call)? != Ordering::Greater;
    let (actual, bound) = pair.shown();
    compared(call, "expect.at_most", holds, "is at most", &actual, &bound)
}

/// Two quantities of one kind: what is, and its bound.
enum Pair {
    Numbers(f64, f64),
    /// Shares: 1.0 is 100 %.
    Shares(f64, f64),
    Lengths(std::time::Duration, std::time::Duration),
    Sizes(ByteSize, ByteSize),
}

impl Pair {
    fn order(&self, call: &Call) -> Outcome<Ordering> {
        let order = match self {
            Self::Numbers(a, b) | Self::Shares(a, b) => a.partial_cmp(b),
            Self::Lengths(a, b) => Some(a.cmp(b)),
            Self::Sizes(a, b) => Some(a.cmp(b)),
        };
        order.ok_or_else(|| {
            let (actual, bound) = self.shown();
            call.mistake(format!("`{}` cannot order {actual} and {bound}", call.name))
        })
    }

    fn shown(&self) -> (String, String) {
        match self {
            Self::Numbers(a, b) => (a.to_string(), b.to_string()),
            Self::Shares(a, b) => (Percent(*a).to_string(), Percent(*b).to_string()),
            Self::Lengths(a, b) => (format_duration(*a), format_duration(*b)),
            Self::Sizes(a, b) => (a.to_string(), b.to_string()),
        }
    }
}

/// What the two arguments are: the kind is that of a value which meshlab gave, else what both
/// texts can be read as. A plain number against a text is a share.
fn pair(call: &Call) -> Outcome<Pair> {
    let (actual, bound) = (call.argument(0), call.argument(1));
    let cannot = |why: String| call.mistake(format!("`{}` cannot order these: {why}", call.name));
    let either = |is: fn(&Value) -> bool| is(&actual) || is(&bound);
    if either(|value| as_data::<SizeValue>(value).is_some()) {
        let sizes = as_size(&actual).and_then(|a| Ok(Pair::Sizes(a, as_size(&bound)?)));
        return sizes.map_err(cannot);
    }
    if either(|value| as_data::<DurationValue>(value).is_some()) {
        let lengths = as_duration(&actual).and_then(|a| Ok(Pair::Lengths(a, as_duration(&bound)?)));
        return lengths.map_err(cannot);
    }
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    };
    let share = |value: &Value| as_percent(value).map(|share| share.0);
    match (number(&actual), number(&bound)) {
        (Some(a), Some(b)) => Ok(Pair::Numbers(a, b)),
        (Some(a), None) if bound.is_string() => {
            share(&bound).map(|b| Pair::Shares(a, b)).map_err(cannot)
        }
        (None, Some(b)) if actual.is_string() => {
            share(&actual).map(|a| Pair::Shares(a, b)).map_err(cannot)
        }
        (None, None) if actual.is_string() && bound.is_string() => {
            texts(&actual, &bound).map_err(cannot)
        }
        _ => Err(cannot(format!("{} and {}", describe(&actual), describe(&bound)))),
    }
}

/// Two texts are of the kind that both can be read as.
fn texts(actual: &Value, bound: &Value) -> Result<Pair, String> {
    let sizes = as_size(actual).and_then(|a| Ok(Pair::Sizes(a, as_size(bound)?)));
    let shares = || as_percent(actual).and_then(|a| Ok(Pair::Shares(a.0, as_percent(bound)?.0)));
    let lengths = || as_duration(actual).and_then(|a| Ok(Pair::Lengths(a, as_duration(bound)?)));
    sizes.or_else(|_| shares()).or_else(|_| lengths())
}

fn shown(value: &Value) -> String {
    value.to_string().unwrap_or_default()
}

fn compared(
    call: &Call,
    name: &'static str,
    holds: bool,
    relation: &str,
    actual: &str,
    wanted: &str,
) -> Outcome<Claim> {
    let label = match call.argument(2) {
        Value::Nil => "the value".to_owned(),
        _ => call.text(2, "a label")?,
    };
    let text = format!("{label} {relation} {wanted}");
    let found = format!("{label} is {actual}");
    Ok(Claim::Compared { call: name, holds, text, found })
}
