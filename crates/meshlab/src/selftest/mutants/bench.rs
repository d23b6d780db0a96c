//! Runs one check with the harness as it is, or with one mistake in it.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use meshlab_engine::NODE_BINARY;
use meshlab_mutants::{Mutant, VARIABLE};

use super::{
    Known,
    checks::{Ask, Check, Run},
};

/// Far more than any check takes on a busy host: some mistakes make a harness wait for ever.
const ENDS_WITHIN: Duration = Duration::from_secs(100);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The seed of every run, so that what is drawn is the same each time.
const SEED: &str = "7";

/// With what checks are run, and where.
pub(super) struct Bench {
    /// The harness that makes mistakes.
    pub(super) program: PathBuf,
    /// The node.
    pub(super) node: PathBuf,
    /// Folder in which each check of each mistake has a folder.
    pub(super) output: PathBuf,
    pub(super) known: Vec<Known>,
}

/// What came of a check.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// The exit code; `None` if it did not end in time and was killed, or ended by a signal.
    pub(super) code: Option<i32>,
    /// What was printed, and the events of the run if there was one.
    pub(super) text: String,
    /// Where that is.
    pub(super) file: PathBuf,
}

/// One check of one mistake: its folder, and which mistakes are made in it.
pub(super) struct Place<'a> {
    bench: &'a Bench,
    /// The working directory of what is run.
    pub(super) folder: PathBuf,
    /// Names of the mistakes, a comma between two.
    made: String,
}

impl Bench {
    /// The words for a mistake.
    pub(super) fn known(&self, mutant: Mutant) -> &Known {
        &self.known[mutant as usize]
    }

    /// Asks a check of the harness with this mistake, or of the sound one.
    pub(super) fn ask(&self, check: &Check, mutant: Option<Mutant>) -> Result<Said> {
        let made: Vec<&str> =
            check.with.iter().chain(&mutant).map(|one| self.known(*one).name.as_str()).collect();
        let who = mutant.map_or("sound", |mutant| &self.known(mutant).name);
        let folder = self.output.join(who).join(check.name);
        // What an earlier selftest left here would be taken for what comes now.
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| failed(&folder))?;
        }
        fs::create_dir_all(&folder).with_context(|| failed(&folder))?;
        let place = Place { bench: self, folder, made: made.join(",") };
        match &check.ask {
            Ask::Record(make, command) => {
                make(&place.folder).with_context(|| failed(&place.folder))?;
                place.meshlab(command)
            }
            Ask::Run(run) => place.run(run),
            Ask::Other(ask) => ask(&place),
        }
    }
}

impl Place<'_> {
    /// One command of the harness with its mistakes, to its end.
    pub(super) fn meshlab(&self, arguments: &[&str]) -> Result<Said> {
        self.command(&self.bench.program, &self.made, arguments)
    }

    /// One command of the sound harness, that has to pass: it makes what the check is about.
    pub(super) fn sound(&self, arguments: &[&str]) -> Result<Said> {
        let said = self.command(&self.bench.program, "", arguments)?;
        anyhow::ensure!(
            said.code == Some(0),
            "failed to prepare a check: {} ended with {:?}; see {}",
            arguments.join(" "),
            said.code,
            said.file.display()
        );
        Ok(said)
    }

    /// Runs a scenario.
    pub(super) fn run(&self, run: &Run) -> Result<Said> {
        let scenario = format!("{}.lua", run.name);
        write(&self.folder.join(&scenario), run.text)?;
        let mut arguments = vec!["run".to_owned(), scenario, "--seed".to_owned(), SEED.to_owned()];
        arguments.extend(run.more.iter().map(|one| (*one).to_owned()));
        if !run.more.contains(&"--network") {
            // What has no node needs no lab.
            let network = if run.has_nodes() { "lab" } else { "host" };
            arguments.extend(["--network".to_owned(), network.to_owned()]);
        }
        let program = match run.program {
            None if run.has_nodes() => self.bench.node.clone(),
            // Without a program the run would build the node.
            None => self.wrapper("exit 1")?,
            Some(text) => self.wrapper(text)?,
        };
        let binary = format!("{NODE_BINARY}={}", program.display());
        arguments.extend(["--binary".to_owned(), binary]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut said = self.meshlab(&arguments)?;
        let latest = self.folder.join("results").join(run.name).join("latest");
        // A run that did not begin has none.
        let events = fs::read(latest.join("events.jsonl")).unwrap_or_default();
        said.text.push_str(&String::from_utf8_lossy(&events));
        Ok(said)
    }

    /// A program that does something and then is the node.
    fn wrapper(&self, text: &str) -> Result<PathBuf> {
        let path = self.folder.join("node.sh");
        let node = self.bench.node.display().to_string();
        write(&path, &format!("#!/bin/bash\n{text}\nexec '{node}' \"$@\"\n"))?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, executable).with_context(|| failed(&path))?;
        Ok(path)
    }

    fn command(&self, program: &Path, made: &str, arguments: &[&str]) -> Result<Said> {
        let file = self.folder.join("said.txt");
        let out = File::create(&file).with_context(|| failed(&file))?;
        let err = out.try_clone().with_context(|| failed(&file))?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(&self.folder)
            .env(VARIABLE, made)
            .env("NO_COLOR", "1")
            .env_remove("GITHUB_ACTIONS")
            .env_remove("GITHUB_STEP_SUMMARY")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("failed to run {}", program.display()))?;
        let code = ended(&mut child)?.and_then(|status| status.code());
        let text = fs::read(&file).with_context(|| failed(&file))?;
        Ok(Said { code, text: String::from_utf8_lossy(&text).into_owned(), file })
    }
}

/// Waits for the end of a child; `None` if it was killed because it did not come.
fn ended(child: &mut Child) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        if let Some(status) = child.try_wait().context("failed to wait for meshlab")? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill().context("failed to end meshlab")?;
            child.wait().context("failed to wait for meshlab")?;
            return Ok(None);
        }
        // Nobody tells of the end of a child that is not waited for.
        thread::sleep(LOOK_EVERY);
    }
}

pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| failed(path))
}

pub(super) fn failed(path: &Path) -> String {
    format!("failed to write {}", path.display())
}
