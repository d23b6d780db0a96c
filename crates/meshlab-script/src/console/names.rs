//! The names that a line can use: all of the language, `swarm` and `meshes`, and what lines set.

use std::sync::Arc;

use mlua::{Error, Function, Lua, MetaMethod, MultiValue, Table, Value};

use super::Console;
use crate::{Script, api::MeshRef, context::Context, error::nearest};

/// What lines run in: all of the language, `swarm` and `meshes`, and what they set themselves.
pub(super) fn environment(script: &Script, console: &Console) -> mlua::Result<Table> {
    let (lua, context) = (&script.lua, &script.context);
    let environment = lua.create_table()?;
    environment.raw_set("print", print(lua, console)?)?;
    let meta = lua.create_table()?;
    let get = {
        let (context, language) = (Arc::clone(context), script.names.environment.clone());
        lua.create_function(move |lua, (_, key): (Table, Value)| {
            let name = key.as_string().map(|name| name.to_string_lossy()).unwrap_or_default();
            match name.as_str() {
                "swarm" => swarm(lua, &context),
                "meshes" => Ok(Value::Table(meshes(lua, &context)?)),
                "scenario" | "test" | "require" => {
                    let line = context.caller_line(lua);
                    let message = format!("`{name}` is for a file, not for a prompt");
                    Err(Error::external(context.word_mistake(&name, line, message)))
                }
                _ => language.get(key),
            }
        })?
    };
    let set = {
        let (context, language) = (Arc::clone(context), script.names.globals.clone());
        lua.create_function(move |lua, (table, key, value): (Table, Value, Value)| {
            let name = key.to_string()?;
            if language.contains_key(key.clone())? || matches!(name.as_str(), "swarm" | "meshes") {
                let line = context.caller_line(lua);
                let message = format!("`{name}` is a name of the language and cannot be set");
                return Err(Error::external(context.word_mistake(&name, line, message)));
            }
            table.raw_set(key, value)
        })?
    };
    meta.raw_set(MetaMethod::Index.name(), get)?;
    meta.raw_set(MetaMethod::NewIndex.name(), set)?;
    meta.raw_set("__metatable", false)?;
    environment.set_metatable(Some(meta))?;
    Ok(environment)
}

/// `print` to whoever gave the line, and to the record.
fn print(lua: &Lua, console: &Console) -> mlua::Result<Function> {
    let console = console.clone();
    lua.create_function(move |lua, values: MultiValue| {
        let context = &console.0.context;
        context.touch();
        let words = values.iter().map(Value::to_string).collect::<mlua::Result<Vec<_>>>()?;
        let text = words.join(" ");
        let line = context.caller_line(lua);
        if let Some(host) = context.host() {
            host.note(&text, context.source_line("print", line));
        }
        console.say(text);
        Ok(())
    })
}

fn mesh_refs(context: &Arc<Context>) -> Vec<MeshRef> {
    let meshes = context.host().map(|host| host.meshes()).unwrap_or_default();
    meshes.into_iter().map(|mesh| MeshRef::of(mesh, context)).collect()
}

/// The one mesh that there is.
fn swarm(lua: &Lua, context: &Arc<Context>) -> mlua::Result<Value> {
    let mut all = mesh_refs(context);
    if let (Some(one), true) = (all.pop(), all.is_empty()) {
        return lua.create_userdata(one).map(Value::UserData);
    }
    let names: Vec<String> =
        mesh_refs(context).iter().map(|mesh| format!("meshes[\"{}\"]", mesh.id)).collect();
    let line = context.caller_line(lua);
    let message = "`swarm` is the mesh where there is one, and here are several".to_owned();
    let mut error = context.word_mistake("swarm", line, message);
    error.help = Some(format!("there is {}", names.join(", ")));
    Err(Error::external(error))
}

/// All meshes by their names.
fn meshes(lua: &Lua, context: &Arc<Context>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let all = mesh_refs(context);
    let names: Vec<String> = all.iter().map(|mesh| mesh.id.to_string()).collect();
    for mesh in all {
        table.raw_set(mesh.id.to_string(), lua.create_userdata(mesh)?)?;
    }
    let missing = {
        let context = Arc::clone(context);
        lua.create_function(move |lua, (_, key): (Table, Value)| -> mlua::Result<Value> {
            let name = key.to_string()?;
            let line = context.caller_line(lua);
            let message = format!("there is no mesh `{name}`");
            let mut error = context.word_mistake(&name, line, message);
            let meant = nearest(&name, names.iter().map(String::as_str));
            error.label = meant.map(|meant| format!("did you mean `{meant}`?"));
            error.help = Some(format!("meshes: {}", names.join(", ")));
            Err(Error::external(error))
        })?
    };
    let meta = lua.create_table()?;
    meta.raw_set(MetaMethod::Index.name(), missing)?;
    meta.raw_set("__metatable", false)?;
    table.set_metatable(Some(meta))?;
    Ok(table)
}
