//! What nodes may use and grow by: limits of the scenario, held against every sample.
//!
//! A limit is a claim of the test in which nodes run under it. `ceilings.rs` judges single samples
//! as they come, `trends.rs` the slopes of a whole test at its end.

mod ceilings;
mod counted;
mod looks;
mod trends;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use meshlab_model::{
    Ceilings, ClaimEvidence, ClaimId, CounterName, CounterSample, EndReason, MeshId, NodeId, Phase,
    Resource, RunTime, Sample, SampleSource, Severity, SourceLine, Trend, Verdict,
};
use meshlab_sampler::SampleRound;

use self::{
    ceilings::{Above, Ceiling},
    counted::{Counted, Held},
    looks::Looks,
    trends::Series,
};
use crate::{
    Engine, HostError,
    engine::lock,
    noise::undecided,
    state::{Kind, State},
};

/// Readings in a row that a process which runs may miss: one may be between its end and the news
/// of it.
const MISSED_MAX: u32 = 3;

/// The limits of the test that is running.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    ceilings: Vec<Gate>,
    trends: Vec<(ClaimId, RunTime, Resource, Trend)>,
    /// What nodes used over time; kept only if there is a trend to judge.
    series: BTreeMap<NodeId, Series>,
    /// What nodes count themselves and have limits of.
    held: Held,
    /// Readings that failed in a row.
    missed: BTreeMap<NodeId, u32>,
    /// The phase of the last round of samples.
    phase: Option<Phase>,
    /// How many peers went away so far, each end of a process once.
    gone: u64,
    /// Looks at the trends that may end the run.
    looks: Looks,
}

impl Gates {
    /// Takes in what nodes used before the run was gone on with: each process is a slope of its
    /// own, so nothing is joined over the gap. How many peers had gone at each sample is not told
    /// by the samples, nor what the nodes counted themselves: growth by peers, and that of
    /// counters, is that of the part from now on.
    pub(crate) fn remember(&mut self, samples: impl Iterator<Item = Sample>) {
        for sample in samples {
            let SampleSource::Node(node) = &sample.of else { continue };
            self.series.entry(node.clone()).or_default().add(&sample, &Counted::new(), 0);
        }
    }

    /// Takes in what nodes count themselves and changed.
    pub(crate) fn count(&mut self, changed: &[CounterSample]) {
        let ceilings = self.ceilings.iter().map(|gate| gate.ceiling.resource());
        let trends = self.trends.iter().map(|(_, _, resource, _)| *resource);
        let counters = ceilings.chain(trends).filter_map(|resource| match resource {
            Resource::Counter(name) => Some(name),
            _ => None,
        });
        let wanted: BTreeSet<CounterName> = counters.collect();
        self.held.take(changed, &wanted);
    }
}

/// A ceiling, as a claim.
#[derive(Debug)]
struct Gate {
    claim: ClaimId,
    opened: RunTime,
    /// Of the nodes of one mesh; of all that have none of their own if absent.
    mesh: Option<MeshId>,
    /// Whether it is of the nodes of every mesh, whatever ceilings that has of its own.
    everywhere: bool,
    ceiling: Ceiling,
}

impl Gate {
    /// Whether it is about a node of a mesh with such ceilings, and of this role.
    fn is_of(&self, own: Option<&MeshId>, role: &str) -> bool {
        (self.everywhere || self.mesh.as_ref() == own) && self.ceiling.is_of(role)
    }
}

/// A ceiling that was broken.
struct Broken {
    claim: ClaimId,
    opened: RunTime,
    resource: Resource,
}

impl Broken {
    fn of(gate: &Gate) -> Self {
        Self { claim: gate.claim, opened: gate.opened, resource: gate.ceiling.resource() }
    }
}

/// What limits are about, of a sample and of what the node counts; `None` where neither says.
fn value(sample: &Sample, counted: &Counted, resource: Resource) -> Option<f64> {
    match resource {
        Resource::Cpu => sample.cpu,
        Resource::Rss => Some(sample.rss_bytes as f64),
        Resource::OpenFiles => Some(f64::from(sample.open_files)),
        Resource::Threads => Some(f64::from(sample.threads)),
        Resource::Counter(name) => counted.get(&name).copied(),
    }
}

