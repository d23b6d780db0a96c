//! Nodes: their lives, their end.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use meshlab_fleet::{Fleet, Process, SpawnSpec, log_tail};
use meshlab_model::{MeshId, NodeId, RunEventKind, SampleSource, TelemetryCount, format_duration};
use meshlab_mutants::{Mutant, on};
use meshlab_spans::SpanStore;
use meshlab_wire::{Ready, Reply, Request, Telemetry};
use tokio::{sync::watch, time::Instant};

use crate::{
    Engine, HostError, MeshOptions, NODE_BINARY, NodeOptions, SharedKind,
    engine::{Shared, lock},
    places::Program,
    state::{Kind, Life},
    subject,
};

/// A node in a loaded lab takes milliseconds; one that has not said `ready` by now never will.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// An orderly stop says goodbye and flushes spans, which takes a node 4.1 s where neither gossip
/// nor its collector answers (`LAST_FLUSH` of mesh-node), and more on a busy host.
const STOP_WITHIN: Duration = Duration::from_secs(6);
/// What a node sent before it ended lies in the socket of its receiver; a busy host takes it in
/// late.
const ARRIVED_WITHIN: Duration = Duration::from_secs(2);
/// From SIGTERM to SIGKILL, for a node that does not answer on its control channel.
const TERM_WITHIN: Duration = Duration::from_secs(2);

/// From the end of a node's control channel to its own end, on a host that is busy.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// From the end of a program to the last line of its log.
pub(crate) const LOGGED_WITHIN: Duration = Duration::from_secs(1);

/// Stands for every node where the environment of single nodes is given.
const ALL_NODES: &str = "*";

impl Engine {
    /// Makes a node and its place, without starting it.
    pub(crate) fn place_node(
        &self,
        mesh: &MeshId,
        role: &str,
        mut options: NodeOptions,
    ) -> Result<NodeId, HostError> {
        if !options.seeds.is_empty() {
            let seeds = subject::seeds(&self.shared.state(), &options.seeds)?;
            options.env.insert(subject::SEEDS.to_owned(), seeds);
        }
        let (usual, usual_kind) = {
            let state = self.shared.state();
            let usual = &state.mesh(mesh)?.options;
            (usual.binary.clone(), usual.kind.clone())
        };
        // A program that is named for this node is not of the mesh's kind.
        let stranger = options.kind.or(usual_kind.filter(|_| options.binary.is_none()));
        let of_kind = stranger.as_ref().map(|kind| kind.binary.clone());
        let binary = options.binary.or(of_kind).or(usual).unwrap_or_else(|| NODE_BINARY.to_owned());
        let id = self.name_node(options.id)?;
        let program = Program { binary: &binary, environment: options.env, stranger };
        self.place(Kind::Node, mesh, &id, role, program)?;
        if let Some(mesh) = self.shared.state().meshes.get_mut(mesh) {
            mesh.nodes.push(id.clone());
        }
        Ok(id)
    }

    fn name_node(&self, wanted: Option<NodeId>) -> Result<NodeId, HostError> {
        let mut state = self.shared.state();
        state.nodes_named += 1;
        let id = wanted.unwrap_or_else(|| NodeId(format!("node-{}", state.nodes_named)));
        let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.0.is_empty() || id.0.len() > 40 || !id.0.chars().all(fit) {
            return Err(HostError::Misuse(format!(
                "`{id}` cannot be a node's id: use 1 to 40 letters, digits, `-` and `_`"
            )));
        }
        if state.nodes.contains_key(&id) || state.pids.iter().any(|(node, _)| *node == id) {
            return Err(HostError::Misuse(format!("there is a node {id} already")));
        }
        Ok(id)
    }

