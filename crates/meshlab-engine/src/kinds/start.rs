//! The start and the end of a program that has no agent.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    net::{Ipv4Addr, TcpListener},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use meshlab_fleet::{Process, Rest, SpawnSpec, end_rest};
use meshlab_model::{NodeExit, NodeId, RunTime, format_duration};
use meshlab_spans::Selector;
use meshlab_wire::{Ready, env};

use super::{
    KeyPair, NodeKind, Readiness, SharedKind, Template, Transport, answers,
    log::{Tail, captured, fits},
};
use crate::{
    Engine, HostError,
    engine::{Shared, lock},
    nodes::LOGGED_WITHIN,
    state::{Life, Node, State},
};

/// How often it is looked whether a program is ready: none of what shows it tells by itself.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How often a command or a question is asked again, which costs more than a look.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long one such command may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(5);
/// Seeds that a joining node is given; the second covers for a dead one.
const SEEDS_MAX: usize = 2;
/// The directory for temporary files, in the data directory.
const TMP: &str = "tmp";
/// Runs what a kind says as a line.
const SHELL: &str = "/bin/sh";

/// What is known of a node whose program has no agent.
#[derive(Clone)]
pub(crate) struct Stranger {
    pub(crate) kind: SharedKind,
    pub(crate) keys: KeyPair,
    pub(crate) port: u16,
    /// What its kind takes of its log, by `capture`.
    pub(crate) captured: Arc<Mutex<String>>,
    /// Held while what a life left is ended, and from there to the start of the next one: nobody
    /// takes the next one for what is left.
    pub(crate) changing: Arc<tokio::sync::Mutex<()>>,
}

impl Stranger {
    pub(crate) fn public_key(&self) -> String {
        self.keys.public_hex()
    }
}

/// A port of the host that nobody has now.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Values of all placeholders.
pub(super) fn values(
    state: &State,
    id: &NodeId,
    node: &Node,
    stranger: &Stranger,
) -> BTreeMap<&'static str, String> {
    let mesh = state.meshes.get(&node.mesh);
    let members = mesh.map(|mesh| mesh.nodes.as_slice()).unwrap_or_default();
    let place = members.iter().position(|member| member == id).unwrap_or(members.len());
    let bind = node.place.bind.first().cloned().unwrap_or_default();
    let ip = bind.rsplit_once(':').map(|(ip, _)| ip.to_owned()).unwrap_or_default();
    let live = members.iter().filter(|other| *other != id);
    let live = live.filter_map(|other| Some((other, state.nodes.get(other)?)));
    let seeds: Vec<String> = live
        .filter(|(_, other)| other.ready().is_some() && other.runs())
        .filter_map(|(other, at)| seed(other, at))
        .take(SEEDS_MAX)
        .collect();
    let separator = &stranger.kind.seed_separator;
    BTreeMap::from([
        ("name", id.to_string()),
        ("index", (place + 1).to_string()),
        ("mesh", node.mesh.to_string()),
        ("role", node.role.clone()),
        ("data", node.data.display().to_string()),
        ("tmp", node.data.join(TMP).display().to_string()),
        ("ip", ip),
        ("port", stranger.port.to_string()),
        ("bind", bind),
        ("seed", seeds.first().cloned().unwrap_or_default()),
        ("seeds", seeds.join(separator)),
        ("otlp_http", node.place.otlp.clone()),
        ("otlp_grpc", node.place.otlp_grpc.clone()),
        ("public_key", stranger.keys.public_hex()),
        ("public_key_base64", stranger.keys.public_base64()),
        ("secret_key", stranger.keys.secret_hex()),
        ("secret_key_base64", stranger.keys.secret_base64()),
        ("captured", lock(&stranger.captured).clone()),
    ])
}