/// Whether a book of the heap that a program keeps takes some of this itself.
fn distorts(resource: Resource) -> bool {
    matches!(resource, Resource::Cpu | Resource::Rss)
}

impl Engine {
    /// Begins to hold the nodes of a mesh, which are about to be started, to their limits.
    pub(crate) fn open_limits(&self, mesh: &MeshId, at: &SourceLine) -> Result<(), HostError> {
        let config = &self.shared.config;
        let own = self.shared.state().mesh(mesh)?.options.ceilings.clone();
        let declared = |limits: &Option<SourceLine>| limits.clone().unwrap_or_else(|| at.clone());
        match own {
            Some(own) => self.open_ceilings(&own, Some(mesh), at.clone())?,
            None if self.has_ceilings() => {}
            None => {
                self.open_ceilings(&config.ceilings.of, None, declared(&config.ceilings.at))?;
            }
        }
        self.open_bounds(at)?;
        if !lock(&self.shared.gates).trends.is_empty() {
            return Ok(());
        }
        for (resource, trend) in &config.trends.of {
            let most = trends::limit(*resource, *trend);
            let text = format!("{resource} of the nodes grows by less than {most}");
            let at = declared(&config.trends.at);
            let claim = self.start_claim("trends", text, Severity::Check, Duration::ZERO, at)?;
            if let Some(why) = self.distorted(*resource) {
                self.finish_limit(
                    claim,
                    self.shared.clock.now(),
                    Verdict::Inconclusive(why),
                    ClaimEvidence::default(),
                );
                continue;
            }
            let opened = self.shared.clock.now();
            lock(&self.shared.gates).trends.push((claim, opened, *resource, *trend));
        }
        Ok(())
    }

    /// Why this run says nothing of a resource: the nodes keep book of their heap, and the book
    /// takes CPU time and memory of its own.
    fn distorted(&self, resource: Resource) -> Option<String> {
        (distorts(resource) && self.shared.config.profile.heap).then(|| {
            format!(
                "{resource} is not judged where the heap is recorded: the recording itself takes \
                 CPU time and memory; run without `--profile heap`"
            )
        })
    }

    /// Ends the limits that a node would be held to and that it distorts: its program keeps book of
    /// its heap, though the run did not ask for that.
    pub(crate) fn spare_limits(&self, node: &NodeId) {
        let (ceilings, trends) = {
            let state = self.shared.state();
            let Some(own) = limited(&state, node) else { return };
            let (own, role) = (own.as_ref(), role(&state, node));
            let mut gates = lock(&self.shared.gates);
            let (spared, kept) = std::mem::take(&mut gates.ceilings)
                .into_iter()
                .partition(|gate| distorts(gate.ceiling.resource()) && gate.is_of(own, role));
            gates.ceilings = kept;
            let all = std::mem::take(&mut gates.trends).into_iter();
            let (trends, kept) = all.partition(|(_, _, resource, _)| distorts(*resource));
            gates.trends = kept;
            let (spared, trends): (Vec<Gate>, Vec<_>) = (spared, trends);
            (spared, trends)
        };
        let ceilings =
            ceilings.iter().map(|gate| (gate.claim, gate.opened, gate.ceiling.resource()));
        let trends = trends.iter().map(|(claim, opened, resource, _)| (*claim, *opened, *resource));
        for (claim, opened, resource) in ceilings.chain(trends) {
            let why = format!(
                "{resource} is not judged: the program of {node} records its heap, which itself \
                 takes CPU time and memory; give one that does not with `--binary NAME=PATH`"
            );
            let verdict = Verdict::Inconclusive(why);
            self.finish_limit(claim, opened, verdict, ClaimEvidence::default());
        }
    }

