//! Runs the real program on real nodes, each test in a folder of its own.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "test support: each test file uses its part"
)]

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longer than any run of a test may take on a busy machine: a hang is a failure, not a wait.
const DEADLINE: Duration = Duration::from_secs(600);

/// A folder to run in.
pub struct Bench {
    pub folder: TempDir,
}

/// What a finished run said.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Everything it printed, for a message.
    pub fn all(&self) -> String {
        format!("exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Writes a scenario and returns its path.
    pub fn scenario(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshlab"));
        command.args(arguments).current_dir(self.folder.path());
        let named = arguments.iter().any(|argument| argument.starts_with("mesh-node="));
        if arguments.len() > 1 && arguments[0] == "run" && !named {
            // The node that `cargo test --workspace` has just built: building it once more, with
            // the features of another selection of packages, would take minutes in each run.
            for name in ["mesh-node", "mesh-relay"] {
                let program = Path::new(env!("CARGO_BIN_EXE_meshlab")).with_file_name(name);
                if program.exists() {
                    command.arg("--binary").arg(format!("{name}={}", program.display()));
                }
            }
        }
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Runs `meshlab` to its end.
    pub fn meshlab(&self, arguments: &[&str]) -> Finished {
        let child = self.start(arguments);
        finish(child)
    }

    /// The same for what takes longer than tests do: builds of everything.
    pub fn meshlab_within(&self, arguments: &[&str], within: Duration) -> Finished {
        finish_within(self.start(arguments), within)
    }

    /// Runs `meshlab` with these arguments and no others.
    pub fn plain(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshlab"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs a scenario text to its end, in the network that this host can make.
    pub fn run(&self, name: &str, text: &str, more: &[&str]) -> Finished {
        let path = self.scenario(name, text);
        let mut arguments = vec!["run", path.to_str().unwrap(), "--seed", "7"];
        arguments.extend(network());
        arguments.extend(more);
        self.meshlab(&arguments)
    }

    pub fn latest(&self, scenario: &str) -> PathBuf {
        self.folder.path().join("results").join(scenario).join("latest")
    }

    pub fn read(&self, scenario: &str, file: &str) -> String {
        let path = self.latest(scenario).join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// The lab where this host has one, else its loopback: the same tests either way.
pub fn network() -> [&'static str; 2] {
    let lab = Command::new(env!("CARGO_BIN_EXE_meshlab")).arg("doctor").output().unwrap();
    ["--network", if lab.status.success() { "lab" } else { "host" }]
}

/// Where pictures are kept, for people.
pub fn pictures() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Waits for the end of a child, with a deadline.
pub fn finish(child: Child) -> Finished {
    finish_within(child, DEADLINE)
}

fn finish_within(mut child: Child, within: Duration) -> Finished {
    let out = collect(child.stdout.take().unwrap());
    let err = collect(child.stderr.take().unwrap());
    let deadline = Instant::now() + within;
    let status = until(deadline, || child.try_wait().unwrap());
    let Some(status) = status else {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("meshlab did not end within {within:?}:\n{}", out.join().unwrap());
    };
    Finished { code: status.code(), stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Asks until there is an answer, or the deadline has passed.
pub fn until<T>(deadline: Instant, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A deadline for something that takes seconds, or minutes where the node is built first.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(300)
}

/// Processes, anywhere on this machine, whose environment says that they are nodes whose data
/// lies under `folder`.
pub fn nodes_under(folder: &Path) -> Vec<u32> {
    let mark = format!("MESH_NODE_DATA={}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).split('\0').any(|line| line.starts_with(&mark)) {
            found.push(pid);
        }
    }
    found
}
