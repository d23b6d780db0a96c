//! The node with other dependencies than this repository has: at other versions, from a checkout,
//! or with a patch to their published source. Each set of them is a generated workspace of its own
//! below `target/meshlab-sets`; all share one target folder, so that only what differs is built.

mod asked;
mod patch;
mod resolve;
mod workspace;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use meshlab_engine::{NODE_BINARY, RELAY_BINARY, note_built_with, sha256_file};
use meshlab_model::BuiltWith;

pub(crate) use self::asked::{Dependency, Patch, dependency, patch};
use self::{asked::Source, patch::Diff, resolve::Package, workspace::Replaced};
use crate::repository;

/// What was asked for cannot be had, and why: the command line is wrong, not the host.
#[derive(Debug)]
pub(crate) struct Wrong(String);

impl Wrong {
    fn because(why: String) -> anyhow::Error {
        Self(why).into()
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// A set of dependencies that was asked for; empty is that of the repository's lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) patches: Vec<Patch>,
}

/// A node that was built with a set.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) node: PathBuf,
    pub(crate) relay: PathBuf,
    pub(crate) with: BuiltWith,
}

impl Set {
    /// What was asked for, each as on the command line.
    fn asked(&self) -> Vec<String> {
        let patches = self.patches.iter().map(|one| match &one.of {
            Some(name) => format!("{name}={}", one.name()),
            None => one.name(),
        });
        self.dependencies.iter().map(ToString::to_string).chain(patches).collect()
    }

    /// Builds the node with this set, in the harness's own profile.
    ///
    /// # Errors
    /// [`Wrong`] if it cannot be had; else what failed on this host.
    pub(crate) fn build(&self) -> Result<Built> {
        self.check()?;
        let diffs = self.patches.iter().map(Diff::read).collect::<Result<Vec<Diff>>>()?;
        let root = repository::root()?;
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |target| root.join(target));
        let sets = target.join("meshlab-sets");
        let place = sets.join(self.folder(&diffs));
        fs::create_dir_all(&place)
            .with_context(|| format!("failed to make {}", place.display()))?;
        let mut replaced = self.checkouts(&root, &place)?;
        workspace::write(&root, &place, &self.dependencies, &replaced)?;
        let mut packages = resolve::resolve(&place, &self.dependencies)?;
        if !diffs.is_empty() {
            let patched = patched(&place, &diffs, &packages)?;
            replaced.extend(patched.iter().cloned());
            workspace::write(&root, &place, &self.dependencies, &replaced)?;
            packages = resolve::resolve(&place, &self.dependencies)?;
            taken(&patched, &packages)?;
        }
        let asked = self.asked();
        let shown = if asked.is_empty() { "its own lock".to_owned() } else { asked.join(", ") };
        eprintln!("building {NODE_BINARY} with {shown}");
        let programs = compile(&place, &sets.join("target"))?;
        self.keep(&place, &programs, &packages, &replaced)
    }

    /// What contradicts itself.
    fn check(&self) -> Result<()> {
        for (at, one) in self.dependencies.iter().enumerate() {
            if self.dependencies[..at].iter().any(|other| other.name == one.name) {
                return Err(Wrong::because(format!("`{}` is asked for twice", one.name)));
            }
        }
        Ok(())
    }

    /// A name for people, and a number that differs with whatever is asked for.
    fn folder(&self, diffs: &[Diff]) -> String {
        let mut hasher = DefaultHasher::new();
        self.asked().hash(&mut hasher);
        diffs.iter().for_each(|diff| diff.bytes.hash(&mut hasher));
        let safe = |c: char| if c.is_ascii_alphanumeric() || ".-=".contains(c) { c } else { '_' };
        let mut name: String = self.asked().join("_").chars().map(safe).take(60).collect();
        if name.is_empty() {
            name.push_str("own-lock");
        }
        format!("{name}-{:08x}", hasher.finish() as u32)
    }

    /// The crates that are taken from folders and repositories, and their neighbours there: two
    /// copies of `iroh-base` would have types that differ.
    fn checkouts(&self, root: &Path, place: &Path) -> Result<Vec<Replaced>> {
        let mut replaced: Vec<Replaced> = Vec::new();
        for one in &self.dependencies {
            let folder = match &one.source {
                Source::Version(_) => continue,
                Source::Folder(folder) => folder.clone(),
                Source::Git { url, revision } => {
                    let folder = place.join("checkouts").join(&one.name);
                    check_out(url, revision, &folder)?;
                    folder
                }
            };
            let members = resolve::members(&folder)?;
            if !members.iter().any(|member| member.name == one.name) {
                let names: Vec<&str> = members.iter().map(|one| one.name.as_str()).collect();
                return Err(Wrong::because(format!(
                    "{} has no crate `{}`; it has {}",
                    folder.display(),
                    one.name,
                    names.join(", ")
                )));
            }
            let locked = locked(root)?;
            let wanted = members
                .into_iter()
                .filter(|member| member.name == one.name || locked.contains(&member.name));
            for member in wanted {
                if replaced.iter().all(|other| other.name != member.name) {
                    let folder = member.folder();
                    let Package { name, version, .. } = member;
                    replaced.push(Replaced { name, version, folder });
                }
            }
        }
        Ok(replaced)
    }

    /// Puts the programs, the lock and what they were built with where the next set does not
    /// overwrite them.
    fn keep(
        &self,
        place: &Path,
        programs: &Path,
        packages: &[Package],
        replaced: &[Replaced],
    ) -> Result<Built> {
        let lock = place.join("Cargo.lock");
        let names = replaced.iter().map(|one| one.name.clone());
        let named = self.dependencies.iter().map(|one| one.name.clone()).chain(names);
        let named: BTreeSet<String> = named.collect();
        let mut patches = BTreeMap::new();
        for patch in &self.patches {
            patches.insert(patch.name(), sha256_file(&patch.file)?);
        }
        let with = BuiltWith {
            asked: self.asked(),
            resolved: resolve::told(packages, &named),
            patches,
            lock_sha256: sha256_file(&lock)?,
        };
        let kept = |name: &str| -> Result<PathBuf> {
            let (from, to) = (programs.join(name), place.join(name));
            // One that runs cannot be written over, but another can take its name.
            let _ = fs::remove_file(&to);
            fs::copy(&from, &to).with_context(|| format!("failed to keep {}", from.display()))?;
            note_built_with(&to, &with, &lock).context("failed to note what it was built with")?;
            Ok(to)
        };
        Ok(Built { node: kept(NODE_BINARY)?, relay: kept(RELAY_BINARY)?, with })
    }
}

