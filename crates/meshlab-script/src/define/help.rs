//! What `meshlab help NAME` says.

use std::fmt::Write;

use super::{
    Alias, Class, Definition, Family, Field, MODULES, families,
    find::{Found, aliases_in, find, in_module, meant},
    model_of,
    text::{need, wrap},
};

const WIDTH: usize = 96;

/// What the language has under a name, or an overview of all that it has. `others` are names of
/// other things that may have been meant.
///
/// # Errors
/// It has nothing of that name; the text says what may have been meant.
pub fn help(name: Option<&str>, others: &[&str]) -> Result<String, String> {
    let Some(name) = name else { return Ok(overview()) };
    let found = find(name);
    if found.is_empty() {
        let meant = meant(name, others).map(|meant| format!(", did you mean `{meant}`?"));
        return Err(format!("the language has no `{name}`{}", meant.unwrap_or_default()));
    }
    let parts: Vec<String> = found.into_iter().map(show).collect();
    Ok(parts.join("\n\n"))
}

fn overview() -> String {
    let mut out = "the language of scenarios".to_owned();
    for family in families() {
        let methods = family.classes.iter().flat_map(|class| class.methods);
        let names: Vec<&str> = family.functions.iter().chain(methods).map(|d| d.name).collect();
        if names.is_empty() {
            continue;
        }
        let _ = write!(out, "\n\n{}", family.title);
        for line in wrap(&names.join(", "), WIDTH - 2) {
            let _ = write!(out, "\n  {line}");
        }
    }
    out + "\n\n`meshlab help NAME` says more of each, `meshlab help fault` lists a module.\n\
           `check` has the functions of `expect`."
}

fn show(found: Found) -> String {
    match found {
        Found::Function(definition) => function(definition.name, definition, None),
        Found::Check(definition) => {
            let name = format!("check.{}", definition.short());
            function(
                &name,
                definition,
                Some("Where it does not hold, the test is failed and goes on."),
            )
        }
        Found::Module(module) => show_module(module),
        Found::Class(class) => show_class(class),
        Found::Alias(alias) => show_alias(alias),
        Found::Family(family) => show_family(family),
    }
}

fn function(name: &str, definition: &Definition, more: Option<&str>) -> String {
    let mut out = format!("{}\n", definition.signature_whole(name));
    indented(&mut out, definition.summary);
    for text in [definition.text, more.unwrap_or_default()] {
        if !text.is_empty() {
            out.push('\n');
            indented(&mut out, text);
        }
    }
    let plain = definition
        .arguments
        .iter()
        .filter(|argument| definition.options.is_none_or(|options| options.name != argument.kind));
    fields(&mut out, "arguments", plain, true);
    if let Some(class) = definition.options {
        let options = definition.arguments.iter().find(|argument| argument.kind == class.name);
        let title = format!("options, the table `{}`", options.map_or("options", |o| o.name));
        fields(&mut out, &title, class.fields.iter(), true);
        for field in class.fields {
            if let Some(inner) = field.inner {
                fields(&mut out, &format!("`{}`", field.name), inner.fields.iter(), true);
            }
        }
    }
    for value in definition.returns {
        returned(&mut out, value);
    }
    let kinds: Vec<&str> = definition
        .arguments
        .iter()
        .chain(definition.options.map(|class| class.fields).unwrap_or_default())
        .map(|field| field.kind)
        .collect();
    let aliases = aliases_in(&kinds);
    if !aliases.is_empty() {
        out.push_str("\ntypes\n");
        let rows = aliases.iter().map(|alias| [alias.name.to_owned(), alias.summary.to_owned()]);
        rows_of(&mut out, rows.collect());
    }
    out.push_str(if definition.top_level {
        "\nexample, a file\n"
    } else {
        "\nexample, in a test\n"
    });
    for line in definition.example.replace("expect.", &example_prefix(name)).lines() {
        let _ = writeln!(out, "{}", format!("  {line}").trim_end());
    }
    if !definition.see_also.is_empty() {
        let _ = writeln!(out, "\nsee also  {}", definition.see_also.join(", "));
    }
    out.trim_end().to_owned()
}

/// The example of a `check` is that of the `expect`.
fn example_prefix(name: &str) -> String {
    if name.starts_with("check.") { "check." } else { "expect." }.to_owned()
}

