//! Finishes the word at the end of a line.

use std::collections::BTreeSet;

use mlua::Value;

use super::Session;
use crate::{
    api::{MESH_CLASS, MeshRef, NODE_CLASS, NodeRef},
    call::as_data,
    define::Class,
};

/// The byte from which on the continuations take the place of what is there, and they.
pub(super) fn complete(session: &Session<'_>, text: &str) -> (usize, Vec<String>) {
    let Split { start, of, word } = split(text);
    let known: BTreeSet<String> = match of {
        Of::Nothing => globals(session),
        Of::Name(name) => members(session, name),
        // What a call returns is not known before it is made; most return nodes.
        Of::Call => both(),
    };
    (start, known.into_iter().filter(|name| name.starts_with(word)).collect())
}

/// The last word of a text.
#[derive(Debug, PartialEq, Eq)]
struct Split<'a> {
    start: usize,
    of: Of<'a>,
    word: &'a str,
}

/// What stands before the dot or colon before a word.
#[derive(Debug, PartialEq, Eq)]
enum Of<'a> {
    Nothing,
    Name(&'a str),
    Call,
}

fn split(text: &str) -> Split<'_> {
    let last_word = |text: &str| {
        let back = text.char_indices().rev();
        let word = back.take_while(|(_, c)| c.is_alphanumeric() || *c == '_');
        word.last().map_or(text.len(), |(at, _)| at)
    };
    let start = last_word(text);
    let (before, word) = text.split_at(start);
    let of = match before.strip_suffix(['.', ':']) {
        None => Of::Nothing,
        Some(before) => match &before[last_word(before)..] {
            "" => Of::Call,
            name => Of::Name(name),
        },
    };
    Split { start, of, word }
}

fn globals(session: &Session<'_>) -> BTreeSet<String> {
    let mut all = keys(&session.script.names.globals);
    all.extend(keys(session.environment));
    all.extend(["swarm", "meshes"].map(str::to_owned));
    all
}

fn members(session: &Session<'_>, name: &str) -> BTreeSet<String> {
    if let Some(entries) = session.context().modules().get(name) {
        return entries.iter().cloned().collect();
    }
    if name == "swarm" {
        return of_class(&MESH_CLASS);
    }
    if name == "meshes" {
        return session.host.meshes().iter().map(ToString::to_string).collect();
    }
    match session.environment.raw_get::<Value>(name) {
        Ok(value) if as_data::<NodeRef>(&value).is_some() => of_class(&NODE_CLASS),
        Ok(value) if as_data::<MeshRef>(&value).is_some() => of_class(&MESH_CLASS),
        Ok(Value::Table(table)) => keys(&table),
        _ => both(),
    }
}

/// The names in a table itself.
fn keys(table: &mlua::Table) -> BTreeSet<String> {
    let pairs = table.pairs::<Value, Value>().flatten();
    pairs.filter_map(|(key, _)| Some(key.as_string()?.to_string_lossy())).collect()
}

fn of_class(class: &'static Class) -> BTreeSet<String> {
    class.members().map(str::to_owned).collect()
}

fn both() -> BTreeSet<String> {
    of_class(&MESH_CLASS).into_iter().chain(of_class(&NODE_CLASS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_at_the_end_is_found_with_what_it_belongs_to() {
        for (text, start, of, word) in [
            ("", 0, Of::Nothing, ""),
            ("sw", 0, Of::Nothing, "sw"),
            ("print(sw", 6, Of::Nothing, "sw"),
            ("fault.kill", 6, Of::Name("fault"), "kill"),
            ("x = swarm:no", 10, Of::Name("swarm"), "no"),
            ("swarm:node(1):", 14, Of::Call, ""),
            ("é.ab", 3, Of::Name("é"), "ab"),
        ] {
            assert_eq!(split(text), Split { start, of, word }, "{text}");
        }
    }
}