/// A node as its own kind writes it as a seed.
fn seed(id: &NodeId, node: &Node) -> Option<String> {
    let stranger = node.stranger.as_ref()?;
    let bind = node.place.bind.first().cloned().unwrap_or_default();
    let ip = bind.rsplit_once(':').map(|(ip, _)| ip.to_owned()).unwrap_or_default();
    let values = BTreeMap::from([
        ("name", id.to_string()),
        ("ip", ip),
        ("port", stranger.port.to_string()),
        ("bind", bind),
        ("public_key", stranger.keys.public_hex()),
        ("public_key_base64", stranger.keys.public_base64()),
        ("captured", lock(&stranger.captured).clone()),
    ]);
    stranger.kind.seed.fill(&values)
}

/// How to start a node of a kind; writes its files on the way.
pub(crate) fn command(
    state: &State,
    id: &NodeId,
    program: &str,
    given: &BTreeMap<String, String>,
) -> Result<SpawnSpec, HostError> {
    let node = state.node(id)?;
    let Some(stranger) = &node.stranger else {
        return Err(HostError::Harness(format!("{id} is of no kind")));
    };
    let kind = &stranger.kind;
    let mut values = values(state, id, node, stranger);
    values.insert("program", program.to_owned());
    let root = node.place.disk.as_ref().map_or_else(|| node.data.clone(), |disk| disk.path());
    write_files(&root, kind, &values).map_err(|(path, error)| {
        HostError::Harness(format!(
            "failed to write {path} of {id}, of kind `{}`: {error}",
            kind.name
        ))
    })?;
    let (program, arguments) = match &kind.shell {
        Some(line) => (SHELL, vec!["-c".to_owned(), shell_line(id, kind, line, &values)?]),
        None => (program, arguments(kind, &values)),
    };
    let mut environment = BTreeMap::from([
        (env::OTLP_ENDPOINT.to_owned(), node.place.otlp.clone()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(), "http/protobuf".to_owned()),
        ("OTEL_SERVICE_NAME".to_owned(), id.to_string()),
        // No name can be looked up in the lab; what tries it is not to stand still for 20 s.
        ("RES_OPTIONS".to_owned(), "timeout:1 attempts:1".to_owned()),
        ("HOME".to_owned(), node.data.display().to_string()),
        ("TMPDIR".to_owned(), node.data.join(TMP).display().to_string()),
    ]);
    let own = kind.env.iter().filter_map(|(name, one)| Some((name.clone(), one.fill(&values)?)));
    environment.extend(own);
    environment.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(SpawnSpec {
        node: id.clone(),
        program: program.into(),
        arguments,
        environment,
        log: node.log.clone(),
        namespaces: node.place.namespaces.clone(),
        stranger: Some(node.data.clone()),
        clock: None,
    })
}

fn arguments(kind: &NodeKind, values: &BTreeMap<&'static str, String>) -> Vec<String> {
    let groups = kind.arguments.iter();
    let filled = groups.filter_map(|group| {
        let filled: Option<Vec<String>> = group.iter().map(|one| one.fill(values)).collect();
        filled
    });
    filled.flatten().collect()
}

/// A line for the shell, which has nothing that could be left out.
fn shell_line(
    id: &NodeId,
    kind: &NodeKind,
    line: &Template,
    values: &BTreeMap<&'static str, String>,
) -> Result<String, HostError> {
    line.fill(values).ok_or_else(|| {
        HostError::Misuse(format!(
            "a placeholder of `shell` of the kind `{}` is empty for {id}: it has a `{{seed}}` once \
             another node of its mesh is ready",
            kind.name
        ))
    })
}

/// Writes what a kind wants to be there, and its directory for temporary files.
fn write_files(
    root: &Path,
    kind: &NodeKind,
    values: &BTreeMap<&'static str, String>,
) -> Result<(), (String, io::Error)> {
    let failed = |path: &str| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    fs::create_dir_all(root.join(TMP)).map_err(failed(TMP))?;
    for (name, text) in &kind.files {
        let path = Path::new(name);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            let why = "it is not below the data directory: write a relative path without `..`";
            return Err((name.clone(), io::Error::other(why)));
        }
        let path: PathBuf = root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(name))?;
        }
        let mode = if text.is_secret() { 0o600 } else { 0o644 };
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(mode).open(&path);
        let text = text.fill(values).unwrap_or_default();
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed(name))?;
    }
    Ok(())
}

