//! The definitions as a manual in Markdown.

use std::fmt::Write;

use super::{
    Alias, Class, Definition, Family, Field, MODULES, definitions, families,
    text::{need, wrap},
};

const WIDTH: usize = 100;

/// The manual: the text of `docs/api.md`.
pub fn manual() -> String {
    let mut out = "# The language of scenarios\n\n".to_owned();
    paragraph(
        &mut out,
        "Drawn from the definitions that check every call. `meshlab help NAME` says the same in a \
         terminal, and `meshlab init` tells it to editors. In the examples `swarm` is a mesh of \
         four nodes; each of them is rehearsed by a test.",
    );
    for family in families() {
        let _ = writeln!(out, "- [{}](#{})", family.title, anchor(family.title));
    }
    for family in families() {
        write_family(&mut out, family);
    }
    out
}

fn write_family(out: &mut String, family: &Family) {
    let _ = write!(out, "\n## {}\n\n", family.title);
    paragraph(out, family.text);
    for (module, text) in MODULES {
        let prefix = format!("{module}.");
        if *module != "fault" && family.functions.iter().any(|f| f.name.starts_with(&prefix)) {
            paragraph(out, &format!("`{module}`: {text}"));
        }
    }
    if !family.functions.is_empty() || family.classes.iter().any(|c| !c.methods.is_empty()) {
        out.push_str("| | |\n| --- | --- |\n");
        let methods = family.classes.iter().flat_map(|class| class.methods);
        for definition in family.functions.iter().chain(methods) {
            let _ = writeln!(out, "| {} | {} |", link(definition.name), definition.summary);
        }
        out.push('\n');
    }
    for definition in family.functions {
        write_function(out, definition);
    }
    for class in family.classes {
        write_class(out, class);
    }
    if !family.aliases.is_empty() {
        out.push_str("### Types\n\n| type | is | |\n| --- | --- | --- |\n");
        for alias in family.aliases {
            write_alias(out, alias);
        }
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
}

fn write_function(out: &mut String, definition: &Definition) {
    let _ = write!(
        out,
        "### `{}`\n\n    {}\n\n",
        definition.name,
        definition.signature_whole(definition.name)
    );
    paragraph(out, &format!("{} {}", definition.summary, definition.text));
    table(out, "argument", definition.arguments);
    if let Some(class) = definition.options {
        if class.fields.is_empty() {
            paragraph(out, &format!("`{}` has no options.", class.name));
        } else {
            table(out, "option", class.fields);
        }
    }
    if definition.returns.iter().any(|value| !value.text.is_empty()) {
        table(out, "returns", definition.returns);
    }
    let _ = write!(out, "```lua\n{}\n```\n\n", definition.example);
    if !definition.see_also.is_empty() {
        let links: Vec<String> = definition.see_also.iter().map(|name| link(name)).collect();
        let _ = write!(out, "See also {}.\n\n", links.join(", "));
    }
}

fn write_class(out: &mut String, class: &Class) {
    // Options stand with their function.
    let ours = definitions()
        .any(|definition| definition.options.is_some_and(|options| options.name == class.name));
    if !ours && !class.fields.is_empty() {
        let _ = write!(out, "### Class `{}`\n\n", class.name);
        paragraph(out, class.summary);
        table(out, if class.written { "option" } else { "field" }, class.fields);
    }
    for method in class.methods {
        write_function(out, method);
    }
}

fn table(out: &mut String, what: &str, fields: &[Field]) {
    if fields.is_empty() {
        return;
    }
    let needs = what == "argument" || what == "option";
    let _ = if needs {
        write!(out, "| {what} | type | | |\n| --- | --- | --- | --- |\n")
    } else {
        write!(out, "| {what} | type | |\n| --- | --- | --- |\n")
    };
    for field in fields {
        let kind = field.kind.replace('|', "\\|");
        let need = match (needs, need(field)) {
            (false, _) => String::new(),
            (true, need) => format!(
                " {} |",
                need.strip_prefix("= ").map_or_else(|| need.clone(), |value| format!("`{value}`"),)
            ),
        };
        let _ = writeln!(out, "| `{}` | `{kind}` |{need} {} |", field.name, field.text);
    }
    out.push('\n');
}

fn write_alias(out: &mut String, alias: &Alias) {
    let texts = || alias.texts.iter().map(|text| format!("`\"{text}\"`")).collect::<Vec<_>>();
    let kind = match alias.kind {
        "" => texts().join(", "),
        kind if alias.texts.is_empty() => format!("`{}`", kind.replace('|', "\\|")),
        kind => format!("`{kind}`, for example {}", texts().join(", ")),
    };
    let _ = writeln!(out, "| `{}` | {kind} | {} |", alias.name, alias.summary);
}

fn paragraph(out: &mut String, text: &str) {
    for line in wrap(text, WIDTH) {
        out.push_str(&line);
        out.push('\n');
    }
    out.push('\n');
}

fn link(name: &str) -> String {
    format!("[`{name}`](#{})", anchor(name))
}

/// The anchor that a heading gets: letters, digits, `_` and `-`, with `-` for a space.
fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.chars().filter_map(kept).collect()
}
