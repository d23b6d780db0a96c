//! A patch to the published source of a dependency: whose source it is, and whether it applies.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result};

use super::{Wrong, asked::Patch, resolve::Package};

/// Folders that a patch may name before the crate's own: `a/`, and that of the crate in a
/// repository of several.
const STRIP_MAX: usize = 3;

/// A patch that was read.
#[derive(Debug)]
pub(crate) struct Diff {
    pub(crate) asked: Patch,
    pub(crate) bytes: Vec<u8>,
    /// The files that must be there before, as the patch names them.
    files: Vec<String>,
    path: PathBuf,
}

impl Diff {
    /// Reads a patch.
    ///
    /// # Errors
    /// It is not there, or changes no file that could be there.
    pub(crate) fn read(asked: &Patch) -> Result<Self> {
        let shown = asked.file.display();
        let bytes = fs::read(&asked.file).map_err(|error| {
            Wrong::because(format!("the patch {shown} cannot be read: {error}"))
        })?;
        let files = changed(&String::from_utf8_lossy(&bytes));
        if files.is_empty() {
            return Err(Wrong::because(format!(
                "the patch {shown} changes no file: it needs lines as `--- a/src/net.rs`, as of \
                 `git diff`"
            )));
        }
        // The programs that apply it run in another folder.
        let path = asked.file.canonicalize().context("failed to find the patch again")?;
        Ok(Self { asked: asked.clone(), bytes, files, path })
    }

    /// The crate among `packages` whose published source this changes, and how many folders of its
    /// file names are not the crate's.
    ///
    /// # Errors
    /// None has these files, it applies to none, or to several.
    pub(crate) fn target<'a>(&self, packages: &'a [Package]) -> Result<(&'a Package, usize)> {
        let shown = self.asked.name();
        let (mut applies, mut has_files) = (Vec::new(), Vec::new());
        for package in self.candidates(packages)? {
            let Some(strip) = self.strip(&package.folder()) else { continue };
            match self.run(&package.folder(), strip, true)? {
                None => applies.push((package, strip)),
                Some(why) => has_files.push((package, why)),
            }
        }
        let id = |one: &Package| format!("{} {}", one.name, one.version);
        match (&applies[..], &has_files[..]) {
            ([one], _) => Ok(*one),
            ([], []) => {
                let whose = match &self.asked.of {
                    Some(name) => format!("`{name}` has"),
                    None => "no crate that the node is made of has".to_owned(),
                };
                let not = if self.asked.of.is_some() { "not all of " } else { "" };
                let files = self.files.join(", ");
                Err(Wrong::because(format!(
                    "the patch {shown} does not apply: {whose} {not}{files}"
                )))
            }
            ([], refused) => {
                let told = refused.iter().map(|(one, why)| {
                    let folder = one.folder();
                    format!("to {}, whose source is in {}:\n{why}", id(one), folder.display())
                });
                let told = told.collect::<Vec<_>>().join("\n");
                Err(Wrong::because(format!("the patch {shown} does not apply {told}")))
            }
            (several, _) => {
                let names: Vec<String> = several.iter().map(|(one, _)| id(one)).collect();
                let first = several.first().map_or("NAME", |(one, _)| one.name.as_str());
                Err(Wrong::because(format!(
                    "the patch {shown} applies to {}; say which, as `{first}={}`",
                    names.join(" and "),
                    self.asked.file.display()
                )))
            }
        }
    }

    /// Where to look: the crate that was named, or all that are published.
    fn candidates<'a>(&self, packages: &'a [Package]) -> Result<Vec<&'a Package>> {
        let Some(name) = &self.asked.of else {
            return Ok(packages.iter().filter(|one| one.source.is_some()).collect());
        };
        let named: Vec<&Package> = packages.iter().filter(|one| one.name == *name).collect();
        if named.is_empty() {
            let why = format!("the node does not use a crate `{name}`, so no patch changes it");
            return Err(Wrong::because(why));
        }
        if named.iter().all(|one| one.source.is_none()) {
            return Err(Wrong::because(format!(
                "`{name}` is taken from a folder already; a patch changes published source: apply \
                 it there"
            )));
        }
        Ok(named)
    }

    /// Applies it to a copy of a crate's source.
    ///
    /// # Errors
    /// It does not apply, or changes nothing.
    pub(crate) fn apply(&self, folder: &Path, strip: usize) -> Result<()> {
        let before = self.contents(folder, strip);
        if let Some(why) = self.run(folder, strip, false)? {
            let shown = self.asked.name();
            return Err(Wrong::because(format!("the patch {shown} does not apply:\n{why}")));
        }
        if before == self.contents(folder, strip) {
            let shown = self.asked.name();
            return Err(Wrong::because(format!("the patch {shown} changes nothing")));
        }
        Ok(())
    }

    /// How many folders of the names are not the crate's, if all files are there without them.
    fn strip(&self, folder: &Path) -> Option<usize> {
        let there = |file: &String, strip| {
            stripped(file, strip).is_some_and(|file| folder.join(file).is_file())
        };
        [1, 2, STRIP_MAX, 0]
            .into_iter()
            .find(|strip| self.files.iter().all(|file| there(file, *strip)))
    }

    fn contents(&self, folder: &Path, strip: usize) -> BTreeMap<PathBuf, Vec<u8>> {
        let read = |file: &String| {
            let path = folder.join(stripped(file, strip)?);
            Some((path.clone(), fs::read(path).unwrap_or_default()))
        };
        self.files.iter().filter_map(read).collect()
    }

    /// Has git apply it, or `patch` where there is no git; what that has against it.
    fn run(&self, folder: &Path, strip: usize, check: bool) -> Result<Option<String>> {
        let strip = format!("-p{strip}");
        let mut git = Command::new("git");
        git.args(["apply", &strip]).args(check.then_some("--check")).arg(&self.path);
        // Within a repository it would silently leave out what lies elsewhere in it.
        if let Some(above) = folder.parent() {
            git.env("GIT_CEILING_DIRECTORIES", above);
        }
        git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
        let output = match quiet(git, folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut patch = Command::new("patch");
                patch.args(["--batch", "--forward", &strip]).args(check.then_some("--dry-run"));
                patch.arg("-i").arg(&self.path);
                quiet(patch, folder).context("failed to run git, or patch in its place")?
            }
            output => output.context("failed to run git")?,
        };
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).trim().to_owned();
        Ok((!output.status.success()).then_some(told))
    }
}

