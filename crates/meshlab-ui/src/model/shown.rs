//! Each thing that a page shows, as JSON. Times are microseconds since the run started.

use meshlab_model::{ByteSize, HeapSnapshot, NodeId, RunTime, SourceLine, TrafficMeasure, Verdict};
use meshlab_report::{ClaimView, FaultView};
use meshlab_stats::Latency;
use serde_json::{Value, json};

use super::{GoesOn, Key, Mark, Model};

/// Allocation sites of a heap that are told.
const SITES_MAX: usize = 8;

/// Who noticed or healed is told for so many.
const TOLD_MAX: usize = 250;

/// The name of a thing in a message.
pub(super) fn name(key: &Key) -> String {
    match key {
        Key::Run => "run".to_owned(),
        Key::Test(id) => format!("test/{id}"),
        Key::Step(id) => format!("step/{id}"),
        Key::Node(id) => format!("node/{id}"),
        Key::Claim(id) => format!("claim/{id}"),
        Key::Fault(id) => format!("fault/{id}"),
        Key::Mark(number) => format!("mark/{number}"),
        Key::Warning(number) => format!("warning/{number}"),
        Key::Problem(number) => format!("problem/{number}"),
        Key::Note(number) => format!("note/{number}"),
        Key::Hand(number) => format!("hand/{number}"),
        Key::Traffic(number) => format!("traffic/{number}"),
        Key::Profile(number) => format!("profile/{number}"),
        Key::Heap(number) => format!("heap/{number}"),
        Key::Alert(about) => format!("alert/{about}"),
    }
}

impl Model {
    /// A thing as it is now; `null` for what is no more.
    pub(super) fn shown(&self, key: &Key) -> Value {
        let view = &self.view;
        let line = |line: Option<&(RunTime, String)>| {
            line.map(|(at, text)| json!({ "at": at.micros, "text": text }))
        };
        let shown = match key {
            Key::Run => Some(self.run()),
            Key::Test(id) => view.tests.get(id).map(|test| {
                let verdict = test.finished.is_some().then(|| view.test_verdict(*id));
                json!({
                    "title": test.title,
                    "source": source(test.source.as_ref()),
                    "started": test.started.map(|at| at.micros),
                    "finished": test.finished.as_ref().map(|(at, _)| at.micros),
                    "verdict": verdict.as_ref().map(told),
                    "claims": view.claims.values().filter(|claim| claim.test == *id).count(),
                })
            }),
            Key::Step(id) => view.steps.get(id).map(|step| {
                json!({ "name": step.name, "started": step.started.micros,
                    "finished": step.finished.map(|at| at.micros) })
            }),
            Key::Node(id) => self.node(id),
            Key::Claim(id) => view.claim(*id).map(|claim| {
                let manual = !view.claims.contains_key(id);
                claim_shown(claim, manual)
            }),
            Key::Fault(id) => view.fault(*id).map(|fault| {
                let manual = !view.faults.contains_key(id);
                fault_shown(fault, manual)
            }),
            Key::Mark(number) => self.marks.get(*number).map(|mark| self.mark_shown(mark)),
            Key::Warning(number) => line(view.warnings.get(*number)),
            Key::Problem(number) => view.problems.get(*number).map(|problem| {
                json!({ "at": problem.at.micros, "text": problem.text,
                    "source": source(problem.source.as_ref()) })
            }),
            Key::Note(number) => line(view.notes.get(*number)),
            Key::Hand(number) => view.by_hand.get(*number).map(|(at, test, text)| {
                json!({ "at": at.micros, "text": text, "in_test": test.is_some() })
            }),
            Key::Traffic(number) => {
                view.traffic.get(*number).map(|(at, measure)| self.traffic(*at, measure))
            }
            Key::Profile(number) => view.profiles.get(*number).map(|profile| {
                json!({ "node": profile.node, "kind": profile.kind, "file": profile.file,
                    "samples": profile.samples, "hz": profile.hz })
            }),
            Key::Heap(number) => view.heaps.get(*number).map(|(_, heap)| heap_shown(heap)),
            Key::Alert(about) => self.alerts.0.get(about).map(|alert| {
                json!({ "at": alert.at.micros, "text": alert.text, "passing": alert.passing })
            }),
        };
        shown.unwrap_or(Value::Null)
    }