/// Whether something in the network of that process has bound the port.
pub(super) fn is_bound(pid: u32, transport: Transport, port: u16) -> bool {
    // Of a TCP socket, state 0A is listening; of a UDP socket, 07 is bound and not connected.
    let (tables, wanted) = match transport {
        Transport::Tcp => (["tcp", "tcp6"], "0A"),
        Transport::Udp => (["udp", "udp6"], "07"),
    };
    let port = format!(":{port:04X}");
    tables.iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().is_some_and(|local| local.ends_with(&port));
            local && fields.nth(1) == Some(wanted)
        })
    })
}

/// What the log of a program has said since its start.
struct Said {
    tail: Tail,
    /// Whether it has said what shows that it is ready.
    logged: bool,
    captured: Option<String>,
}

impl Said {
    fn listen(&mut self, kind: &NodeKind) {
        let ready = match &kind.ready {
            Readiness::Log(pattern) => Some(pattern),
            _ => None,
        };
        if ready.is_none() && kind.capture.is_none() {
            return;
        }
        let Self { tail, logged, captured: found } = self;
        tail.look(|line, whole| {
            *logged |= ready.is_some_and(|pattern| fits(line, pattern));
            // Of a line that goes on, only a part would be taken.
            if let Some(pattern) = kind.capture.as_ref().filter(|_| whole && found.is_none()) {
                *found = captured(line, pattern);
            }
        });
    }

    fn is_whole(&self, kind: &NodeKind) -> bool {
        kind.capture.is_none() || self.captured.is_some()
    }
}

/// What a program that is not ready has not shown.
fn missing(kind: &NodeKind, stranger: &Stranger) -> String {
    let also = kind.capture.as_ref().map(|pattern| {
        format!(", or no whole line has `{pattern}`, which `capture` takes something of")
    });
    format!("{}{}", kind.ready.missing(stranger), also.unwrap_or_default())
}

impl Engine {
    /// Where the log of a node ends now.
    pub(crate) fn log_end(&self, id: &NodeId) -> u64 {
        let log = self.shared.state().nodes.get(id).map(|node| node.log.clone());
        log.and_then(|log| fs::metadata(log).ok()).map_or(0, |meta| meta.len())
    }

    /// Waits until a program without agent shows that it is ready, or cannot any more.
    pub(crate) async fn stranger_ready(
        &self,
        id: &NodeId,
        process: &Process,
        log_from: u64,
        spawned: RunTime,
    ) -> Result<Ready, HostError> {
        let (stranger, log, addresses) = {
            let state = self.shared.state();
            let node = state.node(id)?;
            let bind = node.place.bind.first().cloned().into_iter().collect();
            let stranger = node.stranger.clone();
            let none = || HostError::Harness(format!("{id} is of no kind"));
            (stranger.ok_or_else(none)?, node.log.clone(), bind)
        };
        let kind = Arc::clone(&stranger.kind);
        let mut said = Said { tail: Tail::new(log, log_from), logged: false, captured: None };
        let shown = async {
            loop {
                said.listen(&kind);
                if self.shows(id, &stranger, process, &said, spawned).await && said.is_whole(&kind)
                {
                    return;
                }
                tokio::time::sleep(match kind.ready {
                    Readiness::Command(_) | Readiness::Answers => ASK_EVERY,
                    _ => LOOK_EVERY,
                })
                .await;
            }
        };
        let is_done = |exit: NodeExit| kind.ends && exit.code == Some(0);
        let what = tokio::select! {
            biased;
            () = shown => match process.exit().filter(|exit| !is_done(*exit)) {
                None => {
                    *lock(&stranger.captured) = said.captured.unwrap_or_default();
                    return Ok(ready(id, &stranger, addresses));
                }
                Some(exit) => format!("{id} showed that it is ready ({}), and ended with {exit}",
                    kind.ready.words(&stranger)),
            },
            exit = process.exited() => {
                let left = self.end_rest_of(id).await;
                process.logged_within(LOGGED_WITHIN).await;
                // It may have said it after the last look, which is all that there was to do.
                said.listen(&kind);
                let by_itself = matches!(kind.ready, Readiness::Log(_) | Readiness::Span(_));
                if by_itself
                    && is_done(exit)
                    && said.is_whole(&kind)
                    && self.shows(id, &stranger, process, &said, spawned).await
                {
                    *lock(&stranger.captured) = said.captured.unwrap_or_default();
                    self.tell_rest(id, &left);
                    return Ok(ready(id, &stranger, addresses));
                }
                ended_early(id, exit, &left)
            }
            () = tokio::time::sleep(kind.ready_within) => format!(
                "{id} was not ready within {}: {}",
                format_duration(kind.ready_within),
                missing(&kind, &stranger)
            ),
        };
        Err(HostError::Node(format!("{what}\n{}", self.last_words(id, process).await)))
    }

