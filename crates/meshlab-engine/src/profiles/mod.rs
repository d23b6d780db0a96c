//! Profiles of nodes: where CPU time went, what the heap holds, how long spans were entered.
//!
//! This file follows a run that asks for them, from the start of each process to its end, and draws
//! at the end. `itself.rs` is for where `perf` cannot: nodes that sample themselves. `cpu.rs` and
//! `heap.rs` take one of a node at a moment, for a scenario or for a limit that was broken.

mod cpu;
mod heap;
mod itself;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use meshlab_model::{ClaimId, NodeId, RunEventKind};
use meshlab_profile::{
    Folded, Names, Recording, Title, Windows, collapse_with_ends, cpu_time, files, record,
};
use meshlab_wire::env;

use self::{
    heap::{Dumped, Kept},
    itself::Lasting,
};
use crate::{
    Engine, HostError,
    engine::{Shared, lock},
};

pub(crate) use self::itself::{ready, tell};

/// The profile of all nodes.
const FLEET: &str = "fleet";

/// What took samples from outside.
pub(crate) const PERF: &str = "perf";
/// What took them where `perf` could not.
pub(crate) const ITSELF: &str = "the node itself";

/// What is being profiled, and what is known of former profiles.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    /// Recordings that go on, in the order in which they began.
    running: Vec<(NodeId, Recording)>,
    /// Processes that sample themselves, in the order in which they began.
    itself: Vec<Lasting>,
    /// Files of the time of spans, by node.
    spans: Vec<(NodeId, PathBuf)>,
    heaps: BTreeMap<NodeId, Vec<Kept>>,
    /// Dumps that are read when the tests are over.
    dumped: Vec<Dumped>,
    /// Profiles taken of each node at a moment, for the names of their files.
    taken: BTreeMap<NodeId, u32>,
    /// Limits that were broken, each with the node that broke it.
    pub(crate) to_explain: Vec<(ClaimId, NodeId)>,
    /// Processes of nodes that ended so far.
    ended: u32,
    /// Names of addresses, by program. They are found on another thread.
    names: BTreeMap<PathBuf, Arc<Mutex<Names>>>,
}

impl Profiles {
    /// A process of a node ended.
    pub(crate) fn one_ended(&mut self) {
        self.ended += 1;
    }

    fn next(&mut self, node: &NodeId) -> u32 {
        let taken = self.taken.entry(node.clone()).or_default();
        *taken += 1;
        *taken
    }

    fn names_of(&mut self, program: &Path) -> Arc<Mutex<Names>> {
        Arc::clone(self.names.entry(program.to_owned()).or_default())
    }
}

/// What a process of this program that is about to be started is told; `traced` says whether it has
/// spans.
pub(crate) fn prepare(
    shared: &Shared,
    node: &NodeId,
    program: &str,
    traced: bool,
    environment: &mut BTreeMap<String, String>,
) {
    let profile = &shared.config.profile;
    itself::prepare(shared, node, program, environment);
    if let Some(bytes) = profile.heap_sample.filter(|_| profile.heap) {
        environment.insert(env::HEAP_SAMPLE.to_owned(), bytes.to_string());
    }
    if !profile.spans || !traced {
        return;
    }
    let raw = raw(&shared.folder.profiles);
    if let Err(error) = fs::create_dir_all(&raw) {
        return shared.warn(format!("spans of {node} are not timed: {}: {error}", raw.display()));
    }
    let mut profiles = lock(&shared.profiles);
    let path = raw.join(format!("{node}.{}.spans", profiles.spans.len()));
    environment.insert(env::SPAN_FLAME.to_owned(), path.display().to_string());
    profiles.spans.push((node.clone(), path));
}

/// Begins to record the processes of a node, if the run asks for it: as soon as it is started, or,
/// of a program that starts others, once it is ready. Before that nobody knows whom to look at, and
/// `perf` follows only what is started after it looks.
pub(crate) fn begin(shared: &Shared, node: &NodeId, pids: &[u32]) {
    let profile = &shared.config.profile;
    let Some(hz) = profile.cpu_hz.filter(|_| profile.no_perf.is_none()) else { return };
    let raw = raw(&shared.folder.profiles);
    let Some(pid) = pids.first() else { return };
    let data = raw.join(format!("{node}.{pid}.data"));
    let begun = fs::create_dir_all(&raw)
        .map_err(|error| format!("{}: {error}", raw.display()))
        .and_then(|()| record(pids, hz, &data).map_err(|error| error.to_string()));
    match begun {
        Ok(recording) => lock(&shared.profiles).running.push((node.clone(), recording)),
        Err(why) => shared.warn(format!("{node} is not profiled: {why}")),
    }
}

