//! `require("name")`: what scenarios share, from a folder `lib` and from nowhere else.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use mlua::{Lua, Result, Table, Value};

use crate::{
    call::{Call, Outcome, instant},
    context::Context,
    define::{Definition, Field, PLAIN},
    sandbox,
    unwind::unwind,
};

/// A library longer than this is none, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;
/// Libraries of one scenario.
const COUNT_MAX: usize = 64;
/// Characters of a name.
const NAME_MAX: usize = 64;

pub(crate) const REQUIRE: Definition = Definition {
    name: "require",
    summary: "Loads a library: `lib/name.lua` beside the scenario or beside its folder.",
    text: "It stands at the top of a file and gives what the library returns. Nothing else can be \
           loaded. A library declares no scenario and no test.",
    arguments: &[Field::needed("name", "string", "letters, digits, `-` and `_`")],
    returns: &[Field::needed("library", "any", "what it returns")],
    example: "local steps = require(\"steps\")\n\ntest(\"a mesh forms\", function()\n  \
              steps.formed(mesh { nodes = 4 })\nend)",
    top_level: true,
    see_also: &["scenario"],
    ..PLAIN
};

/// What was loaded, by name; `None` while it is being loaded.
type Loaded = Mutex<BTreeMap<String, Option<Value>>>;

/// Adds `require` to the globals; the environment that scenario and libraries run in.
pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: Table) -> Result<Table> {
    let (loaded, environment) = (Loaded::default(), Arc::new(OnceLock::new()));
    let inside = Arc::clone(&environment);
    let require = instant(lua, context, &REQUIRE, move |call| {
        let environment: Option<&Table> = inside.get();
        environment.map_or_else(|| Ok(Value::Nil), |inside| require(&call, &loaded, inside))
    })?;
    globals.raw_set("require", require)?;
    let made = sandbox::environment(lua, context, globals)?;
    // It was not set before.
    let _ = environment.set(made.clone());
    Ok(made)
}

fn require(call: &Call, loaded: &Loaded, environment: &Table) -> Outcome<Value> {
    let name = call.text(0, "the name of a library")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fits) {
        return Err(call.mistake_with(
            format!("{name:?} is no name of a library"),
            "`require(\"name\")` loads lib/name.lua; a name has letters, digits, `-` and `_` only",
        ));
    }
    if call.context.in_test() {
        let help = "write `local name = require(\"name\")` at the top of the file";
        return Err(call.mistake_with("`require` cannot be used inside a `test`", help));
    }
    let lock = || loaded.lock().unwrap_or_else(PoisonError::into_inner);
    match lock().get(&name) {
        Some(Some(value)) => return Ok(value.clone()),
        Some(None) => {
            return Err(call.mistake(format!("the library `{name}` requires itself")));
        }
        None => {}
    }
    if lock().len() >= COUNT_MAX {
        return Err(call.mistake(format!("a scenario has at most {COUNT_MAX} libraries")));
    }
    let (path, text) = find(call, &name)?;
    lock().insert(name.clone(), None);
    let file = path.display().to_string();
    call.context.add_file(file.clone(), text.clone());
    let chunk = call.lua.load(text).set_name(Context::chunk_name(&file));
    let chunk = chunk.set_mode(mlua::chunk::ChunkMode::Text).set_environment(environment.clone());
    let value: Value = chunk.eval().map_err(|error| Box::new(unwind(&call.context, &error)))?;
    if value.is_nil() {
        let help = "end it with `return`, for example of a table of functions";
        return Err(call.mistake_with(format!("the library `{name}` returns nothing"), help));
    }
    lock().insert(name, Some(value.clone()));
    Ok(value)
}

/// The folders that libraries lie in: beside the scenario, and beside its folder.
fn folders(scenario: &Path) -> [PathBuf; 2] {
    let here = scenario.parent().unwrap_or(Path::new(""));
    let above = match here.components().next_back() {
        Some(Component::Normal(_)) => here.parent().unwrap_or(Path::new("")).to_owned(),
        _ => here.join(".."),
    };
    [here.join("lib"), above.join("lib")]
}

/// The file of a library, which is a plain file in a plain folder: a link could lead anywhere.
fn find(call: &Call, name: &str) -> Outcome<(PathBuf, String)> {
    for folder in folders(Path::new(&call.context.file)) {
        let path = folder.join(format!("{name}.lua"));
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let refused = |why: &str| call.mistake(format!("{}: {why}", path.display()));
        if !fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir()) || !meta.is_file() {
            return Err(refused("a library is a file in a folder; links are not followed"));
        }
        if meta.len() > BYTES_MAX {
            return Err(refused("a library is text of at most 1 MiB"));
        }
        let bytes =
            fs::read(&path).map_err(|error| refused(&format!("cannot be read: {error}")))?;
        // Lua takes what begins with an escape for bytecode.
        let text = String::from_utf8(bytes).ok().filter(|text| !text.starts_with('\x1b'));
        let text = text.ok_or_else(|| refused("it is not text in UTF-8; bytecode is never loaded"));
        return text.map(|text| (path.clone(), text));
    }
    Err(call.mistake_with(
        format!("there is no library `{name}`"),
        format!("libraries are lib/*.lua beside the scenario or beside its folder: lib/{name}.lua"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_lie_beside_the_scenario_or_its_folder() {
        for (scenario, near, far) in [
            ("a/b/x.lua", "a/b/lib", "a/lib"),
            ("b/x.lua", "b/lib", "lib"),
            ("x.lua", "lib", "../lib"),
            ("./x.lua", "./lib", "./../lib"),
            ("../x.lua", "../lib", "../../lib"),
            ("/x.lua", "/lib", "/../lib"),
        ] {
            assert_eq!(folders(Path::new(scenario)), [PathBuf::from(near), PathBuf::from(far)]);
        }
    }
}
