//! What is asked for: dependencies at other versions or from elsewhere, patches to their sources.

use std::{fmt, path::PathBuf};

/// A dependency that is not the one of this repository's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) source: Source,
}

/// Where a dependency comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The registry, exactly this version.
    Version(String),
    /// A folder with the crate, or with a workspace that has it.
    Folder(PathBuf),
    /// A repository, at a revision.
    Git { url: String, revision: String },
}

/// A change to the published source of a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    /// Whose source; found from the files that it changes if absent.
    pub(crate) of: Option<String>,
    pub(crate) file: PathBuf,
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.source {
            Source::Version(version) => write!(f, "{name}={version}"),
            Source::Folder(folder) => write!(f, "{name}={}", folder.display()),
            Source::Git { url, revision } => write!(f, "{name}=git+{url}#{revision}"),
        }
    }
}

impl Patch {
    /// The file's name, without the folders of whoever gave it.
    pub(crate) fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Parses `NAME=VERSION`, `NAME=PATH` or `NAME=git+URL#REV`.
pub(crate) fn dependency(text: &str) -> Result<Dependency, String> {
    let shapes = "write NAME=VERSION, NAME=PATH or NAME=git+URL#REV";
    let (name, from) = text.split_once('=').ok_or_else(|| format!("no `=` in it; {shapes}"))?;
    if !is_name(name) {
        return Err(format!("`{name}` is no name of a crate; {shapes}"));
    }
    let source = if let Some(git) = from.strip_prefix("git+") {
        let (url, revision) = git.rsplit_once('#').unwrap_or((git, ""));
        if url.is_empty() || revision.is_empty() {
            return Err(format!("a revision is missing: write {name}=git+{git}#REV"));
        }
        if url.starts_with('-') || revision.starts_with('-') {
            return Err("neither a URL nor a revision begins with `-`".to_owned());
        }
        Source::Git { url: url.to_owned(), revision: revision.to_owned() }
    } else if from.is_empty() {
        return Err(format!("nothing after `=`; {shapes}"));
    } else if looks_like_version(from) {
        Source::Version(whole_version(name, from)?)
    } else {
        Source::Folder(PathBuf::from(from))
    };
    Ok(Dependency { name: name.to_owned(), source })
}

/// Parses `FILE` or `NAME=FILE`.
pub(crate) fn patch(text: &str) -> Result<Patch, String> {
    match text.split_once('=') {
        Some((name, file)) if is_name(name) && !file.is_empty() => {
            Ok(Patch { of: Some(name.to_owned()), file: PathBuf::from(file) })
        }
        _ if text.is_empty() => Err("write FILE or NAME=FILE".to_owned()),
        _ => Ok(Patch { of: None, file: PathBuf::from(text) }),
    }
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(letter)
}

/// `1.3.0`, `=1.3.0`, `^1`: what cannot be meant as a folder.
fn looks_like_version(text: &str) -> bool {
    let rest = text.trim_start_matches(['=', '^', '~', '>', '<', ' ']);
    !text.contains('/')
        && (rest.len() < text.len() || rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A version with all three numbers: a range would be another set tomorrow.
fn whole_version(name: &str, text: &str) -> Result<String, String> {
    let version = text.strip_prefix('=').unwrap_or(text);
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let tail = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    if numbers.len() == 3 && numbers.iter().all(number) && version.chars().all(tail) {
        return Ok(version.to_owned());
    }
    Err(format!("`{text}` is no whole version: write for example {name}=1.3.0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_of_a_dependency_is_read_and_what_is_none_is_told() {
        let lines = [
            "iroh=1.3.0",
            "iroh==1.3.0",
            "noq-proto=1.0.0-rc.1",
            "iroh=../iroh",
            "iroh=iroh",
            "iroh=git+https://example.org/iroh.git#0a1b2c",
            "iroh=git+file:///tmp/iroh",
            "iroh=git+file:///tmp/iroh#--upload-pack=x",
            "iroh",
            "iroh=",
            "=1.3.0",
            "iroh=1.3",
            "iroh=^1.3.0",
            "iroh=1.x.0",
            "--iroh=1.3.0",
        ];
        let told = |line: &&str| match dependency(line) {
            Ok(one) => format!("{line}  ->  {one}  {:?}", one.source),
            Err(why) => format!("{line}  ->  error: {why}"),
        };
        insta::assert_snapshot!(lines.iter().map(told).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_patch_may_say_whose_source_it_changes() {
        let plain = patch("fix.patch").unwrap();
        assert_eq!((plain.of, plain.file), (None, PathBuf::from("fix.patch")));
        let named = patch("iroh-gossip=dir/fix.patch").unwrap();
        assert_eq!(named.of.as_deref(), Some("iroh-gossip"));
        assert_eq!(named.file, PathBuf::from("dir/fix.patch"));
        let odd = patch("./a=b.patch").unwrap();
        assert_eq!((odd.of, odd.file), (None, PathBuf::from("./a=b.patch")));
        assert!(patch("").is_err());
    }
}
