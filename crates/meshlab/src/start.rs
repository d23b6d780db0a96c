//! `meshlab new` and `meshlab init`: a first scenario, and what an editor has to know of them.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use meshlab_model::ExitCode;
use serde_json::{Map, Value, json};

use crate::{
    check::{rehearse, tell},
    cli::{InitArguments, NewArguments},
};

/// The scenario that `new` writes.
const FIRST: &str = include_str!("first.lua");
const LUARC: &str = ".luarc.json";
/// Where the editor types go: out of sight, and in a folder that holds nothing else.
const TYPES_FOLDER: &str = ".meshlab";
const TYPES: &str = "meshlab.lua";
/// Libraries of Lua that scenarios do not have.
const LEFT_OUT: &[&str] = &["coroutine", "debug", "io", "os", "package"];

pub(crate) fn new(arguments: &NewArguments) -> Result<ExitCode> {
    let path = match file(&arguments.name, &arguments.folder) {
        Ok(path) => path,
        Err(why) => {
            eprintln!("error: {why}");
            return Ok(ExitCode::Usage);
        }
    };
    fs::create_dir_all(&arguments.folder)
        .with_context(|| format!("failed to make {}", arguments.folder.display()))?;
    // Made, or refused: never written over, not even where two do it at once.
    let mut made = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(made) => made,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            eprintln!("error: {} is there already; choose another name", path.display());
            return Ok(ExitCode::Usage);
        }
        Err(error) => bail!("failed to make {}: {error}", path.display()),
    };
    let text = FIRST
        .replace("scenarios/NAME.lua", &path.display().to_string())
        .replace("NAME", &arguments.name);
    made.write_all(text.as_bytes())
        .with_context(|| format!("failed to write {}", path.display()))?;
    tell(&rehearse(&path, meshlab_script::Overrides::default()));
    println!("wrote   {0}\nnext    meshlab check {0}\n        meshlab run {0}", path.display());
    Ok(ExitCode::Passed)
}

/// Where the scenario of that name goes.
fn file(name: &str, folder: &Path) -> Result<PathBuf, String> {
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 100 || !name.chars().all(fit) {
        return Err(format!(
            "`{name}` cannot be a scenario's name: use 1 to 100 letters, digits, `-` and `_`"
        ));
    }
    Ok(folder.join(format!("{name}.lua")))
}

pub(crate) fn init(arguments: &InitArguments) -> Result<ExitCode> {
    let path = arguments.folder.join(LUARC);
    let before = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => bail!("failed to read {}: {error}", path.display()),
    };
    let merged = match merge(before.as_deref()) {
        Ok(merged) => merged,
        Err(why) => {
            eprintln!("error: {}: {why}; it was left as it is", path.display());
            return Ok(ExitCode::Usage);
        }
    };
    let types = arguments.folder.join(TYPES_FOLDER);
    fs::create_dir_all(&types).with_context(|| format!("failed to make {}", types.display()))?;
    // Ours alone, so what an older meshlab wrote is replaced.
    write(&types.join(TYPES), &meshlab_script::luacats())?;
    println!("wrote   {}", types.join(TYPES).display());
    if before.as_deref() == Some(merged.as_str()) {
        println!("kept    {}: nothing to add", path.display());
    } else {
        write(&path, &merged)?;
        println!("{}  {}", if before.is_some() { "merged" } else { "wrote " }, path.display());
    }
    Ok(ExitCode::Passed)
}

/// Beside it first: a file that is cut off half way is worse than none.
fn write(path: &Path, text: &str) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("failed to write {}", path.display()))
}

/// The settings with ours added: what is there stays as it is, lists get what they miss.
fn merge(before: Option<&str>) -> Result<String, String> {
    let before = before.filter(|text| !text.trim().is_empty());
    let mut settings: Map<String, Value> = match before {
        None => Map::new(),
        Some(text) => match serde_json::from_str(text) {
            Ok(Value::Object(settings)) => settings,
            Ok(_) => return Err("it is no table of settings".to_owned()),
            Err(error) => return Err(format!("it cannot be read as JSON ({error})")),
        },
    };
    let builtin: Map<String, Value> =
        LEFT_OUT.iter().map(|library| ((*library).to_owned(), json!("disable"))).collect();
    add(&mut settings, "runtime.version", json!("Lua 5.4"))?;
    add(&mut settings, "runtime.builtin", Value::Object(builtin))?;
    add(&mut settings, "workspace.library", json!([TYPES_FOLDER]))?;
    let text = serde_json::to_string_pretty(&settings).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

/// Adds a setting, in the form in which the file has its like: `"a.b": x` or `"a": { "b": x }`.
fn add(settings: &mut Map<String, Value>, name: &str, ours: Value) -> Result<(), String> {
    let (group, short) = name.split_once('.').unwrap_or((name, name));
    let place = match settings.get_mut(group) {
        Some(Value::Object(group)) => group.entry(short).or_insert(Value::Null),
        Some(_) => return Err(format!("its `{group}` is no table")),
        None => settings.entry(name).or_insert(Value::Null),
    };
    match (place, ours) {
        (place @ Value::Null, ours) => *place = ours,
        (Value::Array(theirs), Value::Array(ours)) => {
            let missing: Vec<Value> =
                ours.into_iter().filter(|word| !theirs.contains(word)).collect();
            theirs.extend(missing);
        }
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, value) in ours {
                theirs.entry(key).or_insert(value);
            }
        }
        // What somebody has chosen stays.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_and_what_is_missing_is_added() {
        let flat = r#"{ "runtime.version": "LuaJIT", "workspace.library": ["types"] }"#;
        let nested = r#"{ "runtime": { "builtin": { "io": "enable" } }, "x": 1 }"#;
        let all = [None, Some(flat), Some(nested)].map(|before| merge(before).expect("settings"));
        insta::assert_snapshot!(all.join("\n"));
        for merged in &all {
            assert_eq!(&merge(Some(merged)).expect("settings"), merged);
        }
    }

    #[test]
    fn the_settings_of_this_repository_are_what_init_writes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(LUARC);
        let there = fs::read_to_string(&path).expect("settings");
        let merged = merge(Some(&there)).expect("settings");
        assert_eq!(there, merged, "run `cargo run -- init` and commit .luarc.json");
    }

    #[test]
    fn what_cannot_be_read_is_left_as_it_is() {
        for before in ["[]", "{ // mine\n }", r#"{ "runtime": 5 }"#] {
            assert!(merge(Some(before)).is_err(), "{before}");
        }
    }

    #[test]
    fn a_name_is_a_file_in_its_folder_and_no_way_out_of_it() {
        let folder = Path::new("scenarios");
        assert_eq!(file("first-light", folder), Ok(folder.join("first-light.lua")));
        for name in ["", "../x", "a/b", "x.lua", "a b"] {
            assert!(file(name, folder).is_err(), "{name}");
        }
    }
}
