//! Real processes on loopback, driven through the control socket as the harness does.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::{
    io::{BufRead, BufReader, Write},
    os::{fd::AsRawFd, unix::net::UnixStream, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use meshlab_wire::{
    Message, PROTOCOL, Ready, Reply, Request, RequestFrame, ViewEntry, decode_message, encode, env,
};

const DEADLINE: Duration = Duration::from_secs(20);

struct Node {
    child: Child,
    control: BufReader<UnixStream>,
    ready: Ready,
    asked: u64,
}

impl Node {
    fn start(data: &Path, digest_every: &str, seed: Option<&Ready>) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let fd = theirs.as_raw_fd();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-node"));
        command
            .args(["--mesh", "test", "--role", "broker", "--digest-every", digest_every])
            .arg("--data")
            .arg(data)
            .env(env::CONTROL_FD, fd.to_string())
            .env_remove(env::OTLP_ENDPOINT)
            .stdin(Stdio::null());
        if let Some(seed) = seed {
            command.arg("--seed").arg(format!("{}@{}", seed.public_key, seed.addresses.join(",")));
        }
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
        };
        let mut node = Self { child, control: BufReader::new(ours), ready, asked: 0 };
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

    fn ask(&mut self, request: Request) -> Reply {
        self.asked += 1;
        let id = self.asked;
        self.control.get_mut().write_all(&encode(&RequestFrame { id, request })).unwrap();
        match self.read() {
            Message::Reply { id: answered, reply } if answered == id => reply,
            other => panic!("expected the reply to {id}, got {other:?}"),
        }
    }

    fn view(&mut self) -> Vec<ViewEntry> {
        match self.ask(Request::View) {
            Reply::View { peers, .. } => peers,
            other => panic!("expected a view, got {other:?}"),
        }
    }

    /// Asks until exactly these are seen, and returns how it saw them.
    fn wait_for_view(&mut self, others: &[&str], within: Duration) -> Vec<ViewEntry> {
        let until = Instant::now() + within;
        let mut expected = others.to_vec();
        expected.sort_unstable();
        loop {
            let view = self.view();
            let mut seen: Vec<_> = view.iter().map(|peer| peer.public_key.as_str()).collect();
            seen.sort_unstable();
            if seen == expected {
                return view;
            }
            assert!(Instant::now() < until, "expected {expected:?}, still sees {seen:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(mut self) -> (Reply, Option<i32>) {
        let reply = self.ask(Request::Stop);
        (reply, self.child.wait().unwrap().code())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn key(node: &Node) -> String {
    node.ready.public_key.clone()
}

#[test]
fn nodes_find_each_other_and_notice_who_dies() {
    let data = tempfile::tempdir().unwrap();
    let mut first = Node::start(&data.path().join("1"), "200ms", None);
    let mut second = Node::start(&data.path().join("2"), "200ms", Some(&first.ready));
    let mut third = Node::start(&data.path().join("3"), "200ms", Some(&first.ready));
    let (a, b, c) = (key(&first), key(&second), key(&third));
    first.wait_for_view(&[&b, &c], DEADLINE);
    second.wait_for_view(&[&a, &c], DEADLINE);
    third.wait_for_view(&[&a, &b], DEADLINE);

    third.child.kill().unwrap();
    let dead_after = Duration::from_millis(first.ready.dead_after_ms);
    first.wait_for_view(&[&b], dead_after + DEADLINE);
    second.wait_for_view(&[&a], dead_after + DEADLINE);
}

#[test]
fn a_node_that_leaves_says_so_and_exits_with_zero() {
    let data = tempfile::tempdir().unwrap();
    // At this cadence silence takes 40 minutes to be noticed, so an eviction within the test's
    // deadline has only one possible cause: the announcement.
    let mut first = Node::start(&data.path().join("1"), "600s", None);
    let mut second = Node::start(&data.path().join("2"), "600s", Some(&first.ready));
    assert!(first.ready.dead_after_ms > 2_000_000);
    let (a, b) = (key(&first), key(&second));
    first.wait_for_view(&[&b], DEADLINE);
    second.wait_for_view(&[&a], DEADLINE);
    let (reply, code) = second.stop();
    assert!(matches!(reply, Reply::Telemetry(_)), "{reply:?}");
    assert_eq!(code, Some(0));
    first.wait_for_view(&[], DEADLINE);

    let mut back = Node::start(&data.path().join("2"), "600s", Some(&first.ready));
    assert_eq!(key(&back), b, "the identity is on disk");
    first.wait_for_view(&[&b], DEADLINE);
    back.wait_for_view(&[&a], DEADLINE);
}

#[test]
fn a_bad_start_stops_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("identity.key"), "damaged").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-node"));
        command.args(arguments).arg("--data").arg(data.path());
        command.env_remove(env::CONTROL_FD).env_remove(env::OTLP_ENDPOINT);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, why) = run(&["--mesh", "m", "--role", "r"]);
    assert_eq!(code, Some(2));
    assert!(why.contains("identity.key is damaged"), "{why}");
    let (code, why) = run(&["--role", "r"]);
    assert_eq!(code, Some(2));
    assert!(why.contains("--mesh"), "{why}");
}
