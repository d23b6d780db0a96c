//! What each fault takes, for whoever offers them by other means than a line of Lua.

use serde::Serialize;

use super::{Definition, Need, families};

/// A fault of the catalogue, as a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultForm {
    /// Its name, `wedge_node`.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Whom it takes before its options, each by its type: `Node`, `From`, `Mesh`.
    pub targets: Vec<&'static str>,
    /// How many of them there are: two where it has two sides.
    pub sides: usize,
    /// Its options.
    pub options: Vec<FaultOption>,
}

/// An option of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultOption {
    /// Its name, `hold`.
    pub name: &'static str,
    /// Its type, `Duration`.
    pub kind: &'static str,
    /// What it is.
    pub text: &'static str,
    /// Whether it has to be given.
    pub needed: bool,
    /// What it is where it is not given, as Lua.
    pub default: Option<&'static str>,
    /// What it may be, where that is one of a few words.
    pub choices: Vec<&'static str>,
}

/// Every fault, by name: drawn from the definitions that bind them.
pub fn fault_forms() -> Vec<FaultForm> {
    let all = families().iter().flat_map(|family| family.functions.iter());
    let mut forms: Vec<FaultForm> =
        all.filter(|one| one.name.starts_with("fault.")).map(|one| form(one)).collect();
    forms.sort_by_key(|form| form.name);
    forms
}

fn form(definition: &'static Definition) -> FaultForm {
    let options = definition.options.map_or(&[][..], |options| options.fields);
    let option = |field: &super::Field| FaultOption {
        name: field.name,
        kind: field.kind,
        text: field.text,
        needed: field.is_needed(),
        default: match field.need {
            Need::Default(default) => Some(default),
            Need::Needed | Need::Optional => None,
        },
        choices: choices(field.kind),
    };
    let targets: Vec<&str> = definition
        .arguments
        .iter()
        .filter(|argument| argument.is_needed() && argument.name != "options")
        .map(|argument| argument.kind)
        .collect();
    FaultForm {
        name: definition.short(),
        summary: definition.summary,
        sides: targets.len(),
        targets,
        options: options.iter().map(option).collect(),
    }
}

fn choices(kind: &str) -> Vec<&'static str> {
    if kind == "boolean" {
        return vec!["true", "false"];
    }
    let mut aliases = families().iter().flat_map(|family| family.aliases.iter());
    let alias = aliases.find(|alias| alias.name == kind && alias.kind.is_empty());
    alias.map(|alias| alias.texts.to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_catalogue_has_a_form() {
        let forms = fault_forms();
        let names: Vec<&str> = forms.iter().map(|form| form.name).collect();
        for name in meshlab_engine::fault_names() {
            assert!(names.contains(&name), "{name} has no form");
        }
        let form = |name: &str| forms.iter().find(|form| form.name == name).unwrap();
        let slow = form("slow_link");
        assert_eq!((slow.targets.as_slice(), slow.sides), (&["Node"][..], 1));
        let option = |name: &str| slow.options.iter().find(|one| one.name == name).unwrap();
        assert!(option("delay").needed && !option("hold").needed);
        assert_eq!(option("jitter").default, Some("\"0s\""));
        assert_eq!(option("direction").choices, ["out", "in", "both"]);
        assert_eq!(form("partition_pair").sides, 2);
        assert_eq!(form("relay_down").targets, ["Mesh"]);
        assert!(form("kill_node").options.iter().all(|option| !option.needed));
    }
}
