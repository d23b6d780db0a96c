//! `scenario { binaries = { ... } }`: the programs that a file needs, as `--binary` names them.

use std::sync::Arc;

use mlua::{Lua, MetaMethod, Result, Table, UserData, UserDataFields, UserDataMethods, Value};

use super::{comparison_definitions::BINARY, mesh::missing};
use crate::{
    call::{Options, Outcome, as_data, describe},
    context::Context,
    declaration::Program,
    error::nearest,
};

/// A program that meshes can be made of.
#[derive(Clone)]
pub(crate) struct BinaryRef {
    pub(crate) name: String,
    program: Program,
    context: Arc<Context>,
}

impl BinaryRef {
    /// The program of that name; of one that was not given only the name is known.
    pub(super) fn new(name: &str, context: &Arc<Context>) -> Self {
        let program = context.overrides.binaries.get(name).cloned().unwrap_or_default();
        Self { name: name.to_owned(), program, context: Arc::clone(context) }
    }
}

impl UserData for BinaryRef {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("name", |_, this| Ok(this.name.clone()));
        fields.add_field_method_get("path", |_, this| Ok(this.program.path.clone()));
        fields.add_field_method_get("version", |_, this| Ok(this.program.version.clone()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_function(MetaMethod::Eq, |_, (a, b): (Value, Value)| {
            let name = |value: &Value| as_data::<Self>(value).map(|binary| binary.name);
            Ok(name(&a).is_some() && name(&a) == name(&b))
        });
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| {
            Err::<Value, _>(missing(&this.context, lua, "a binary", &key, &BINARY))
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.name.clone()));
    }
}

/// `binaries = { "before", "after" }`
pub(super) fn declared(options: &Options) -> Outcome<Vec<String>> {
    let names = options.texts("binaries")?;
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    for (place, name) in names.iter().enumerate() {
        if name.is_empty() || !name.chars().all(fit) {
            let message = format!(
                "`{name}` cannot be a binary's name: use letters, digits, `-` and `_`, for \
                 `--binary NAME=PATH`"
            );
            return Err(options.mistake("binaries", message));
        }
        if names[..place].contains(name) {
            return Err(options.mistake("binaries", format!("there is a binary `{name}` already")));
        }
    }
    Ok(names)
}

/// The option `binary` of a mesh or a node.
pub(super) fn chosen(options: &Options) -> Outcome<Option<String>> {
    let value = options.get("binary");
    if value.is_nil() {
        return Ok(None);
    }
    let name = as_data::<BinaryRef>(&value).map(|binary| binary.name);
    name.map(Some).ok_or_else(|| {
        let message = format!(
            "`binary` takes a binary of the scenario, such as `run.binaries.after`, got {}",
            describe(&value)
        );
        options.mistake("binary", message)
    })
}

/// `run.binaries`: read-only, and a misspelt name is an error.
pub(super) fn table(lua: &Lua, context: &Arc<Context>, names: &[String]) -> Result<Table> {
    let find = {
        let (context, names) = (Arc::clone(context), names.to_vec());
        lua.create_function(move |lua, (_, key): (Table, Value)| {
            let key = key.to_string()?;
            if names.contains(&key) {
                return lua.create_userdata(BinaryRef::new(&key, &context));
            }
            let message = format!("this scenario declares no binary `{key}`");
            let mut error = context.word_mistake(&key, context.caller_line(lua), message);
            let known = names.iter().map(String::as_str);
            error.label = nearest(&key, known).map(|meant| format!("did you mean `{meant}`?"));
            error.help = Some(format!("`scenario {{ binaries = {{ \"{key}\" }} }}` declares it"));
            Err(mlua::Error::external(error))
        })?
    };
    let frozen = lua.create_table()?;
    let meta = lua.create_table()?;
    meta.raw_set(MetaMethod::Index.name(), find)?;
    let read_only = crate::sandbox::read_only(lua, context, "run.binaries")?;
    meta.raw_set(MetaMethod::NewIndex.name(), read_only)?;
    meta.raw_set("__metatable", false)?;
    frozen.set_metatable(Some(meta))?;
    Ok(frozen)
}