    /// Starts a life of a node and waits until it is ready.
    pub(crate) async fn start_life(&self, id: &NodeId) -> Result<(), HostError> {
        let shared = &self.shared;
        let fleet = lock(&shared.fleet).clone();
        let fleet = fleet.ok_or_else(|| HostError::Harness("the fleet is shut down".to_owned()))?;
        let (stranger, former) = {
            let state = shared.state();
            let node = state.node(id)?;
            (node.stranger.clone(), node.life.clone())
        };
        let changing = match &stranger {
            Some(stranger) => Some(stranger.changing.lock().await),
            None => None,
        };
        let has_agent = stranger.is_none();
        if let Some(former) = former.filter(|_| !has_agent) {
            // What the former life left would hold its port, and what it said last would be taken
            // for the first words of the next one.
            self.end_rest_and_tell(id, &former).await;
            former.process.logged_within(LOGGED_WITHIN).await;
        }
        let spec = self.spec(id)?;
        lock(&shared.views).forget(id);
        let log_from = self.log_end(id);
        let spawned = shared.clock.now();
        let process = spawn(&fleet, spec).await?;
        let life = self.begin_life(id, process.clone())?;
        drop(changing);
        shared.runtime.spawn(watch_exit(Arc::clone(shared), id.clone(), life.clone()));
        let ready = match has_agent {
            false => {
                let ready = self.stranger_ready(id, &process, log_from, spawned);
                shared.cancel.or(ready).await??
            }
            true => shared.cancel.or(self.ready(id, &process)).await??,
        };
        let took = shared.clock.now().since(spawned);
        shared.event(RunEventKind::NodeReady {
            node: id.clone(),
            name: ready.name.clone(),
            public_key: ready.public_key.clone(),
            took_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        });
        crate::profiles::ready(shared, id, process.pid());
        if process.has_family() {
            crate::profiles::begin(shared, id, &process.family());
        }
        if process.control().records_heap() {
            self.spare_limits(id);
        }
        self.begin_readiness(id, ready, has_agent)?;
        if !has_agent && process.exit().is_some() {
            // Whoever watches its end may have come before it was known to be ready.
            self.end_rest_of_stranger(id, &life).await;
        }
        Ok(())
    }

    fn begin_readiness(&self, id: &NodeId, ready: Ready, has_agent: bool) -> Result<(), HostError> {
        let mut state = self.shared.state();
        let node = state.node_mut(id)?;
        if self.shared.config.network == meshlab_model::NetworkMode::Host && has_agent {
            // The port is the node's from now on, or others would not find it after a restart.
            node.place.bind.clone_from(&ready.addresses);
        }
        if let Some(life) = &mut node.life {
            life.ready = Some(ready);
        }
        Ok(())
    }

    /// Starts a node that has ended once more, with the same identity and address.
    pub(crate) async fn start_again(&self, id: &NodeId) -> Result<(), HostError> {
        let former = self.shared.state().node(id)?.life.clone();
        if let Some(life) = former.filter(|life| !life.runs()) {
            life.end_is_told().await;
            self.count_telemetry(id, &life, None);
        }
        self.start_life(id).await
    }

    fn spec(&self, id: &NodeId) -> Result<SpawnSpec, HostError> {
        let state = self.shared.state();
        let node = state.node(id)?;
        if node.runs() {
            return Err(HostError::Misuse(format!("{id} runs already")));
        }
        let mut given = match node.kind {
            Kind::Node => state.mesh(&node.mesh)?.options.env.clone(),
            Kind::Relay => BTreeMap::new(),
        };
        given.extend(node.environment.clone());
        for whose in [ALL_NODES, id.as_str()] {
            given.extend(self.shared.config.node_env.get(whose).cloned().unwrap_or_default());
        }
        let name = node.binary.as_str();
        let binary = self.shared.config.binaries.get(name).ok_or_else(|| {
            HostError::Harness(format!(
                "failed to find the program `{name}`: name it with `--binary {name}=PATH`"
            ))
        })?;
        if node.stranger.is_some() {
            let mut spec = crate::kinds::command(&state, id, &binary.path, &given)?;
            let kind = node.stranger.as_ref().map(|stranger| Arc::clone(&stranger.kind));
            drop(state);
            self.set_up_clock(kind, Path::new(&binary.path), &mut spec);
            return Ok(spec);
        }
        let mut environment = match node.kind {
            Kind::Node => subject::node_environment(&state, id, &given)?,
            Kind::Relay => subject::relay_environment(node, &given),
        };
        let spans = node.kind == Kind::Node;
        crate::profiles::prepare(&self.shared, id, &binary.path, spans, &mut environment);
        Ok(SpawnSpec {
            node: id.clone(),
            program: binary.path.clone().into(),
            arguments: Vec::new(),
            environment,
            log: node.log.clone(),
            namespaces: node.place.namespaces.clone(),
            stranger: None,
            clock: None,
        })
    }

    fn set_up_clock(&self, kind: Option<SharedKind>, program: &Path, spec: &mut SpawnSpec) {
        let id = spec.node.clone();
        let library = &self.shared.config.clock_library;
        let loads = |kind: SharedKind| crate::kinds::preload(&kind, program, library, spec);
        if let Err(why) = kind.map_or(Ok(()), loads) {
            self.say_once(&format!("of {id}: {why}"));
        }
    }

