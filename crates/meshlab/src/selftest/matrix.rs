//! Runs one case against its scenarios, each in a process of its own, and reads what came of it
//! from the record.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use meshlab_engine::{NODE_BINARY, results::read_run};
use meshlab_model::{ExitCode, RunEvent, RunEventKind, Verdict};

use super::cases::{Case, HEALTHY, Kind};

/// Where and with what the runs are made.
pub(super) struct Bench {
    /// The node that takes defects.
    pub(super) program: PathBuf,
    /// Folder of the scenarios.
    pub(super) scenarios: PathBuf,
    /// Folder in which each case has a folder.
    pub(super) output: PathBuf,
    pub(super) network: &'static str,
    pub(super) seed: u64,
}

/// What one run came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) scenario: String,
    pub(super) code: i32,
    /// Of the run, until its first red claim.
    pub(super) after: Option<Duration>,
    /// What was red, in the words of the report, the first first.
    pub(super) red: Vec<String>,
}

impl Bench {
    /// Runs the scenarios of a case. A mistake that is found is not looked for again.
    pub(super) fn look(&self, case: &Case, scenarios: &[&str]) -> Result<Vec<Seen>> {
        if case.kind == Kind::Stale {
            return Ok(vec![self.stale(case)?]);
        }
        let mut seen = Vec::new();
        for scenario in scenarios {
            let one = self.run(case, scenario)?;
            let found = case.kind == Kind::Mistake && one.is_red();
            let interrupted = one.code == ExitCode::Interrupted as i32;
            seen.push(one);
            if found || interrupted {
                break;
            }
        }
        Ok(seen)
    }

    fn run(&self, case: &Case, scenario: &str) -> Result<Seen> {
        let path = self.scenarios.join(scenario).with_extension("lua");
        let mut arguments = vec![
            "--network".to_owned(),
            self.network.to_owned(),
            "--seed".to_owned(),
            self.seed.to_string(),
        ];
        if case.name != HEALTHY {
            arguments
                .extend(["--node-env".to_owned(), format!("*:MESH_NODE_DEFECT={}", case.name)]);
        }
        let folder = self.output.join(case.name);
        let (code, _) = self.meshlab(&folder, scenario, &path, &self.program, &arguments)?;
        let record = read_run(&folder.join("results").join(scenario).join("latest"));
        let (after, red) = match record {
            Ok(record) => reds(&record.events),
            // A run that did not begin has none; its exit code says so.
            Err(_) => (None, Vec::new()),
        };
        Ok(Seen { scenario: scenario.to_owned(), code, after, red })
    }

    /// A program that is older than what it was made of.
    fn stale(&self, case: &Case) -> Result<Seen> {
        let folder = self.output.join(case.name);
        fs::create_dir_all(&folder).with_context(|| failed(&folder))?;
        let (program, source) = (folder.join("node"), folder.join("node.rs"));
        let write = |path: &Path, text: &str| fs::write(path, text).with_context(|| failed(path));
        write(&program, "a program")?;
        write(&source, "fn main() {}")?;
        let list = format!("{}: {}\n", program.display(), source.display());
        write(&program.with_extension("d"), &list)?;
        let before = SystemTime::now() - Duration::from_secs(60);
        let file = File::options().write(true).open(&program).with_context(|| failed(&program))?;
        file.set_modified(before).with_context(|| failed(&program))?;
        let path = self.scenarios.join("idle.lua");
        let (code, said) = self.meshlab(&folder, "refused", &path, &program, &[])?;
        let red = said.lines().filter(|line| line.contains("older than its source"));
        let red = red.map(|line| line.trim_start_matches("error: ").to_owned()).collect();
        Ok(Seen { scenario: "before the run".to_owned(), code, after: None, red })
    }

    /// One `meshlab run`, with what it says in a file; its exit code, and what it said.
    fn meshlab(
        &self,
        folder: &Path,
        name: &str,
        scenario: &Path,
        program: &Path,
        arguments: &[String],
    ) -> Result<(i32, String)> {
        fs::create_dir_all(folder).with_context(|| failed(folder))?;
        let said = folder.join(name).with_extension("txt");
        let out = File::create(&said).with_context(|| failed(&said))?;
        let err = out.try_clone().with_context(|| failed(&said))?;
        let meshlab = std::env::current_exe().context("failed to find meshlab itself")?;
        let status = Command::new(meshlab)
            .arg("run")
            .arg(scenario)
            .arg("--binary")
            .arg(format!("{NODE_BINARY}={}", program.display()))
            .arg("--output")
            .arg(folder)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .status()
            .context("failed to run meshlab")?;
        let Some(code) = status.code() else {
            bail!("meshlab run {} ended with {status}; see {}", scenario.display(), said.display());
        };
        let said = fs::read(&said).with_context(|| failed(&said))?;
        Ok((code, String::from_utf8_lossy(&said).into_owned()))
    }
}

fn failed(path: &Path) -> String {
    format!("failed to write {}", path.display())
}

impl Seen {
    pub(super) fn is_red(&self) -> bool {
        self.code == ExitCode::ClaimFailed as i32
    }

    pub(super) fn is_green(&self) -> bool {
        self.code == ExitCode::Passed as i32
    }
}

/// What was red in a run, and when the first of it was told.
fn reds(events: &[RunEvent]) -> (Option<Duration>, Vec<String>) {
    let (mut after, mut red) = (None, Vec::new());
    for event in events {
        let said = match &event.kind {
            RunEventKind::ClaimFinished { claim, verdict: Verdict::Failed(why), .. } => {
                let asked = events.iter().find_map(|event| match &event.kind {
                    RunEventKind::ClaimStarted { claim: one, call, text, .. } if one == claim => {
                        Some(format!("{call}: {text}"))
                    }
                    _ => None,
                });
                format!("{}: {why}", asked.unwrap_or_default())
            }
            RunEventKind::FaultFinished { verdict: Verdict::Failed(why), .. } => {
                format!("a fault: {why}")
            }
            RunEventKind::Problem { text, .. } => text.clone(),
            _ => continue,
        };
        after = after.or(Some(Duration::from_micros(event.at.micros)));
        red.push(said);
    }
    (after, red)
}
