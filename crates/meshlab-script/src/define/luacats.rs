//! The definitions as LuaCATS annotations, for editors and type checkers.

use std::fmt::Write;

use super::{
    Alias, Class, Definition, Family, Field, MODULES, Need, classes, families,
    find::{in_module, words},
    model_of,
    text::wrap,
};

/// Columns of a comment.
const WIDTH: usize = 96;
/// Functions of Lua itself, which every editor knows better: it finds the file of a `require`.
const OF_LUA: &[&str] = &["print", "require"];

/// The editor types: the text of `meshlab.lua`.
pub fn luacats() -> String {
    let mut out = "---@meta meshlab\n".to_owned();
    out += "-- The language of meshlab's scenarios, for editors: written by `meshlab init` from \
            the\n";
    out += "-- definitions that check every call. Do not edit.\n";
    for family in families() {
        write_family(&mut out, family);
    }
    for (module, text) in MODULES {
        write_module(&mut out, module, text);
    }
    out
}

fn write_family(out: &mut String, family: &Family) {
    let _ = write!(out, "\n{0}\n-- {1}\n{0}\n", "-".repeat(WIDTH + 4), family.title);
    for alias in family.aliases {
        write_alias(out, alias);
    }
    for class in family.classes {
        write_class(out, class);
    }
    if family.title == "Chaos" {
        write_mix(out);
    }
    for function in family.functions {
        if !function.name.contains('.') && !OF_LUA.contains(&function.name) {
            write_function(out, function, function.name);
        }
    }
}

/// A module is a class of its own, so that `expect` and `check` are of one type.
fn write_module(out: &mut String, module: &str, text: &str) {
    let class = capital(model_of(module));
    out.push('\n');
    if model_of(module) == module {
        let _ = writeln!(out, "---@class (exact) meshlab.{class}\nlocal {class} = {{}}");
        for function in in_module(module) {
            write_function(out, function, &format!("{class}.{}", function.short()));
        }
        out.push('\n');
    }
    comment(out, text);
    let _ = writeln!(out, "---@type meshlab.{class}\n{module} = {class}");
}

fn write_alias(out: &mut String, alias: &Alias) {
    out.push('\n');
    comment(out, alias.summary);
    let texts: Vec<String> = alias.texts.iter().map(|text| format!("\"{text}\"")).collect();
    if alias.kind.is_empty() {
        let _ = writeln!(out, "---@alias meshlab.{} {}", alias.name, texts.join("|"));
        return;
    }
    let _ = writeln!(out, "---@alias meshlab.{} {}", alias.name, prefixed(alias.kind));
    for text in texts {
        let _ = writeln!(out, "---| {text}");
    }
}

fn write_class(out: &mut String, class: &Class) {
    out.push('\n');
    comment(out, class.summary);
    let _ = writeln!(out, "---@class (exact) meshlab.{}", class.name);
    for field in class.fields {
        write_field(out, field);
    }
    for operator in class.operators {
        let _ = writeln!(out, "---@operator {}", prefixed(operator));
    }
    if !class.methods.is_empty() {
        let _ = writeln!(out, "local {} = {{}}", class.name);
    }
    for method in class.methods {
        write_function(out, method, &format!("{}:{}", class.name, method.short()));
    }
}

fn write_field(out: &mut String, field: &Field) {
    let optional = if field.is_needed() { "" } else { "?" };
    let default = match field.need {
        Need::Default(value) => format!("; `{value}` by default"),
        Need::Needed | Need::Optional => String::new(),
    };
    let kind = prefixed(field.kind);
    let line = format!("---@field {}{optional} {kind}  {}{default}", field.name, field.text);
    let _ = writeln!(out, "{}", line.trim_end());
}

/// What a `chaos` can be told of each fault.
fn write_mix(out: &mut String) {
    let faults: Vec<(&Definition, bool)> = crate::api::in_chaos().collect();
    for (fault, _) in &faults {
        let _ = writeln!(
            out,
            "\n---`{}` in a `chaos`.\n---@class (exact) meshlab.{}",
            fault.name,
            in_mix(fault)
        );
        write_field(out, &Field::or("weight", "number", "1", "how often it is drawn"));
        let options = fault.options.map(|class| class.fields).unwrap_or_default();
        for field in options.iter().filter(|field| !field.by_itself) {
            write_field(out, field);
        }
    }
    out.push_str("\n---Faults with their weight, or with their options.\n");
    out.push_str("---@class (exact) meshlab.FaultMix\n");
    for (fault, plain) in faults {
        let weight = if plain { "number|" } else { "" };
        let _ = writeln!(out, "---@field {}? {weight}meshlab.{}", fault.short(), in_mix(fault));
    }
}

/// `KillNodeInChaos`
fn in_mix(fault: &Definition) -> String {
    fault.short().split('_').map(capital).collect::<String>() + "InChaos"
}

fn write_function(out: &mut String, definition: &Definition, name: &str) {
    out.push('\n');
    comment(out, definition.summary);
    if !definition.text.is_empty() {
        out.push_str("---\n");
        comment(out, definition.text);
    }
    out.push_str("---\n---```lua\n");
    for line in definition.example.lines() {
        let _ = writeln!(out, "---{line}");
    }
    out.push_str("---```\n");
    if let Some(generic) = definition.generic {
        let _ = writeln!(out, "---@generic {generic}");
    }
    for argument in definition.arguments {
        let optional = if argument.is_needed() { "" } else { "?" };
        let kind = prefixed(argument.kind);
        let line = format!("---@param {}{optional} {kind} {}", argument.name, argument.text);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    for value in definition.returns {
        let optional = if value.is_needed() { "" } else { "?" };
        let line =
            format!("---@return {}{optional} {} {}", prefixed(value.kind), value.name, value.text);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if definition.asks {
        out.push_str("---@nodiscard\n");
    }
    let arguments: Vec<&str> = definition.arguments.iter().map(|argument| argument.name).collect();
    let _ = writeln!(out, "function {name}({}) end", arguments.join(", "));
}

fn comment(out: &mut String, text: &str) {
    for line in wrap(text, WIDTH) {
        let _ = writeln!(out, "---{line}");
    }
}

/// A type with the prefix of our own ones: `meshlab.Node[]`.
fn prefixed(kind: &str) -> String {
    let ours = |word: &str| {
        word == "FaultMix"
            || classes().any(|class| class.name == word)
            || families().iter().any(|family| family.aliases.iter().any(|a| a.name == word))
    };
    let mut out = String::new();
    let mut rest = kind;
    for word in words(kind) {
        // Words are parts of the text, in its order.
        let at = rest.find(word).unwrap_or(0);
        out += &rest[..at];
        if ours(word) {
            out += "meshlab.";
        }
        out += word;
        rest = &rest[at + word.len()..];
    }
    out + rest
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