    fn begin_life(&self, id: &NodeId, process: Process) -> Result<Life, HostError> {
        let shared = &self.shared;
        let of = SampleSource::Node(id.clone());
        match process.has_family() {
            true => lock(&shared.sampler).track_tree(of, process.pid(), process.network()),
            false => lock(&shared.sampler).track(of, process.pid()),
        }
        // The first of its samples is now: what it used is known from the start, however short it
        // lives.
        self.sample_now(std::slice::from_ref(id));
        if !process.has_family() {
            crate::profiles::begin(shared, id, &[process.pid()]);
        }
        let life = Life {
            process: process.clone(),
            ready: None,
            started: shared.clock.now(),
            end_asked_for: Arc::new(AtomicBool::new(false)),
            end_told: watch::Sender::new(false),
            received_before: shared.store.received(id),
            counted: Arc::new(AtomicBool::new(false)),
        };
        let mut state = shared.state();
        state.pids.push((id.clone(), process.pid()));
        let node = state.node_mut(id)?;
        node.incarnation += 1;
        node.life = Some(life.clone());
        let event = RunEventKind::NodeSpawned {
            node: id.clone(),
            mesh: node.mesh.clone(),
            role: node.role.clone(),
            binary: node.binary.clone(),
            pid: process.pid(),
            incarnation: node.incarnation,
            address: node.place.bind.join(" "),
            host: "local".to_owned(),
        };
        drop(state);
        shared.event(event);
        Ok(life)
    }

    /// Waits until the node says that it is ready, or cannot any more.
    async fn ready(&self, id: &NodeId, process: &Process) -> Result<Ready, HostError> {
        let mut said = process.control().ready();
        let waited = tokio::time::timeout(READY_WITHIN, async {
            tokio::select! {
                ready = said.wait_for(Option::is_some) => match ready {
                    Ok(ready) => Ok(ready.clone()),
                    Err(_) => Err(process.control().closed()),
                },
                _ = process.exited() => Err(None),
            }
        })
        .await;
        let what = match waited {
            Ok(Ok(Some(ready))) => return Ok(ready),
            Ok(Ok(None) | Err(_)) => {
                let exit = process.exited_within(ENDED_WITHIN).await;
                match (exit, process.control().closed()) {
                    (Some(exit), _) => format!("{id} ended with {exit} before it was ready"),
                    (None, Some(why)) => format!("{id} broke its control channel: {why}"),
                    (None, None) => format!("{id} closed its control channel before it was ready"),
                }
            }
            Err(_) => format!("{id} was not ready within {}", format_duration(READY_WITHIN)),
        };
        Err(HostError::Node(format!("{what}\n{}", self.last_words(id, process).await)))
    }

    /// The end of a node's log; of one that has ended, once all that it wrote is there.
    pub(crate) async fn last_words(&self, id: &NodeId, process: &Process) -> String {
        if process.has_ended() {
            process.logged_within(LOGGED_WITHIN).await;
        }
        self.log_excerpt(id)
    }

    /// The end of a node's log, for an error.
    fn log_excerpt(&self, id: &NodeId) -> String {
        let Some(log) = self.shared.state().nodes.get(id).map(|node| node.log.clone()) else {
            return String::new();
        };
        match log_tail(&log, 6) {
            Ok(lines) if !lines.is_empty() => {
                let text: Vec<String> =
                    lines.into_iter().map(|(_, line)| format!("  | {line}")).collect();
                format!("its log ends ({}):\n{}", log.display(), text.join("\n"))
            }
            Ok(_) => format!("its log is empty: {}", log.display()),
            Err(error) => format!("its log {} cannot be read: {error}", log.display()),
        }
    }

    /// Stops a node in good order, harder if it does not go, and records its span counts.
    pub(crate) async fn end_life(&self, id: &NodeId) {
        let (life, stranger) = {
            let state = self.shared.state();
            let node = state.nodes.get(id);
            let Some(life) = node.and_then(|node| node.life.clone()) else { return };
            (life, node.and_then(|node| node.stranger.clone()))
        };
        life.expect_end();
        let mut ended = None;
        if let Some(stranger) = &stranger {
            if life.runs() {
                self.end_stranger(id, stranger, &life.process).await;
            }
            // Whoever watches its end may be at it, and tells what that finds before the test ends.
            let _changing = stranger.changing.lock().await;
            self.end_rest_and_tell(id, &life).await;
        } else if life.runs() {
            match life.process.control().ask(Request::Stop, STOP_WITHIN).await {
                Ok(Reply::Telemetry(counts)) => ended = Some(counts),
                Ok(_) | Err(_) => {
                    // Told below if it does not go by a signal either.
                    let _ = life.process.signal(libc::SIGTERM);
                }
            }
            if life.process.exited_within(TERM_WITHIN).await.is_none() {
                self.shared.warn(format!(
                    "{id} did not stop when asked and was killed; see its log for why"
                ));
                let _ = life.process.signal(libc::SIGKILL);
                life.process.exited_within(TERM_WITHIN).await;
            }
        }
        if let Some(told) = &ended {
            self.spans_arrived(id, &life, told).await;
        }
        self.count_telemetry(id, &life, ended);
        // A process that not even SIGKILL ends is told by the audit.
        if life.process.has_ended() {
            life.end_is_told().await;
            life.process.logged_within(LOGGED_WITHIN).await;
        }
    }

