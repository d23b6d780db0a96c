//! The generated workspace: the node's own crates, by links to their sources, with other
//! dependencies than the repository has.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::asked::{Dependency, Source};

/// The crates that a node is made of; all of them are the repository's.
pub(crate) const CRATES: [&str; 3] = ["mesh-node", "meshlab-agent", "meshlab-wire"];

/// The crate that pins what the node does not name itself.
const PINS: &str = "meshlab-pins";

/// A crate that is taken from a folder in the place of the registry.
#[derive(Debug, Clone)]
pub(crate) struct Replaced {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) folder: PathBuf,
}

/// Writes the workspace to `folder`, over what was there; the lock is the repository's.
pub(crate) fn write(
    root: &Path,
    folder: &Path,
    asked: &[Dependency],
    replaced: &[Replaced],
) -> Result<()> {
    let own = read(&root.join("Cargo.toml"))?;
    let (manifest, pins) = manifests(&own, asked, replaced);
    save(&folder.join("Cargo.toml"), &manifest)?;
    let place = folder.join("crates").join(PINS);
    fs::create_dir_all(place.join("src")).context("failed to make the generated workspace")?;
    save(&place.join("Cargo.toml"), &pins)?;
    fs::write(place.join("src/lib.rs"), "").context("failed to write the generated workspace")?;
    for name in CRATES {
        let (from, to) = (root.join("crates").join(name), folder.join("crates").join(name));
        fs::create_dir_all(&to).context("failed to make the generated workspace")?;
        save(&to.join("Cargo.toml"), &member(read(&from.join("Cargo.toml"))?))?;
        let link = to.join("src");
        let _ = fs::remove_file(&link);
        // Links, not copies: cargo builds again what was changed, and nothing else.
        symlink(from.join("src"), &link).context("failed to link the node's source")?;
    }
    let lock = root.join("Cargo.lock");
    fs::copy(&lock, folder.join("Cargo.lock"))
        .with_context(|| format!("failed to take {}", lock.display()))?;
    Ok(())
}

/// The workspace's manifest, made of the repository's, and that of the crate with pins.
fn manifests(own: &Table, asked: &[Dependency], replaced: &[Replaced]) -> (Table, Table) {
    let table = |value: Option<&Value>| value.and_then(Value::as_table).cloned();
    let mut workspace = table(own.get("workspace")).unwrap_or_default();
    workspace.insert("members".into(), Value::Array(vec!["crates/*".into()]));
    workspace.insert("exclude".into(), Value::Array(vec!["sources".into(), "checkouts".into()]));
    workspace.remove("default-members");
    let mut dependencies = table(workspace.get("dependencies")).unwrap_or_default();
    dependencies.retain(|name, of| of.get("path").is_none() || CRATES.contains(&name));
    let mut pinned = Table::new();
    let exact = asked.iter().filter_map(|one| match &one.source {
        Source::Version(version) => Some((&one.name, version)),
        _ => None,
    });
    for (name, version) in exact.chain(replaced.iter().map(|one| (&one.name, &one.version))) {
        let version = Value::String(format!("={version}"));
        match dependencies.get_mut(name) {
            Some(Value::Table(of)) => drop(of.insert("version".into(), version)),
            Some(plain) => *plain = version,
            None => {
                let pin = [("version".into(), version), ("default-features".into(), false.into())];
                pinned.insert(name.clone(), Value::Table(pin.into_iter().collect()));
            }
        }
    }
    workspace.insert("dependencies".into(), Value::Table(dependencies));
    let mut manifest = Table::new();
    manifest.insert("workspace".into(), Value::Table(workspace));
    if let Some(Value::Table(mut profile)) = own.get("profile").cloned() {
        for one in profile.iter_mut().filter_map(|(_, one)| one.as_table_mut()) {
            // They name crates that the harness has and the node has not.
            one.remove("package");
        }
        manifest.insert("profile".into(), Value::Table(profile));
    }
    if !replaced.is_empty() {
        let path = |one: &Replaced| {
            let path = Value::String(one.folder.display().to_string());
            (one.name.clone(), Value::Table(Table::from_iter([("path".to_owned(), path)])))
        };
        let patches = Value::Table(replaced.iter().map(path).collect());
        let registry = Table::from_iter([("crates-io".to_owned(), patches)]);
        manifest.insert("patch".into(), Value::Table(registry));
    }
    let package = [("name", PINS), ("version", "0.0.0"), ("edition", "2024")];
    let package = package.map(|(name, value)| (name.to_owned(), Value::String(value.to_owned())));
    let pins = [
        ("package".to_owned(), Value::Table(package.into_iter().collect())),
        ("dependencies".to_owned(), Value::Table(pinned)),
    ];
    (manifest, pins.into_iter().collect())
}

