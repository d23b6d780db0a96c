//! What scenarios share: found in `lib`, sandboxed the same, reached in no other way.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like the tests themselves")]

mod fake;

use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc};

use fake::{Fake, load_at};
use meshlab_script::ScriptError;

const LIB: &str = "local M = {}\nfunction M.form(swarm)\n  expect.formed(swarm, { within = \"9s\" })\n\
                   end\nfunction M.wrong(swarm)\n  expect.formed(swarm, {\n    whithin = \"9s\" })\n\
                   end\nfunction M.nothing() return nil + 1 end\nreturn M\n";

/// A folder with a scenario in `faults/x.lua`, and libraries in both places.
fn folder(scenario: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir_all(at.join("faults/lib")).unwrap();
    fs::create_dir_all(at.join("lib")).unwrap();
    fs::write(at.join("faults/x.lua"), scenario).unwrap();
    fs::write(at.join("lib/shared.lua"), LIB).unwrap();
    fs::write(at.join("secret.lua"), "return \"secret\"\n").unwrap();
    folder
}

fn run(folder: &Path) -> (Arc<Fake>, Vec<ScriptError>) {
    let fake = Arc::new(Fake::default());
    match load_at(&folder.join("faults/x.lua")) {
        Err(error) => (fake, vec![*error]),
        Ok(script) => {
            let errors = script.run(Arc::clone(&fake) as Arc<_>, &|_| {}).errors;
            (fake, errors)
        }
    }
}

/// The first error, without the folder.
fn error_of(folder: &Path) -> String {
    let (_, errors) = run(folder);
    let error = errors.first().map_or("no error".to_owned(), |error| error.render(false));
    error.replace(&format!("{}/", folder.display()), "")
}

fn test(body: &str) -> String {
    format!("local lib = require(\"shared\")\ntest(\"t\", function()\n  {body}\nend)\n")
}

#[test]
fn a_library_is_loaded_once_and_its_calls_have_its_place() {
    let text = format!(
        "local again = require(\"shared\")\n{}",
        test("print(again == lib) lib.form(mesh { nodes = 2 })")
    );
    let folder = folder(&text);
    let (fake, errors) = run(folder.path());
    assert_eq!(errors, []);
    let said = fake.said();
    assert!(said.contains("note true") && said.contains("within: 9s } at 3:3"), "{said}");
    fs::write(folder.path().join("faults/lib/shared.lua"), "return { form = print }\n").unwrap();
    let (fake, errors) = run(folder.path());
    assert_eq!(errors, []);
    assert!(fake.said().contains("note mesh1"), "the nearer one counts: {}", fake.said());
}

#[test]
fn mistakes_in_a_library_name_its_file_and_line() {
    let lib = |text: &str| {
        let folder = folder("local lib = require(\"own\")\n");
        fs::write(folder.path().join("lib/own.lua"), text).unwrap();
        error_of(folder.path())
    };
    let errors = [
        error_of(folder(&test("lib.wrong(mesh { nodes = 2 })")).path()),
        error_of(folder(&test("lib.nothing()")).path()),
        lib("local x = = 1\n"),
        lib("\nerror(\"oh\")\n"),
        lib("oops = 1\n"),
        lib("local s = mesh { nodes = 2 }\n"),
        lib("scenario {}\n"),
        lib("test(\"t\", function() end)\n"),
        lib("local x = 1\n"),
        lib("return require(\"own\")\n"),
        lib("local n = 0\nwhile true do n = n + 1 end\n"),
    ];
    // How long it ran is measured.
    insta::with_settings!({ filters => [(r"ran for [\d.]+ m?s", "ran for [TIME]")] }, {
        insta::assert_snapshot!(errors.join("\n\n"));
    });
}

#[test]
fn nothing_else_can_be_reached() {
    let at = folder("");
    let lib = at.path().join("lib");
    symlink("../secret.lua", lib.join("link.lua")).unwrap();
    fs::create_dir(lib.join("folder.lua")).unwrap();
    fs::write(lib.join("bytes.lua"), b"\x1bLua\x54\x00\x19\x93\r\n\x1a\n").unwrap();
    fs::write(lib.join("ascii.lua"), "\x1bLua").unwrap();
    fs::write(lib.join("large.lua"), vec![b' '; 1024 * 1024 + 1]).unwrap();
    let secret = at.path().join("secret").display().to_string();
    let names = [
        "../secret",
        "..",
        "",
        ".",
        "/etc/passwd",
        secret.as_str(),
        "shared.lua",
        "a/../../secret",
        "x\\0",
        "link",
        "folder",
        "bytes",
        "ascii",
        "large",
        "os",
        "secret",
    ];
    let mut errors = Vec::new();
    for name in names {
        fs::write(at.path().join("faults/x.lua"), format!("print(require(\"{name}\"))\n")).unwrap();
        let error = error_of(at.path());
        assert!(error.contains("x.lua:1"), "{name}: {error}");
        errors.push(error.lines().next().unwrap_or_default().to_owned());
    }
    fs::write(at.path().join("faults/x.lua"), test("require(\"shared\")")).unwrap();
    errors.push(error_of(at.path()));
    fs::rename(&lib, at.path().join("real")).unwrap();
    symlink("real", &lib).unwrap();
    errors.push(error_of(at.path()).lines().next().unwrap_or_default().to_owned());
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn a_library_has_the_same_sandbox() {
    for text in ["io.open('/etc/passwd')", "load('return 1')", "require('../secret')", "x = 1"] {
        let folder = folder(&test("print(1)"));
        fs::write(folder.path().join("faults/lib/shared.lua"), format!("{text}\nreturn 1\n"))
            .unwrap();
        let error = error_of(folder.path());
        assert!(error.contains("faults/lib/shared.lua:1"), "{text}: {error}");
    }
}
