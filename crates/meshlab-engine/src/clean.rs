//! Finds and removes what a harness that was killed may have left on this host.
//!
//! By its mark each process and each control group says whose it is; what is of a harness that
//! runs is left alone.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use meshlab_fleet::{
    Marked, end_marked, groups_left_behind, groups_of, marked_processes, remove_group,
};
use meshlab_lab::mounts_under;
use meshlab_model::NodeId;

use crate::results::file;

/// What the last line of a finished record is within, in bytes.
const LAST_LINE: u64 = 4096;

/// Something that a dead harness left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// A process that a node was, or started.
    Process(Marked),
    /// A control group.
    Group(PathBuf),
}

impl fmt::Display for Leftover {
    /// `process 7 of node-1 (state T)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(Marked { pid, node: NodeId(node), state, .. }) => {
                write!(f, "process {pid} of {node} (state {state})")
            }
            Self::Group(path) => write!(f, "control group {}", path.display()),
        }
    }
}

impl Leftover {
    /// Ends or removes it.
    ///
    /// # Errors
    /// It is still there after 5 s, or the kernel refuses.
    pub fn remove(&self) -> io::Result<()> {
        match self {
            Self::Process(process) => end_marked(process),
            Self::Group(path) => remove_group(path),
        }
    }
}

/// What harnesses that are gone have left on this host: processes first, for they are in groups.
pub fn leftovers() -> Vec<Leftover> {
    let marked = marked_processes().into_iter();
    let processes = marked.filter(|process| !process.mark.is_of_live_harness());
    let groups = groups_left_behind().into_iter().map(Leftover::Group);
    processes.map(Leftover::Process).chain(groups).collect()
}

/// What is left of one fleet whose nodes have all been ended, and mounts of a run that show on the
/// host: for the audit at a run's end, in words.
pub(crate) fn left_of(fleet: meshlab_fleet::Mark, results: &Path) -> Vec<String> {
    let marked = marked_processes().into_iter().filter(|process| process.mark == fleet);
    let groups = groups_of(fleet).into_iter().map(Leftover::Group);
    let left = marked.map(Leftover::Process).chain(groups);
    let mounts = match mounts_under(results) {
        Ok(mounts) => mounts
            .iter()
            .map(|point| format!("a mount on the host at {}", point.display()))
            .collect(),
        Err(error) => vec![format!("the host's mounts cannot be looked at: {error}")],
    };
    left.map(|left| left.to_string()).chain(mounts).collect()
}

/// Folders below `output/results` whose record has no end: their run was killed, or goes on.
///
/// # Errors
/// A folder cannot be read.
pub fn unfinished_runs(output: &Path) -> io::Result<Vec<PathBuf>> {
    let mut unfinished = Vec::new();
    for family in folders(&output.join("results"))? {
        for run in folders(&family)? {
            if run.join(file::MANIFEST).exists() && !is_finished(&run.join(file::EVENTS))? {
                unfinished.push(run);
            }
        }
    }
    Ok(unfinished)
}

/// Folders in a folder, by name; links such as `latest` are none. None in one that is not there.
fn folders(of: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(of) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

fn is_finished(events: &Path) -> io::Result<bool> {
    let mut file = match File::open(events) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_LINE)))?;
    let mut end = Vec::new();
    file.take(LAST_LINE).read_to_end(&mut end)?;
    let end = String::from_utf8_lossy(&end);
    let last = end.lines().next_back().unwrap_or_default();
    let last: Option<serde_json::Value> = serde_json::from_str(last).ok();
    Ok(last.is_some_and(|last| last["event"] == "run_finished"))
}

#[cfg(test)]
mod tests {
    use std::{
        process::Command,
        time::{Duration, Instant},
    };

    use meshlab_wire::env;

    use super::*;

    #[test]
    fn a_process_of_a_dead_harness_is_found_and_ended() {
        // Process 1 runs, and was not started at the end of time.
        let mut child = Command::new("/bin/sleep")
            .arg("600")
            .env(env::HARNESS, format!("1-{}-{}", u64::MAX, std::process::id()))
            .env(env::NODE_ID, "node-9")
            .spawn()
            .unwrap();
        let said = format!("process {} of node-9 (state ", child.id());
        // Its environment shows a moment after its start.
        let deadline = Instant::now() + Duration::from_secs(20);
        let found = loop {
            let mut all = leftovers().into_iter();
            if let Some(left) = all.find(|left| left.to_string().starts_with(&said)) {
                break left;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("{said} is not found");
            }
        };
        found.remove().unwrap();
        child.wait().unwrap();
        assert!(!leftovers().iter().any(|left| left.to_string().starts_with(&said)));
    }

    #[test]
    fn a_run_without_an_end_is_listed() {
        let output = tempfile::tempdir().unwrap();
        assert_eq!(unfinished_runs(output.path()).unwrap(), Vec::<PathBuf>::new());
        let run = |name: &str, events: Option<&str>| {
            let run = output.path().join("results/x").join(name);
            fs::create_dir_all(&run).unwrap();
            fs::write(run.join(file::MANIFEST), "{}").unwrap();
            if let Some(events) = events {
                fs::write(run.join(file::EVENTS), events).unwrap();
            }
            run
        };
        let end = r#"{"seq":2,"at":5,"event":"run_finished","reason":"completed"}"#;
        run("1-whole", Some(&format!("{}\n{end}\n", "x".repeat(9000))));
        let cut = run("2-cut", Some(&format!("{end}\n{{\"seq\":3,\"event\":\"run_fin")));
        let empty = run("3-empty", None);
        std::os::unix::fs::symlink("2-cut", output.path().join("results/x/latest")).unwrap();
        assert_eq!(unfinished_runs(output.path()).unwrap(), [cut, empty]);
    }
}
