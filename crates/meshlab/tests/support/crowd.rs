//! A made-up run of 200 nodes with a relay, faults that act, and nodes in every state: what a page
//! has to show so that it can be read.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "test support: each program uses its part"
)]

use std::{collections::BTreeMap, fs, path::Path};

use meshlab_model::{
    FaultId, FaultStage, HeapAmount, HeapSnapshot, NodeExit, NodeId, RunEventKind as K, RunTime,
    Sample, SpanRecord, TestId,
};
use meshlab_report::fixture::{self, steady::Steady, steady::write_plain};

/// When the faults begin, in milliseconds.
const FAULTS_AT: u64 = 30_000;

/// Writes the record of a run of so many nodes that was cut off while faults acted.
pub fn write(folder: &Path, nodes: u32) {
    let mut record = Steady { nodes, seconds: 60, ..Steady::default() }.record();
    let mut kinds: Vec<(u64, K)> = record
        .events
        .drain(..)
        .filter(|event| event.at.micros < FAULTS_AT * 1000)
        .map(|event| (event.at.micros / 1000, event.kind))
        .collect();
    kinds.push((5, relay()));
    kinds.push((FAULTS_AT, K::HeapTaken(heap())));
    kinds.extend(faults(nodes));
    kinds.sort_by_key(|(ms, _)| *ms);
    record.events = fixture::events(kinds);
    write_plain(&record, folder).unwrap();
    let spans: Vec<String> = spans(nodes)
        .into_iter()
        .zip(1..)
        .map(|(span, seq)| serde_json::to_string(&SpanRecord { seq, ..span }).unwrap())
        .collect();
    fs::write(folder.join("spans.jsonl"), spans.join("\n") + "\n").unwrap();
}

/// Writes the record of four nodes that grow by a KiB a second, for twenty minutes.
pub fn write_growing(folder: &Path) {
    let mut record = Steady { nodes: 4, seconds: 1200, ..Steady::default() }.record();
    let grown = record.samples.iter().map(|sample| Sample {
        rss_bytes: sample.rss_bytes + sample.at.micros / 1_000_000 * 1024,
        ..sample
    });
    record.samples = grown.collect::<Vec<_>>().into();
    write_plain(&record, folder).unwrap();
}

pub fn node(n: u32) -> NodeId {
    NodeId(format!("node-{n}"))
}

fn key(n: u32) -> String {
    format!("{n:064x}")
}

fn relay() -> K {
    K::NodeSpawned {
        node: "relay-1".into(),
        mesh: "m".into(),
        role: "relay".into(),
        binary: "mesh-relay".into(),
        pid: 9999,
        incarnation: 1,
        address: "127.0.0.1:2".into(),
        host: "here".into(),
    }
}

fn heap() -> HeapSnapshot {
    let of = |bucket: &str, site: Option<&str>, bytes| HeapAmount {
        bucket: bucket.into(),
        site: site.map(Into::into),
        bytes,
        blocks: 7,
    };
    HeapSnapshot {
        node: node(1),
        number: 1,
        pid: 1,
        taken: RunTime { micros: 29_000_000 },
        file: "../../../profiles/crowd/one/heap/node-1-1.dhat.json".into(),
        bytes: 6 << 20,
        blocks: 14,
        rule: 1,
        recorder: "every block".into(),
        buckets: vec![of("gossip", None, 4 << 20), of("the rest", None, 2 << 20)],
        sites: vec![of("gossip", Some("iroh_gossip::net::actor (net.rs:1)"), 3 << 20)],
        since: None,
        claim: None,
    }
}

/// Every tenth node is dead; a burst hurts five at once, and a cut stands between two and three.
fn faults(nodes: u32) -> Vec<(u64, K)> {
    let mut all = Vec::new();
    let exit = NodeExit { code: None, signal: Some(9) };
    for n in (10..=nodes).step_by(10) {
        let dead = K::NodeExited { node: node(n), pid: n, exit, asked_for: true };
        all.push((FAULTS_AT + u64::from(n), dead));
    }
    let told = String::new();
    let hurt: [(&str, Vec<u32>, u32); 3] = [
        ("burst_kill", vec![10, 20, 30, 40, 50], 0),
        ("partition", vec![3, 4, 101, 102, 103], 3),
        ("slow_link", vec![3], 0),
    ];
    for (place, (name, targets, against)) in (1_u32..).zip(hurt) {
        let planned = K::FaultPlanned {
            fault: FaultId(place),
            test: TestId(0),
            name: name.into(),
            targets: targets.into_iter().map(node).collect(),
            against,
            told: told.clone(),
            chaos: None,
        };
        let acted = FaultStage::Acted { witness: "the kernel".into(), unnoticed: None };
        let acted = K::FaultReached { fault: FaultId(place), stage: acted };
        all.extend([(FAULTS_AT + 300, planned), (FAULTS_AT + 320, acted)]);
    }
    all
}

/// Neighbours around the ring and across it, the directories of the first nodes, who takes whom
/// for dead, states, and two paths through the relay.
fn spans(nodes: u32) -> Vec<SpanRecord> {
    let mut all = Vec::new();
    for n in 1..=nodes {
        for step in [1, 2, 7, nodes / 2] {
            let peer = (n + step - 1) % nodes + 1;
            all.push(span(2000, n, "neighbor.up", &[("peer.id", key(peer))]));
            all.push(span(2000, peer, "neighbor.up", &[("peer.id", key(n))]));
        }
    }
    for n in 1..=5 {
        for peer in (1..=nodes).filter(|peer| *peer != n && *peer != n + 100) {
            all.push(span(3000, n, "peer.connected", &[("peer.id", key(peer))]));
        }
    }
    let states = ["Degraded", "Draining", "Updating", "Leaving", "Alive"];
    for (n, state) in (11..).step_by(13).zip(states.iter().cycle()).take(15) {
        all.push(span(29_000, n, "node.state_changed", &[("state", (*state).to_owned())]));
    }
    for (by, peer) in [(1, 10), (2, 10), (6, 199)] {
        let about = [("peer.id", key(peer)), ("state", "Dead".to_owned())];
        all.push(span(31_000, by, "node.state_inferred", &about));
    }
    for (n, peer) in [(3, 101), (101, 3), (7, 151), (8, 150)] {
        let about = [("peer.id", key(peer)), ("via", "relay".to_owned())];
        all.push(span(31_500, n, "path.changed", &about));
    }
    all
}

fn span(ms: u64, n: u32, name: &str, attributes: &[(&str, String)]) -> SpanRecord {
    let attributes = attributes.iter();
    SpanRecord {
        seq: 0,
        arrived: RunTime { micros: ms * 1000 },
        node: node(n),
        name: name.into(),
        trace_id: String::new(),
        span_id: String::new(),
        parent_id: String::new(),
        start_unix_nanos: 0,
        end_unix_nanos: 0,
        attributes: attributes
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect::<BTreeMap<_, _>>(),
    }
}
