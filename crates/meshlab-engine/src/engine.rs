//! The engine of one run: what it holds, how it begins, how it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use meshlab_fleet::Fleet;
use meshlab_lab::Lab;
use meshlab_model::{
    ByteSize, ChaosId, EndReason, MANIFEST_SCHEMA, Manifest, NetworkMode, NodeId, RunEventKind,
    RunTime, SampleSource, SourceLine,
};
use meshlab_mutants::{Mutant, on};
use meshlab_sampler::Sampler;
use meshlab_spans::{Forward, RunClock, SpanStore};
use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

use crate::{
    EngineError, NODE_BINARY, Resume, RunConfig, Watcher, built_with,
    cancel::{Cancel, describe},
    captures::Captures,
    hands::Hands,
    kept::Keeping,
    kinds::{Peers, Said},
    limits::Gates,
    live::Live,
    logs::Logs,
    noise::{self, HostNoise},
    profiles::Profiles,
    results::{Recorder, RunFolder, disk, file},
    resume::Carried,
    state::State,
    usage::Samples,
    views::Views,
};

/// Spans kept in memory. The rest is in the file; what was evicted is counted and shown.
const SPANS_IN_MEMORY: usize = 1_000_000;

/// How often it is looked at whether the record can still be written.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a run writes before its own rate says whether the disk has room for the rest.
const MEASURED_AFTER: Duration = Duration::from_secs(60);

/// Runs one scenario: answers [`Host`](crate::Host) and records what happens.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) runtime: Handle,
    pub(crate) config: RunConfig,
    pub(crate) folder: RunFolder,
    pub(crate) recorder: Recorder,
    pub(crate) store: SpanStore,
    pub(crate) views: Mutex<Views>,
    pub(crate) sampler: Mutex<Sampler>,
    pub(crate) samples: Mutex<Samples>,
    pub(crate) gates: Mutex<Gates>,
    pub(crate) noise: Mutex<HostNoise>,
    pub(crate) fleet: Mutex<Option<Arc<Fleet>>>,
    pub(crate) lab: Mutex<Option<Arc<Lab>>>,
    pub(crate) state: Mutex<State>,
    pub(crate) captures: Mutex<Captures>,
    pub(crate) profiles: Mutex<Profiles>,
    pub(crate) logs: Logs,
    pub(crate) live: Live,
    /// Where spans are sent on to, if anywhere.
    pub(crate) forward: OnceLock<Arc<Forward>>,
    /// Who hears of spans and numbers as they come, if anybody does.
    pub(crate) watcher: OnceLock<Arc<dyn Watcher>>,
    /// Nodes of which it was told that they count more than is kept.
    pub(crate) told_counters: Mutex<BTreeSet<NodeId>>,
    /// What was said to be not available.
    pub(crate) unavailable: Said,
    /// Names that programs of somebody else's have for nodes; nodes of one run, so a few hundred.
    pub(crate) peers: Peers,
    pub(crate) cancel: Cancel,
    pub(crate) kept: watch::Sender<Keeping>,
    /// What was begun by hand.
    pub(crate) hands: Hands,
    pub(crate) clock: RunClock,
    /// When this part of the run began: its start, or where it was gone on with.
    pub(crate) began: RunTime,
    /// Schedules that are gone on with.
    pub(crate) carried: BTreeMap<ChaosId, Carried>,
    pub(crate) ticks: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn event(&self, kind: RunEventKind) -> RunTime {
        self.tell(kind, None)
    }

    pub(crate) fn event_at(&self, kind: RunEventKind, at: SourceLine) -> RunTime {
        self.tell(kind, Some(at))
    }

    fn tell(&self, kind: RunEventKind, source: Option<SourceLine>) -> RunTime {
        let copy = kind.clone();
        let at = self.recorder.event_by(kind, source, self.hands.hold(&copy));
        self.live.event(self, at, &copy);
        at
    }

    pub(crate) fn warn(&self, text: String) {
        self.event(RunEventKind::Warning { text });
    }
}

