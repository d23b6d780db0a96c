//! Values with units that the language hands back: they compare, divide and print.

use std::time::Duration;

use meshlab_model::{ByteSize, Percent, format_duration, parse_duration};
use mlua::{MetaMethod, UserData, UserDataMethods, Value};

use crate::define::{ASKS, Alias, Class, Definition, Family, Field};

pub(crate) const FAMILY: Family = Family {
    title: "Values with units",
    text: "Amounts have units. A bare number is an error that shows the fix; there is no default \
           unit to remember.",
    functions: &[],
    classes: &[&DURATION, &SIZE],
    aliases: &[
        &Alias {
            name: "Duration",
            summary: "A length of time: `\"250ms\"`, `\"30s\"`, `\"1h30m\"`, `\"4d\"`, or a \
                      value that \
                      meshlab gave.",
            kind: "string|DurationValue",
            texts: &[],
        },
        &Alias {
            name: "Size",
            summary: "An amount of bytes: `\"1KiB\"`, `\"200MiB\"`, or a value that meshlab gave.",
            kind: "string|SizeValue",
            texts: &[],
        },
        &Alias {
            name: "Percent",
            summary: "A share: `\"15%\"`. Of CPU, 100 % is one core, as `top` shows it.",
            kind: "string",
            texts: &[],
        },
        &Alias {
            name: "Rate",
            summary: "An amount per time: `\"500/s\"`, `\"30/min\"`, `\"2/h\"`.",
            kind: "string",
            texts: &[],
        },
        &Alias {
            name: "ByteRate",
            summary: "Bytes a second: `\"256KiB/s\"`.",
            kind: "string",
            texts: &[],
        },
    ],
};

const DURATION: Class = Class {
    operators: &[
        "add(Duration): DurationValue",
        "sub(Duration): DurationValue",
        "mul(number): DurationValue",
        "div(Duration): number",
    ],
    ..Class::given(
        "DurationValue",
        "A length of time that meshlab gave. It compares, adds, divides and prints.",
        &[],
        &[&SECONDS],
    )
};

const SIZE: Class = Class {
    operators: &["sub(Size): SizeValue", "div(Size): number"],
    ..Class::given(
        "SizeValue",
        "An amount of bytes that meshlab gave. It compares, subtracts, divides and prints.",
        &[],
        &[&BYTES],
    )
};

const SECONDS: Definition = Definition {
    name: "duration:seconds",
    summary: "The length of time in seconds, as a number.",
    returns: &[Field::needed("seconds", "number", "")],
    example: "local met = expect.formed(swarm)\nprint(met.took, met.took:seconds())",
    ..ASKS
};

const BYTES: Definition = Definition {
    name: "size:bytes",
    summary: "The amount as a number of bytes.",
    returns: &[Field::needed("bytes", "integer", "")],
    example: "print(swarm:usage().rss:bytes())",
    ..ASKS
};

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DurationValue(pub(crate) Duration);

impl UserData for DurationValue {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method(SECONDS.short(), |_, this, ()| Ok(this.0.as_secs_f64()));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(format_duration(this.0)));
        methods.add_meta_function(MetaMethod::Add, |_, (a, b): (Value, Value)| {
            Ok(Self(length(&a)?.saturating_add(length(&b)?)))
        });
        methods.add_meta_function(MetaMethod::Sub, |_, (a, b): (Value, Value)| {
            Ok(Self(length(&a)?.saturating_sub(length(&b)?)))
        });
        methods.add_meta_function(MetaMethod::Mul, |_, (a, b): (Value, Value)| {
            let (of, by) = match (number(&a), number(&b)) {
                (None, Some(by)) => (a, by),
                (Some(by), None) => (b, by),
                _ => {
                    return Err(mlua::Error::runtime("a length of time is multiplied by a number"));
                }
            };
            let of = length(&of)?;
            Duration::try_from_secs_f64(of.as_secs_f64() * by).map(Self).map_err(|_| {
                let why = "is below zero or longer than any run, which no length of time is";
                mlua::Error::runtime(format!("{} times {by} {why}", format_duration(of)))
            })
        });
        methods.add_meta_function(MetaMethod::Div, |_, (a, b): (Value, Value)| {
            let (a, b) = (length(&a)?, length(&b)?);
            share(a.as_secs_f64(), b.as_secs_f64(), || format_duration(a))
        });
        methods.add_meta_function(MetaMethod::Eq, |_, (a, b): (Value, Value)| {
            Ok(length(&a).ok() == length(&b).ok())
        });
        methods.add_meta_function(MetaMethod::Lt, |_, (a, b): (Value, Value)| {
            Ok(length(&a)? < length(&b)?)
        });
        methods.add_meta_function(MetaMethod::Le, |_, (a, b): (Value, Value)| {
            Ok(length(&a)? <= length(&b)?)
        });
    }
}

/// An amount of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SizeValue(pub(crate) ByteSize);

