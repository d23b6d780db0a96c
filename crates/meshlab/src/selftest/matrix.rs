//! Runs one case against its scenarios, each in a process of its own, and reads what came of it
//! from the record.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use meshlab_engine::{NODE_BINARY, results::read_run};
use meshlab_model::{ExitCode, RunEvent, RunEventKind, Verdict};

use super::cases::{Case, HEALTHY, Kind};

/// How often a run is made at most, if the ones before said nothing: a host that is so busy that a
/// node does not answer breaks a run, and that is nobody's finding.
const TRIES: u32 = 3;

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
    /// Runs beside each other, at least 1.
    pub(super) jobs: usize,
}

/// What one run came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) scenario: String,
    pub(super) code: i32,
    /// How often it was run; those before said nothing.
    pub(super) tries: u32,
    /// Of the run, until its first red claim.
    pub(super) after: Option<Duration>,
    /// What was red, in the words of the report, the first first.
    pub(super) red: Vec<String>,
}

impl Bench {
    /// Runs the scenarios of a turn. A mistake that is found is not looked for in those that
    /// follow.
    pub(super) fn look(&self, case: &Case, scenarios: &[&str]) -> Result<Vec<Seen>> {
        if case.kind == Kind::Stale {
            return Ok(vec![self.stale(case)?]);
        }
        let mut seen = Vec::new();
        for scenario in scenarios {
            let folder = self.output.join(case.name);
            let one = until_it_says(|| self.run(case.name, scenario, self.seed, &folder))?;
            let found = case.kind == Kind::Mistake && one.named(case).is_some();
            let interrupted = one.is_interrupted();
            seen.push(one);
            if found || interrupted {
                break;
            }
        }
        Ok(seen)
    }

    /// One run of a scenario with a defect planted, or with none.
    pub(super) fn run(
        &self,
        defect: &str,
        scenario: &str,
        seed: u64,
        folder: &Path,
    ) -> Result<Seen> {
        let path = self.scenarios.join(scenario).with_extension("lua");
        let mut arguments = vec![
            "--network".to_owned(),
            self.network.to_owned(),
            "--seed".to_owned(),
            seed.to_string(),
        ];
        if defect != HEALTHY {
            arguments.extend(["--node-env".to_owned(), format!("*:MESH_NODE_DEFECT={defect}")]);
        }
        // What a digest may cost is said of an optimised build; another needs several times it.
        if cfg!(debug_assertions) && scenario == "idle" {
            arguments.extend(["--set".to_owned(), "digest_ms=9".to_owned()]);
        }
        let (code, _) = self.meshlab(folder, scenario, &path, &self.program, &arguments)?;
        let record = read_run(&folder.join("results").join(scenario).join("latest"));
        let (after, red) = match record {
            Ok(record) => reds(&record.events),
            // A run that did not begin has none; its exit code says so.
            Err(_) => (None, Vec::new()),
        };
        Ok(Seen { scenario: scenario.to_owned(), code, tries: 1, after, red })
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
        Ok(Seen { scenario: "before the run".to_owned(), code, tries: 1, after: None, red })
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

    pub(super) fn is_interrupted(&self) -> bool {
        self.code == ExitCode::Interrupted as i32
    }

    /// The red claim that names the case's culprit.
    pub(super) fn named(&self, case: &Case) -> Option<&String> {
        let code = match case.kind {
            Kind::Stale => ExitCode::HarnessFailed,
            Kind::Mistake | Kind::Sound => ExitCode::ClaimFailed,
        };
        let says = |text: &&String| case.names.iter().any(|name| text.contains(name));
        self.red.iter().find(says).filter(|_| self.code == code as i32)
    }
}

/// Runs until a run is red or green, [`TRIES`] times at most.
fn until_it_says(run: impl Fn() -> Result<Seen>) -> Result<Seen> {
    let mut one = run()?;
    while !(one.is_red() || one.is_green() || one.is_interrupted()) && one.tries < TRIES {
        one = Seen { tries: one.tries + 1, ..run()? };
    }
    Ok(one)
}

/// Does the work of each item, so many beside each other, and hands on what came of each in the
/// items' order as soon as it can. After `last` says so of one, or after an error, no other is
/// begun.
pub(super) fn each<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
    last: impl Fn(&R) -> bool + Sync,
    mut take: impl FnMut(&T, R),
) -> Result<()> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (done, came) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            let done = done.clone();
            scope.spawn(|| {
                let done = done;
                while !stop.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(place) else { break };
                    let result = work(item);
                    if result.as_ref().map_or(true, &last) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    // Nobody waits for it any more once another one failed.
                    let _ = done.send((place, result));
                }
            });
        }
        drop(done);
        let (mut early, mut due) = (BTreeMap::new(), 0);
        for (place, result) in came {
            early.insert(place, result?);
            while let (Some(item), Some(one)) = (items.get(due), early.remove(&due)) {
                take(item, one);
                due += 1;
            }
        }
        Ok(())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_says_nothing_is_made_again_and_one_that_says_something_is_not() {
        let tried = |codes: &[i32]| {
            let mut left = codes.iter();
            let left = std::cell::RefCell::new(&mut left);
            let one = until_it_says(|| {
                let code = *left.borrow_mut().next().unwrap();
                let scenario = "idle".to_owned();
                Ok(Seen { scenario, code, tries: 1, after: None, red: Vec::new() })
            });
            let one = one.unwrap();
            (one.code, one.tries)
        };
        assert_eq!(tried(&[1]), (1, 1));
        assert_eq!(tried(&[0]), (0, 1));
        assert_eq!(tried(&[5, 4, 1]), (1, 3));
        assert_eq!(tried(&[5, 4, 4]), (4, 3));
        assert_eq!(tried(&[5, 130]), (130, 2));
    }

    #[test]
    fn all_is_done_beside_each_other_and_told_in_order() {
        let items: Vec<u64> = (0..20).collect();
        let mut told = Vec::new();
        let take = |item: &u64, twice: u64| told.push((*item, twice));
        each(4, &items, |item| Ok(item * 2), |_| false, take).unwrap();
        assert_eq!(told, items.iter().map(|item| (*item, item * 2)).collect::<Vec<_>>());
        let none: [u64; 0] = [];
        each(4, &none, |_| Ok(()), |()| false, |_, ()| panic!("there was nothing")).unwrap();
    }

    #[test]
    fn nothing_is_begun_after_an_interruption_or_an_error() {
        let items: Vec<u64> = (0..20).collect();
        let mut told = Vec::new();
        each(1, &items, |item| Ok(*item), |item| *item == 3, |_, one| told.push(one)).unwrap();
        assert_eq!(told, [0, 1, 2, 3]);
        let begun = AtomicUsize::new(0);
        let work = |item: &u64| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 2 { bail!("no disk") } else { Ok(()) }
        };
        let failed = each(1, &items, work, |()| false, |_, ()| ()).unwrap_err();
        assert_eq!((failed.to_string().as_str(), begun.into_inner()), ("no disk", 3));
    }
}