/// Locks, whatever happened to whoever held it: every critical section of the engine leaves what
/// it guards usable at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Makes the run's folder, writes its manifest, makes the lab and begins to record.
    ///
    /// # Errors
    /// The record cannot be written, or the lab cannot be made. No node has been started.
    pub fn start(mut config: RunConfig, runtime: Handle) -> Result<Self, EngineError> {
        if config.binaries.is_empty() {
            return Err(EngineError::NoBinary(NODE_BINARY));
        }
        let path = config.output.clone();
        let record = |error| EngineError::Record { path: path.clone(), error };
        let Begun { clock, folder, recorder, store, event, state, gates, carried } =
            match config.resume.take() {
                None => begin_anew(&config).map_err(record)?,
                Some(resume) => go_on(resume, &config).map_err(record)?,
            };
        let fleet = Fleet::new(runtime.clone()).map_err(EngineError::Threads)?;
        let lab = match config.network {
            NetworkMode::Lab => {
                let lab = Lab::new(config.seed);
                Some(Arc::new(lab.map_err(|error| EngineError::Lab(error.to_string()))?))
            }
            NetworkMode::Host => None,
        };
        let logs = Logs::new(folder.results.join(file::LOGS));
        let (watched, unwatched) = HostNoise::start(clock.now());
        let shared = Arc::new(Shared {
            runtime,
            folder,
            recorder,
            store,
            views: Mutex::default(),
            sampler: Mutex::new(Sampler::new()),
            samples: Mutex::default(),
            gates: Mutex::new(gates),
            noise: Mutex::new(watched),
            fleet: Mutex::new(Some(Arc::new(fleet))),
            lab: Mutex::new(lab),
            state: Mutex::new(state),
            captures: Mutex::default(),
            profiles: Mutex::default(),
            told_counters: Mutex::default(),
            unavailable: Said::default(),
            peers: Peers::default(),
            logs,
            live: Live::default(),
            forward: OnceLock::new(),
            watcher: OnceLock::new(),
            cancel: Cancel::new(),
            kept: watch::Sender::new(Keeping::Not),
            hands: Hands::default(),
            clock,
            began: clock.now(),
            carried,
            ticks: Mutex::default(),
            config,
        });
        shared.event(event);
        if let Some(why) = unwatched {
            shared.warn(why);
        }
        crate::profiles::tell(&shared);
        let engine = Self { shared };
        engine.begin();
        Ok(engine)
    }

    /// Connects the span store to the record and starts the ticks.
    fn begin(&self) {
        // Weak, because the store is inside what the sink holds on to.
        let weak = Arc::downgrade(&self.shared);
        self.shared.store.set_sink(Box::new(move |span| {
            if let Some(shared) = weak.upgrade() {
                shared.recorder.span(span);
                if let Some(forward) = shared.forward.get() {
                    forward.offer(span);
                }
                if let Some(watcher) = shared.watcher.get() {
                    watcher.span(span);
                }
                lock(&shared.views).apply(span);
            }
        }));
        let weak = Arc::downgrade(&self.shared);
        self.shared.store.set_log_sink(Box::new(move |node, lines| {
            if let Some(shared) = weak.upgrade() {
                shared.logs.write(node, lines, jiff::Timestamp::now());
            }
        }));
        lock(&self.shared.sampler).track(SampleSource::Harness, std::process::id());
        let ticks = [
            self.shared.runtime.spawn(sample_tick(Arc::clone(&self.shared))),
            self.shared.runtime.spawn(record_tick(Arc::clone(&self.shared))),
            self.shared.runtime.spawn(timeout(Arc::clone(&self.shared))),
        ];
        lock(&self.shared.ticks).extend(ticks);
    }

    /// Where the run's files are.
    pub fn folder(&self) -> &RunFolder {
        &self.shared.folder
    }

    /// Stops the run: every wait ends with an error that says why. The first reason is kept.
    pub fn stop(&self, reason: EndReason) {
        self.shared.cancel.stop(reason);
    }

    /// Why the run was stopped, if it was.
    pub fn stopped(&self) -> Option<EndReason> {
        self.shared.cancel.reason()
    }

    /// Records that the scenario is wrong (`script`) or that the harness could not go on.
    pub fn problem(&self, script: bool, text: String, source: Option<SourceLine>) {
        self.shared.recorder.event(RunEventKind::Problem { script, text }, source);
    }

    /// Ends the run: stops what still runs, looks for what was left behind, closes the record.
    /// Returns why the record is not whole, if it is not.
    pub async fn finish(&self, reason: EndReason) -> Option<String> {
        self.end_keep().await;
        self.end_all_nodes().await;
        let ticks = std::mem::take(&mut *lock(&self.shared.ticks));
        ticks.iter().for_each(JoinHandle::abort);
        for tick in ticks {
            // One that is in the middle of a round writes to the record until that is over.
            let _ = tick.await;
        }
        noise::finish(&self.shared);
        self.read_heaps().await;
        // What nodes sent as they ended.
        crate::counters::record(&self.shared, self.shared.clock.now());
        crate::counters::tell_refused(&self.shared);
        crate::forward::finish(&self.shared).await;
        crate::profiles::finish(&self.shared).await;
        let checked = self.close_and_audit().await;
        self.shared.event(checked);
        if let Some(why) = self.shared.recorder.failure() {
            self.problem(
                false,
                format!(
                    "the record is not whole: {why}; free some space, or take another place with \
                 `--output DIR`, and run again"
                ),
                None,
            );
        }
        self.shared.event(RunEventKind::RunFinished { reason });
        self.shared.recorder.flush();
        self.forget_operator();
        self.shared.recorder.failure()
    }
}