fn raw(profiles: &Path) -> PathBuf {
    profiles.join("raw")
}

/// The run's folder of profiles, from its folder of results, which is as deep.
fn prefix(shared: &Shared) -> String {
    format!("../../../profiles/{}", shared.folder.name)
}

impl Engine {
    /// Takes what a run that asks for heaps wants of these nodes, of those that run.
    pub(crate) async fn take_heaps(&self, nodes: &[NodeId]) {
        if !self.shared.config.profile.heap {
            return;
        }
        for node in nodes {
            if self.life(node).is_ok()
                && let Err(error) = self.put_off(node).await
            {
                self.shared.warn(format!("{node} has no heap profile: {error}"));
            }
        }
    }

    async fn put_off(&self, node: &NodeId) -> Result<(), HostError> {
        let dumped = self.dump_heap(node, None).await?;
        lock(&self.shared.profiles).dumped.push(dumped);
        Ok(())
    }

    /// Profiles the nodes that broke a limit during the test that ends.
    pub(crate) async fn explain_limits(&self) {
        let broken = std::mem::take(&mut lock(&self.shared.profiles).to_explain);
        for (claim, node) in broken {
            self.explain(claim, &node).await;
        }
    }

    /// Waits, unless the run is stopped; what is looked at because it was stopped goes on.
    async fn unless_stopped<T>(
        &self,
        claim: Option<ClaimId>,
        wait: impl Future<Output = T>,
    ) -> Result<T, HostError> {
        match claim {
            Some(_) => Ok(wait.await),
            None => self.shared.cancel.or(wait).await,
        }
    }

    /// Profiles the node that broke a limit, while it still does what broke it.
    pub(crate) async fn explain(&self, claim: ClaimId, node: &NodeId) {
        if self.life(node).is_err() {
            return;
        }
        let why = match self.cpu_of(node, cpu::EXPLAINS, Some(claim)).await {
            Ok(taken) if taken.samples > 0 => None,
            Ok(_) => Some("it used no CPU time while it was looked at".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            self.shared.warn(format!("{node}, which broke a limit, has no CPU profile: {why}"));
        }
        // A program that does not record its heap has nothing to say, which is no news.
        if self.shared.config.profile.heap
            && let Err(error) = self.heap_of(node, Some(claim)).await
        {
            self.shared.warn(format!("{node}, which broke a limit, has no heap profile: {error}"));
        }
    }
}

/// Ends all recordings and draws a flamegraph of each node and one of all of them.
pub(crate) async fn finish(shared: &Arc<Shared>) {
    let (running, itself, spans) = {
        let mut profiles = lock(&shared.profiles);
        let running = std::mem::take(&mut profiles.running);
        (running, std::mem::take(&mut profiles.itself), std::mem::take(&mut profiles.spans))
    };
    let Ok(at) = fs::canonicalize(&shared.folder.profiles) else { return };
    let (hz, prefix) = (shared.config.profile.cpu_hz, prefix(shared));
    let drawing = shared.runtime.spawn_blocking(move || {
        let (drawn, problems, ends) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut all = Drawing { folder: at, prefix, drawn, problems, ends };
        if let Some(hz) = hz.filter(|_| itself.is_empty()) {
            all.cpu(hz, running);
        }
        if let Some(hz) = hz.filter(|_| !itself.is_empty()) {
            all.cpu_by_itself(hz, itself);
        }
        all.spans(&spans);
        // Raw samples are many times larger than the stacks that everything is drawn from.
        let _ = fs::remove_dir_all(raw(&all.folder));
        all
    });
    let Drawing { drawn, problems, .. } = match drawing.await {
        Ok(drawn) => drawn,
        Err(error) => return shared.warn(format!("the profiles could not be drawn: {error}")),
    };
    for why in problems {
        shared.warn(why);
    }
    for Drawn { node, kind, file, samples, hz, sampler } in drawn {
        let sampler = sampler.map(str::to_owned);
        let (kind, claim) = (kind.to_owned(), None);
        shared.event(RunEventKind::ProfileTaken { node, kind, file, samples, hz, sampler, claim });
    }
}

struct Drawn {
    node: Option<NodeId>,
    kind: &'static str,
    /// From the run's folder of results.
    file: String,
    samples: u64,
    hz: u32,
    sampler: Option<&'static str>,
}

/// Every profile that could be drawn, and why others could not.
struct Drawing {
    folder: PathBuf,
    prefix: String,
    drawn: Vec<Drawn>,
    problems: Vec<String>,
    /// The first and the last steady window of each process.
    ends: BTreeMap<NodeId, Vec<(Folded, Folded)>>,
}

impl Drawing {
    fn cpu(&mut self, hz: u32, running: Vec<(NodeId, Recording)>) {
        let mut by_node: BTreeMap<NodeId, Folded> = BTreeMap::new();
        for (node, recording) in running {
            // A node that was restarted has a recording for each of its processes.
            match recording.stop().and_then(|data| collapse_with_ends(&data)) {
                Ok(Windows { whole, ends }) => {
                    by_node.entry(node.clone()).or_default().merge(&whole, None);
                    self.ends.entry(node).or_default().extend(ends);
                }
                Err(error) => self.problems.push(format!("{node} has no profile: {error}")),
            }
        }
        self.draw_cpu(&by_node, hz, PERF, &[]);
        for (node, processes) in std::mem::take(&mut self.ends) {
            let (mut first, mut last) = (Folded::default(), Folded::default());
            for (began, ended) in processes {
                first.merge(&began, None);
                last.merge(&ended, None);
            }
            if first.is_empty() || last.is_empty() {
                continue;
            }
            let written = files::write_ends(&self.folder, node.as_str(), &first, &last);
            self.problems.extend(written.err().map(|error| format!("windows of {node}: {error}")));
        }
    }