    /// Whether those for all nodes are open.
    fn has_ceilings(&self) -> bool {
        let gates = lock(&self.shared.gates);
        gates.ceilings.iter().any(|gate| gate.mesh.is_none() && !gate.everywhere)
    }

    /// Opens the limits for some nodes or some of the time, once a test.
    fn open_bounds(&self, at: &SourceLine) -> Result<(), HostError> {
        let config = &self.shared.config;
        if lock(&self.shared.gates).ceilings.iter().any(|gate| gate.everywhere) {
            return Ok(());
        }
        for bound in &config.bounds.of {
            let ceiling = Ceiling::bound(bound, config.sample_every);
            let at = config.bounds.at.clone().unwrap_or_else(|| at.clone());
            let call = if bound.least { "floors" } else { "ceilings" };
            let text = ceiling.text("every node");
            let claim = self.start_claim(call, text, Severity::Check, Duration::ZERO, at)?;
            let opened = self.shared.clock.now();
            if let Some(why) = self.distorted(bound.resource) {
                let verdict = Verdict::Inconclusive(why);
                self.finish_limit(claim, opened, verdict, ClaimEvidence::default());
                continue;
            }
            let gate = Gate { claim, opened, mesh: None, everywhere: true, ceiling };
            lock(&self.shared.gates).ceilings.push(gate);
        }
        Ok(())
    }

    fn open_ceilings(
        &self,
        ceilings: &Ceilings,
        mesh: Option<&MeshId>,
        at: SourceLine,
    ) -> Result<(), HostError> {
        for (resource, limit) in ceilings {
            let whose = mesh.map_or("every node".to_owned(), |mesh| format!("each node of {mesh}"));
            let ceiling = Ceiling::new(*resource, *limit, self.shared.config.sample_every);
            let text = ceiling.text(&whose);
            let at = at.clone();
            let claim = self.start_claim("ceilings", text, Severity::Check, Duration::ZERO, at)?;
            let opened = self.shared.clock.now();
            if let Some(why) = self.distorted(*resource) {
                let verdict = Verdict::Inconclusive(why);
                self.finish_limit(claim, opened, verdict, ClaimEvidence::default());
                continue;
            }
            let gate = Gate { claim, opened, mesh: mesh.cloned(), everywhere: false, ceiling };
            lock(&self.shared.gates).ceilings.push(gate);
        }
        Ok(())
    }

    /// Holds a round of samples against the limits; the run is stopped at the first that is broken.
    pub(crate) fn judge_samples(&self, round: &SampleRound) {
        let mut broken = Vec::new();
        {
            let state = self.shared.state();
            let mut gates = lock(&self.shared.gates);
            let gates = &mut *gates;
            // A sample that reaches over the border of two phases is of neither.
            let phase = state.phase();
            let steady = gates.phase.replace(phase) == Some(phase);
            for sample in &round.samples {
                let SampleSource::Node(node) = &sample.of else { continue };
                gates.missed.remove(node);
                let Some(own) = limited(&state, node) else { continue };
                let (own, role) = (own.as_ref(), role(&state, node));
                let age = if steady { age(&state, node, sample.at) } else { Duration::ZERO };
                let counted = gates.held.of(node, sample.pid);
                for gate in gates.ceilings.iter_mut().filter(|gate| gate.is_of(own, role)) {
                    let above = gate.ceiling.look_in(node, sample, &counted, phase, age);
                    let Some(above) = above else { continue };
                    match self.excuse(&gate.ceiling, &above, sample.at) {
                        Some(noise) => gate.ceiling.disturb(noise),
                        None => broken.push((Broken::of(gate), above.why, node.clone())),
                    }
                }
                if !gates.trends.is_empty() {
                    let gone = gates.gone;
                    gates.series.entry(node.clone()).or_default().add(sample, &counted, gone);
                }
            }
            for (of, error) in &round.failed {
                let SampleSource::Node(node) = of else { continue };
                let Some(own) = limited(&state, node).filter(|_| state.runs(node)) else {
                    continue;
                };
                let missed = gates.missed.entry(node.clone()).or_default();
                *missed += 1;
                if *missed < MISSED_MAX {
                    continue;
                }
                let (own, role) = (own.as_ref(), role(&state, node));
                for gate in gates.ceilings.iter().filter(|gate| gate.is_of(own, role)) {
                    let why =
                        format!("{node} runs and cannot be sampled, {missed} times now: {error}");
                    broken.push((Broken::of(gate), why, node.clone()));
                }
            }
            // A limit is broken once, by the first that was found above it.
            let mut told = BTreeSet::new();
            broken.retain(|(gate, ..)| told.insert(gate.claim));
            gates.ceilings.retain(|gate| !told.contains(&gate.claim));
        }
        let culprit = broken.first().map(|(gate, _, node)| (gate.claim, node.clone()));
        for (Broken { claim, opened, resource }, why, _) in broken {
            let mut notes = self.happening();
            if resource == Resource::Cpu {
                notes.push(self.noise_at(self.shared.clock.now(), true).line());
            }
            let evidence = ClaimEvidence { notes, ..ClaimEvidence::default() };
            self.finish_limit(claim, opened, Verdict::Failed(why), evidence);
        }
        if let Some(culprit) = culprit {
            // Before its test ends, while it still does what broke the limit.
            lock(&self.shared.profiles).to_explain.push(culprit);
            self.shared.cancel.stop(EndReason::CeilingBroken);
        }
        self.look_at_trends();
    }