/// Copies the source of each crate that a patch changes, and applies it there.
fn patched(place: &Path, diffs: &[Diff], packages: &[Package]) -> Result<Vec<Replaced>> {
    let sources = place.join("sources");
    let _ = fs::remove_dir_all(&sources);
    let mut replaced: Vec<Replaced> = Vec::new();
    for diff in diffs {
        let (package, strip) = diff.target(packages)?;
        let folder = sources.join(format!("{}-{}", package.name, package.version));
        if replaced.iter().all(|one| one.name != package.name) {
            copy(&package.folder(), &folder)
                .with_context(|| format!("failed to copy {}", package.folder().display()))?;
            replaced.push(Replaced {
                name: package.name.clone(),
                version: package.version.clone(),
                folder: folder.clone(),
            });
        }
        diff.apply(&folder, strip)?;
    }
    Ok(replaced)
}

/// Makes sure that cargo takes what was patched.
fn taken(patched: &[Replaced], packages: &[Package]) -> Result<()> {
    for one in patched {
        let mut used = packages.iter().filter(|package| package.name == one.name);
        if !used.any(|package| package.folder() == one.folder) {
            bail!("cargo does not take the patched {} from {}", one.name, one.folder.display());
        }
    }
    Ok(())
}

/// The crates that the repository's lock names.
fn locked(root: &Path) -> Result<BTreeSet<String>> {
    let lock = root.join("Cargo.lock");
    let text =
        fs::read_to_string(&lock).with_context(|| format!("failed to read {}", lock.display()))?;
    let name = |line: &str| Some(line.strip_prefix("name = \"")?.strip_suffix('"')?.to_owned());
    Ok(text.lines().filter_map(name).collect())
}

/// Takes the files of a revision, anew each time.
fn check_out(url: &str, revision: &str, folder: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let git = |arguments: &[&str]| -> Result<Option<String>> {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args(arguments).stdin(Stdio::null());
        git.env("GIT_TERMINAL_PROMPT", "0");
        let output = git.output().context("failed to run git")?;
        let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok((!output.status.success()).then_some(told))
    };
    if let Some(told) = git(&["init", "--quiet"])? {
        bail!("failed to make a repository in {}: {told}", folder.display());
    }
    // One revision is cheap; not every server gives one by a short name.
    if git(&["fetch", "--quiet", "--depth", "1", url, revision])?.is_none() {
        if let Some(told) = git(&["checkout", "--quiet", "--detach", "FETCH_HEAD"])? {
            bail!("failed to take the files of {revision}: {told}");
        }
        return Ok(());
    }
    let all = "+refs/*:refs/remotes/origin/*";
    if let Some(told) = git(&["fetch", "--quiet", "--tags", url, all])? {
        return Err(Wrong::because(format!("{url} cannot be fetched: {told}")));
    }
    if let Some(told) = git(&["checkout", "--quiet", "--detach", revision])? {
        return Err(Wrong::because(format!("{url} has no revision `{revision}`: {told}")));
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        match entry.file_type()? {
            kind if kind.is_dir() => copy(&entry.path(), &place)?,
            kind if kind.is_file() => drop(fs::copy(entry.path(), &place)?),
            // A published source has nothing else.
            _ => {}
        }
    }
    Ok(())
}

/// Builds; returns the folder with the programs.
fn compile(place: &Path, target: &Path) -> Result<PathBuf> {
    let release = !cfg!(debug_assertions);
    let mut command = resolve::cargo();
    command.current_dir(place).args(["build", "--locked", "--package", NODE_BINARY]);
    command
        .args(["--bin", NODE_BINARY, "--bin", RELAY_BINARY])
        .args(release.then_some("--release"));
    command.env("CARGO_TARGET_DIR", target).stdout(Stdio::null());
    let status = command.status().context("failed to run cargo")?;
    if !status.success() {
        bail!(
            "failed to build the node in {}: cargo ended with {status}; what it printed \
             stands above",
            place.display()
        );
    }
    Ok(target.join(if release { "release" } else { "debug" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_has_a_folder_of_its_own() {
        let set = |text: &[&str]| Set {
            dependencies: text.iter().map(|one| dependency(one).unwrap()).collect(),
            patches: Vec::new(),
        };
        let names = [&[][..], &["iroh=1.3.0"], &["iroh=1.4.0"], &["iroh=../../a b/iroh"]];
        let names = names.map(|asked| set(asked).folder(&[]));
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| !name.contains(['/', ' '])), "{names:?}");
    }

    #[test]
    fn a_dependency_that_is_asked_for_twice_is_told() {
        let twice = ["iroh=1.3.0", "iroh=1.4.0"].map(|one| dependency(one).unwrap());
        let set = Set { dependencies: twice.to_vec(), patches: Vec::new() };
        let why = set.build().unwrap_err();
        assert!(why.is::<Wrong>());
        assert_eq!(why.to_string(), "`iroh` is asked for twice");
    }
}
