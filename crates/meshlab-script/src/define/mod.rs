//! What the language is: one definition for each function, class and alias, as plain data.
//!
//! The definitions lie beside the functions, in `api/`. A function is bound by its definition, its
//! options are checked against it, and all that is written about it is drawn from it: the editor
//! types (`luacats.rs`), the manual (`manual.rs`), `meshlab help` (`help.rs`). Open `find.rs` for
//! how a name is looked up. Nothing here runs Lua.

mod find;
mod forms;
mod help;
mod luacats;
mod manual;
mod text;

#[cfg(test)]
mod tests;

pub use forms::{FaultForm, FaultOption, fault_forms};
pub use help::help;
pub use luacats::luacats;
pub use manual::manual;

/// A function or a method of the language.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definition {
    /// As a scenario writes it: `expect.spans`, `node:drain`.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// More of it, in whole sentences; may be empty.
    pub(crate) text: &'static str,
    /// In their order. One that is named `...` stands for any number of them.
    pub(crate) arguments: &'static [Field],
    /// The class of the argument that is a table of options.
    pub(crate) options: Option<&'static Class>,
    /// Options that it has not, with why, where people may look for them.
    pub(crate) refused: &'static [(&'static str, &'static str)],
    pub(crate) returns: &'static [Field],
    /// A type that stands for whatever a body returns.
    pub(crate) generic: Option<&'static str>,
    /// Whether other tasks go on while it waits.
    pub(crate) waits: bool,
    /// Whether it is called for what it returns and for nothing else.
    pub(crate) asks: bool,
    /// Lua that runs in a test in which `swarm` is a mesh of four nodes; at the top level of a file
    /// where `top_level` says so.
    pub(crate) example: &'static str,
    pub(crate) top_level: bool,
    /// Names of other functions to read.
    pub(crate) see_also: &'static [&'static str],
}

/// What a definition is where it says nothing else.
pub(crate) const PLAIN: Definition = Definition {
    name: "",
    summary: "",
    text: "",
    arguments: &[],
    options: None,
    refused: &[],
    returns: &[],
    generic: None,
    waits: false,
    asks: false,
    example: "",
    top_level: false,
    see_also: &[],
};

/// The same for a function that waits.
pub(crate) const WAITS: Definition = Definition { waits: true, ..PLAIN };

/// The same for a function that only answers.
pub(crate) const ASKS: Definition = Definition { asks: true, ..PLAIN };

impl Definition {
    /// The name that errors say: of a method, what stands after the colon.
    pub(crate) fn spoken(&self) -> &'static str {
        self.name.rsplit(':').next().unwrap_or(self.name)
    }

    /// Its name in its module or class: `spans` of `expect.spans`.
    pub(crate) fn short(&self) -> &'static str {
        self.name.rsplit(['.', ':']).next().unwrap_or(self.name)
    }

    /// How it is called under a name: `expect.spans(name, claim?)`.
    pub(crate) fn signature(&self, name: &str) -> String {
        let mark = |field: &Field| if field.is_needed() || field.name == "..." { "" } else { "?" };
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .map(|argument| format!("{}{}", argument.name, mark(argument)))
            .collect();
        format!("{name}({})", arguments.join(", "))
    }

    /// The same with what it returns: `expect.spans(name, claim?) -> Met`.
    fn signature_whole(&self, name: &str) -> String {
        let returns: Vec<&str> = self.returns.iter().map(|value| value.kind).collect();
        let arrow = if returns.is_empty() { "" } else { " -> " };
        format!("{}{arrow}{}", self.signature(name), returns.join(", "))
    }

    /// How many arguments it takes at most; `None` for any number.
    pub(crate) fn arguments_max(&self) -> Option<usize> {
        let open = self.arguments.last().is_some_and(|last| last.name == "...");
        (!open).then_some(self.arguments.len())
    }
}

/// An argument, an option, a field of a class or something that is returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// Its type, as LuaCATS writes types, without the prefix of our own ones.
    pub(crate) kind: &'static str,
    pub(crate) need: Need,
    pub(crate) text: &'static str,
    /// The class of an option that is a table of options itself.
    pub(crate) inner: Option<&'static Class>,
    /// An option of a fault by itself that it has not in a `chaos`.
    pub(crate) by_itself: bool,
}

/// Whether something has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Needed,
    Optional,
    /// Optional, and what it is where it is not given, as Lua.
    Default(&'static str),
}

impl Field {
    pub(crate) const fn needed(name: &'static str, kind: &'static str, text: &'static str) -> Self {
        Self { name, kind, need: Need::Needed, text, inner: None, by_itself: false }
    }