fn returned(out: &mut String, value: &Field) {
    let class = super::classes().find(|class| class.name == value.kind);
    match class {
        Some(class) => {
            let _ = write!(out, "\nreturns `{}`: {}\n", class.name, class.summary);
            rows_of(out, rows_of_fields(class.fields.iter(), false));
            if !class.methods.is_empty() {
                let methods: Vec<&str> = class.methods.iter().map(|method| method.name).collect();
                indented(out, &format!("methods: {}", methods.join(", ")));
            }
        }
        None => {
            let text = if value.text.is_empty() { value.name } else { value.text };
            let _ = write!(out, "\nreturns `{}`: {text}\n", value.kind);
        }
    }
}

fn show_module(module: &str) -> String {
    let text = MODULES.iter().find(|(name, _)| *name == module).map_or("", |(_, text)| text);
    let mut out = format!("{module}.\n");
    indented(&mut out, text);
    out.push('\n');
    let functions: Vec<_> = in_module(module).collect();
    let name = |definition: &Definition| match model_of(module) == module {
        true => definition.name.to_owned(),
        false => format!("{module}.{}", definition.short()),
    };
    rows_of(&mut out, functions.iter().map(|d| [name(d), d.summary.to_owned()]).collect());
    out.trim_end().to_owned()
}

fn show_class(class: &Class) -> String {
    let mut out = format!("{}\n", class.name);
    indented(&mut out, class.summary);
    fields(&mut out, "fields", class.fields.iter(), class.written);
    if !class.methods.is_empty() {
        out.push_str("\nmethods\n");
        let rows = class.methods.iter().map(|d| [d.name.to_owned(), d.summary.to_owned()]);
        rows_of(&mut out, rows.collect());
    }
    out.trim_end().to_owned()
}

fn show_alias(alias: &Alias) -> String {
    let mut out = format!("{}\n", alias.name);
    indented(&mut out, alias.summary);
    if !alias.kind.is_empty() {
        indented(&mut out, &format!("type: {}", alias.kind));
    }
    if !alias.texts.is_empty() {
        indented(&mut out, &format!("texts: {}", alias.texts.join(", ")));
    }
    out.trim_end().to_owned()
}

fn show_family(family: &Family) -> String {
    let mut out = format!("{}\n", family.title);
    indented(&mut out, family.text);
    out.push('\n');
    let methods = family.classes.iter().flat_map(|class| class.methods);
    let all = family.functions.iter().chain(methods);
    rows_of(&mut out, all.map(|d| [d.name.to_owned(), d.summary.to_owned()]).collect());
    out.trim_end().to_owned()
}

fn fields<'a>(out: &mut String, title: &str, fields: impl Iterator<Item = &'a Field>, needs: bool) {
    let rows = rows_of_fields(fields, needs);
    if !rows.is_empty() {
        let _ = write!(out, "\n{title}\n");
        rows_of(out, rows);
    }
}

/// Name and type, and what is said of it.
fn rows_of_fields<'a>(fields: impl Iterator<Item = &'a Field>, needs: bool) -> Vec<[String; 2]> {
    let fields: Vec<&Field> = fields.collect();
    let width = fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
    let row = |field: &&Field| {
        let need = if needs { need(field) } else { String::new() };
        let parts = [need.as_str(), field.text].map(str::trim);
        let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        [format!("{:width$}  {}", field.name, field.kind), text.join("; ")]
    };
    fields.iter().map(row).collect()
}

/// Two columns, the second wrapped.
fn rows_of(out: &mut String, rows: Vec<[String; 2]>) {
    let left = rows.iter().map(|[name, _]| name.chars().count()).max().unwrap_or(0).min(36);
    for [name, text] in rows {
        let lines = wrap(&text, WIDTH.saturating_sub(left + 4).max(20));
        let mut lines = lines.iter();
        let first = lines.next().map_or("", String::as_str);
        let _ = writeln!(out, "{}", format!("  {name:left$}  {first}").trim_end());
        for line in lines {
            let _ = writeln!(out, "  {:left$}  {line}", "");
        }
    }
}

fn indented(out: &mut String, text: &str) {
    for line in wrap(text, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
}
