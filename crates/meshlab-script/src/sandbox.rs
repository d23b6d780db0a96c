//! The Lua that scenarios get: no files, no processes, no bytecode, no way around a failure.
//!
//! Left out on purpose: `io os package debug coroutine`, everything that loads code, `pcall` and
//! `xpcall` (with them a scenario could swallow a failed `expect` and go on as if nothing had
//! happened), and the functions that reach behind a metatable. What is there is read-only.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use meshlab_model::format_duration;
use mlua::{
    Function, HookTriggers, IntoLua, Lua, LuaOptions, MetaMethod, Result, StdLib, Table, Value,
    VmState,
};

use crate::{
    context::Context,
    error::{ErrorKind, nearest},
    guard::guarded,
    task::Place,
};

/// A scenario holds names and numbers; what it waits for lives in the harness.
const MEMORY_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Some ten microseconds of Lua: the watchdog costs nothing at this rate.
const LOOK_EVERY_INSTRUCTIONS: u32 = 10_000;
/// How often the clock is looked at. One instruction can join two strings as long as memory allows:
/// joining two of 60 MB took 95 ms, and a loop of it went on for four minutes at 10,000.
const CLOCK_EVERY_INSTRUCTIONS: u32 = 200;

const BASE: &[&str] =
    &["assert", "error", "ipairs", "next", "pairs", "select", "tonumber", "tostring", "type"];
const STRING: &[&str] = &[
    "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse",
    "sub", "upper",
];
const MATH: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "fmod",
    "huge",
    "max",
    "min",
    "modf",
    "pi",
    "sqrt",
    "tointeger",
    "type",
];

/// A Lua state with limits and nothing in it but what is safe; `Table` are the globals to fill.
pub(crate) fn new(context: &Arc<Context>) -> Result<(Lua, Table)> {
    let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH | StdLib::UTF8;
    let lua = Lua::new_with(libraries, LuaOptions::default())?;
    lua.set_memory_limit(MEMORY_BYTES_MAX)?;
    watch(&lua, context)?;
    let from = lua.globals();
    let globals = lua.create_table()?;
    for name in BASE {
        globals.raw_set(*name, from.raw_get::<Value>(*name)?)?;
    }
    for (name, allowed) in [("string", STRING), ("math", MATH)] {
        globals.raw_set(name, pick(&lua, context, name, allowed)?)?;
    }
    for name in ["table", "utf8"] {
        let library: Table = from.raw_get(name)?;
        let all: Vec<String> =
            library.pairs::<String, Value>().filter_map(|pair| Some(pair.ok()?.0)).collect();
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        globals.raw_set(name, pick(&lua, context, name, &names)?)?;
    }
    // `("x"):rep(9)` finds its methods through the metatable of strings, which must not lead to
    // the full library.
    let methods: Table = globals.raw_get("string")?;
    let strings = lua.create_table()?;
    strings.raw_set("__index", methods)?;
    strings.raw_set("__metatable", false)?;
    lua.set_type_metatable::<mlua::LuaString>(Some(strings));
    Ok((lua, globals))
}

/// A read-only library with these of its functions.
fn pick(lua: &Lua, context: &Arc<Context>, library: &'static str, names: &[&str]) -> Result<Table> {
    let from: Table = lua.globals().raw_get(library)?;
    let hidden = lua.create_table()?;
    context.add_module(library, names);
    for name in names {
        let value = guarded(lua, context, library, name, from.raw_get::<Value>(*name)?)?;
        hidden.raw_set(*name, value)?;
    }
    let frozen = lua.create_table()?;
    let meta = lua.create_table()?;
    meta.raw_set(MetaMethod::Index.name(), hidden)?;
    meta.raw_set(MetaMethod::NewIndex.name(), read_only(lua, context, library)?)?;
    meta.raw_set("__metatable", false)?;
    frozen.set_metatable(Some(meta))?;
    Ok(frozen)
}

/// Stops a loop that calls nothing, and a script whose run is being stopped.
fn watch(lua: &Lua, context: &Arc<Context>) -> Result<()> {
    let context = Arc::clone(context);
    let every = HookTriggers::new().every_nth_instruction(CLOCK_EVERY_INSTRUCTIONS);
    let clocks = AtomicU32::new(0);
    lua.set_global_hook(every, move |lua, _| {
        context.looked();
        let clock = clocks.fetch_add(1, Ordering::Relaxed);
        let looks = clock.is_multiple_of(LOOK_EVERY_INSTRUCTIONS / CLOCK_EVERY_INSTRUCTIONS);
        if !looks && context.endless_for().is_none() {
            return Ok(VmState::Continue);
        }
        // While a call waits, the loop that polls it is run by Lua too; that is not the script.
        look(lua, &context, context.runs_now(lua)).map(|()| VmState::Continue)
    })
}

/// Ends a script whose run is being stopped, a task that is cancelled, and, if it is the script
/// that runs now, one that has run too long by itself.
fn look(lua: &Lua, context: &Arc<Context>, runs_now: bool) -> Result<()> {
    let line = || context.caller_line(lua);
    if let Some(why) = context.host().and_then(|host| host.cancelled()) {
        let mut error = context.mistake("", line(), format!("the run was stopped: {why}"));
        error.kind = ErrorKind::Cancelled;
        return Err(mlua::Error::external(error));
    }
    if Place::here().is_some_and(|place| place.task.is_cancelled()) {
        let mut error = context.mistake("", line(), "the task was cancelled".to_owned());
        error.kind = ErrorKind::Withdrawn;
        return Err(mlua::Error::external(error));
    }
    if runs_now { not_alone(lua, context) } else { Ok(()) }
}

