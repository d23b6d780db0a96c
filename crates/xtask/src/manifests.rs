//! Rules on the crates' manifests: which crate may know which.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::Finding;

/// Which of our crates each of ours may name, arrows pointing down only.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "meshlab",
        &[
            "meshlab-script",
            "meshlab-clock",
            "meshlab-report",
            "meshlab-query",
            "meshlab-ui",
            "meshlab-engine",
            "meshlab-lab",
            "meshlab-profile",
            "meshlab-model",
            "meshlab-mutants",
            "meshlab-stats",
        ],
    ),
    (
        "meshlab-script",
        &["meshlab-mutants", "meshlab-engine", "meshlab-model", "meshlab-stats", "meshlab-wire"],
    ),
    (
        "meshlab-report",
        &["meshlab-mutants", "meshlab-engine", "meshlab-model", "meshlab-stats", "meshlab-wire"],
    ),
    // The page is the report, alive: one fold for both.
    (
        "meshlab-ui",
        &["meshlab-report", "meshlab-engine", "meshlab-model", "meshlab-stats", "meshlab-wire"],
    ),
    (
        "meshlab-engine",
        &[
            "meshlab-mutants",
            "meshlab-fleet",
            "meshlab-lab",
            "meshlab-faults",
            "meshlab-spans",
            "meshlab-sampler",
            "meshlab-results",
            "meshlab-profile",
            "meshlab-model",
            "meshlab-stats",
            "meshlab-wire",
        ],
    ),
    (
        "meshlab-faults",
        &["meshlab-mutants", "meshlab-fleet", "meshlab-lab", "meshlab-model", "meshlab-wire"],
    ),
    ("meshlab-fleet", &["meshlab-mutants", "meshlab-model", "meshlab-wire"]),
    ("meshlab-lab", &["meshlab-mutants", "meshlab-model", "meshlab-stats", "meshlab-wire"]),
    ("meshlab-spans", &["meshlab-mutants", "meshlab-model", "meshlab-wire"]),
    ("meshlab-sampler", &["meshlab-mutants", "meshlab-model"]),
    ("meshlab-results", &["meshlab-mutants", "meshlab-model"]),
    ("meshlab-query", &["meshlab-results", "meshlab-model"]),
    ("meshlab-profile", &[]),
    ("meshlab-model", &["meshlab-mutants"]),
    ("meshlab-stats", &["meshlab-mutants"]),
    ("meshlab-mutants", &[]),
    ("meshlab-wire", &[]),
    ("meshlab-agent", &["meshlab-wire"]),
    ("meshlab-clock", &["meshlab-wire"]),
    ("mesh-node", &["meshlab-agent", "meshlab-wire"]),
    ("xtask", &[]),
];

/// Dependencies that have one door each: a prefix of their names, and who may name them.
const DOORS: &[(&str, &[&str])] = &[
    ("mlua", &["meshlab-script"]),
    ("iroh", &["mesh-node"]),
    ("opentelemetry", &["meshlab-spans", "meshlab-agent"]),
    ("tracing-opentelemetry", &["meshlab-agent"]),
    ("tonic", &["meshlab-spans"]),
    ("inferno", &["meshlab-profile"]),
    ("addr2line", &["meshlab-profile"]),
    ("tracing-flame", &["meshlab-agent"]),
    ("clap", &["meshlab", "mesh-node"]),
    ("rustyline", &["meshlab"]),
    ("plotters", &["meshlab-report"]),
    ("maud", &["meshlab-report"]),
    // The node has it for a mistake that can be planted in it.
    ("sysinfo", &["meshlab-sampler", "mesh-node"]),
    ("zstd", &["meshlab-results"]),
    ("ed25519-dalek", &["meshlab-engine"]),
    ("rusqlite", &["meshlab-query"]),
    ("tokio-websockets", &["meshlab-ui"]),
];

/// Crates that have no runtime at all.
const PURE: &[&str] = &["meshlab-model", "meshlab-stats", "meshlab-wire"];

pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let crates = root.join("crates");
    let mut folders: Vec<PathBuf> = fs::read_dir(&crates)
        .with_context(|| format!("failed to list {}", crates.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("Cargo.toml").exists())
        .collect();
    folders.sort();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for folder in folders {
        let file = folder.join("Cargo.toml");
        let text = fs::read_to_string(&file)?;
        let manifest: toml::Table =
            text.parse().with_context(|| format!("failed to read {}", file.display()))?;
        let folder_name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut found = |text: String| findings.push(Finding { file: file.clone(), line: 1, text });
        let name = manifest
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(toml::Value::as_str)
            .unwrap_or_default();
        if name != folder_name {
            found(format!("the crate is named `{name}`, its folder `{folder_name}`"));
        }
        if manifest.get("lints").and_then(|lints| lints.get("workspace")).is_none() {
            found("the workspace's lints are not taken: add `lints.workspace = true`".to_owned());
        }
        let Some(arrows) = allowed.get(name) else {
            found(format!("`{name}` is not in the picture: add it to ARROWS and crates/README.md"));
            continue;
        };
        for message in check_dependencies(name, arrows, &manifest) {
            found(message);
        }
    }
    Ok(findings)
}

fn check_dependencies(name: &str, arrows: &[&str], manifest: &toml::Table) -> Vec<String> {
    let mut messages = Vec::new();
    let empty = toml::Table::new();
    let dependencies =
        manifest.get("dependencies").and_then(toml::Value::as_table).unwrap_or(&empty);
    for (dependency, how) in dependencies {
        let ours = dependency.starts_with("meshlab") || dependency == "mesh-node";
        if ours && !arrows.contains(&dependency.as_str()) {
            messages.push(format!("`{name}` must not know `{dependency}`: arrows point down only"));
        }
        for (prefix, doors) in DOORS {
            let named = dependency == prefix
                || dependency.starts_with(&format!("{prefix}-"))
                || dependency.starts_with(&format!("{prefix}_"));
            if named && !doors.contains(&name) {
                messages.push(format!(
                    "`{name}` names `{dependency}`; its one door is {}",
                    doors.join(", ")
                ));
            }
        }
        if PURE.contains(&name)
            && ["tokio", "async-trait", "libc", "nix"].contains(&dependency.as_str())
        {
            messages.push(format!("`{name}` is pure and names `{dependency}`"));
        }
        if how.get("workspace").is_none() {
            messages.push(format!("`{dependency}` has a version of its own: use the workspace's"));
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(name: &str, dependencies: &str) -> Vec<String> {
        let arrows = ARROWS.iter().find(|(crate_name, _)| *crate_name == name).unwrap().1;
        let manifest = format!("[dependencies]\n{dependencies}").parse().unwrap();
        check_dependencies(name, arrows, &manifest)
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let up = messages("meshlab-lab", "meshlab-engine = { workspace = true }");
        assert_eq!(up, ["`meshlab-lab` must not know `meshlab-engine`: arrows point down only"]);
        assert!(messages("meshlab-engine", "meshlab-lab = { workspace = true }").is_empty());
    }

    #[test]
    fn a_second_door_is_found() {
        for (name, dependency) in [
            ("meshlab-engine", "mlua"),
            ("meshlab-agent", "iroh-gossip"),
            ("meshlab-report", "opentelemetry_sdk"),
            ("meshlab-script", "clap"),
        ] {
            let found = messages(name, &format!("{dependency} = {{ workspace = true }}"));
            assert_eq!(found.len(), 1, "{name} names {dependency}: {found:?}");
        }
    }

    #[test]
    fn a_runtime_in_a_pure_crate_and_a_version_aside_are_found() {
        assert_eq!(messages("meshlab-model", "tokio = { workspace = true }").len(), 1);
        assert_eq!(messages("meshlab-model", "serde = \"1\"").len(), 1);
    }
}
