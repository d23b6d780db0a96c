//! What programs were built with, for people.

use std::collections::BTreeSet;

use meshlab_model::BuiltWith;

/// What was asked for.
fn asked(with: &BuiltWith) -> String {
    match with.asked.is_empty() {
        true => "the repository's own lock".to_owned(),
        false => with.asked.join(", "),
    }
}

/// All of it, in a line.
pub(crate) fn line(with: &BuiltWith) -> String {
    let resolved: Vec<String> =
        with.resolved.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!("built with {}: {}", asked(with), resolved.join(", "))
}

/// What both sides were built with: first what was asked for, then what differs, a crate each,
/// then what is the same.
#[must_use]
pub fn built_sides([before, after]: [&BuiltWith; 2]) -> Vec<String> {
    let mut lines =
        vec![format!("built with {} before, with {} after", asked(before), asked(after))];
    let names: BTreeSet<&String> = before.resolved.keys().chain(after.resolved.keys()).collect();
    let version = |with: &BuiltWith, name| {
        with.resolved.get(name).cloned().unwrap_or_else(|| "none".to_owned())
    };
    let mut same = Vec::new();
    for name in names {
        let [one, two] = [before, after].map(|with| version(with, name));
        match one == two {
            true => same.push(format!("{name} {one}")),
            false => lines.push(format!("{name} {one} before, {two} after")),
        }
    }
    lines.push(format!("the same on both sides: {}", same.join(", ")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_side_by_side() {
        let with = |asked: &[&str], resolved: &[(&str, &str)]| BuiltWith {
            asked: asked.iter().map(|&one| one.to_owned()).collect(),
            resolved: resolved.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect(),
            ..BuiltWith::default()
        };
        let before = with(&[], &[("iroh", "1.4.1"), ("iroh-gossip", "0.101.0"), ("noq", "1.4.0")]);
        let after = with(
            &["iroh-gossip=fix.patch"],
            &[("iroh", "1.4.1"), ("iroh-gossip", "0.101.0 (changed)"), ("noq", "1.4.0")],
        );
        let told = built_sides([&before, &after]).join("\n");
        insta::assert_snapshot!(format!("{told}\n---\n{}", line(&after)));
    }
}