    /// Why a sample above a ceiling does not say whether the node is at fault, if it does not.
    fn excuse(&self, ceiling: &Ceiling, above: &Above, at: RunTime) -> Option<String> {
        if !above.may_be_noise {
            return None;
        }
        let noise = self.noise_at(at, ceiling.is_disturbed());
        match undecided(Verdict::Failed(above.why.clone()), &noise) {
            Verdict::Inconclusive(why) => Some(why),
            _ => None,
        }
    }

    /// A process of a node has ended: one more peer that others saw go.
    pub(crate) fn count_gone(&self) {
        lock(&self.shared.gates).gone += 1;
    }

    /// Looks at the trends that may end the run, where a look is due.
    fn look_at_trends(&self) {
        let now = self.shared.clock.now();
        let found = {
            let mut gates = lock(&self.shared.gates);
            let gates = &mut *gates;
            let found = gates.looks.look(now, &gates.trends, &gates.series);
            gates.trends.retain(|(claim, ..)| found.iter().all(|(certain, ..)| certain != claim));
            found
        };
        let stop = !found.is_empty();
        for (claim, opened, resource, verdict, notes) in found {
            let worst = trends::worst_node(resource, &lock(&self.shared.gates).series);
            // Before its test ends, while it still grows.
            lock(&self.shared.profiles).to_explain.extend(worst.map(|node| (claim, node)));
            let evidence = ClaimEvidence { notes, ..ClaimEvidence::default() };
            self.finish_limit(claim, opened, verdict, evidence);
        }
        if stop {
            self.shared.cancel.stop(EndReason::CeilingBroken);
        }
    }

    /// What was going on: the faults that acted.
    fn happening(&self) -> Vec<String> {
        let now = self.shared.clock.now();
        let state = self.shared.state();
        let open = state.faults.values().filter(|open| open.taken_back.is_none() && !open.settled);
        let one = |open: &crate::state::OpenFault| {
            let targets: Vec<&str> = open.targets.iter().map(NodeId::as_str).collect();
            let length = meshlab_model::format_duration(now.since(open.applied));
            format!("meanwhile: {} on {}, for {length}", open.name, targets.join(", "))
        };
        let all: Vec<String> = open.map(one).collect();
        if all.is_empty() { vec!["no fault acted meanwhile".to_owned()] } else { all }
    }

    fn finish_limit(
        &self,
        claim: ClaimId,
        opened: RunTime,
        verdict: Verdict,
        evidence: ClaimEvidence,
    ) {
        let took = self.shared.clock.now().since(opened);
        // A limit ends its run by itself; nobody waits for this answer.
        let _ = self.finish_claim(claim, verdict, took, evidence, Severity::Check, took);
    }

