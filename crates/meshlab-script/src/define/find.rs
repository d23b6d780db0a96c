//! What a name stands for, and what was meant where it stands for nothing.

use super::{Alias, Class, Definition, Family, MODULES, classes, definitions, families, model_of};
use crate::error::nearest;

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    /// A function, under the name that it was asked for by.
    Function(&'static Definition),
    /// A function of `check`, which is one of `expect`.
    Check(&'static Definition),
    Module(&'static str),
    Class(&'static Class),
    Alias(&'static Alias),
    Family(&'static Family),
}

/// All that a name stands for: `mesh` is a function and has methods. Empty where it is unknown.
pub(super) fn find(name: &str) -> Vec<Found> {
    let name = name.trim().trim_end_matches("()");
    let mut found: Vec<Found> =
        definitions().filter(|d| d.name == name).map(Found::Function).collect();
    if let Some(short) = name.strip_prefix("check.") {
        let claim = format!("expect.{short}");
        found.extend(definitions().filter(|d| d.name == claim).map(Found::Check));
    }
    found.extend(
        MODULES.iter().filter(|(module, _)| *module == name).map(|(m, _)| Found::Module(m)),
    );
    let class = |class: &&'static Class| {
        let methods = class.methods.first().and_then(|method| method.name.split_once(':'));
        class.name == name || methods.is_some_and(|(value, _)| value == name)
    };
    found.extend(classes().filter(class).map(Found::Class));
    let aliases = families().iter().flat_map(|family| family.aliases.iter().copied());
    found.extend(aliases.filter(|alias| alias.name == name).map(Found::Alias));
    let titled = |family: &&'static Family| family.title.eq_ignore_ascii_case(name);
    found.extend(families().iter().filter(titled).map(Found::Family));
    if found.is_empty() {
        // `drain`, or `swarm:pick` as a scenario writes it.
        let short = name.rsplit(':').next().unwrap_or(name);
        found.extend(definitions().filter(|d| d.short() == short).map(Found::Function));
    }
    found
}

/// The known name that was meant.
pub(super) fn meant(name: &str, others: &[&str]) -> Option<String> {
    let functions = definitions().map(|definition| definition.name.to_owned());
    let checks = definitions().filter_map(|definition| {
        Some(format!("check.{}", definition.name.strip_prefix("expect.")?))
    });
    let modules = MODULES.iter().map(|(module, _)| (*module).to_owned());
    let types = classes().map(|class| class.name.to_owned());
    let known: Vec<String> = functions.chain(checks).chain(modules).chain(types).collect();
    let all = known.iter().map(String::as_str).chain(others.iter().copied());
    if let Some(near) = nearest(name, all) {
        return Some(near.to_owned());
    }
    // Half of a name: `wedge` for `fault.wedge_node`.
    let short = nearest(name, definitions().map(Definition::short))?;
    definitions().find(|definition| definition.short() == short).map(|d| d.name.to_owned())
}

/// The functions of a module.
pub(super) fn in_module(module: &str) -> impl Iterator<Item = &'static Definition> {
    let prefix = format!("{}.", model_of(module));
    definitions().filter(move |definition| definition.name.starts_with(&prefix))
}

/// The aliases that these types name, in their order.
pub(super) fn aliases_in(kinds: &[&str]) -> Vec<&'static Alias> {
    let named =
        |alias: &&Alias| kinds.iter().any(|kind| words(kind).any(|word| word == alias.name));
    families().iter().flat_map(|family| family.aliases.iter().copied()).filter(named).collect()
}

/// The names of types in a type.
pub(super) fn words(kind: &str) -> impl Iterator<Item = &str> {
    kind.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