    async fn shows(
        &self,
        id: &NodeId,
        stranger: &Stranger,
        process: &Process,
        said: &Said,
        spawned: RunTime,
    ) -> bool {
        match &stranger.kind.ready {
            Readiness::Log(_) => said.logged,
            Readiness::Span(name) => {
                let sent = Selector::named(name).of(id).since(spawned);
                self.shared.store.count(&sent) > 0
            }
            Readiness::Port(transport) => is_bound(process.pid(), *transport, stranger.port),
            Readiness::Command(command) => self.command_holds(id, command).await,
            Readiness::Answers => answers::ask(&self.shared, id, id).await.is_ok(),
        }
    }

    /// Runs a command in the place of a node to its end; whether it ended with code 0.
    async fn command_holds(&self, id: &NodeId, command: &[Template]) -> bool {
        let spec = {
            let state = self.shared.state();
            let Ok(node) = state.node(id) else { return false };
            let Some(stranger) = &node.stranger else { return false };
            let mut values = values(&state, id, node, stranger);
            let program = self.shared.config.binaries.get(&node.binary);
            values.insert("program", program.map(|one| one.path.clone()).unwrap_or_default());
            let words = command.iter().filter_map(|word| word.fill(&values));
            let mut words: Vec<String> = words.collect();
            if words.is_empty() {
                return false;
            }
            let data = node.data.display().to_string();
            SpawnSpec {
                node: id.clone(),
                program: words.remove(0).into(),
                arguments: words,
                environment: BTreeMap::from([("HOME".to_owned(), data)]),
                log: node.log.with_extension("ready.log"),
                namespaces: node.place.namespaces.clone(),
                stranger: Some(node.data.clone()),
                clock: None,
            }
        };
        let Some(fleet) = lock(&self.shared.fleet).clone() else { return false };
        let Ok(process) = fleet.spawn(spec).await else { return false };
        match process.exited_within(COMMAND_WITHIN).await {
            Some(exit) => exit.code == Some(0),
            None => {
                let _ = process.signal(libc::SIGKILL);
                process.exited().await;
                false
            }
        }
    }

    /// Asks a program without agent to end, and ends it if it does not.
    pub(crate) async fn end_stranger(&self, id: &NodeId, stranger: &Stranger, process: &Process) {
        let kind = &stranger.kind;
        let _ = process.signal(kind.stop_signal);
        if process.exited_within(kind.stop_grace).await.is_none() {
            self.shared.warn(format!(
                "{id} did not end within {} of signal {} and was killed; `stop` of the kind `{}` \
                 takes another signal or a longer grace",
                format_duration(kind.stop_grace),
                kind.stop_signal,
                kind.name
            ));
            let _ = process.signal(libc::SIGKILL);
            process.exited().await;
        }
    }

    /// Ends what a program that has just ended started beside itself, once it had been ready;
    /// before that, whoever waits for it says what was left.
    pub(crate) async fn end_rest_of_stranger(&self, id: &NodeId, life: &Life) {
        let stranger = self.shared.state().nodes.get(id).and_then(|node| node.stranger.clone());
        let Some(stranger) = stranger else { return };
        let _changing = stranger.changing.lock().await;
        let was_ready = self.shared.state().nodes.get(id).is_some_and(|node| {
            let pid = life.process.pid();
            let current = node.life.as_ref().is_some_and(|life| life.process.pid() == pid);
            current && node.ready().is_some()
        });
        if was_ready {
            self.end_rest_and_tell(id, life).await;
        }
    }