/// Ends a script that has run too long by itself.
pub(crate) fn not_alone(lua: &Lua, context: &Arc<Context>) -> Result<()> {
    let Some(alone) = context.endless_for() else { return Ok(()) };
    let alone = format_duration(alone);
    let message = format!("the script ran for {alone} without calling meshlab: an endless loop?");
    let mut error = context.mistake("", context.caller_line(lua), message);
    error.help = Some("to wait, use `sleep` or a claim with `within`".to_owned());
    Err(mlua::Error::external(error))
}

/// A read-only table named `name`: a missing entry is an error that says what was meant.
pub(crate) fn module(
    lua: &Lua,
    context: &Arc<Context>,
    name: &'static str,
    entries: Vec<(&'static str, Function)>,
) -> Result<Table> {
    let known: Vec<&'static str> = entries.iter().map(|(entry, _)| *entry).collect();
    context.add_module(name, &known);
    let hidden = lua.create_table()?;
    for (entry, function) in entries {
        hidden.raw_set(entry, function)?;
    }
    let missing = {
        let context = Arc::clone(context);
        lua.create_function(move |lua, (_, key): (Table, Value)| {
            let found: Value = hidden.raw_get(key.clone())?;
            if !found.is_nil() {
                return Ok(found);
            }
            let key = key.to_string()?;
            let full = format!("{name}.{key}");
            let line = context.caller_line(lua);
            let mut error = context.mistake(&full, line, format!("there is no `{full}`"));
            error.label = nearest(&key, known.iter().copied())
                .map(|meant| format!("did you mean `{name}.{meant}`?"));
            error.help = Some(format!("`{name}` has: {}", known.join(", ")));
            Err(mlua::Error::external(error))
        })?
    };
    let frozen = lua.create_table()?;
    let meta = lua.create_table()?;
    meta.raw_set(MetaMethod::Index.name(), missing)?;
    meta.raw_set(MetaMethod::NewIndex.name(), read_only(lua, context, name)?)?;
    meta.raw_set("__metatable", false)?;
    frozen.set_metatable(Some(meta))?;
    Ok(frozen)
}

pub(crate) fn read_only(lua: &Lua, context: &Arc<Context>, name: &'static str) -> Result<Function> {
    let context = Arc::clone(context);
    lua.create_function(move |lua, (_, key): (Table, Value)| -> Result<()> {
        let full = format!("{name}.{}", key.to_string()?);
        let line = context.caller_line(lua);
        let message = format!("`{full}` cannot be set: `{name}` is read-only");
        Err(mlua::Error::external(context.mistake(&full, line, message)))
    })
}

/// The environment of the file: an undefined name is an error, and so is defining a global.
pub(crate) fn environment(lua: &Lua, context: &Arc<Context>, globals: Table) -> Result<Table> {
    let get = {
        let context = Arc::clone(context);
        lua.create_function(move |lua, (_, key): (Table, Value)| {
            let found: Value = globals.raw_get(key.clone())?;
            if !found.is_nil() {
                return Ok(found);
            }
            let name = key.to_string()?;
            let line = context.caller_line(lua);
            let known: Vec<String> =
                globals.pairs::<String, Value>().filter_map(|pair| Some(pair.ok()?.0)).collect();
            let mut error = context.word_mistake(&name, line, format!("`{name}` is not defined"));
            error.label = nearest(&name, known.iter().map(String::as_str))
                .map(|meant| format!("did you mean `{meant}`?"));
            error.help = left_out(&name);
            Err(mlua::Error::external(error))
        })?
    };
    let set = {
        let context = Arc::clone(context);
        lua.create_function(move |lua, (_, key, _): (Table, Value, Value)| -> Result<()> {
            let name = key.to_string()?;
            let line = context.caller_line(lua);
            let message = format!("`{name}` would become a global");
            let mut error = context.word_mistake(&name, line, message);
            error.label = Some(format!("write `local {name} = ...`"));
            error.help = Some("globals are shared between tests and hide typing errors".to_owned());
            Err(mlua::Error::external(error))
        })?
    };
    let environment = lua.create_table()?;
    let meta = lua.create_table()?;
    meta.raw_set(MetaMethod::Index.name(), get)?;
    meta.raw_set(MetaMethod::NewIndex.name(), set)?;
    meta.raw_set("__metatable", false.into_lua(lua)?)?;
    environment.set_metatable(Some(meta))?;
    Ok(environment)
}

fn left_out(name: &str) -> Option<String> {
    let why = match name {
        "pcall" | "xpcall" => {
            "a failed claim must not be swallowed; use `check` to go on after one"
        }
        "io" | "os" | "package" | "debug" | "load" | "loadfile" | "dofile" | "loadstring" => {
            "a scenario has no access to files, processes or other code"
        }
        "coroutine" => "calls that wait look blocking; there is nothing to yield to",
        _ => return None,
    };
    Some(format!("`{name}` is left out: {why}"))
}