    fn run(&self) -> Value {
        let (view, manifest) = (&self.view, &self.manifest);
        let verdict = view.end.is_some().then(|| view.verdict());
        let over = verdict.is_some() || !self.is_live();
        let gaps: Vec<[u64; 2]> =
            view.gaps.iter().map(|gap| [gap.from.micros, gap.to.micros]).collect();
        let ceilings: serde_json::Map<String, Value> = self
            .ceilings
            .iter()
            .map(|(resource, limit)| (resource.to_string(), json!(limit)))
            .collect();
        json!({
            "name": manifest.run,
            "scenario": manifest.scenario,
            "seed": manifest.seed,
            "commit": manifest.commit,
            "network": manifest.network,
            "started_unix_ms": manifest.started_unix_nanos / 1_000_000,
            "live": self.is_live(),
            "elsewhere": self.goes_on == GoesOn::Elsewhere,
            "over": over,
            "kept": view.kept.is_some() && view.end.is_none(),
            "hands": view.hands_line(),
            "verdict": over.then(|| told(&verdict.unwrap_or_else(|| view.verdict()))),
            "last": view.last.micros.max(self.last_sample.micros),
            "events": view.events,
            "marks_left_out": self.marks_left_out,
            "gaps": gaps,
            "ceilings": ceilings,
            "cores": manifest.host.cores,
            "harness": self.harness.as_ref().map(|sample| json!({
                "cpu": sample.cpu, "rss": sample.rss_bytes, "at": sample.at.micros })),
        })
    }

    fn node(&self, id: &NodeId) -> Option<Value> {
        let node = self.view.nodes.get(id)?;
        let none = super::NodeLive::default();
        let live = self.nodes.get(id).unwrap_or(&none);
        let (state, since) = self.state(id);
        let lives: Vec<Value> = node
            .lives
            .iter()
            .map(|life| {
                let exited = life.exited.as_ref();
                json!([
                    life.spawned.micros,
                    exited.map(|exited| exited.0.micros),
                    exited.is_none_or(|exited| exited.2),
                    exited.map(|exited| exited.1.to_string()),
                    life.ready_micros,
                ])
            })
            .collect();
        let all = |keys: &std::collections::BTreeSet<String>| -> Vec<String> {
            keys.iter().map(|key| self.who(key)).collect()
        };
        let relayed: Vec<String> = live
            .paths
            .iter()
            .filter(|(_, via)| *via == "relay")
            .map(|(key, _)| self.who(key))
            .collect();
        let counted = |name: &str| live.counted.get(name).copied();
        let less = |more: &str, less: &str| Some(counted(more)? - counted(less).unwrap_or(0.0));
        let sample = live.sample.as_ref().filter(|_| node.alive());
        Some(json!({
            "mesh": node.mesh, "role": node.role, "name": node.name, "address": node.address,
            "key": node.public_key.chars().take(10).collect::<String>(),
            "pid": node.lives.last().map(|life| life.pid),
            "alive": node.alive(), "state": state, "since": since.micros, "lives": lives,
            "neighbors": all(&live.neighbors), "across": all(&live.across), "relayed": relayed,
            "knows": live.directory.len(), "missing": self.missing(id),
            "buried_by": self.buried_by(&node.public_key),
            "boot": live.boot,
            "at": sample.map(|sample| sample.at.micros),
            "cpu": sample.and_then(|sample| sample.cpu),
            "rss": sample.map(|sample| sample.rss_bytes),
            "files": sample.map(|sample| sample.open_files),
            "threads": sample.map(|sample| sample.threads),
            "connections": less("connections.opened", "connections.closed"),
            "tasks": less("tasks.spawned", "tasks.finished"),
            "lost": node.telemetry.iter().filter_map(|(_, count)| count.lost()).sum::<u64>(),
        }))
    }

    /// `[at, node, sign, peer, state]`.
    pub(crate) fn mark_shown(&self, mark: &Mark) -> Value {
        let peer = if mark.peer.is_empty() { String::new() } else { self.who(&mark.peer) };
        json!([mark.at.micros, mark.node, char::from(mark.sign).to_string(), peer, mark.state])
    }

