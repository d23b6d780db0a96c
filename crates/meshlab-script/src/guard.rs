//! Guards the library functions that work in C, where the watchdog of `sandbox.rs` does not look:
//! a loop of calls that each take long is ended at the next of them, and no single call may take
//! long.

use std::sync::Arc;

use mlua::{Function, Lua, MultiValue, Result, Value};

use crate::{
    context::Context,
    patterns::{Search, affordable, plain_affordable},
    sandbox::not_alone,
};

/// Code of this name is the script's own as far as the watchdog is concerned: a loop must not hide
/// in it.
pub(crate) const CHUNK: &str = "=guard";
/// What Lua calls that code in its errors.
pub(crate) const FILE: &str = "guard";

/// Elements that one call may move.
const MOVED_MAX: i64 = 10_000_000;

/// What is looked at before a call.
#[derive(Clone, Copy)]
enum Before {
    /// Only how long the script has run.
    Time,
    /// A pattern, or a plain word, and the text that it is looked for in.
    Pattern(Search),
    /// How many elements are moved.
    Move,
}

/// What a call of that function needs; `None` if its work is never more than its arguments.
fn before(library: &str, name: &str) -> Option<Before> {
    Some(match (library, name) {
        ("string", "find" | "match") => Before::Pattern(Search::First),
        ("string", "gmatch" | "gsub") => Before::Pattern(Search::All),
        ("string", "format" | "lower" | "rep" | "reverse" | "sub" | "upper") => Before::Time,
        ("table", "move") => Before::Move,
        ("table", _) | ("utf8", "len" | "codepoint" | "offset") => Before::Time,
        _ => return None,
    })
}

/// The same function with its guard, where it needs one.
pub(crate) fn guarded(
    lua: &Lua,
    context: &Arc<Context>,
    library: &'static str,
    name: &str,
    value: Value,
) -> Result<Value> {
    let (Value::Function(function), Some(before)) = (&value, before(library, name)) else {
        return Ok(value);
    };
    let context = Arc::clone(context);
    let full = format!("{library}.{name}");
    let guard = lua.create_function(move |lua, arguments: MultiValue| -> Result<()> {
        context.looked();
        not_alone(lua, &context)?;
        match before {
            Before::Time => Ok(()),
            Before::Pattern(search) => pattern(lua, &context, &full, search, &arguments),
            Before::Move => moved(lua, &context, &arguments),
        }
    })?;
    // Looks first, then does what was asked, under the name that errors about arguments tell.
    let code =
        format!("local {name}, look = ...\nreturn function(...) look(...) return {name}(...) end");
    let wrap = lua.load(code).set_name(CHUNK).into_function()?;
    wrap.call::<Function>((function, guard)).map(Value::Function)
}

fn pattern(
    lua: &Lua,
    context: &Arc<Context>,
    full: &str,
    search: Search,
    arguments: &MultiValue,
) -> Result<()> {
    let text = |place: usize| match arguments.get(place) {
        Some(value @ (Value::String(_) | Value::Integer(_) | Value::Number(_))) => {
            lua.coerce_string(value.clone())
        }
        // What is no text Lua refuses by itself.
        _ => Ok(None),
    };
    let (Some(subject), Some(pattern)) = (text(0)?, text(1)?) else { return Ok(()) };
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let starts = matches!(full, "string.find" | "string.match" | "string.gmatch");
    let from = if starts { whole(lua, arguments, 2) } else { None }.unwrap_or(1);
    let from = usize::try_from(from).map_or(0, |from| from.saturating_sub(1)).min(subject.len());
    let plain = full == "string.find"
        && arguments
            .get(3)
            .is_some_and(|plain| !matches!(plain, Value::Nil | Value::Boolean(false)));
    let dear = if plain {
        plain_affordable(&subject[from..], &pattern)
    } else {
        affordable(&subject, &pattern, from, search)
    };
    // What was tried took its time, and is no endless loop.
    let Err(_) = dear else { return Ok(()) };
    let line = context.caller_line(lua);
    let message = format!("this pattern takes too long on a text of {} bytes", subject.len());
    let mut error = context.mistake(full, line, message);
    error.help = Some(
        "each `*`, `+`, `-` and `?` that can match the same text multiplies the work: make them \
         unlike each other, begin with `^`, or look at a part of the text"
            .to_owned(),
    );
    Err(mlua::Error::external(error))
}

/// A whole number as Lua takes one: `1e15` and `"7"` are such too.
fn whole(lua: &Lua, arguments: &MultiValue, place: usize) -> Option<i64> {
    lua.coerce_integer(arguments.get(place)?.clone()).ok().flatten()
}

fn moved(lua: &Lua, context: &Arc<Context>, arguments: &MultiValue) -> Result<()> {
    let number = |place: usize| whole(lua, arguments, place).unwrap_or(0);
    let count = i128::from(number(2)) - i128::from(number(1)) + 1;
    if count <= i128::from(MOVED_MAX) {
        return Ok(());
    }
    let message = format!("`table.move` moves at most {MOVED_MAX} elements, not {count}");
    Err(mlua::Error::external(context.mistake("table.move", context.caller_line(lua), message)))
}
