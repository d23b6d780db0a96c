//! Files that are drawn from the definitions of the language are what the definitions say.
//!
//! After a change of a definition: `MESHLAB_REGENERATE=1 cargo test -p meshlab-script --test
//! generated`, and commit what it writes.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

const REGENERATE: &str = "MESHLAB_REGENERATE";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What is wrong with a file that should say `wanted`, and what to do.
fn difference(name: &str, there: &str, wanted: &str) -> Option<String> {
    if there == wanted {
        return None;
    }
    let (mut old, mut new) = (there.lines(), wanted.lines());
    let mut line = 1;
    let (old, new) = loop {
        match (old.next(), new.next()) {
            (Some(old), Some(new)) if old == new => line += 1,
            (old, new) => break (old.unwrap_or("nothing"), new.unwrap_or("nothing")),
        }
    };
    Some(format!(
        "{name}:{line} is not what the definitions say\n  it has    {old}\n  should be {new}\n\
         run `{REGENERATE}=1 cargo test -p meshlab-script --test generated` and commit what it writes"
    ))
}

#[test]
fn generated_files_are_what_the_definitions_say() {
    let files = [
        ("docs/api.md", meshlab_script::manual()),
        (".meshlab/meshlab.lua", meshlab_script::luacats()),
    ];
    for (name, wanted) in files {
        let path = root().join(name);
        if env::var_os(REGENERATE).is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, wanted).unwrap();
            continue;
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        if let Some(difference) = difference(name, &there, &wanted) {
            panic!("{difference}");
        }
    }
}

#[test]
fn a_file_that_somebody_edited_is_red() {
    let manual = meshlab_script::manual();
    assert_eq!(difference("docs/api.md", &manual, &manual), None);
    let edited = manual.replace("at_least", "atleast");
    let said = difference("docs/api.md", &edited, &manual).unwrap();
    assert!(said.starts_with("docs/api.md:"), "{said}");
    assert!(said.contains("atleast") && said.contains(REGENERATE), "{said}");
}

/// `.ci/run` lets a type checker look at them.
#[test]
fn examples_are_written_as_files() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("lib")).unwrap();
    let library = "return {\n  ---@param swarm meshlab.Mesh\n  formed = function(swarm) \
                   expect.formed(swarm) end,\n}\n";
    fs::write(folder.join("lib/steps.lua"), library).unwrap();
    let examples = meshlab_script::examples();
    assert!(examples.len() > 60, "{}", examples.len());
    for example in examples {
        let name = example.name.replace(['.', ':'], "-");
        fs::write(folder.join(format!("{name}.lua")), example.source).unwrap();
    }
}