    fn traffic(&self, at: RunTime, measure: &TrafficMeasure) -> Value {
        let began = at.micros.saturating_sub(measure.took_micros);
        // Under fault is what overlaps the time in which one acted.
        let hurt = self.view.faults.values().any(|fault| {
            let from = fault.acted.as_ref().map(|acted| acted.0.micros);
            let to = fault.undone.as_ref().map_or(u64::MAX, |undone| undone.0.micros);
            from.is_some_and(|from| from < at.micros) && to > began
        });
        let times = Latency::decode(&measure.histogram).ok().filter(|times| times.count() > 0);
        let curve = times.as_ref().map(|times| {
            let point =
                |(took, share): (std::time::Duration, f64)| json!([took.as_micros(), share]);
            times.curve().into_iter().map(point).collect::<Vec<Value>>()
        });
        let at_share = |p| times.as_ref().map(|times| times.at(p).as_micros() as u64);
        json!({
            "at": at.micros, "from": measure.from, "to": measure.to, "kind": measure.kind,
            "streams": measure.streams, "size": ByteSize(measure.bytes_each).to_string(),
            "count": measure.round_trips, "errors": measure.errors, "hurt": hurt,
            "p50": at_share(50.0), "p90": at_share(90.0), "p99": at_share(99.0),
            "max": times.as_ref().map(|times| times.max().as_micros() as u64), "curve": curve,
        })
    }
}

fn told(verdict: &Verdict) -> Value {
    json!({ "is": verdict.word(), "because": verdict.reason() })
}

fn source(line: Option<&SourceLine>) -> Option<String> {
    line.map(ToString::to_string)
}

/// What a heap held, by subsystem, and what it gained since the first look at the same process.
fn heap_shown(heap: &HeapSnapshot) -> Value {
    let bucket = |row: &meshlab_model::HeapAmount| json!([row.bucket, row.bytes]);
    let sites = heap.sites.iter().take(SITES_MAX);
    let gained = heap.since.as_ref().map(|since| {
        since.buckets.iter().map(|gain| json!([gain.bucket, gain.bytes])).collect::<Vec<_>>()
    });
    json!({
        "node": heap.node, "number": heap.number, "at": heap.taken.micros, "bytes": heap.bytes,
        "blocks": heap.blocks, "recorder": heap.recorder,
        "flame": heap.file.replace(".dhat.json", ".svg"),
        "buckets": heap.buckets.iter().map(bucket).collect::<Vec<_>>(), "gained": gained,
        "sites": sites.map(|row| json!([row.bytes, row.bucket, row.site])).collect::<Vec<_>>(),
    })
}

fn claim_shown(claim: &ClaimView, manual: bool) -> Value {
    let judged = claim.verdict.is_some() || claim.interrupted.is_some();
    let by_node: Vec<Value> = claim
        .evidence
        .by_node
        .iter()
        .take(TOLD_MAX)
        .map(|tally| json!([tally.node, tally.have, tally.need]))
        .collect();
    json!({
        "test": claim.test, "call": claim.call, "text": claim.text, "manual": manual,
        "source": source(claim.source.as_ref()), "started": claim.started.micros,
        "progress": claim.progress, "verdict": judged.then(|| told(&claim.judged())),
        "after_hand": claim.after_hand, "took": claim.took_micros, "by_node": by_node,
        "notes": claim.evidence.notes,
    })
}

fn fault_shown(fault: &FaultView, manual: bool) -> Value {
    let noticed: Vec<Value> = fault
        .noticed
        .iter()
        .take(TOLD_MAX)
        .map(|(at, by, evidence)| json!([at.micros, by, evidence]))
        .collect();
    let healed: Vec<Value> =
        fault.healed.iter().take(TOLD_MAX).map(|(at, by)| json!([at.micros, by])).collect();
    let over = fault.verdict.as_ref().map(|(at, _)| at.micros);
    let judged = fault.verdict.is_some() || fault.interrupted.is_some();
    json!({
        "name": fault.name, "targets": fault.targets, "against": fault.against,
        "told": fault.told, "planned": fault.planned.micros, "manual": manual,
        "source": source(fault.source.as_ref()),
        "acted": fault.acted.as_ref().map(|(at, _)| at.micros),
        "witness": fault.acted.as_ref().map(|(_, witness)| witness),
        "unnoticed": fault.unnoticed, "noticed": noticed, "healed": healed,
        "undone": fault.undone.as_ref().map(|(at, _)| at.micros),
        "how": fault.undone.as_ref().map(|(_, how)| how),
        "over": over, "verdict": judged.then(|| told(&fault.judged())),
        "drawn": fault.chaos.is_some(),
        "capture": fault.capture.as_ref().map(|(file, _)| file),
    })
}
