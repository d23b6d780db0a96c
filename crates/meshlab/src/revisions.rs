//! Programs of revisions: each is built in a git worktree of its own, with one target folder for
//! all of them, so that dependencies are compiled once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use meshlab_engine::NODE_BINARY;

use crate::repository;

/// How the program of a revision comes to be.
#[derive(Debug, Clone, Args)]
pub(crate) struct BuildArguments {
    /// The repository of the revisions; that of meshlab itself if absent
    #[arg(long, value_name = "DIR")]
    pub(crate) repo: Option<PathBuf>,
    /// What builds a revision, in a shell, in the folder of its files; cargo builds `mesh-node` if
    /// absent
    #[arg(long, value_name = "COMMAND", requires = "program")]
    pub(crate) build: Option<String>,
    /// The program that --build leaves, from the folder of the revision's files
    #[arg(long, value_name = "PATH", requires = "build")]
    pub(crate) program: Option<PathBuf>,
}

/// Builds programs of revisions.
#[derive(Debug)]
pub(crate) struct Builder {
    repo: PathBuf,
    /// Where worktrees, target folder and programs lie.
    place: PathBuf,
    command: String,
    program: PathBuf,
}

impl Builder {
    /// # Errors
    /// There is no such repository.
    pub(crate) fn new(arguments: &BuildArguments) -> Result<Self> {
        let repo = match &arguments.repo {
            Some(repo) => repo.clone(),
            None => repository::root()?,
        };
        let repo =
            PathBuf::from(git(&repo, &["rev-parse", "--show-toplevel"]).with_context(|| {
                format!("{} is in no git repository; name one with `--repo`", repo.display())
            })?);
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| repo.join("target"), |target| repo.join(target));
        let place = target.join("meshlab-revisions");
        let release = !cfg!(debug_assertions);
        let profile = if release { ("release", " --release") } else { ("debug", "") };
        let cargo = format!("cargo build --locked --bin {NODE_BINARY}{}", profile.1);
        let built = place.join("target").join(profile.0).join(NODE_BINARY);
        Ok(Self {
            command: arguments.build.clone().unwrap_or(cargo),
            program: arguments.program.clone().unwrap_or(built),
            repo,
            place,
        })
    }

    /// The whole name of a revision's commit.
    ///
    /// # Errors
    /// There is no such commit.
    pub(crate) fn commit(&self, revision: &str) -> Result<String> {
        let named = format!("{revision}^{{commit}}");
        git(&self.repo, &["rev-parse", "--verify", "--quiet", "--end-of-options", &named])
            .with_context(|| format!("there is no commit `{revision}` in {}", self.repo.display()))
    }

    /// The commits after `good` up to `bad`, the oldest first; along first parents, so that a merge
    /// is one change.
    ///
    /// # Errors
    /// `good` is no ancestor of `bad`.
    pub(crate) fn between(&self, good: &str, bad: &str) -> Result<Vec<String>> {
        let is_ancestor = git(&self.repo, &["merge-base", "--is-ancestor", good, bad]);
        is_ancestor.with_context(|| format!("{good} is no ancestor of {bad}"))?;
        let range = format!("{good}..{bad}");
        let listed = git(&self.repo, &["rev-list", "--reverse", "--first-parent", &range])?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// A commit's title, for people.
    pub(crate) fn title(&self, commit: &str) -> String {
        git(&self.repo, &["log", "-1", "--format=%h %s", commit])
            .unwrap_or_else(|_| commit.to_owned())
    }

    /// Builds the program of a commit and returns where a copy of it lies.
    ///
    /// # Errors
    /// The files cannot be had, or the build fails, or leaves no program.
    pub(crate) fn build(&self, commit: &str) -> Result<PathBuf> {
        let own = self.place.join(commit.get(..12).unwrap_or(commit));
        let files = own.join("files");
        let shown = files.display().to_string();
        // One that a killed build left is no worktree of anybody's.
        let _ = git(&self.repo, &["worktree", "remove", "--force", &shown]);
        let _ = fs::remove_dir_all(&files);
        fs::create_dir_all(&own).with_context(|| format!("failed to make {}", own.display()))?;
        let _ = git(&self.repo, &["worktree", "prune"]);
        git(&self.repo, &["worktree", "add", "--detach", "--force", &shown, commit])
            .with_context(|| format!("failed to take the files of {commit}"))?;
        let built = self.build_in(&files, &own, commit);
        // The program is what is kept.
        let _ = git(&self.repo, &["worktree", "remove", "--force", &shown]);
        built
    }

    fn build_in(&self, files: &Path, own: &Path, commit: &str) -> Result<PathBuf> {
        eprintln!("building {} with `{}`", self.title(commit), self.command);
        let mut build = Command::new("sh");
        build.args(["-c", &self.command]).current_dir(files).stdin(Stdio::null());
        build.env("CARGO_TARGET_DIR", self.place.join("target"));
        build.stdout(Stdio::null());
        let status = build.status().context("failed to run a shell")?;
        if !status.success() {
            bail!("failed to build {commit}: `{}` ended with {status}", self.command);
        }
        let program = files.join(&self.program);
        let name = program.file_name().context("the program has no name")?;
        let kept = own.join(name);
        fs::copy(&program, &kept).with_context(|| {
            format!("`{}` left no program at {}", self.command, program.display())
        })?;
        Ok(kept)
    }
}

/// What git says; an error is what it says on stderr.
fn git(repo: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(repo).args(arguments).output();
    let output = output.context("failed to run git")?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("git {}: {}", arguments.first().unwrap_or(&""), told.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