/// A crate's manifest without what only its tests need: those are not linked.
fn member(mut manifest: Table) -> Table {
    for needless in ["dev-dependencies", "bench", "example", "test"] {
        manifest.remove(needless);
    }
    manifest
}

fn read(path: &Path) -> Result<Table> {
    let text =
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    text.parse().with_context(|| format!("failed to understand {}", path.display()))
}

fn save(path: &Path, manifest: &Table) -> Result<()> {
    let text = toml::to_string(manifest).context("failed to write a manifest")?;
    // What is the same stays, or cargo takes it for changed.
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{super::asked::dependency, *};

    const OWN: &str = r#"
[workspace]
resolver = "3"
members = ["crates/*"]
exclude = ["crates/mesh-node/fuzz"]
default-members = ["crates/meshlab", "crates/mesh-node"]

[workspace.package]
version = "0.1.0"
edition = "2024"

[workspace.dependencies]
mesh-node = { path = "crates/mesh-node" }
meshlab-engine = { path = "crates/meshlab-engine" }
meshlab-wire = { path = "crates/meshlab-wire" }
iroh = { version = "1.4.1", default-features = false, features = ["tls-ring"] }
iroh-gossip = { version = "0.101.0", default-features = false, features = ["net"] }
rcan = "0.4"

[profile.dev]
debug = "line-tables-only"
"#;

    #[test]
    fn the_generated_manifests_differ_from_the_own_one_by_what_was_asked_for() {
        let own: Table = OWN.parse().unwrap();
        let asked = ["iroh=1.3.0", "rcan=0.4.1", "noq=1.0.1", "iroh-gossip=../gossip"];
        let asked: Vec<Dependency> = asked.iter().map(|text| dependency(text).unwrap()).collect();
        let replaced = Replaced {
            name: "iroh-gossip".into(),
            version: "0.101.0".into(),
            folder: "/set/sources/iroh-gossip-0.101.0".into(),
        };
        let (manifest, pins) = manifests(&own, &asked, &[replaced]);
        let [manifest, pins] = [manifest, pins].map(|table| toml::to_string(&table).unwrap());
        insta::assert_snapshot!(format!("{manifest}\n---- pins\n{pins}"));
        let (same, _) = manifests(&own, &[], &[]);
        let same = toml::to_string(&same).unwrap();
        assert!(!same.contains("patch") && same.contains("\"1.4.1\""), "{same}");
    }

    #[test]
    fn a_crate_keeps_what_its_program_needs() {
        let own = "[package]\nname = \"x\"\n[dependencies]\na = \"1\"\n\
                   [dev-dependencies]\nb = \"1\"\n\
                   [[bench]]\nname = \"c\"\n[[bin]]\nname = \"d\"\n";
        let kept = toml::to_string(&member(own.parse().unwrap())).unwrap();
        assert!(!kept.contains("bench") && !kept.contains("dev-dep"), "{kept}");
        assert!(kept.contains("[dependencies]") && kept.contains("[[bin]]"), "{kept}");
    }
}