/// What a run begins with, or is gone on with.
struct Begun {
    clock: RunClock,
    folder: RunFolder,
    recorder: Recorder,
    store: SpanStore,
    /// Its first event.
    event: RunEventKind,
    state: State,
    gates: Gates,
    carried: BTreeMap<ChaosId, Carried>,
}

/// Why nothing can be written on the disk of that folder, if so.
fn has_room(folder: &Path) -> io::Result<()> {
    match disk::free(folder).ok().and_then(disk::too_little) {
        Some(why) => Err(io::Error::new(io::ErrorKind::StorageFull, why)),
        None => Ok(()),
    }
}

fn begin_anew(config: &RunConfig) -> io::Result<Begun> {
    let (clock, now) = start_clock();
    let folder = RunFolder::create(&config.output, &config.scenario, config.seed, now)?;
    has_room(&folder.results)?;
    let manifest = manifest(config, &folder, &clock);
    for (name, record) in &config.binaries {
        built_with::keep_lock(&folder.results, name, record)?;
    }
    let (script, listener) = (&config.script, config.listener.clone());
    let recorder = Recorder::create(&folder.results, &manifest, script, clock.started, listener)?;
    let event = RunEventKind::RunStarted {
        run: folder.name.clone(),
        seed: config.seed,
        replays: config.replay.as_ref().map(|replay| replay.run.clone()),
    };
    let (state, gates, carried) = (State::default(), Gates::default(), BTreeMap::new());
    let store = SpanStore::new(clock, SPANS_IN_MEMORY);
    Ok(Begun { clock, folder, recorder, store, event, state, gates, carried })
}