fn quiet(mut command: Command, folder: &Path) -> io::Result<Output> {
    command.current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null()).output()
}

/// The files that a patch changes or removes, as it names them; those it makes need not be there.
fn changed(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let before = pair[0].strip_prefix("--- ")?;
        pair[1].starts_with("+++ ").then_some(before)
    });
    let name = |file: &str| file.split('\t').next().unwrap_or(file).trim().to_owned();
    pairs.map(name).filter(|file| file != "/dev/null").collect()
}

/// A file's name without its first folders. One that leads out of the crate is none.
fn stripped(file: &str, strip: usize) -> Option<PathBuf> {
    let parts: Vec<&str> = file.split('/').collect();
    let rest = parts.get(strip..).filter(|rest| !rest.is_empty())?;
    let plain = rest.iter().all(|part| !part.is_empty() && *part != "..");
    plain.then(|| rest.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "one\ntwo\nthree\nfour\n";
    const GOOD: &str = "--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1,4 +1,4 @@\n one\n-two\n+TWO\n \
                        three\n four\n";

    fn package(root: &Path, name: &str, source: &str) -> Package {
        let folder = root.join(format!("{name}-1.0.0"));
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/lib.rs"), source).unwrap();
        let manifest = folder.join("Cargo.toml");
        serde_json::from_value(serde_json::json!({
            "name": name, "version": "1.0.0", "id": name, "source": "registry",
            "manifest_path": manifest,
        }))
        .unwrap()
    }

    fn diff(root: &Path, of: Option<&str>, text: &str) -> Result<Diff> {
        let file = root.join("fix.patch");
        fs::write(&file, text).unwrap();
        Diff::read(&Patch { of: of.map(str::to_owned), file })
    }

    #[test]
    fn a_patch_finds_its_crate_and_changes_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let all = [package(root, "other", "none\nof\nthis\n"), package(root, "mesh", SOURCE)];
        // As in a repository of several crates, too.
        for text in [GOOD.to_owned(), GOOD.replace("/src", "/mesh/src")] {
            let fix = diff(root, None, &text).unwrap();
            let (package, strip) = fix.target(&all).unwrap();
            assert_eq!(package.name, "mesh");
            fs::write(package.folder().join("src/lib.rs"), SOURCE).unwrap();
            fix.apply(&package.folder(), strip).unwrap();
            let now = fs::read_to_string(package.folder().join("src/lib.rs")).unwrap();
            assert_eq!(now, SOURCE.replace("two", "TWO"));
            fs::write(package.folder().join("src/lib.rs"), SOURCE).unwrap();
        }
    }

    #[test]
    fn a_patch_that_does_not_apply_says_where_and_to_what() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let all = [
            package(root, "mesh", SOURCE),
            package(root, "older", "one\n2\nthree\nfour\n"),
            package(root, "twin", SOURCE),
        ];
        let told = |of: Option<&str>, text: &str| {
            let tried = diff(root, of, text).and_then(|fix| fix.target(&all).map(|_| ()));
            let why = tried.unwrap_err();
            assert!(why.is::<Wrong>(), "{why}");
            why.to_string().replace(&root.display().to_string(), "<root>")
        };
        let all_told = [
            told(Some("older"), GOOD),
            told(Some("mesh"), &GOOD.replace("lib.rs", "net.rs")),
            told(None, &GOOD.replace("lib.rs", "net.rs")),
            told(None, GOOD),
            told(Some("absent"), GOOD),
            told(None, "no patch at all\n"),
            told(None, &GOOD.replace("a/src", "a/../older-1.0.0/src")),
        ];
        insta::assert_snapshot!(all_told.join("\n---\n"));
    }
}
