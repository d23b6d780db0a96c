//! Parameters of a scenario: their defaults, and what the command line puts in their place.

use std::{collections::BTreeMap, sync::Arc};

use meshlab_model::ParamValue;
use mlua::{IntoLua, Lua, MetaMethod, Result, Table, Value};

use crate::{
    call::{Call, Options, Outcome},
    context::Context,
    error::{ScriptError, nearest},
};

/// The parameter that `--nodes` sets.
pub(crate) const NODES: &str = "nodes";

/// `params = { nodes = 8, loss = "10%", strict = true }`, with `--set` in the place of defaults.
pub(super) fn read(call: &Call, options: &Options) -> Outcome<BTreeMap<String, ParamValue>> {
    let defaults = options.within("params")?;
    let mut params = BTreeMap::new();
    for name in options.names("params")? {
        let default = match defaults.get(&name) {
            Value::Boolean(truth) => ParamValue::Bool(truth),
            Value::Integer(number) => ParamValue::Integer(number),
            Value::Number(number) if number.is_finite() => ParamValue::Number(number),
            Value::String(text) => ParamValue::Text(text.to_string_lossy()),
            _ => {
                let message = format!("the default of `{name}` is a number, text, true or false");
                return Err(defaults.mistake(&name, message));
            }
        };
        params.insert(name, default);
    }
    for (name, text) in &call.context.overrides.params {
        let Some(default) = params.get(name) else {
            return Err(unknown(call, name, &params));
        };
        let Some(value) = typed(default, text) else {
            let message = format!("`--set {name}={text}`: `{name}` is {}", wanted(default));
            let mut error = defaults.mistake(&name.clone(), message);
            error.label = Some("its default says what it is".to_owned());
            return Err(error);
        };
        params.insert(name.clone(), value);
    }
    if let Some((nodes, default)) = call.context.overrides.nodes.zip(params.get(NODES)) {
        // Whoever asked for it made sure that it can be.
        let value = typed(default, &nodes.to_string()).unwrap_or(ParamValue::Integer(nodes.into()));
        params.insert(NODES.to_owned(), value);
    }
    Ok(params)
}

/// Text as a value of the default's type.
fn typed(default: &ParamValue, text: &str) -> Option<ParamValue> {
    match default {
        ParamValue::Text(_) => Some(ParamValue::Text(text.to_owned())),
        ParamValue::Bool(_) => text.parse().ok().map(ParamValue::Bool),
        ParamValue::Integer(_) | ParamValue::Number(_) => {
            let number = || text.parse().ok().filter(|number: &f64| number.is_finite());
            let whole = text.parse().ok().map(ParamValue::Integer);
            whole.or_else(|| number().map(ParamValue::Number))
        }
    }
}

fn wanted(default: &ParamValue) -> &'static str {
    match default {
        ParamValue::Text(_) => "text",
        ParamValue::Bool(_) => "true or false",
        ParamValue::Integer(_) | ParamValue::Number(_) => "a number",
    }
}

fn unknown(call: &Call, name: &str, params: &BTreeMap<String, ParamValue>) -> Box<ScriptError> {
    let message = format!("`--set {name}=...`: this scenario has no parameter `{name}`");
    let line = call.line;
    let context = &call.context;
    let mut error = context.option_mistake(call.name, line, "params", false, message);
    let known = params.keys().map(String::as_str);
    error.label = nearest(name, known).map(|meant| format!("did you mean `{meant}`?"));
    let each: Vec<String> =
        params.iter().map(|(name, default)| format!("{name}={default}")).collect();
    error.help = (!each.is_empty()).then(|| format!("parameters: {}", each.join(", ")));
    Box::new(error)
}

/// `run.params`: read-only, and a misspelt name is an error.
pub(super) fn table(
    lua: &Lua,
    context: &Arc<Context>,
    params: &BTreeMap<String, ParamValue>,
) -> Result<Table> {
    let missing = {
        let (context, params) = (Arc::clone(context), params.clone());
        lua.create_function(move |lua, (_, key): (Table, Value)| {
            let key = key.to_string()?;
            match params.get(&key) {
                Some(ParamValue::Bool(truth)) => return truth.into_lua(lua),
                Some(ParamValue::Integer(number)) => return number.into_lua(lua),
                Some(ParamValue::Number(number)) => return number.into_lua(lua),
                Some(ParamValue::Text(text)) => return text.as_str().into_lua(lua),
                None => {}
            }
            let message = format!("this scenario has no parameter `{key}`");
            let mut error = context.word_mistake(&key, context.caller_line(lua), message);
            let known = params.keys().map(String::as_str);
            error.label = nearest(&key, known).map(|meant| format!("did you mean `{meant}`?"));
            Err(mlua::Error::external(error))
        })?
    };
    let frozen = lua.create_table()?;
    let meta = lua.create_table()?;
    meta.raw_set(MetaMethod::Index.name(), missing)?;
    let read_only = crate::sandbox::read_only(lua, context, "run.params")?;
    meta.raw_set(MetaMethod::NewIndex.name(), read_only)?;
    meta.raw_set("__metatable", false)?;
    frozen.set_metatable(Some(meta))?;
    Ok(frozen)
}