    /// Judges what is left of the limits: the test is about to end. Says which trends failed, each
    /// with the node that grew most.
    pub(crate) fn close_limits(&self) -> Vec<(ClaimId, NodeId)> {
        let nodes: Vec<NodeId> = self.shared.state().nodes.keys().cloned().collect();
        self.miss(&nodes);
        let Gates { ceilings, trends, series, .. } = std::mem::take(&mut *lock(&self.shared.gates));
        for gate in ceilings {
            self.close_gate(gate);
        }
        let mut failed = Vec::new();
        for (claim, opened, resource, trend) in trends {
            let (verdict, mut notes) = trends::judge(resource, trend, &series);
            let (verdict, host) = self.on_this_host(resource, verdict, opened);
            notes.extend(host);
            let evidence = ClaimEvidence { notes, ..ClaimEvidence::default() };
            if matches!(verdict, Verdict::Failed(_)) {
                failed.extend(trends::worst_node(resource, &series).map(|node| (claim, node)));
            }
            self.finish_limit(claim, opened, verdict, evidence);
        }
        failed
    }

    /// Judges the limits of meshes that are about to end, all but those of `stay`.
    pub(crate) fn close_limits_of(&self, stay: &BTreeSet<MeshId>, nodes: &[NodeId]) {
        self.miss(nodes);
        let over = {
            let mut gates = lock(&self.shared.gates);
            let stays = |gate: &Gate| gate.mesh.as_ref().is_none_or(|mesh| stay.contains(mesh));
            let (kept, over) = std::mem::take(&mut gates.ceilings).into_iter().partition(stays);
            gates.ceilings = kept;
            over
        };
        let over: Vec<Gate> = over;
        for gate in over {
            self.close_gate(gate);
        }
    }

    /// Tells the ceilings which of these nodes run, and since when: of those they want samples.
    fn miss(&self, nodes: &[NodeId]) {
        let now = self.shared.clock.now();
        let state = self.shared.state();
        let mut gates = lock(&self.shared.gates);
        for node in nodes {
            let life = state.nodes.get(node).and_then(|node| node.life.as_ref());
            let Some(life) = life.filter(|life| life.runs()) else { continue };
            let Some(own) = limited(&state, node) else { continue };
            let (own, role) = (own.as_ref(), role(&state, node));
            for gate in gates.ceilings.iter_mut().filter(|gate| gate.is_of(own, role)) {
                gate.ceiling.runs(node, now.since(life.started));
            }
        }
    }

    fn close_gate(&self, gate: Gate) {
        let resource = gate.ceiling.resource();
        let (verdict, mut notes) = gate.ceiling.close();
        let (verdict, host) = self.on_this_host(resource, verdict, gate.opened);
        notes.extend(host);
        let evidence = ClaimEvidence { notes, ..ClaimEvidence::default() };
        self.finish_limit(gate.claim, gate.opened, verdict, evidence);
    }
}

/// The role of a node.
fn role<'a>(state: &'a State, node: &NodeId) -> &'a str {
    state.nodes.get(node).map_or("", |node| node.role.as_str())
}

/// How long the process of a node has run.
fn age(state: &State, node: &NodeId, now: RunTime) -> Duration {
    let life = state.nodes.get(node).and_then(|node| node.life.as_ref());
    life.map_or(Duration::ZERO, |life| now.since(life.started))
}

/// The mesh whose own ceilings hold for a node, or none of its own; `None` for what is no node.
fn limited(state: &State, node: &NodeId) -> Option<Option<MeshId>> {
    let found = state.nodes.get(node).filter(|node| node.kind == Kind::Node)?;
    let own = state.meshes.get(&found.mesh)?.options.ceilings.is_some();
    Some(own.then(|| found.mesh.clone()))
}

#[cfg(test)]
mod heap_tests;
#[cfg(test)]
mod tests;
