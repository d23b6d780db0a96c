//! Mistakes of the harness itself, each a switch where a person would make it. `meshlab selftest
//! --mutants` turns on one at a time and sees whether the harness still finds what it should.
//!
//! `catalogue.rs` lists them. Without the feature `mutants` every switch is the constant `false`,
//! and no name of one is in the program. This crate does not know who catches what.

mod catalogue;

pub use catalogue::Mutant;
#[cfg(feature = "mutants")]
pub use catalogue::{CATALOGUE, Entry};

/// The environment variable that says which are on: names with a comma between two.
pub const VARIABLE: &str = "MESHLAB_MUTANT";

/// Whether this mistake is made. Asked once, when the first switch is.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub const fn on(_: Mutant) -> bool {
    false
}

/// Whether this mistake is made. Asked once, when the first switch is.
#[cfg(feature = "mutants")]
#[must_use]
pub fn on(mutant: Mutant) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Vec<Mutant>> = OnceLock::new();
    // A name that there is not stopped the program before.
    CHOSEN.get_or_init(|| chosen().unwrap_or_default()).contains(&mutant)
}

/// Which are chosen by the environment.
///
/// # Errors
/// A name that no mutant has.
#[cfg(feature = "mutants")]
pub fn chosen() -> Result<Vec<Mutant>, String> {
    let names = std::env::var(VARIABLE).unwrap_or_default();
    parse(&names)
}

#[cfg(feature = "mutants")]
fn parse(names: &str) -> Result<Vec<Mutant>, String> {
    let names = names.split(',').filter(|name| !name.is_empty());
    let known = |name: &str| CATALOGUE.iter().find(|entry| entry.name == name);
    let one = |name: &str| {
        let known = known(name).map(|entry| entry.mutant);
        known.ok_or_else(|| format!("{VARIABLE} names `{name}`, and there is no such mutant"))
    };
    names.map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::Path,
    };

    use super::*;

    /// Rows of the catalogue as they are written: variant, name, file, meaning.
    fn rows() -> Vec<[String; 4]> {
        let text = include_str!("catalogue.rs");
        let (_, list) = text.split_once("mutants! {\n").unwrap();
        let mut rows = Vec::new();
        for row in list.split(";\n").filter(|row| row.contains("=>")) {
            let (variant, rest) = row.split_once("=>").unwrap();
            // A comment may stand above it.
            let variant = variant.lines().last().unwrap_or_default();
            let parts: Vec<&str> = rest.split('"').collect();
            let [name, files, meaning] = [parts[1], parts[3], parts[5]].map(str::to_owned);
            rows.push([variant.trim().to_owned(), name, files, meaning]);
        }
        rows
    }

    fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let skipped = ["target", "meshlab-mutants", "selftest"];
            let skipped =
                path.file_name().is_some_and(|name| skipped.iter().any(|one| name == *one));
            if path.is_dir() && !skipped {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }

    #[test]
    fn each_is_made_in_the_file_that_it_names_and_nowhere_else() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut files = Vec::new();
        collect(crates, &mut files);
        let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let place = file.strip_prefix(crates).unwrap().display().to_string();
            for after in text.split("Mutant::").skip(1) {
                let end = after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len());
                used.entry(after[..end].to_owned()).or_default().insert(place.clone());
            }
        }
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for [variant, _, file, _] in rows() {
            told.insert(variant, file.split(' ').map(str::to_owned).collect());
        }
        assert_eq!(used, told);
    }

    #[test]
    fn names_are_names_and_there_is_one_of_each() {
        let rows = rows();
        assert_eq!(rows.len(), Mutant::ALL.len());
        assert!(rows.len() >= 30);
        let names: BTreeSet<&String> = rows.iter().map(|row| &row[1]).collect();
        assert_eq!(names.len(), rows.len());
        for [_, name, _, meaning] in &rows {
            assert!(name.contains('-') && !name.contains([',', ' ', '_']), "{name}");
            assert!(meaning.len() > 20 && meaning.len() < 90, "{name}: {meaning}");
        }
    }

    #[cfg(not(feature = "mutants"))]
    #[test]
    fn without_the_feature_none_is_on() {
        const OFF: bool = on(Mutant::ExitCodeZero);
        const { assert!(!OFF) };
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn names_choose_and_one_that_there_is_not_is_told() {
        assert_eq!(parse(""), Ok(Vec::new()));
        let both = parse("exit-code-always-zero,clock-that-stands-still");
        assert_eq!(both, Ok(vec![Mutant::ExitCodeZero, Mutant::ClockStill]));
        let wrong = "MESHLAB_MUTANT names `exit`, and there is no such mutant";
        assert_eq!(parse("exit"), Err(wrong.to_owned()));
    }
}