    /// Says of all nodes together who is missing.
    fn draw_cpu(
        &mut self,
        by_node: &BTreeMap<NodeId, Folded>,
        hz: u32,
        sampler: &'static str,
        missing: &[NodeId],
    ) {
        let missing: Vec<&str> = missing.iter().map(NodeId::as_str).collect();
        let missing = match missing.as_slice() {
            [] => String::new(),
            names => format!("; not profiled: {}", names.join(", ")),
        };
        self.draw("cpu", by_node, (hz, Some(sampler)), |name, samples| {
            let used = cpu_time(samples, hz).as_secs_f64();
            let missing = if name == FLEET { missing.as_str() } else { "" };
            Title {
                title: format!("CPU of {name}"),
                rests_on: format!(
                    "{samples} samples at {hz} Hz by {sampler}: about {used:.1} s of CPU time; \
                     what waits is not seen{missing}"
                ),
                unit: "samples".to_owned(),
            }
        });
    }

    fn spans(&mut self, files: &[(NodeId, PathBuf)]) {
        let mut by_node: BTreeMap<NodeId, Folded> = BTreeMap::new();
        for (node, path) in files {
            match files::read(path) {
                Ok(stacks) => by_node.entry(node.clone()).or_default().merge(&stacks, None),
                Err(error) => self.problems.push(format!(
                    "{node} left no time of its spans: {error}; it ended before its first, or its \
                     program does not link the agent"
                )),
            }
        }
        self.draw("spans", &by_node, (0, None), |name, micros| Title {
            title: format!("Spans of {name}"),
            rests_on: format!(
                "{:.3} s between enter and exit, not CPU: a span that blocks counts in full",
                micros as f64 / 1e6
            ),
            unit: "microseconds".to_owned(),
        });
    }

    /// One of each node and, where there is more than nothing, one of all.
    fn draw(
        &mut self,
        kind: &'static str,
        by_node: &BTreeMap<NodeId, Folded>,
        (hz, sampler): (u32, Option<&'static str>),
        title: impl Fn(&str, u64) -> Title,
    ) {
        if by_node.is_empty() {
            return;
        }
        let mut fleet = Folded::default();
        for (node, stacks) in by_node {
            fleet.merge(stacks, Some(node.as_str()));
        }
        let nodes = by_node.iter().map(|(node, stacks)| (Some(node.clone()), stacks));
        for (node, stacks) in std::iter::once((None, &fleet)).chain(nodes) {
            let name = node.as_ref().map_or(FLEET, NodeId::as_str);
            let samples = stacks.samples();
            let file = if kind == "cpu" { name.to_owned() } else { format!("{name}-{kind}") };
            match files::write(&self.folder, &file, stacks, &title(name, samples)) {
                Ok(_) => {
                    let file = format!("{}/{file}.svg", self.prefix);
                    self.drawn.push(Drawn { node, kind, file, samples, hz, sampler });
                }
                Err(error) => self.problems.push(format!("the {kind} profile of {name}: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests;