    /// Waits until what a node says that it ended has been taken in; what did not come in time is
    /// missing in the count.
    async fn spans_arrived(&self, id: &NodeId, life: &Life, told: &Telemetry) {
        let sent = life.received_before + told.ended.saturating_sub(told.dropped);
        let all = |store: &SpanStore| (store.received(id) >= sent).then_some(());
        let _ = self.shared.store.wait_for(Instant::now() + ARRIVED_WITHIN, all).await;
    }

    pub(crate) fn count_telemetry(&self, id: &NodeId, life: &Life, told: Option<Telemetry>) {
        if life.counted.swap(true, Ordering::SeqCst) {
            return;
        }
        let received = self.shared.store.received(id).saturating_sub(life.received_before);
        let count = TelemetryCount {
            ended: told.map(|told| told.ended),
            dropped: told.map_or(0, |told| told.dropped),
            received,
        };
        self.shared.event(RunEventKind::TelemetryCounted { node: id.clone(), count });
    }

    /// Stops every node of every mesh at once and gives their places back.
    pub(crate) async fn end_all_nodes(&self) {
        let ids: Vec<NodeId> = self.shared.state().nodes.keys().cloned().collect();
        self.end_nodes(&ids).await;
        lock(&self.shared.samples).clear();
        self.shared.state().meshes.clear();
    }

    /// Stops these nodes at once and gives their places back.
    pub(crate) async fn end_nodes(&self, ids: &[NodeId]) {
        let ends: Vec<_> = ids
            .iter()
            .map(|id| {
                let (engine, id) = (self.clone(), id.clone());
                self.shared.runtime.spawn(async move { engine.end_life(&id).await })
            })
            .collect();
        for end in ends {
            // A panic in there is a defect that the audit below will show as a leftover.
            let _ = end.await;
        }
        if let Some(lab) = lock(&self.shared.lab).clone()
            && !ids.is_empty()
        {
            self.count_packets(&lab, ids);
            for id in ids {
                lab.remove_node(id);
            }
        }
        for id in ids {
            self.keep_data(id);
        }
        let mut state = self.shared.state();
        state.nodes.retain(|id, _| !ids.contains(id));
    }

    /// Starts a whole mesh: the first node by itself, for it is the seed, then the others.
    pub(crate) async fn start_all(&self, options: MeshOptions) -> Result<(), HostError> {
        let mesh = options.name.clone();
        let roles = options.roles.clone();
        if options.operator {
            self.operator().await?;
        }
        if options.relay {
            self.start_relay(&mesh).await?;
        }
        let mut ids = Vec::new();
        for role in &roles {
            ids.push(self.place_node(&mesh, role, NodeOptions::default())?);
        }
        let Some((first, others)) = ids.split_first() else {
            return Err(HostError::Misuse("a mesh needs at least one node".to_owned()));
        };
        self.start_life(first).await?;
        let starts: Vec<_> = others
            .iter()
            .map(|id| {
                let (engine, id) = (self.clone(), id.clone());
                self.shared.runtime.spawn(async move { engine.start_life(&id).await })
            })
            .collect();
        let mut outcome = Ok(());
        for start in starts {
            let started = start
                .await
                .unwrap_or_else(|error| Err(HostError::Harness(format!("a start broke: {error}"))));
            outcome = outcome.and(started);
        }
        outcome
    }
}

async fn spawn(fleet: &Fleet, spec: SpawnSpec) -> Result<Process, HostError> {
    fleet.spawn(spec).await.map_err(|error| HostError::Node(format!("failed to {error}")))
}

async fn watch_exit(shared: Arc<Shared>, id: NodeId, life: Life) {
    let exit = life.process.exited().await;
    lock(&shared.profiles).one_ended();
    let is_done = exit.code == Some(0) && shared.state().ends_by_itself(&id);
    let ended = life.end_asked_for.load(Ordering::SeqCst) || is_done;
    let asked_for = ended || on(Mutant::ExitAskedFor);
    let pid = life.process.pid();
    shared.event(RunEventKind::NodeExited { node: id.clone(), pid, exit, asked_for });
    shared.state().red |= !asked_for;
    life.end_told.send_replace(true);
    let engine = Engine { shared: Arc::clone(&shared) };
    engine.count_gone();
    engine.end_rest_of_stranger(&id, &life).await;
    let current = shared.state().nodes.get(&id).and_then(|node| node.life.clone());
    // A node that was started again meanwhile is tracked under its new process.
    if current.is_none_or(|current| current.process.pid() == life.process.pid()) {
        lock(&shared.sampler).untrack(&SampleSource::Node(id));
    }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