    /// Ends what a life that has ended left; one that was ended had no time to do so itself.
    pub(crate) async fn end_rest_and_tell(&self, id: &NodeId, life: &Life) {
        let left = self.end_rest_of(id).await;
        if !life.end_asked_for.load(Ordering::SeqCst) {
            self.tell_rest(id, &left);
        }
    }

    fn tell_rest(&self, id: &NodeId, left: &[Rest]) {
        if !left.is_empty() {
            self.shared.warn(format!("{id} left {} behind; ended", named(left)));
        }
    }

    /// Ends what a program started beside itself.
    pub(crate) async fn end_rest_of(&self, id: &NodeId) -> Vec<Rest> {
        ends_what_is_left(&self.shared, id).await
    }
}

/// Ends every process of a node whose program has ended; which there were.
pub(crate) async fn ends_what_is_left(shared: &Shared, id: &NodeId) -> Vec<Rest> {
    let mark = lock(&shared.fleet).as_ref().map(|fleet| fleet.mark());
    let place = shared.state().nodes.get(id).map(|node| node.place.namespaces.clone());
    let network: Option<Arc<OwnedFd>> = place.and_then(|spaces| spaces.first().cloned());
    let Some(mark) = mark else { return Vec::new() };
    let id = id.clone();
    let ended = tokio::task::spawn_blocking(move || end_rest(&id, mark, network.as_deref()));
    ended.await.unwrap_or_default()
}

/// Of a program that has ended before it was ready, and of what it left behind.
fn ended_early(id: &NodeId, exit: NodeExit, left: &[Rest]) -> String {
    if left.is_empty() {
        return format!("{id} ended with {exit} before it was ready");
    }
    format!(
        "{id} ended with {exit} before it was ready and left {} behind, which {} ended: it goes \
         into the background by itself; start it in the foreground (programs take \
         `--foreground`, `-f`, `-D` or `--no-daemon`)",
        named(left),
        if left.len() == 1 { "was" } else { "were" },
    )
}

/// Processes in words: "2 processes (sleep 71, sh 72)".
pub(crate) fn named(left: &[Rest]) -> String {
    let names: Vec<String> =
        left.iter().map(|rest| format!("{} {}", rest.name, rest.pid)).collect();
    let plural = if left.len() == 1 { "process" } else { "processes" };
    format!("{} {plural} ({})", left.len(), names.join(", "))
}

fn ready(id: &NodeId, stranger: &Stranger, addresses: Vec<String>) -> Ready {
    let dead_after_ms = stranger.kind.dead_after.as_millis();
    Ready {
        name: id.to_string(),
        public_key: stranger.public_key(),
        addresses,
        dead_after_ms: u64::try_from(dead_after_ms).unwrap_or(u64::MAX),
        boot_micros: 0,
    }
}

impl Readiness {
    /// What shows it, in words.
    fn words(&self, stranger: &Stranger) -> String {
        match self {
            Self::Log(pattern) => format!("`{pattern}` in its log"),
            Self::Span(name) => format!("a span `{name}`"),
            Self::Port(transport) => format!("{} port {}", transport.word(), stranger.port),
            Self::Command(command) => {
                let words: Vec<String> = command.iter().map(ToString::to_string).collect();
                format!("`{}`", words.join(" "))
            }
            Self::Answers => "an answer".to_owned(),
        }
    }

    /// What was waited for, in the negative.
    fn missing(&self, stranger: &Stranger) -> String {
        match self {
            Self::Log(pattern) => format!("no line of its log has `{pattern}`"),
            Self::Span(name) => format!("it sent no span `{name}`"),
            Self::Port(transport) => {
                format!("nothing listens on {} port {}", transport.word(), stranger.port)
            }
            Self::Command(_) => format!("{} did not end with code 0", self.words(stranger)),
            Self::Answers => "it did not answer".to_owned(),
        }
    }
}

impl Transport {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}