fn go_on(resume: Resume, config: &RunConfig) -> io::Result<Begun> {
    has_room(&resume.folder.results)?;
    // Nodes are started anew: what those before them had on their disks is kept beside.
    let (data, part) = (resume.folder.results.join("data"), resume.left.part);
    match fs::rename(&data, data.with_extension(format!("before-part-{part}"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut gates = Gates::default();
    if !config.trends.of.is_empty() {
        gates.remember(resume.samples_of_test());
    }
    let (clock, state) = (resume.clock(), resume.state());
    let Resume { reopened, folder, left, last_seq, last_span, from, open_minutes, .. } = resume;
    let store = SpanStore::new(clock, SPANS_IN_MEMORY);
    store.go_on(clock.now(), last_span);
    let listener = config.listener.clone();
    let recorder = Recorder::go_on(reopened, last_seq, open_minutes, clock.started, listener)?;
    let (test, spent) = left.interrupted.map(|(test, _, spent)| (test, spent)).unzip();
    let spent_micros = spent.unwrap_or_default().as_micros();
    let event = RunEventKind::RunResumed {
        part: left.part,
        from,
        test,
        spent_micros: u64::try_from(spent_micros).unwrap_or(u64::MAX),
    };
    Ok(Begun { clock, folder, recorder, store, event, state, gates, carried: left.chaos })
}

fn start_clock() -> (RunClock, jiff::Timestamp) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started_unix_nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    (RunClock { started: Instant::now(), started_unix_nanos }, jiff::Timestamp::now())
}

fn manifest(config: &RunConfig, folder: &RunFolder, clock: &RunClock) -> Manifest {
    Manifest {
        schema: MANIFEST_SCHEMA,
        meshlab: env!("CARGO_PKG_VERSION").to_owned(),
        run: folder.name.clone(),
        scenario: config.scenario.clone(),
        script_path: config.script_path.clone(),
        script_sha256: crate::binaries::sha256_hex(config.script.as_bytes()),
        arguments: config.arguments.clone(),
        seed: config.seed,
        started_unix_nanos: clock.started_unix_nanos,
        commit: config.commit.clone(),
        tests: config.tests.clone(),
        timeout_secs: config.timeout.as_secs_f64(),
        network: config.network,
        binaries: config.binaries.clone(),
        duration_secs: config.duration.map(|duration| duration.as_secs_f64()),
        time_scale: config.time_scale,
        nodes: config.nodes,
        params: config.params.clone(),
        replays: config.replay.as_ref().map(|replay| replay.run.clone()),
        node_env: config.node_env.clone(),
        host: meshlab_sampler::host_facts(),
    }
}

async fn sample_tick(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(shared.config.sample_every);
    // A late sample is taken once, not made up for: two in a row would show half the CPU each.
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let at = shared.clock.now();
        let round = lock(&shared.sampler).sample(at, || shared.clock.now());
        for (of, error) in &round.failed {
            // A node that ended between two ticks is told by its exit; the harness cannot end.
            if *of == SampleSource::Harness {
                shared.warn(format!("the harness cannot sample itself: {error}"));
                lock(&shared.sampler).untrack(of);
            }
        }
        lock(&shared.samples).add(&round.samples);
        shared.recorder.samples(&round.samples);
        shared.live.round(&round.samples);
        if let Some(watcher) = shared.watcher.get() {
            watcher.samples(&round.samples);
        }
        crate::counters::record(&shared, at);
        noise::tick(&shared, &round.samples);
        Engine { shared: Arc::clone(&shared) }.judge_samples(&round);
    }
}

/// Stops the run once its record cannot be written, or soon could not.
async fn record_tick(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    let forecast = |so_far| {
        let elapsed = shared.clock.now().since(shared.began);
        let remaining = shared.config.timeout.saturating_sub(elapsed);
        let free = disk::free(&shared.folder.results).ok();
        if let Some(told) = free.and_then(|free| disk::forecast(free, remaining, so_far)) {
            shared.warn(told);
        }
    };
    forecast(None);
    let before = shared.recorder.written();
    let mut measured = false;
    loop {
        tick.tick().await;
        if shared.recorder.failure().is_some() {
            // Going on would make claims that no record bears out.
            shared.cancel.stop(EndReason::HarnessFailed);
            return;
        }
        if let Some(why) = disk::free(&shared.folder.results).ok().and_then(disk::too_little) {
            let text = format!(
                "stopping: {why}; free some space, or take another place with `--output DIR`, and \
                 run again"
            );
            shared.event(RunEventKind::Problem { script: false, text });
            shared.cancel.stop(EndReason::HarnessFailed);
            return;
        }
        let elapsed = shared.clock.now().since(shared.began);
        if !measured && elapsed >= MEASURED_AFTER {
            measured = true;
            let written = ByteSize(shared.recorder.written().0.saturating_sub(before.0));
            forecast(Some((written, elapsed)));
        }
    }
}

async fn timeout(shared: Arc<Shared>) {
    let mut kept = shared.kept.subscribe();
    tokio::select! {
        () = tokio::time::sleep(shared.config.timeout), if !on(Mutant::TimeoutUnkept) => {}
        // The tests are over; who looks at the mesh takes the time that it takes.
        _ = kept.wait_for(|kept| *kept != Keeping::Not) => return,
    }
    shared.warn(format!("stopping: {}", describe(&EndReason::TimedOut)));
    shared.cancel.stop(EndReason::TimedOut);
}
