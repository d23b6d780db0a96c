//! What cargo makes of a workspace: which versions it takes, and where their sources lie.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use meshlab_script::nearest;
use serde::Deserialize;

use super::{Wrong, asked::Source};
use crate::sets::asked::Dependency;

/// The root of what the node is made of.
const NODE: &str = "mesh-node";

/// Names of the crates that a node's peer-to-peer stack is made of begin so.
const STACK: [&str; 2] = ["iroh", "noq"];

/// A crate that the node is made of.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    id: String,
    /// Absent for one that lies in a folder.
    pub(crate) source: Option<String>,
    manifest_path: PathBuf,
}

impl Package {
    /// Where its source lies.
    pub(crate) fn folder(&self) -> PathBuf {
        self.manifest_path.parent().unwrap_or(Path::new("")).to_owned()
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Option<Resolve>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

/// All that the node of a generated workspace is made of; downloads what is not there yet.
pub(crate) fn resolve(workspace: &Path, asked: &[Dependency]) -> Result<Vec<Package>> {
    let manifest = workspace.join("Cargo.toml");
    let metadata = match metadata(&manifest, &[])? {
        Ok(metadata) => metadata,
        Err(told) => return Err(misresolved(asked, &told)),
    };
    let packages = used(metadata);
    for one in asked {
        is_used(one, &packages)?;
    }
    Ok(packages)
}

/// The crates of a folder that somebody named, without what they depend on.
pub(crate) fn members(folder: &Path) -> Result<Vec<Package>> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        let why = format!("there is no Cargo.toml in {}", folder.display());
        return Err(Wrong::because(why));
    }
    match metadata(&manifest, &["--no-deps"])? {
        Ok(metadata) => Ok(metadata.packages),
        Err(told) => {
            Err(Wrong::because(format!("cargo cannot read {}:\n{told}", manifest.display())))
        }
    }
}

/// Those of the peer-to-peer stack, and those that were asked for: versions by name.
pub(crate) fn told(packages: &[Package], asked: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for one in packages {
        let of_stack = STACK.iter().any(|stack| one.name.starts_with(stack));
        if !of_stack && !asked.contains(&one.name) {
            continue;
        }
        let version = match &one.source {
            Some(_) => one.version.clone(),
            None => format!("{} (changed)", one.version),
        };
        told.entry(one.name.clone())
            .and_modify(|all| *all = format!("{all}, {version}"))
            .or_insert(version);
    }
    told
}

pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.stdin(Stdio::null());
    cargo
}

/// What `cargo metadata` says, or what it has against it.
fn metadata(manifest: &Path, more: &[&str]) -> Result<Result<Metadata, String>> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(manifest);
    let output = command.args(more).output().context("failed to run cargo")?;
    if !output.status.success() {
        return Ok(Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let read = serde_json::from_slice(&output.stdout);
    Ok(Ok(read.context("failed to understand what cargo says of the workspace")?))
}

/// What can be reached from the node.
fn used(metadata: Metadata) -> Vec<Package> {
    let nodes = metadata.resolve.map(|resolve| resolve.nodes).unwrap_or_default();
    let edges: BTreeMap<&str, &[String]> =
        nodes.iter().map(|node| (node.id.as_str(), node.dependencies.as_slice())).collect();
    let node = metadata.packages.iter().filter(|one| one.name == NODE);
    let mut open: Vec<&str> = node.map(|one| one.id.as_str()).collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(edges.get(id).copied().unwrap_or_default().iter().map(String::as_str));
        }
    }
    metadata.packages.iter().filter(|one| seen.contains(one.id.as_str())).cloned().collect()
}

fn is_used(asked: &Dependency, packages: &[Package]) -> Result<()> {
    let name = &asked.name;
    let found: Vec<&Package> = packages.iter().filter(|one| one.name == *name).collect();
    if found.is_empty() {
        let meant = nearest(name, packages.iter().map(|one| one.name.as_str()));
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        return Err(Wrong::because(format!("the node does not use a crate `{name}`{meant}")));
    }
    match &asked.source {
        Source::Version(version) if found.iter().all(|one| one.version != *version) => {
            let versions: Vec<&str> = found.iter().map(|one| one.version.as_str()).collect();
            Err(Wrong::because(format!(
                "the node uses {name} {}: {version} does not go with the rest of what it is made \
                 of; ask for the crates that use {name} at other versions too",
                versions.join(" and ")
            )))
        }
        _ => Ok(()),
    }
}

/// Says in words what cargo has against the versions that were asked for.
fn misresolved(asked: &[Dependency], told: &str) -> anyhow::Error {
    let named = |before: &str| {
        let line = told.lines().find_map(|line| line.split_once(before).map(|(_, rest)| rest))?;
        let name = line.split(['`', ' ']).next()?;
        asked.iter().find(|one| one.name == name)
    };
    if let Some(one) = named("no matching package named `") {
        let name = &one.name;
        return Wrong::because(format!("the registry has no crate `{name}` (`{one}`)"));
    }
    if told.contains("candidate versions found which didn't match")
        && let Some(one) = named("failed to select a version for the requirement `")
    {
        let there = told.lines().find_map(|line| line.trim().strip_prefix("candidate versions"));
        let there = there.and_then(|rest| rest.split_once(": ")).map_or("", |(_, there)| there);
        return Wrong::because(format!("the registry has not `{one}`; it has {there}"));
    }
    if told.contains("failed to select a version") {
        let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
        return Wrong::because(format!(
            "{} cannot go together with the rest of what the node is made of; ask for the crates \
             named here at other versions too:\n{told}",
            asked.join(" and ")
        ));
    }
    let failed = || -> Result<()> { bail!("failed to resolve the node's dependencies:\n{told}") };
    failed().err().unwrap_or_else(|| anyhow::anyhow!("failed to resolve"))
}
