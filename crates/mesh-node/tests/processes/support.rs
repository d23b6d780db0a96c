//! A node under test, driven through its control socket as the harness does.

use std::{
    io::{BufRead, BufReader, Write},
    os::{fd::AsRawFd, unix::net::UnixStream, unix::process::CommandExt},
    path::Path,
    process::{Child, Command as Process, Stdio},
    time::{Duration, Instant},
};

use meshlab_wire::{
    Command, Contact, Message, Outcome, PROTOCOL, Ready, Reply, Request, RequestFrame, State,
    ViewEntry, decode_message, encode, env,
};

pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Node {
    pub child: Child,
    control: BufReader<UnixStream>,
    pub ready: Ready,
    asked: u64,
    /// How often something was asked of it again, because it came too late.
    pub late: u64,
}

/// What a node reports when it is asked.
#[derive(Debug)]
pub struct Seen {
    pub peers: Vec<ViewEntry>,
    pub neighbors: Vec<String>,
    pub connections: std::collections::BTreeMap<String, u32>,
}

impl Node {
    /// Starts a node of mesh `test` with more arguments, separated by blanks.
    pub fn start(data: &Path, arguments: &str, seed: Option<&Ready>) -> Self {
        Self::start_in("test", data, arguments, seed)
    }

    pub fn start_in(mesh: &str, data: &Path, arguments: &str, seed: Option<&Ready>) -> Self {
        let mut command = Process::new(env!("CARGO_BIN_EXE_mesh-node"));
        command
            .args(["--mesh", mesh, "--role", "broker"])
            .args(arguments.split_whitespace())
            .arg("--data")
            .arg(data)
            .env_remove(env::OTLP_ENDPOINT);
        if let Some(seed) = seed {
            command.arg("--seed").arg(as_seed(seed));
        }
        Self::spawn(command)
    }

    /// Starts a program as a node, and waits until it is ready.
    pub fn spawn(mut command: Process) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let fd = theirs.as_raw_fd();
        command.env(env::CONTROL_FD, fd.to_string()).env("RUST_LOG", "error").stdin(Stdio::null());
        // SAFETY: fcntl is async-signal-safe, and only the child's copy of the flag is changed.
        unsafe {
            command.pre_exec(move || match libc::fcntl(fd, libc::F_SETFD, 0) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
        let child = command.spawn().unwrap();
        drop(theirs);
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let ready = Ready {
            name: String::new(),
            public_key: String::new(),
            addresses: Vec::new(),
            dead_after_ms: 0,
            boot_micros: 0,
        };
        let mut node = Self { child, control: BufReader::new(ours), ready, asked: 0, late: 0 };
        let hello = node.read();
        assert!(matches!(hello, Message::Hello { protocol: PROTOCOL, .. }), "{hello:?}");
        match node.read() {
            Message::Ready(ready) => node.ready = ready,
            other => panic!("expected ready, got {other:?}"),
        }
        node
    }

    fn read(&mut self) -> Message {
        let mut line = Vec::new();
        self.control.read_until(b'\n', &mut line).unwrap();
        decode_message(&line).unwrap()
    }

    pub fn ask(&mut self, request: Request) -> Reply {
        self.asked += 1;
        let id = self.asked;
        self.control.get_mut().write_all(&encode(&RequestFrame { id, request })).unwrap();
        match self.read() {
            Message::Reply { id: answered, reply } if answered == id => reply,
            other => panic!("expected the reply to {id}, got {other:?}"),
        }
    }

    /// Has the node do something; the error is its refusal.
    pub fn perform(&mut self, command: Command) -> Result<Outcome, String> {
        match self.ask(Request::Command(command)) {
            Reply::Outcome(outcome) => Ok(outcome),
            Reply::Refused { why } => Err(why),
            other => panic!("expected an outcome, got {other:?}"),
        }
    }

    /// Has the node do something with another one, again for as long as that is only late.
    pub fn perform_in_time(&mut self, command: &Command) -> Result<Outcome, String> {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.perform(command.clone()) {
                Err(why) if is_late(&why) && Instant::now() < until => self.late += 1,
                answered => return answered,
            }
        }
    }

    pub fn contact(&self) -> Contact {
        Contact {
            name: self.ready.name.clone(),
            public_key: self.ready.public_key.clone(),
            addresses: self.ready.addresses.clone(),
        }
    }

    pub fn view(&mut self) -> Seen {
        match self.ask(Request::View) {
            Reply::View { peers, neighbors, connections } => Seen { peers, neighbors, connections },
            other => panic!("expected a view, got {other:?}"),
        }
    }

    pub fn counter(&mut self, name: &str) -> u64 {
        match self.perform(Command::Counters) {
            Ok(Outcome::Counters { counters, .. }) => counters[name],
            other => panic!("expected counters, got {other:?}"),
        }
    }

    /// Asks until it has counted so many.
    pub fn wait_for_counter(&mut self, name: &str, at_least: u64) {
        let until = Instant::now() + DEADLINE;
        while self.counter(name) < at_least {
            assert!(Instant::now() < until, "{name} is {}", self.counter(name));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks until `holds` is true of what it sees.
    pub fn wait_for(
        &mut self,
        what: &str,
        within: Duration,
        holds: impl Fn(&Seen) -> bool,
    ) -> Seen {
        let until = Instant::now() + within;
        loop {
            let seen = self.view();
            if holds(&seen) {
                return seen;
            }
            assert!(Instant::now() < until, "{} waited for {what}, sees {seen:?}", self.ready.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks until exactly these are seen.
    pub fn wait_for_view(&mut self, others: &[&str], within: Duration) -> Seen {
        let mut expected = others.to_vec();
        expected.sort_unstable();
        self.wait_for(&format!("{expected:?}"), within, |seen| {
            let mut keys: Vec<_> = seen.peers.iter().map(|peer| peer.public_key.as_str()).collect();
            keys.sort_unstable();
            keys == expected
        })
    }

    /// Asks until it holds a peer to be in a state.
    pub fn wait_for_state(&mut self, peer: &str, state: State) {
        self.wait_for(&format!("{peer} to be {state}"), DEADLINE, |seen| {
            seen.peers.iter().any(|entry| entry.public_key == peer && entry.state == state)
        });
    }

    pub fn stop(mut self) -> (Reply, Option<i32>) {
        let reply = self.ask(Request::Stop);
        (reply, self.child.wait().unwrap().code())
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether that is all that went wrong: what nodes give each other is a second or two, and a busy
/// host takes as long now and then.
pub fn is_late(why: &str) -> bool {
    why.contains(" within ") || why.contains("did not answer")
}

pub fn as_seed(ready: &Ready) -> String {
    format!("{}@{}", ready.public_key, ready.addresses.join(","))
}

/// Runs the program as a tool, to its end.
pub fn tool(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Process::new(env!("CARGO_BIN_EXE_mesh-node"));
    command.args(arguments).env_remove(env::CONTROL_FD).env_remove(env::OTLP_ENDPOINT);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

pub fn key(node: &Node) -> String {
    node.ready.public_key.clone()
}