    pub(crate) const fn optional(
        name: &'static str,
        kind: &'static str,
        text: &'static str,
    ) -> Self {
        Self { need: Need::Optional, ..Self::needed(name, kind, text) }
    }

    pub(crate) const fn or(
        name: &'static str,
        kind: &'static str,
        default: &'static str,
        text: &'static str,
    ) -> Self {
        Self { need: Need::Default(default), ..Self::needed(name, kind, text) }
    }

    /// An option that is a table of options: those of `inner`.
    pub(crate) const fn of(name: &'static str, inner: &'static Class, text: &'static str) -> Self {
        Self { inner: Some(inner), ..Self::optional(name, inner.name, text) }
    }

    /// The same option, which a fault has only by itself.
    pub(crate) const fn by_itself(self) -> Self {
        Self { by_itself: true, ..self }
    }

    pub(crate) fn is_needed(&self) -> bool {
        self.need == Need::Needed
    }
}

/// A table or a value with fields and methods; a table of options too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) methods: &'static [&'static Definition],
    /// Operators as LuaCATS writes them: `add(DurationValue): DurationValue`.
    pub(crate) operators: &'static [&'static str],
    /// Whether a scenario writes it, as options, and not meshlab.
    pub(crate) written: bool,
}

impl Class {
    /// A table of options.
    pub(crate) const fn options(
        name: &'static str,
        summary: &'static str,
        fields: &'static [Field],
    ) -> Self {
        Self { written: true, ..Self::given(name, summary, fields, &[]) }
    }

    /// What a function hands back.
    pub(crate) const fn given(
        name: &'static str,
        summary: &'static str,
        fields: &'static [Field],
        methods: &'static [&'static Definition],
    ) -> Self {
        Self { name, summary, fields, methods, operators: &[], written: false }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of its fields and methods.
    pub(crate) fn members(&self) -> impl Iterator<Item = &'static str> {
        let methods = self.methods.iter().map(|method| method.short());
        self.fields.iter().map(|field| field.name).chain(methods)
    }
}

/// A name for a type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alias {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) kind: &'static str,
    /// Texts that it may be beside its type, which editors offer.
    pub(crate) texts: &'static [&'static str],
}

/// What belongs together: a chapter of the manual.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
    /// Its functions, in the order of the manual; methods come with their classes.
    pub(crate) functions: &'static [&'static Definition],
    pub(crate) classes: &'static [&'static Class],
    pub(crate) aliases: &'static [&'static Alias],
}

/// The modules of the language that have a class of their own in the editor types, and what is
/// said of each. `check` has the functions of `expect`.
pub(crate) const MODULES: &[(&str, &str)] = &[
    ("expect", "Claims that must hold: at one that fails the test stops, cleans up and fails."),
    ("check", "The claims of `expect`: at one that fails the test is failed and goes on."),
    (
        "fault",
        "Faults: `fault.name(target, options, body)`. With a body a fault lasts as long as \
               the body and is undone after it, however the body ends.",
    ),
    ("traffic", "Workloads between two nodes."),
    ("operator", "The operator of a mesh, who says which node may order others."),
    ("record", "What a scenario writes into the record of its run."),
];

/// The module whose functions a module has.
pub(crate) fn model_of(module: &str) -> &str {
    if module == "check" { "expect" } else { module }
}

/// All families, in the order of the manual.
pub(crate) fn families() -> &'static [Family] {
    crate::api::FAMILIES
}

/// All functions and methods.
pub(crate) fn definitions() -> impl Iterator<Item = &'static Definition> {
    let methods = |family: &'static Family| {
        family.classes.iter().flat_map(|class| class.methods.iter().copied())
    };
    families()
        .iter()
        .flat_map(move |family| family.functions.iter().copied().chain(methods(family)))
}

/// All classes.
pub(crate) fn classes() -> impl Iterator<Item = &'static Class> {
    families().iter().flat_map(|family| family.classes.iter().copied())
}

/// The example of a function as a scenario of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The function's name.
    pub name: &'static str,
    /// The scenario's text.
    pub source: String,
}

/// The examples of all functions.
pub fn examples() -> Vec<Example> {
    let example = |definition: &'static Definition| {
        let source = match definition.top_level {
            true => format!("{}\n", definition.example),
            false => in_test(definition.name, definition.example),
        };
        Example { name: definition.name, source }
    };
    definitions().map(example).collect()
}

/// A test of these lines, with the mesh that they speak of.
fn in_test(name: &str, lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    // A name that nothing uses is a finding of a type checker.
    let swarm = if lines.contains("swarm") { "  local swarm = mesh { nodes = 4 }\n" } else { "" };
    format!("test(\"the example of {name}\", function()\n{swarm}{lines}end)\n")
}