impl UserData for SizeValue {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method(BYTES.short(), |_, this, ()| Ok(this.0.0));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.0.to_string()));
        methods.add_meta_function(MetaMethod::Sub, |_, (a, b): (Value, Value)| {
            let (a, b) = (size(&a)?, size(&b)?);
            a.0.checked_sub(b.0).map(|bytes| Self(ByteSize(bytes))).ok_or_else(|| {
                mlua::Error::runtime(format!("{a} minus {b} is below zero, which no size is"))
            })
        });
        methods.add_meta_function(MetaMethod::Div, |_, (a, b): (Value, Value)| {
            let (a, b) = (size(&a)?, size(&b)?);
            share(a.0 as f64, b.0 as f64, || a.to_string())
        });
        methods.add_meta_function(MetaMethod::Eq, |_, (a, b): (Value, Value)| {
            Ok(as_size(&a).is_ok() && as_size(&a) == as_size(&b))
        });
        methods.add_meta_function(MetaMethod::Lt, |_, (a, b): (Value, Value)| {
            Ok(size(&a)? < size(&b)?)
        });
        methods.add_meta_function(MetaMethod::Le, |_, (a, b): (Value, Value)| {
            Ok(size(&a)? <= size(&b)?)
        });
    }
}

/// A plain number.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// How many times `b` goes into `a`. By nothing at all is an error: what comes of it would pass or
/// fail a claim for no reason.
fn share(a: f64, b: f64, shown: impl Fn() -> String) -> mlua::Result<f64> {
    if b > 0.0 {
        return Ok(a / b);
    }
    Err(mlua::Error::runtime(format!("{} cannot be divided by nothing", shown())))
}

fn size(value: &Value) -> mlua::Result<ByteSize> {
    as_size(value).map_err(mlua::Error::runtime)
}

/// An amount of bytes as a scenario gives one: text with a unit, or a value that meshlab gave.
pub(crate) fn as_size(value: &Value) -> Result<ByteSize, String> {
    match value {
        Value::String(text) => {
            ByteSize::parse(&text.to_string_lossy()).map_err(|error| error.to_string())
        }
        Value::UserData(data) => {
            data.borrow::<SizeValue>().map(|value| value.0).map_err(|_| "it is not a size".into())
        }
        Value::Integer(_) | Value::Number(_) => {
            let number = value.to_string().unwrap_or_default();
            Err(format!("`{number}` has no unit, write for example `\"{number}MiB\"`"))
        }
        other => Err(format!("it is a {}, not a size", other.type_name())),
    }
}

/// A length of time as a scenario gives one: text with a unit, or a value that meshlab gave.
fn length(value: &Value) -> mlua::Result<Duration> {
    as_duration(value).map_err(mlua::Error::runtime)
}

/// The same, with the error as text.
pub(crate) fn as_duration(value: &Value) -> Result<Duration, String> {
    match value {
        Value::String(text) => {
            let text = text.to_str().map_err(|_| "it is not text".to_owned())?;
            parse_duration(&text).map_err(|error| error.to_string())
        }
        Value::UserData(data) => data
            .borrow::<DurationValue>()
            .map(|value| value.0)
            .map_err(|_| "it is not a length of time".to_owned()),
        Value::Integer(number) => Err(bare(&number.to_string())),
        Value::Number(number) => Err(bare(&number.to_string())),
        other => Err(format!("it is a {}, not a length of time", other.type_name())),
    }
}

fn bare(number: &str) -> String {
    format!("`{number}` has no unit, write for example `\"{number}s\"`")
}

/// A share as a scenario gives one: text with a percent sign.
pub(crate) fn as_percent(value: &Value) -> Result<Percent, String> {
    match value {
        Value::String(text) => {
            Percent::parse(&text.to_string_lossy()).map_err(|error| error.to_string())
        }
        Value::Integer(number) => Err(format!("`{number}` has no unit, write `\"{number}%\"`")),
        Value::Number(number) => {
            // Six digits of a percent are more than anybody means; the rest is the binary fraction.
            let percent = (number * 100.0 * 1e6).round() / 1e6;
            Err(format!("`{number}` has no unit, write `\"{percent}%\"`"))
        }
        other => Err(format!("it is a {}, not a share", other.type_name())),
    }
}

/// An amount a second as a scenario gives one: `"500/s"`, `"30/min"`, `"2/h"`.
pub(crate) fn as_rate(value: &Value) -> Result<f64, String> {
    let Value::String(text) = value else {
        let number = value.to_string().unwrap_or_default();
        return Err(format!("`{number}` has no unit, write for example `\"{number}/s\"`"));
    };
    let text = text.to_string_lossy();
    let wrong = || format!("`{text}` is none such as \"500/s\", \"30/min\" or \"2/h\"");
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    if number.is_finite() && number > 0.0 { Ok(number / seconds) } else { Err(wrong()) }
}

/// Bytes a second as a scenario gives them: `"256KiB/s"`.
pub(crate) fn as_byte_rate(value: &Value) -> Result<u64, String> {
    let text = match value {
        Value::String(text) => text.to_string_lossy(),
        other => other.to_string().unwrap_or_default(),
    };
    let wrong = || format!("`{text}` is none such as \"256KiB/s\"");
    let size = text.strip_suffix("/s").ok_or_else(wrong)?;
    let ByteSize(bytes) = ByteSize::parse(size).map_err(|error| error.to_string())?;
    if bytes > 0 { Ok(bytes) } else { Err("it is nothing at all: cut the link instead".to_owned()) }
}

/// A length of time that a node told in microseconds.
pub(crate) fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}
